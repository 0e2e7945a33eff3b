"""One server process: started, waited for, stopped, killed, and never left behind.

A child is in a session of its own, so that Ctrl-C in a terminal reaches only its parent, which
then stops it in order. On Linux the child also ends when its parent is killed: `setpriv` asks the
kernel for that before it becomes the server. (The kernel watches the parent's *thread*, so this
is asked for only by the main one; and `setpriv` rather than `preexec_fn`, because Python code
between fork and exec is unsafe beside librdkafka's threads.)
"""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

STOP_SECONDS = 5.0  # between SIGTERM and SIGKILL
_POLL_SECONDS = 0.002


class ServerError(Exception):
    """A server could not be had, started or kept running; its text is one sentence.

    - `ServerMissingError`: this machine lacks what the server needs
    - `ServerDiedError`: it ended by itself, or never became ready
    """


class ServerMissingError(ServerError):
    """This machine lacks what the server needs; the sentence says what."""


class ServerDiedError(ServerError):
    """The server `name` ended by itself or never became ready; `log` tells more."""

    def __init__(self, name: str, what: str, log: Path) -> None:
        super().__init__(f"{name} {what}")
        self.name = name
        self.log = log


class Child:
    """A server process named `name` that writes its output to the file `log`."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process started last, whether it lives or not; RuntimeError before the first."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    @property
    def alive(self) -> bool:
        """Whether the process runs now."""
        return self._process is not None and self._process.poll() is None

    def start(
        self,
        command: Sequence[str],
        ready: Callable[[], bool],
        *,
        seconds: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Runs `command` and returns once `ready()`, asked every 2 ms, answers true.

        The child gets this process's environment unless it is given another.

        Raises ServerDiedError, with nothing left running, when the process ends before that or is
        not ready after `seconds`.
        """
        if self.alive:
            raise RuntimeError(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = self._begun(command, log, environment)
        try:
            self._wait_until(ready, seconds)
        except BaseException:
            self.kill()
            raise

    def _begun(
        self, command: Sequence[str], log: IO[bytes], environment: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*_ending_with_parent(), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )

    def _wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive:
                raise self._died()
            if time.monotonic() > deadline:
                what = f"was not ready after {seconds:g} s: {last_words(self.log)}"
                raise ServerDiedError(self.name, what, self.log)
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raises ServerDiedError when the process has ended by itself."""
        if not self.alive:
            raise self._died()

    def _died(self) -> ServerDiedError:
        code = self.process.returncode
        if code < 0:  # the log of a process that was killed says nothing of it
            what = f"was killed by {signal.Signals(-code).name}."
        else:
            what = f"ended with exit code {code}: {last_words(self.log)}"
        return ServerDiedError(self.name, what, self.log)

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """Ends the process in order: SIGTERM, SIGKILL when it still runs after `seconds`."""
        if self.alive:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """Ends the process as a crash would (SIGKILL) and waits until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class OneProcess:
    """A server that is one process, `_child`."""

    _child: Child

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process started last."""
        return self._child.process

    @property
    def pid(self) -> int:
        """The process id of the process started last."""
        return self._child.process.pid

    @property
    def alive(self) -> bool:
        """Whether the server runs now."""
        return self._child.alive


def last_words(log: Path) -> str:
    """The last line of `log` that says something; a stack trace's indented lines do not."""
    with suppress(OSError):
        for line in reversed(log.read_text(errors="replace").splitlines()):
            if line.strip() and not line[0].isspace():
                return line.strip()
    return f"it wrote nothing to {log}"


def _ending_with_parent() -> list[str]:
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return []
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal.SIGTERM.name[3:], "--"] if setpriv else []
