"""docs/corrections.md: what its example shows is what the commands print."""

import re
import shlex
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


def test_the_example_is_what_the_commands_print(system: Any) -> None:
    """In its order, on the vector's events; an ellipsis stands for anything."""
    system.start_worker()
    lines = [line for _, line in vector_files.lines("corrections")]
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()
    assert len(commands()) >= 4
    for words, shown in commands():
        done = system.usage(*words, code=None)
        printed = (done.stdout + done.stderr).decode()
        pattern = re.escape(shown).replace("…", ".+")
        assert re.fullmatch(pattern, printed), f"usage {' '.join(words)}\n{printed}"
