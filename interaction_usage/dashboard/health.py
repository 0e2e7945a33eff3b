"""How the stream is: events per second, lag, and whether what is shown is as new as it looks.

One thread looks, for all viewers. `Looks` is what it saw, and decides from that alone.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, cast

import orjson
from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage.dashboard.errors import DashboardError
from interaction_usage.store.errors import LayoutDiffersError
from interaction_usage.store.gaps import read_gaps
from interaction_usage.store.worker_registry import heartbeats
from rollups.gaps import Gap, unaccepted
from rollups.watermark import Reach

#: Topic-partition to how far it is counted.
Places = Mapping[tuple[str, int], Reach]

#: Seconds between two looks at the workers, and at Kafka.
LOOK: Final = 1.0

#: Seconds after which data is stale: without a worker's heartbeat, or behind what was published.
PATIENCE: Final = 3.0

#: Seconds between two looks at what may become trouble later.
WARNINGS_S: Final = 60.0

#: Seconds over which events per second are counted.
_SPAN: Final = 5.0

_FOR_CUSTOMERS: Final = "New usage is delayed; the numbers may be out of date"


_GAPS: Final = "gaps"


class Stale(NamedTuple):
    """Why what is shown may be older than it looks."""

    reason: str  #: as `schemas.live.Stale` lists them
    message: str  #: a sentence for people

    def for_customers(self) -> "Stale | None":
        """Return the same without the insides of the deployment: addresses, numbers, causes.

        Gaps do not make what is shown old; reports say where they touch one.
        """
        return None if self.reason == _GAPS else Stale(self.reason, _FOR_CUSTOMERS)


class Health(NamedTuple):
    """The state of the stream."""

    workers: int | None = 0
    events_per_second: float | None = 0.0
    lag: int | None = None  #: events published but not yet in the rollups; None if unknown
    stale: Stale | None = None
    warnings: tuple[str, ...] = ()  #: what may become trouble later

    def for_customers(self) -> "Health":
        """Return what the holder of an account's token may see of it: is it up to date."""
        return Health(None, None, None, self.stale and self.stale.for_customers())


class KafkaUnavailableError(DashboardError):
    """Kafka did not say how far its topics reach; *reason* is kafka-away or what else is so."""

    def __init__(self, sentence: str, reason: str = "kafka-away") -> None:
        super().__init__(sentence)
        self.reason = reason


class Looks:
    """What was seen of workers and topics. Seconds are those of a clock that only goes forward."""

    def __init__(self) -> None:
        self._counted: dict[str, int] = {}  # by worker, at the last look
        self._total = 0
        self._totals: deque[tuple[float, int]] = deque()
        self._waiting = ""
        self._workers = 0
        self._ends: deque[tuple[float, dict[tuple[str, int], int]]] = deque(maxlen=60)
        self._lag: int | None = None
        self._held = 0
        self._reached: float | None = None
        self._kafka_away: Stale | None = None
        self._obstacles: list[str] = []
        self.warnings: tuple[str, ...] = ()
        self._gaps = 0

    def gaps(self, gaps: Sequence[Gap]) -> None:
        """Take in the known gaps."""
        self._gaps = len(unaccepted(gaps))

    def workers(self, now: float, heartbeats: Mapping[str, Mapping[str, object]]) -> None:
        """Take in the newest *heartbeats* by worker; those without one are missing."""
        self._workers = len(heartbeats)
        counts = {name: int(cast(int, beat.get("counted", 0))) for name, beat in heartbeats.items()}
        # A worker that is seen for the first time may have counted for days.
        self._total += sum(
            max(0, count - self._counted.get(name, count)) for name, count in counts.items()
        )
        self._counted = counts
        self._totals.append((now, self._total))
        while len(self._totals) > 2 and self._totals[0][0] < now - _SPAN:
            self._totals.popleft()
        waits = [str(beat.get("waiting_for", "")) for beat in heartbeats.values()]
        self._waiting = waits[0] if waits and all(waits) else ""
        self._obstacles = [
            str(each)
            for beat in heartbeats.values()
            for each in cast(Sequence[object], beat.get("obstacles", ()))
        ]

    def topics(self, now: float, places: Places) -> None:
        """Take in how far each topic-partition is counted, and where it ends."""
        self._kafka_away = None
        self._ends.append((now, {place: reach.end for place, reach in places.items()}))
        self._lag = sum(reach.behind for reach in places.values())
        self._held = sum(reach.blocked for reach in places.values())
        counted = {place: reach.counted for place, reach in places.items()}
        seen = [
            when for when, ends in self._ends
            if all(counted.get(place, end) >= end for place, end in ends.items())
        ]  # fmt: skip
        self._reached = max(seen, default=self._ends[0][0])

    def kafka_is_away(self, sentence: str, reason: str = "kafka-away") -> None:
        """Take in that Kafka does not say how far its topics reach, and why."""
        if reason == "kafka-away":
            sentence = f"Kafka does not answer: {sentence}"
        self._kafka_away, self._lag = Stale(reason, sentence), None

    def health(self, now: float) -> Health:
        """Return the state of the stream, and why the rollups may be behind."""
        rate = 0.0
        if len(self._totals) > 1:
            (began, before), (ended, total) = self._totals[0], self._totals[-1]
            rate = (total - before) / (ended - began) if ended > began else 0.0
        return Health(self._workers, round(rate, 1), self._lag, self._stale(now), self.warnings)

    def _stale(self, now: float) -> Stale | None:
        if not self._workers:
            return Stale("no-worker", "No worker runs, so nothing new is counted: usage worker")
        if self._waiting:
            return Stale("worker-waits", f"The worker waits for {self._waiting}")
        if self._obstacles:
            return Stale("worker-waits", self._obstacles[0])
        if self._kafka_away:
            return self._kafka_away
        if self._lag and self._reached is not None and now - self._reached > PATIENCE:
            behind = now - self._reached
            events = "event is" if self._lag == 1 else "events are"
            pending = "; a transaction of a producer is open" if self._held else ""
            old = f"; what is shown is {behind:.0f} s old"
            return Stale("lag", f"{self._lag:,} {events} not counted yet{pending}{old}")
        if self._gaps:
            gaps = "gap" if self._gaps == 1 else "gaps"
            lost = "Kafka deleted events before they were counted"
            return Stale(_GAPS, f"{lost}: {self._gaps:,} {gaps} to accept (usage gaps list)")
        return None


def heartbeats_of_workers(redis: Redis, lifetime: float) -> dict[str, dict[str, object]]:
    """Return each worker's last heartbeat; workers without one for `PATIENCE` are left out.

    A heartbeat expires *lifetime* seconds after it was sent.
    """
    return {
        worker: orjson.loads(report)
        for worker, report, ttl_ms in heartbeats(redis)
        if ttl_ms > (lifetime - PATIENCE) * 1000
    }


class Watch:
    """Looks at workers and topics in threads of its own, for as long as it runs."""

    def __init__(
        self,
        redis: Redis,
        places: Callable[[], Places] | None,
        lifetime: float,
        warnings: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self._redis, self._places, self._lifetime = redis, places, lifetime
        self._warnings, self._warned_at = warnings or tuple, -math.inf
        self._redis_answered_at = self._redis_failed_at = -math.inf
        self._looks, self._lock = Looks(), threading.Lock()
        self._over = threading.Event()
        tasks = [self._look_at_workers, *([self._look_at_topics] if places else [])]
        self._threads = [threading.Thread(target=task) for task in tasks]

    def start(self) -> None:
        """Begin to look."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Look no more, and wait for the look that has begun.

        A thread that is inside librdkafka while the interpreter ends may take the process down.
        """
        self._over.set()
        for thread in self._threads:
            thread.join()

    def health(self) -> Health:
        """Return the state of the stream as of the last looks."""
        with self._lock:
            return self._looks.health(time.monotonic())

    def redis_answers(self) -> bool:
        """Tell whether Redis answered the last look, and that within `PATIENCE`."""
        silent = time.monotonic() - self._redis_answered_at
        return silent < PATIENCE and not self.redis_is_away()

    def redis_is_away(self) -> bool:
        """Tell whether the last look failed; there may have been none yet."""
        return self._redis_failed_at > self._redis_answered_at

    def _look_at_workers(self) -> None:
        while True:
            try:
                heartbeats = heartbeats_of_workers(self._redis, self._lifetime)
                gaps = read_gaps(self._redis)
            except (RedisError, OSError):
                # Whoever reads the rollups gets the same error, and reports it.
                self._redis_failed_at = time.monotonic()
            else:
                self._redis_answered_at = time.monotonic()
                with self._lock:
                    self._looks.workers(time.monotonic(), heartbeats)
                    self._looks.gaps(gaps)
            if self._over.wait(LOOK):
                return

    def _look_at_topics(self) -> None:
        assert self._places is not None
        while True:
            began = time.monotonic()
            try:
                places = self._places()
                self._look_at_warnings(began)  # not where it would wait for Kafka once more
            except KafkaUnavailableError as error:
                with self._lock:
                    self._looks.kafka_is_away(str(error), error.reason)
            except (RedisError, OSError, LayoutDiffersError):
                pass
            else:
                with self._lock:
                    self._looks.topics(began, places)
            if self._over.wait(LOOK):
                return

    def _look_at_warnings(self, now: float) -> None:
        """Look at what changes seldom. Raises KafkaUnavailableError."""
        if now - self._warned_at >= WARNINGS_S:
            warnings = tuple(self._warnings())
            self._warned_at = now
            with self._lock:
                self._looks.warnings = warnings
