"""Rounds: batches of many partitions, on their way into the rollups together.

What a batch costs is mostly what each account in it costs, in the worker and in Redis; so batches
that are there at the same time are folded into one part an account, whatever topic they are of. No
batch waits for others: a round takes what is there, and while one is on its way to Redis, the next
is decoded and folded. So the load makes rounds as large as it needs, and without load an event is a
round of its own.

Topics are mostly divided alike, by account, so partitions of one number have the same accounts:
they are taken together, round and round.

Each partition has one batch under way at most, and the next in a queue behind it.
"""

import asyncio
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from aiokafka.structs import ConsumerRecord
from faust.types import TP

from interaction_usage.store.micro_batch import ApplyResult, MicroBatch, PartitionBatch, SealedEvent
from rollups.fold import Placed
from stream_app.agents import (
    Letter,
    Stale,
    Work,
    insist,
    newest_second,
    refuse,
    sealed_letter,
    sort_out,
)
from stream_app.faults import PermanentFaultError
from stream_app.transport import Batch

log = logging.getLogger(__name__)

#: Events of a round, as long as there are more: another batch is not begun beyond it.
MOST_EVENTS = 20_000

#: Records that are in hand while their round has not come, or KiB of them, whichever is more; no
#: more batches are taken from Faust then.
MOST_IN_HAND = 100_000


_SIZE = attrgetter("serialized_value_size")


class Consumer(Protocol):
    """What rounds need of the consumer (`transport.BatchConsumer`)."""

    def continues(self, batch: Batch) -> bool: ...
    def finished(self, batch: Batch) -> bool: ...


class Job(NamedTuple):
    """A Faust event with a batch."""

    event: Any
    batch: Batch
    fence: str  #: the name of its partition in fences and positions


class _Prepared(NamedTuple):
    """A round that is folded, with the dead letters that must be there before its positions."""

    jobs: list[Job]
    letters: list[Letter]
    round: MicroBatch


class Rounds:
    """The batches in hand, and the one or two rounds under way."""

    def __init__(
        self,
        work: Callable[[], Work],
        consumer: Callable[[], Consumer],
        crash: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self._work, self._consumer, self._crash = work, consumer, crash
        self._queues: dict[TP, deque[Job]] = {}
        self._busy: set[TP] = set()  # partitions with a batch under way
        self._in_hand = 0
        self._last = (-1, "")  # the partition that was taken last: its number, its topic
        self._wake, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._ending = False
        self._under_way: asyncio.Task[None] | None = None

    async def take(self, job: Job) -> None:
        """Have *job* done; return as soon as there is room for another."""
        tp = job.batch.tp
        self._queues.setdefault(tp, deque()).append(job)
        self._count(_weight(job.batch))
        self._wake.set()
        await self._room.wait()

    def _count(self, weight: int) -> None:
        self._in_hand += weight
        if self._in_hand > MOST_IN_HAND:
            self._room.clear()
        else:
            self._room.set()

    async def run(self) -> None:
        """Do what is taken, until the end."""
        while not self._ending:
            jobs = self._next()
            if not jobs:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                prepared = await self._prepare(jobs)
            except Exception as error:  # never into Faust, which would ack the batch and go on
                await self._end_all(error)
                break
            if self._under_way:
                await self._under_way
            if prepared and not self._ending:
                self._under_way = asyncio.create_task(self._finish(prepared))

    async def end(self, patience: float) -> None:
        """Begin nothing more, and return when what is under way is done, or after some seconds."""
        self._ending = True
        self._wake.set()
        if self._under_way:
            await asyncio.wait([self._under_way], timeout=patience)

    def _next(self) -> list[Job]:
        """Take the first batch of some partitions, those of one number together."""
        ready = [tp for tp, queue in self._queues.items() if queue and tp not in self._busy]
        # From the one after the last one on, and around: however full others are, it has its turn.
        ready.sort(key=lambda tp: ((turn := (tp.partition, tp.topic)) <= self._last, turn))
        jobs: list[Job] = []
        events = 0
        for tp in ready:
            if events >= MOST_EVENTS:
                break
            job = self._queues[tp].popleft()
            self._busy.add(tp)
            self._last = tp.partition, tp.topic
            events += len(job.batch.records)
            jobs.append(job)
        return jobs

    async def _prepare(self, jobs: Sequence[Job]) -> _Prepared | None:
        """Decode and fold batches; what is of an assignment that is over is let go."""
        current: list[Job] = []
        attempts = self._work().attempts
        for job in jobs:
            # Where one batch was given up, those behind it do not continue anything, and need not.
            if not attempts.are_over(job.batch.generation) and self._consumer().continues(
                job.batch
            ):
                current.append(job)
            else:
                self._let_go(job)
        if not current:
            return None
        letters: list[Letter] = []
        batches: list[PartitionBatch] = []
        for job in current:
            its, refused = sort_out(job.batch, self._work().verdicts)
            letters += refused
            batches.append(
                PartitionBatch(job.fence, its, job.batch.ends, newest_second(job.batch.records))
            )
            await asyncio.sleep(0)  # the round under way is read from and written to in between
        prepared = self._work().writer.micro_batch(batches)
        await prepared.prepare()
        return _Prepared(current, letters, prepared)

    async def _finish(self, prepared: _Prepared) -> None:
        """Bring a round to its end, however long Redis or Kafka is away."""
        work, jobs = self._work(), prepared.jobs
        generation = jobs[0].batch.generation
        batches = {job.fence: job.batch for job in jobs}

        async def refuse_sealed(sealed: Sequence[SealedEvent]) -> None:
            letters = [sealed_letter(record_at(batches[fence], item)) for fence, item in sealed]
            await refuse(letters, generation, work)

        try:
            await refuse(prepared.letters, generation, work)
            run = partial(prepared.round.run, refuse_sealed)
            applied: list[ApplyResult] = await insist(run, generation, work)
            work.telemetry.duplicates += applied[0].duplicates
            for job, its in zip(jobs, applied, strict=True):
                self._consumer().finished(job.batch)
                work.telemetry.took(its.events - its.rejected)
                self._let_go(job)
        except Stale:
            for job in jobs:
                self._let_go(job)
        except Exception as error:
            await self._end_all(error)

    def _let_go(self, job: Job) -> None:
        """Be done with a batch: it is counted, or read again by whoever has its partition next."""
        job.event.ack()
        self._busy.discard(job.batch.tp)
        self._count(-_weight(job.batch))
        self._wake.set()

    async def _end_all(self, error: Exception) -> None:
        self._ending = True
        self._wake.set()
        foreseen = isinstance(error, PermanentFaultError)
        log.critical("The worker ends: %s", error, exc_info=None if foreseen else error)
        await self._crash(error)


def _weight(batch: Batch) -> int:
    """Return how many records *batch* has, or how many KiB they are if that is more."""
    size: int = sum(map(_SIZE, batch.records))
    return max(len(batch.records), size // 1024)


def record_at(batch: Batch, item: Placed) -> ConsumerRecord:
    """Return the record of *batch* that *item* was read from."""
    at = bisect_left(batch.records, item.offset, key=lambda record: record.offset)
    return batch.records[at]
