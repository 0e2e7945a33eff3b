"""Looking at how far everything is counted, for all who read reports: one worker at a time.

A report is made from Redis alone, so what Kafka knows of it has to be there before: how much is
published, whether all of it may be read, what is held back.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from interaction_usage.store import gaps
from interaction_usage.store.memory_history import HOUR_S, note_memory
from interaction_usage.store.progress import last_progress, report_progress, take_turn
from interaction_usage.store.writer import Writer
from rollups.completeness import PATIENCE_S, Progress
from rollups.watermark import CaughtUp, Position
from stream_app.broker import Span
from stream_app.errors import (
    BrokerDeniedError,
    BrokerUnavailableError,
    TopicDeletedError,
    TopicsMissingError,
)
from stream_app.partition_lag import PartitionLag, PartitionLags
from stream_app.sealing import Seen
from stream_app.telemetry import worker_name

#: Seconds between two looks.
INTERVAL: Final = 1.0

#: Seconds for which what was seen may stand for a look of somebody else.
_RECENT_S: Final = 2.5

#: Why the ends of topics are not known, as reports say it: no insides of the deployment.
_AWAY: Final = "Kafka does not answer"
_DENIED: Final = "Kafka does not allow it"
_MISSING: Final = "a topic is missing, or may not be read"


class Look(NamedTuple):
    """What this worker saw when it looked for all."""

    progress: Progress
    lags: Mapping[str, PartitionLag]  #: by topic-partition, as positions name them; none if unknown
    gaps: int  #: how many nobody accepted


class Lookout:
    """Looks once a second while it is this worker's turn, and leaves what it saw in Redis."""

    def __init__(
        self,
        writer: Writer,
        spans: Callable[[Mapping[str, Position]], Mapping[str, Span]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer, self._spans, self._clock = writer, spans, clock
        self._caught_up: CaughtUp | None = None
        self._lags = PartitionLags()
        self._last: tuple[float, Look] | None = None
        self._seen: tuple[float, Seen] | None = None
        self._hour = 0  # in which memory was noted last

    @property
    def pending(self) -> int | None:
        """How many events are waiting, if this worker looked last and could know."""
        return self._last[1].progress.pending if self._last else None

    @property
    def current(self) -> Look | None:
        """What was seen within the last seconds; None if it was not this worker that looked."""
        if self._last is None or time.monotonic() - self._last[0] > PATIENCE_S:
            return None
        return self._last[1]

    @property
    def recent(self) -> Seen | None:
        """Where everything ended, if this worker looked just now; for others who need it, too."""
        if self._seen is None or time.monotonic() - self._seen[0] > _RECENT_S:
            return None
        return self._seen[1]

    async def look(self) -> Progress | None:
        """Look and report what is seen, unless another worker does.

        Raises RedisError and ReseekRequired.
        """
        nodes = self._writer.nodes
        if not await take_turn(nodes, worker_name()):
            self._caught_up = self._last = None
            return None
        now = int(self._clock())
        positions = await self._writer.positions()
        spans, problem = await self._look_at_topics(positions)
        self._seen = (time.monotonic(), Seen(now, positions, spans)) if spans else None
        if self._caught_up is None:
            self._caught_up = _continued(await last_progress(nodes), positions)
            self._lags = PartitionLags(self._caught_up.second)
        lags = self._lags.observe(now, positions, spans) if spans else {}
        seen = self._progress(now, positions, spans, lags, problem)
        await report_progress(nodes, seen)
        if now // HOUR_S > self._hour:
            await note_memory(nodes, now)
            self._hour = now // HOUR_S
        self._last = time.monotonic(), Look(seen, lags, await gaps.unaccepted_gaps(nodes))
        return seen

    async def _look_at_topics(
        self, positions: Mapping[str, Position]
    ) -> tuple[Mapping[str, Span], str]:
        """Return where topic-partitions begin and end, or why that is not known."""
        try:
            return await asyncio.to_thread(self._spans, positions), ""
        except (TopicsMissingError, TopicDeletedError):
            return {}, _MISSING
        except BrokerDeniedError:
            return {}, _DENIED
        except BrokerUnavailableError:
            return {}, _AWAY

    def _progress(
        self,
        now: int,
        positions: Mapping[str, Position],
        spans: Mapping[str, Span],
        lags: Mapping[str, PartitionLag],
        problem: str,
    ) -> Progress:
        assert self._caught_up is not None
        caught_up = self._caught_up
        if problem:
            return Progress(now, caught_up.second, caught_up.ends, None, 0, problem)
        caught_up.observe(
            now, positions, {name: (span.begin, span.end) for name, span in spans.items()}
        )
        pending = sum(lag.records for lag in lags.values())
        blocked = sum(lag.blocked for lag in lags.values())
        return Progress(now, caught_up.second, caught_up.ends, pending, blocked)


def _continued(last: Progress | None, positions: Mapping[str, Position]) -> CaughtUp:
    """Return what was caught up with when another worker looked last, if that is still so."""
    caught_up = CaughtUp()
    if last and last.complete_to is not None:
        counted = {name: positions.get(name, Position(0)).offset for name in last.rests_on}
        if all(counted[name] >= end for name, end in last.rests_on.items()):
            caught_up.second, caught_up.ends = last.complete_to, last.rests_on
    return caught_up
