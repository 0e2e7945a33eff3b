"""Micro-batches: fetched batches of many partitions, written to the rollups together.

What a batch costs is mostly what each account in it costs, in the worker and in Redis; so batches
that are there at the same time are folded into one delta an account, whatever topic they are of. No
batch waits for others: a micro-batch has what is there, and while one is being written to Redis,
the next is decoded and folded. So the load makes micro-batches as large as it needs. Where that is
as large as they may be, some are written at the same time, so that Redis never waits for the next,
nor does the worker wait for Redis.

Topics are mostly divided alike, by account, so partitions of one number have the same accounts.
What is there of one number goes into the same micro-batch, one number after the other, in turn: few
accounts, with much of each.

Each partition is in one micro-batch in process at most; what is fetched of it meanwhile waits in a
queue, and is taken together.
"""

import asyncio
import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from aiokafka.structs import ConsumerRecord
from faust.types import TP

from interaction_usage.store.micro_batch import ApplyResult, MicroBatch, PartitionBatch, SealedEvent
from rollups.fold import OffsetEvent
from stream_app.decode_batch import (
    DecodedRecords,
    PendingDeadLetter,
    newest_second,
    sealed_dead_letter,
)
from stream_app.errors import PermanentFaultError, StaleAssignmentError
from stream_app.fetched_batch import FetchedBatch
from stream_app.fetched_record import with_place
from stream_app.worker_context import WorkerContext

log = logging.getLogger(__name__)

#: Events of a micro-batch, as long as there are more: no further batch is added beyond it.
MAX_EVENTS = 30_000

#: Records in the queues and in process, or KiB of them, whichever is more; beyond that no more
#: batches are accepted from Faust.
MAX_QUEUED = 200_000

#: Micro-batches as large as they may be that are written at the same time.
_MOST_WRITTEN = 3

_VALUE, _PARTITION = attrgetter("value"), attrgetter("partition")


class Consumer(Protocol):
    """What micro-batches need of the consumer (`transport.BatchConsumer`)."""

    def continues(self, batch: FetchedBatch) -> bool: ...
    def finished(self, batch: FetchedBatch) -> bool: ...


class QueuedBatch(NamedTuple):
    """A fetched batch, and the Faust event that brought it."""

    event: Any
    batch: FetchedBatch
    fence: str  #: the name of its partition in fences and positions
    weight: int  #: how many records it has, or how many KiB they are if that is more

    @classmethod
    def of(cls, event: Any, batch: FetchedBatch, fence: str) -> "QueuedBatch":
        """Return *batch*, weighed."""
        size = sum(map(len, filter(None, map(_VALUE, batch.records))))
        return cls(event, batch, fence, max(len(batch.records), size // 1024))


class _Segment(NamedTuple):
    """Batches of a partition that follow each other, as one."""

    parts: list[QueuedBatch]
    batch: FetchedBatch
    fence: str


class _MicroBatch(NamedTuple):
    """Batches that are folded, with the dead letters that are published before their positions."""

    segments: list[_Segment]
    dead_letters: list[PendingDeadLetter]
    write: MicroBatch


class MicroBatches:
    """The queues of batches, and the micro-batches in process."""

    def __init__(
        self,
        context: WorkerContext,
        consumer: Callable[[], Consumer],
        crash: Callable[[BaseException], Awaitable[None]],
        *,
        max_events: int = MAX_EVENTS,
        max_queued: int = MAX_QUEUED,
    ) -> None:
        self._context, self._consumer, self._crash = context, consumer, crash
        self._max_events, self._max_queued = max_events, max_queued
        self._queues: dict[TP, deque[QueuedBatch]] = {}
        self._in_process: set[TP] = set()  # partitions with a batch in a micro-batch
        self._weight = 0  # of all batches in the queues and in process
        self._last = (-1, "")  # the partition whose turn was last: its number, its topic
        self._wake, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._stopping = False
        self._writing: set[asyncio.Task[None]] = set()

    async def put(self, *queued: QueuedBatch) -> None:
        """Queue what a fetch brought; return as soon as there is room for more."""
        for each in queued:
            self._queues.setdefault(each.batch.tp, deque()).append(each)
        self._add_weight(sum(each.weight for each in queued))
        self._wake.set()
        await self._room.wait()

    def _add_weight(self, weight: int) -> None:
        self._weight += weight
        if self._weight > self._max_queued:
            self._room.clear()
        else:
            self._room.set()

    async def run(self) -> None:
        """Write what is queued, until `stop`."""
        while not self._stopping:
            batches = self._next_batches()
            if not batches:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                micro_batch = await self._prepare(batches)
            except Exception as error:  # never into Faust, which would ack the batch and go on
                await self._fail(error)
                break
            if micro_batch:
                await self._begin(micro_batch)

    async def _begin(self, micro_batch: _MicroBatch) -> None:
        """Begin to write a micro-batch, as soon as there is room for it."""
        most = _MOST_WRITTEN if micro_batch.write.size >= self._max_events else 1
        while len(self._writing) >= most:
            await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
        if not self._stopping:
            task = asyncio.create_task(self._write(micro_batch))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
            await asyncio.sleep(0)  # it is sent before the next one is prepared

    async def stop(self, patience_s: float) -> None:
        """Begin nothing more, and return when what is being written is done, or after a while."""
        self._stopping = True
        self._wake.set()
        if self._writing:
            await asyncio.wait(self._writing, timeout=patience_s)

    def _next_batches(self) -> list[_Segment]:
        """Take the first batches of the partitions of one number, and those behind them.

        Where there is room for more, then also of the next number.
        """
        ready = [tp for tp, queue in self._queues.items() if queue and tp not in self._in_process]
        # From the one after the last one on, and around: however full others are, it has its turn.
        ready.sort(key=lambda tp: ((turn := (tp.partition, tp.topic)) <= self._last, turn))
        taken: list[list[QueuedBatch]] = []
        room = self._max_events
        for _, partitions in groupby(ready, _PARTITION):
            growing = []
            for tp in partitions:
                if room <= 0:
                    break
                first = self._queues[tp].popleft()
                self._in_process.add(tp)
                self._last = tp.partition, tp.topic
                room -= len(first.batch.records)
                growing.append([first])
            taken += growing
            while growing and room > 0:
                parts = growing.pop(0)
                queue = self._queues[parts[0].batch.tp]
                if queue and _continues(parts[-1], queue[0]):
                    room -= len(queue[0].batch.records)
                    parts.append(queue.popleft())
                    growing.append(parts)
        return [_Segment(parts, _joined(parts), parts[0].fence) for parts in taken]

    @property
    def weight(self) -> int:
        """How many records are in the queues and in process, or KiB of them if that is more."""
        return self._weight

    async def _prepare(self, batches: Sequence[_Segment]) -> _MicroBatch | None:
        """Decode and fold *batches*; those of an earlier assignment are released."""
        began = time.perf_counter()
        current: list[_Segment] = []
        for segment in batches:
            if self._consumer().continues(segment.batch):
                current.append(segment)
            else:
                self._release(segment)
        if not current:
            return None
        decoded = [
            DecodedRecords(batch.tp, batch.records, self._context.earlier_rejections)
            for _, batch, _ in current
        ]
        write = self._context.writer.micro_batch(
            [
                PartitionBatch(fence, events, batch.ends, newest_second(batch.records))
                for (_, batch, fence), events in zip(current, decoded, strict=True)
            ]
        )
        await write.prepare()
        telemetry = self._context.telemetry
        telemetry.events.observe(write.size)
        telemetry.preparing.observe(time.perf_counter() - began)
        return _MicroBatch(current, [each for found in decoded for each in found.rejected], write)

    async def _write(self, micro_batch: _MicroBatch) -> None:
        """Write a micro-batch, however long Redis or Kafka is away."""
        context, segments = self._context, micro_batch.segments
        assignment = segments[0].batch.assignment
        batches = {each.fence: each.batch for each in segments}
        began = time.perf_counter()

        async def publish_sealed(sealed: Sequence[SealedEvent]) -> None:
            records = (record_of(batches[fence], event) for fence, event in sealed)
            await context.publish([sealed_dead_letter(record) for record in records], assignment)

        try:
            await context.publish(micro_batch.dead_letters, assignment)
            run = partial(micro_batch.write.run, publish_sealed)
            results: list[ApplyResult] = await context.write(run, assignment)
            context.telemetry.duplicates += results[0].duplicates
            for each, result in zip(segments, results, strict=True):
                self._consumer().finished(each.batch)
                context.telemetry.add_batch(result.events - result.rejected)
                self._release(each)
            context.telemetry.writing.observe(time.perf_counter() - began)
        except StaleAssignmentError:
            for each in segments:
                self._release(each)
        except Exception as error:
            await self._fail(error)

    def _release(self, segment: _Segment) -> None:
        """Be done with batches: counted, or read again by whoever has their partition next."""
        for queued in segment.parts:
            queued.event.ack()
            self._add_weight(-queued.weight)
        self._in_process.discard(segment.batch.tp)
        if self._queues.get(segment.batch.tp):
            self._wake.set()

    async def _fail(self, error: Exception) -> None:
        self._stopping = True
        self._wake.set()
        foreseen = isinstance(error, PermanentFaultError)
        log.critical("The worker ends: %s", error, exc_info=None if foreseen else error)
        await self._crash(error)


def _continues(queued: QueuedBatch, following: QueuedBatch) -> bool:
    """Tell whether *following* can be taken as one with *queued*, which is before it."""
    batch, other = queued.batch, following.batch
    return other.assignment == batch.assignment and other.begins == batch.ends


def _joined(parts: Sequence[QueuedBatch]) -> FetchedBatch:
    """Return batches that follow each other as one."""
    first = parts[0].batch
    if len(parts) == 1:
        return first
    records = [record for part in parts for record in part.batch.records]
    return first._replace(records=records, ends=parts[-1].batch.ends)


def record_of(batch: FetchedBatch, event: OffsetEvent) -> ConsumerRecord:
    """Return the record of *batch* that *event* was decoded from."""
    at = bisect_left(batch.records, event.offset, key=lambda record: record.offset)
    return with_place(batch.tp, batch.records[at])
