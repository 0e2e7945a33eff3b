"""The README's commands, run as they stand there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
USAGE = [sys.executable, "-m", "interaction_usage.commands.main"]


def lines_of(section: str) -> list[str]:
    """Return the commands of the console block in a section of the README."""
    text = (ROOT / "README.md").read_text("utf-8").partition(f"## {section}\n")[2]
    block = re.search(r"```console\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return [line[2:].partition("#")[0].strip() for line in block[1].splitlines()]


@pytest.mark.timeout(120)
def test_the_way_from_nothing_to_a_report_works_line_by_line(tmp_path: Path) -> None:
    """A newcomer who copies the block holds a report."""
    shutil.copytree(ROOT / "tests" / "vectors", tmp_path / "tests" / "vectors")
    environment = dict(os.environ)
    background: list[subprocess.Popen[bytes]] = []
    try:
        for line in lines_of("From nothing to a report")[1:]:  # the first installs
            if line == "export $(cat servers.env)":
                answer = (tmp_path / "servers.env").read_text().split()
                environment |= dict(pair.split("=", 1) for pair in answer)
                continue
            words = shlex.split(line.removesuffix("&").partition(">")[0])
            assert words[0] == "usage"
            if not line.endswith("&"):
                subprocess.run(
                    [*USAGE, *words[1:]], cwd=tmp_path, env=environment, check=True, timeout=60
                )
                continue
            with (tmp_path / "servers.env").open("ab") as out:
                background.append(
                    subprocess.Popen(
                        [*USAGE, *words[1:]], cwd=tmp_path, env=environment, stdout=out
                    )
                )
            while len((tmp_path / "servers.env").read_text().split()) < 2:
                time.sleep(0.05)
        assert (tmp_path / "usage.xls").read_bytes().startswith(b"\xd0\xcf\x11\xe0")
    finally:
        for process in reversed(background):
            process.terminate()
            assert process.wait(15) == 0
