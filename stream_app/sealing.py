"""Sealing, as a worker does it: some accounts at a time, round and round, by the records' time."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from rollups import keys
from rollups.reads import Position
from rollups.watermark import complete
from rollups.writer import Writer
from stream_app.broker import Span, spans_of, topic_ids
from stream_app.topics import EVENT_TOPICS

#: Accounts looked at in one go; a look costs Redis some microseconds.
_ACCOUNTS = 500


class Sealing:
    """Knows up to when everything is counted, and seals the days for which that is long enough."""

    def __init__(self, writer: Writer, admin: Any) -> None:
        self._writer = writer
        self._admin = admin
        self._cursor = 0
        self._behind: dict[str, int] = {}
        #: Partitions that had records at the last two calls of `some`, of which none was counted
        #: in between.
        self.stalled: set[str] = set()

    async def complete(self) -> int:
        """Return the second up to which everything is counted. Raises RedisError, BrokerAway."""
        return _complete(*await self._look(), int(time.time()))

    async def _look(self) -> tuple[dict[str, Position], dict[str, Span]]:
        """Return how far each partition is counted, and where it begins and ends."""
        # The ends first: what is published after this look is no older than what was before it.
        found = await asyncio.to_thread(_spans, self._admin)
        return await self._writer.positions(), found

    async def some(self) -> int:
        """Seal what is due in the next accounts; return how many days. Raises as `complete`."""
        positions, found = await self._look()
        now = int(time.time())
        # A record with a timestamp ahead of the clock says nothing of what is due.
        upto = min(_complete(positions, found, now), now)
        before, self._behind = self._behind, _behind(positions, found)
        self.stalled = {name for name, offset in self._behind.items() if before.get(name) == offset}
        self._cursor, names = await self._writer.some_accounts(self._cursor, _ACCOUNTS)
        return await self._writer.seal(names, upto, now)


def _complete(positions: Mapping[str, Position], found: Mapping[str, Span], now: int) -> int:
    # What lies behind an open transaction is still to come, and old by then.
    ends = ((name, span.begin, span.end) for name, span in found.items())
    return complete(positions, ends, now)


def _behind(positions: Mapping[str, Position], found: Mapping[str, Span]) -> dict[str, int]:
    """Return how far those partitions are counted that have more, for whoever would read it."""
    reached = {name: positions.get(name, Position(0)).offset for name in found}
    return {
        name: reached[name]
        for name, span in found.items()
        if max(reached[name], span.begin) < span.stable
    }


def _spans(admin: Any) -> dict[str, Span]:
    ids = topic_ids(admin, EVENT_TOPICS)
    return {
        keys.fence(topic, partition, ids.get(topic, "")): span
        for (topic, partition), span in spans_of(admin, EVENT_TOPICS).items()
    }
