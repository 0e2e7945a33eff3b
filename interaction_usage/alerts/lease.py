"""The right of one process to evaluate the rules, as that process knows it.

Whether it has the lease is known to Redis, and is asked before anything takes effect. Whether it
can still have it is known here as well, without asking: a process that was suspended for longer
than a lease lasts must not send what it had in hand.
"""

import time
from collections.abc import Callable
from typing import Final

from interaction_usage.alerts.errors import LeaseLostError
from interaction_usage.store import alert_table
from interaction_usage.store.client import Client

#: A clock that nobody sets, and that runs on while the machine sleeps.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _uptime() -> float:
    return time.clock_gettime(_CLOCK)


class Lease:
    """A lease of 6 s that process *name* takes, and renews while it evaluates."""

    def __init__(self, redis: Client, name: str, uptime: Callable[[], float] = _uptime) -> None:
        self._redis, self.name, self._uptime = redis, name, uptime
        self._until = 0.0
        self.fence = 0  #: higher than that of every process before

    @property
    def is_fresh(self) -> bool:
        """Whether nobody else can have taken it."""
        return self._uptime() < self._until

    def take(self) -> bool:
        """Take it; return False where another process has it."""
        self.fence = self._asked()
        return bool(self.fence)

    def renew(self) -> None:
        """Keep it. Raises LeaseLostError where it has expired meanwhile, whoever has it now."""
        if self._asked() != self.fence:
            self._until = 0.0
            raise LeaseLostError

    def release(self) -> None:
        """Let another process begin at once."""
        alert_table.release_lease(self._redis, self.name, self.fence)

    def _asked(self) -> int:
        began = self._uptime()
        fence = alert_table.take_lease(self._redis, self.name)
        if fence:
            self._until = began + alert_table.LEASE_MS / 1000
        return fence
