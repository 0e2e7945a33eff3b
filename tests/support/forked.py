"""Commands as processes that are forked off one that has imported what they need.

Importing is most of what the start of a worker takes, and the tests start hundreds. What is forked
off is a process like any other: it has the same name of a command, an environment of its own, a
session and a log, gets signals and ends with an exit code. A prefix is read when modules are
imported, so where an environment has one, a command is started as it is everywhere else.
"""

import atexit
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from interaction_usage.prefixes import REDIS_VARIABLE, TOPIC_VARIABLE
from interaction_usage.servers.child import Child

USAGE = [sys.executable, "-m", "interaction_usage.commands.main"]

#: Of prctl(2): a signal for when the parent ends.
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.005


class ForkedChild(Child):
    """A child that is forked off where it is a command without a prefix, on Linux."""

    def _begun(
        self, command: Sequence[str], log: IO[bytes], environment: Mapping[str, str] | None
    ) -> "subprocess.Popen[bytes]":
        given = dict(os.environ if environment is None else environment)
        has_prefix = given.get(TOPIC_VARIABLE) or given.get(REDIS_VARIABLE)
        if [*command[: len(USAGE)]] != USAGE or has_prefix or sys.platform != "linux":
            return super()._begun(command, log, environment)
        pid = _Server.running().ask("start", [*command[len(USAGE) :]], given, str(self.log))
        return cast("subprocess.Popen[bytes]", ForkedProcess(pid, command))


class ForkedProcess:
    """What the tests use of `subprocess.Popen`, for a process that somebody else forked."""

    def __init__(self, pid: int, command: Sequence[str]) -> None:
        self.pid, self.args = pid, command
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None as long as it runs."""
        if self.returncode is None:
            self.returncode = _Server.running().ask("poll", self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when it has ended. Raises TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
            time.sleep(_POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Have it end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class _Server:
    """The process that forks, of this process of tests."""

    _running: "_Server | None" = None
    _starting = threading.Lock()

    def __init__(self) -> None:
        self._asking = threading.Lock()
        without = {k: v for k, v in os.environ.items() if k not in (TOPIC_VARIABLE, REDIS_VARIABLE)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], env=without, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        atexit.register(self._process.kill)

    @classmethod
    def running(cls) -> "_Server":
        """Return it, started when it is first needed."""
        with cls._starting:
            if cls._running is None:
                cls._running = cls()
            return cls._running

    def ask(self, *asked: Any) -> Any:
        """Return what it answers."""
        with self._asking:
            assert self._process.stdin
            assert self._process.stdout
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())


# --------------------------------------------------------------------------- in that process


def _start(arguments: list[str], environment: dict[str, str], log: Path) -> int:
    """Fork; return the pid, and in the child nothing: it runs the command and ends."""
    if pid := os.fork():
        return pid
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.setsid()
    with log.open("ab", buffering=0) as file, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["usage", *arguments]
    from interaction_usage.commands.main import run

    run()
    sys.exit()


def _ended(pid: int) -> int | None:
    """Return the exit code of a child that has ended."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _serve() -> None:
    import stream_app.faust_app
    import stream_app.worker_process  # noqa: F401

    while line := sys.stdin.readline():
        what, *asked = json.loads(line)
        if what == "start":
            arguments, environment, log = asked
            answer: int | None = _start(arguments, environment, Path(log))
        else:
            answer = _ended(*asked)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
