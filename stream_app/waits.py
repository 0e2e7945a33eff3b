"""For how long a worker's writes waited for Redis and for Kafka, and how often they failed."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

REDIS: Final = "Redis"
KAFKA: Final = "Kafka"


class Waits:
    """Counts the failed attempts by service, and the seconds until one succeeds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.failures: Counter[str] = Counter({REDIS: 0, KAFKA: 0})
        self._waited = {REDIS: 0.0, KAFKA: 0.0}
        self._current: tuple[str, float] | None = None  # the service, and since when

    def failed(self, service: str) -> None:
        """Note that *service* failed to take a write, which waits for it from now on."""
        self.failures[service] += 1
        if self._current is None or self._current[0] != service:
            self.succeeded()
            self._current = service, self._clock()

    def succeeded(self) -> None:
        """Note that nothing waits any more."""
        self._waited, self._current = self.seconds(), None

    def seconds(self) -> dict[str, float]:
        """Return for how long writes waited until now, by service."""
        waited = dict(self._waited)
        if self._current is not None:
            service, since = self._current
            waited[service] += self._clock() - since
        return waited
