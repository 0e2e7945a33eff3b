"""What a worker says of itself: each change once, a reminder each minute, and a line of numbers."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from stream_app.telemetry import Telemetry

log = logging.getLogger(__name__)

#: Seconds between two looks.
INTERVAL_S: Final = 1.0
#: Seconds for which a worker may not count before that is said: each rebalance takes some.
PATIENCE_S: Final = 5.0
#: Seconds between two lines of numbers, and between two reminders.
EVERY_S: Final = 60.0


class StateLog:
    """Looks at why a worker does not count; *behind* is how many events wait, where it knows."""

    def __init__(
        self,
        reasons: Callable[[], Sequence[str]],
        telemetry: Telemetry,
        behind: Callable[[], int | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reasons, self._telemetry, self._behind = reasons, telemetry, behind
        self._clock = clock
        self._since: float | None = None  # since when it does not count
        self._said_at: float | None = None  # when that was said last
        self._reported_at, self._counted = clock(), telemetry.counted

    def look(self) -> None:
        """Say what is new."""
        now = self._clock()
        if reasons := self._reasons():
            self._waits(now, reasons[0])
        elif self._since is not None:
            if self._said_at is not None:
                log.warning("Counting again, after %s", _lasted(now - self._since))
            self._since = self._said_at = None
        if now - self._reported_at >= EVERY_S:
            self._report(now)

    def _waits(self, now: float, reason: str) -> None:
        if self._since is None:
            self._since = now
        if self._said_at is None:
            if now - self._since >= PATIENCE_S:
                log.warning("Nothing is counted: %s", reason)
                self._said_at = now
        elif now - self._said_at >= EVERY_S:
            lasts = _lasted(now - self._since)
            log.warning("Still nothing is counted, for %s%s: %s", lasts, self._waiting(), reason)
            self._said_at = now

    def _report(self, now: float) -> None:
        counted = self._telemetry.counted
        seconds = now - self._reported_at
        log.info(
            "%s events counted in %.0f s%s", f"{counted - self._counted:,}", seconds,
            self._waiting(),
        )  # fmt: skip
        self._reported_at, self._counted = now, counted

    def _waiting(self) -> str:
        behind = self._behind()
        return "" if behind is None else f", {behind:,} are waiting"


def _lasted(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
