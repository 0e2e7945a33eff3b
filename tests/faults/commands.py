"""Commands that take their time, beside everything else; some are killed in the middle."""

import time
from dataclasses import dataclass

from redis.exceptions import RedisError

from interaction_usage.servers.child import Child
from interaction_usage.store import keys
from tests.faults.run import Run
from tests.support.forked import USAGE, ForkedChild

COMMAND = "a command"
_COMMAND_S = 180.0  # within which a command must have ended, whatever is away


@dataclass
class Commands(Run):
    """Begins commands and looks at how they end: one at a time, or some at once."""

    def begin(self, *commands: tuple[str, ...]) -> None:
        """Begin *commands* at once, unless one runs; each may be killed in the middle."""
        if self._is_away(COMMAND):
            return
        for arguments in commands:
            number = len(list(self.system.folder.glob("command-*")))
            log = self.system.folder / f"command-{number}.log"
            child = ForkedChild(f"usage {arguments[0]}", log)
            by_link = self.system.worker_variables if self.rng.random() < 0.5 else {}
            child.start(
                [*USAGE, *arguments], lambda: True, environment=self.system.environment | by_link
            )
            self.note(f"usage {' '.join(arguments)}{', by the flaky link' if by_link else ''}")
            self._end_some_time(child)

    def _end_some_time(self, child: Child) -> None:
        if self.rng.random() < 0.4:
            self._ends_in(self.rng.uniform(1, 6), COMMAND, lambda: self._kill(child))
        else:
            deadline = time.monotonic() + _COMMAND_S
            self._ends_in(1, COMMAND, lambda: self._await(child, deadline))

    def _kill(self, child: Child) -> None:
        if not child.alive:
            return self._check(child)
        self.note(f"{child.name} is killed")
        child.kill()
        try:
            with self.system.client() as client:
                client.delete(keys.REBUILD)  # as it is a minute later
        except RedisError as error:
            self.note(f"its lock stays: {error}")
        return None

    def _await(self, child: Child, deadline: float) -> None:
        if not child.alive:
            return self._check(child)
        assert time.monotonic() < deadline, f"{child.name} hangs: {child.log.read_text()}"
        return self._ends_in(0.3, COMMAND, lambda: self._await(child, deadline))

    def _check(self, child: Child) -> None:
        """Hold that a command has done it, or says in one line why not."""
        said, code = child.log.read_text(), child.process.returncode
        self.note(f"{child.name} ended with {code}: {last_line(said)}")
        assert code in (0, 1), said
        assert "Traceback" not in said, said
        assert (code == 1) == last_line(said).startswith("Error: "), said


def last_line(text: str) -> str:
    """Return what a command said last."""
    return (text.strip().splitlines() or [""])[-1]
