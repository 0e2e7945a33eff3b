"""docs/corrections.md: what its example shows is what the commands print."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import vector_files

PAGE = Path(__file__).parents[2] / "docs" / "corrections.md"


def commands() -> list[tuple[list[str], str]]:
    """Return each command of the page's console blocks, and what is shown below it."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.M):
        line, _, shown = block.partition("\n")
        words = shlex.split(line.removeprefix("$ "))
        assert words[0] == "usage"
        found.append((words[1:], shown))
    return found


def pattern_of(shown: str) -> str:
    """Return what *shown* stands for: an ellipsis alone on its line, or in braces, for lines."""
    pattern = re.escape(shown)
    for around in ("\\\n{}\\\n", "\\{{{}\\}}"):
        pattern = pattern.replace(around.format("…"), around.format("(?s:.+)"))
    return pattern.replace("…", ".+")


def test_the_example_is_what_the_commands_print(
    system: Any, eventually: Callable[..., None]
) -> None:
    """In its order, on the vector's events; an ellipsis stands for anything."""
    system.start_worker()
    lines = [line for _, line in vector_files.lines("corrections")]
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()
    first, _ = commands()[0]
    preview = ["reports", "preview", *first[2:], "--format", "json"]
    eventually(
        lambda: not json.loads(system.usage(*preview).stdout)["obstacles"], "it may be issued"
    )
    assert len(commands()) >= 14
    for words, shown in commands():
        done = system.usage(*words, code=None)
        printed = (done.stdout + done.stderr).decode()
        assert re.fullmatch(pattern_of(shown), printed), f"usage {' '.join(words)}\n{printed}"
