"""Commands in a process of their own that stays, where each in one of its own would take a second.

A prefix is read when a process starts, so a system that has one cannot use the process of the
tests. The process reads what is asked from standard input and answers, a line of JSON for each.
"""

import json
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence

from click.testing import CliRunner

from interaction_usage.commands.main import main

#: Bytes as text, and back.
_AS_TEXT = "latin-1"


class CommandProcess:
    """A process that runs commands, one after the other."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.command_process"], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(
        self, arguments: Sequence[str], stdin: bytes | None, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        asked = [list(arguments), stdin and stdin.decode(_AS_TEXT), dict(environment)]
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        code, *written = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(
            asked[0], code, *(text.encode(_AS_TEXT) for text in written)
        )

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _answer(line: str) -> tuple[int, str, str]:
    arguments, stdin, environment = json.loads(line)
    result = CliRunner().invoke(
        main, arguments, input=stdin and stdin.encode(_AS_TEXT), env=environment
    )
    stderr = result.stderr_bytes.decode(_AS_TEXT)
    if result.exc_info and not isinstance(result.exception, SystemExit | None):
        stderr += "".join(traceback.format_exception(result.exception))
    return result.exit_code, result.stdout_bytes.decode(_AS_TEXT), stderr


if __name__ == "__main__":
    for each in sys.stdin:
        print(json.dumps(_answer(each)), flush=True)
