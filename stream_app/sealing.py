"""Sealing, as a worker does it: some accounts at a time, in turn, by its own clock."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from interaction_usage.store import keys
from interaction_usage.store.writer import Writer
from rollups.watermark import CaughtUp, Position
from stream_app.broker import Span, cluster_metadata, spans_of, topic_ids
from stream_app.errors import TopicsMissingError
from stream_app.topics import EVENT_TOPICS

#: Accounts that are checked in one go; each costs Redis some microseconds.
_ACCOUNTS = 500
#: Seconds from the beginning of one sweep over all accounts to that of the next, at least.
_SWEEP_INTERVAL_S = 60


class Seen(NamedTuple):
    """Where the rollups and the topics ended at a second; positions were read first."""

    second: int
    positions: Mapping[str, Position]
    spans: Mapping[str, Span]


class Sealing:
    """Keeps track of when everything is counted, and seals days for which that is long ago."""

    def __init__(
        self,
        writer: Writer,
        spans: Callable[[Mapping[str, Position]], Mapping[str, Span]],
        clock: Callable[[], float] = time.time,
        recent: Callable[[], Seen | None] = lambda: None,
    ) -> None:
        """*recent* returns what was seen within the last seconds, where somebody looked anyway."""
        self._writer, self._spans, self._clock = writer, spans, clock
        self._recent = recent
        self._cursor = 0
        self._rests_until = 0  # at the beginning of a sweep
        self._caught_up = CaughtUp()
        self._behind: dict[str, int] = {}
        self.sealed = 0  #: how many days were sealed
        self.looked_at: int | None = None  #: the second of the last look for days to seal
        #: Partitions that had records at the last two calls of `some`, of which none was counted
        #: in between.
        self.stalled: set[str] = set()

    @property
    def complete(self) -> int | None:
        """The second on the clock before which everything is counted; None if that is unknown."""
        return self._caught_up.second

    async def some(self) -> int:
        """Seal what is due in the next accounts; return how many days.

        Raises RedisError, ReseekRequired, BrokerUnavailableError.
        """
        now, positions, spans = self._recent() or await self._look()
        before, self._behind = self._behind, _behind(positions, spans)
        self.stalled = {name for name, offset in self._behind.items() if before.get(name) == offset}
        # Records behind an open transaction are still to be counted, hence the end.
        ends = {name: (span.begin, span.end) for name, span in spans.items()}
        self._caught_up.observe(now, positions, ends)
        if self.complete is None or (not self._cursor and now < self._rests_until):
            return 0
        if not self._cursor:
            self._rests_until = now + _SWEEP_INTERVAL_S
        self._cursor, names = await self._writer.scan_accounts(self._cursor, _ACCOUNTS)
        sealed = await self._writer.seal(names, self.complete)
        self.sealed, self.looked_at = self.sealed + sealed, now
        return sealed

    async def _look(self) -> Seen:
        now = int(self._clock())
        positions = await self._writer.positions()
        return Seen(now, positions, await asyncio.to_thread(self._spans, positions))


def _behind(positions: Mapping[str, Position], spans: Mapping[str, Span]) -> dict[str, int]:
    """Return the offsets up to which partitions are counted that have more to read."""
    counted = {name: positions.get(name, Position(0)).offset for name in spans}
    return {
        name: counted[name]
        for name, span in spans.items()
        if max(counted[name], span.begin) < span.stable
    }


def event_spans(admin: Any, positions: Mapping[str, Position]) -> dict[str, Span]:
    """Return where each topic-partition of events begins and ends now, by its name in positions.

    Of one that is counted to its end the end is all that is asked for (`spans_of`). Raises
    BrokerUnavailableError, also where a topic is missing or hidden: its events may wait.
    """
    metadata = cluster_metadata(admin)
    ids = topic_ids(admin, EVENT_TOPICS, metadata=metadata)
    names = {
        (topic, number): keys.fence(topic, number, ids[topic])
        for topic in ids
        for number in range(metadata.topics[topic])
    }
    counted = {at: positions[name].offset for at, name in names.items() if name in positions}
    spans = spans_of(admin, EVENT_TOPICS, metadata=metadata, counted=counted)
    present = ids.keys() & {topic for topic, _ in spans}
    if missing := [topic for topic in EVENT_TOPICS if topic not in present]:
        raise TopicsMissingError(missing)
    return {names[at]: span for at, span in spans.items()}
