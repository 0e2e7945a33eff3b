"""The rollups that a rebuild writes: the topics read into a namespace of their own."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from faust.types import TP

from interaction_usage.store import keys
from interaction_usage.store.errors import ReseekRequired
from interaction_usage.store.micro_batch import SealedEvent
from interaction_usage.store.reads import Rollups
from interaction_usage.store.writer import Writer
from rollups.fold import OffsetEvent
from rollups.watermark import OffsetRange, Position
from stream_app.broker import spans_of, topic_ids
from stream_app.decode_batch import decode_batch, newest_second
from stream_app.errors import TopicRecreatedError
from stream_app.rebuild.dead_letters import RebuildDeadLetters
from stream_app.rebuild.earlier import Earlier, EarlierChunk
from stream_app.rebuild.lock import RebuildLock
from stream_app.retry import REDIS_ERRORS, Backoff, Result, retry
from stream_app.sealed_rejections import NO_REJECTIONS, SealedRejections
from stream_app.topic_reader import Chunk, TopicReader
from stream_app.topics import EVENT_TOPICS

#: Seconds for which Redis may be unavailable before a rebuild fails, and between two attempts.
_PATIENCE_S, _BACKOFF = 60.0, Backoff(0.5, 0.5)

#: Called with how much is done and how much there is.
Progress = Callable[[int, int], None]


class NewRollups:
    """Applies what is read from the topics, as a worker does, beside the *active* rollups."""

    def __init__(
        self,
        active: Rollups,
        admin: Any,
        ids: Mapping[str, str],
        writer: Writer,
        reader: TopicReader,
        dead_letters: RebuildDeadLetters | None,
        lock: RebuildLock,
        read_rejections: Callable[[], SealedRejections],
        earlier: Earlier,
    ) -> None:
        self.active, self._admin, self._ids = active, admin, ids
        self.writer, self.reader = writer, reader
        self._dead_letters, self._lock = dead_letters, lock
        self._read_rejections = read_rejections
        self._rejections: SealedRejections | None = None
        self.earlier = earlier
        #: Up to where the earlier records of each topic-partition were applied.
        self._applied: dict[str, int] = {}
        self.earlier_records = 0  #: how many records came from there

    def fence(self, topic: str, partition: int) -> str:
        """Return the name of a topic-partition in fences and positions."""
        return keys.fence(topic, partition, self._ids.get(topic, ""))

    async def ends(self) -> dict[tuple[str, int], int]:
        """Return up to where each partition can be read now. Raises TopicRecreatedError."""
        if await asyncio.to_thread(topic_ids, self._admin, EVENT_TOPICS) != self._ids:
            raise TopicRecreatedError
        spans = await asyncio.to_thread(spans_of, self._admin, EVENT_TOPICS)
        self.reader.add_partitions({place: span.begin for place, span in spans.items()})
        return {place: span.stable for place, span in spans.items()}

    async def counted_ends(self) -> dict[tuple[str, int], int]:
        """Return up to where the active rollups have counted each partition."""
        positions = await asyncio.to_thread(self.active.positions)
        return {
            place: min(end, positions.get(self.fence(*place), Position(0)).offset)
            for place, end in (await self.ends()).items()
        }

    async def read_active(self, progress: Progress) -> None:
        """Apply what the active rollups have counted, without what was rejected for a sealed day.

        The positions come first: a dead letter is acknowledged before a position passes its record.
        The other way about, what workers reject in between would be counted here.
        """
        ends = await self.counted_ends()
        if self._rejections is None:
            self._rejections = await asyncio.to_thread(self._read_rejections)
        await self.read_to(ends, progress)

    async def read_to(self, ends: Mapping[tuple[str, int], int], progress: Progress) -> None:
        """Apply everything before *ends*."""
        total, started_at = sum(ends.values()), self.reader.started_at
        while True:
            try:
                await self._read_earlier(ends)
                async for chunk in self.reader.read_to(ends):
                    await self.apply(chunk)
                    progress(self.reader.reached - started_at, total - started_at)
                reached = {
                    fence: Position(to)
                    for tp, to in self.reader.ends.items()
                    if self._earlier_is_applied(fence := self.fence(*tp))
                }
                await self.retry(partial(self.writer.advance, reached))
                return
            except ReseekRequired:
                await self._start_again()

    async def _read_earlier(self, ends: Mapping[tuple[str, int], int]) -> None:
        """Apply what Kafka no longer has and lies before *ends*, and all of former topics."""
        upto = dict(self.earlier.former)
        for place, end in ends.items():
            fence = self.fence(*place)
            upto[fence] = min(end, self.earlier.upto.get(fence, 0))
        wanted = {name: OffsetRange(self._applied.get(name, 0), end) for name, end in upto.items()}
        async for chunk in self.earlier.read(wanted):
            await self._apply(chunk.fence, chunk)
            self.earlier_records += len(chunk.records)
        # What is missing at the end of a stretch are markers of transactions, and gaps.
        reached = {name: Position(to) for name, to in upto.items() if to > wanted[name].first}
        if reached:
            await self.retry(partial(self.writer.advance, reached))
        self._applied |= {name: max(to, wanted[name].first) for name, to in upto.items()}

    def _earlier_is_applied(self, fence: str) -> bool:
        """Tell whether all earlier records are applied, so that Kafka's follow them."""
        return self._applied.get(fence, 0) >= self.earlier.upto.get(fence, 0)

    async def _start_again(self) -> None:
        """Continue from where the new rollups end now, after Redis lost some of them."""
        await self.retry(self.writer.check_limits)
        names = {tp: self.fence(*tp) for tp in self.reader.ends}
        ends = await self.retry(partial(self.writer.begin, list(names.values())))
        starts = self.reader.starts
        self._applied = {}  # fences skip what is there
        self._rejections = await asyncio.to_thread(self._read_rejections)
        self.reader.seek({tp: max(ends[name], starts[tp]) for tp, name in names.items()})

    async def apply(self, chunk: Chunk, only: Callable[[OffsetEvent], bool] | None = None) -> None:
        """Apply a chunk, or *only* some of its events. Raises LockLostError."""
        await self._apply(self.fence(*chunk.tp), chunk, only)

    async def _apply(
        self,
        fence: str,
        chunk: Chunk | EarlierChunk,
        only: Callable[[OffsetEvent], bool] | None = None,
    ) -> None:
        self._lock.check()
        events, rejected = decode_batch(
            TP(*chunk.tp), chunk.records, self._rejections or NO_REJECTIONS
        )
        end: int | None = chunk.ends
        if only:
            events, end = [event for event in events if only(event)], None
        elif self._dead_letters and rejected and fence not in self.earlier.former:
            await self._dead_letters.publish_invalid(fence, rejected)
        second, refuse = newest_second(chunk.records), partial(self._publish_sealed, chunk)
        await self.retry(partial(self.writer.apply, fence, events, end, second, refuse))

    async def _publish_sealed(
        self, chunk: Chunk | EarlierChunk, sealed: Sequence[SealedEvent]
    ) -> None:
        """Publish the dead letters of events that are for a sealed day, unless only comparing."""
        if self._dead_letters:
            offsets = {item.offset for _, item in sealed}
            await self._dead_letters.publish_sealed(
                [record for record in chunk.records if record.offset in offsets]
            )

    async def seal_as_active(self) -> None:
        """Seal the days that are sealed in the active rollups."""
        for account in await asyncio.to_thread(self.active.counted):
            if sealed := await asyncio.to_thread(self.active.sealed, account):
                await self.retry(partial(self.writer.seal_as, account, sealed))

    async def retry(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Call *attempt*, which is safe to repeat, while Redis is unavailable for a while."""
        deadline = time.monotonic() + _PATIENCE_S

        def on_failure(error: Exception) -> None:
            if time.monotonic() > deadline:
                raise error

        return await retry(attempt, on_failure, errors=REDIS_ERRORS, backoff=_BACKOFF)
