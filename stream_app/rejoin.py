"""Asking the consumer group for a new assignment, whose start offsets are then determined again."""

import asyncio
import logging
from collections.abc import Callable

from stream_app.fetched_batch import Assignment
from stream_app.write_gate import WriteGate

log = logging.getLogger(__name__)

#: Seconds after which a request is repeated: a rebalance in progress may drop it.
_REPEAT_AFTER_S = 3.0


class Rejoin:
    """The request to rejoin, made once for an assignment and repeated until that is over."""

    def __init__(self, gate: WriteGate, rejoin: Callable[[], None]) -> None:
        self._gate, self._rejoin = gate, rejoin
        self._requested_for: Assignment | None = None
        self._requested_at = 0.0
        self.requests = 0  #: how often it was asked for, repetitions left out

    def request(self, why: str) -> None:
        """Rejoin the group, and log *why*, unless that was just requested."""
        now = asyncio.get_running_loop().time()
        if self._requested_for != self._gate.assignment:
            self._requested_for = self._gate.assignment
            self.requests += 1
            log.warning("%s", why)
        elif now < self._requested_at + _REPEAT_AFTER_S:
            return
        self._requested_at = now
        self._rejoin()

    def repeat(self) -> None:
        """Rejoin again where the assignment to be left is still the current one."""
        if self._requested_for == self._gate.assignment:
            self.request("")
