"""Rounds: batches of many partitions, on their way into the rollups together.

What a batch costs is mostly what each account in it costs, in the worker and in Redis; so batches
that are there at the same time are folded into one part an account, whatever topic they are of. No
batch waits for others: a round takes what is there, and while one is on its way to Redis, the next
is decoded and folded. So the load makes rounds as large as it needs, and without load an event is a
round of its own.

Topics are mostly divided alike, by account, so partitions of one number have the same accounts:
they are taken together, round and round.

Each partition has one batch under way at most, and the next in a queue behind it. A batch that must
wait for other partitions (`agents.NotYet`) leaves the rounds, its partition with it; nothing more
of that is fetched until it is through.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from faust.types import TP

from rollups.fold import Placed, span_of
from rollups.writer import Applied, Round, Taken
from stream_app.agents import (
    Intake,
    Letter,
    NotYet,
    Stale,
    Work,
    insist,
    refuse,
    second_of,
    sort_out,
)
from stream_app.faults import PermanentFaultError
from stream_app.transport import Batch

log = logging.getLogger(__name__)

#: Events of a round, as long as there are more: another batch is not begun beyond it.
MOST_EVENTS = 20_000

#: Records that are held while their round has not come; no more batches are taken from Faust then.
MOST_IN_HAND = 100_000

#: Seconds between two tries of a batch that must wait.
_PAUSE = 1.0


class Consumer(Protocol):
    """What rounds need of the consumer (`transport.BatchConsumer`)."""

    def continues(self, batch: Batch) -> bool: ...
    def finished(self, batch: Batch) -> bool: ...
    def hold(self, tp: TP) -> None: ...
    def release(self, tp: TP) -> None: ...


class Job(NamedTuple):
    """A Faust event with a batch."""

    event: Any
    batch: Batch
    fence: str  #: the name of its partition in fences and positions


class _Prepared(NamedTuple):
    """A round that is folded, with the dead letters that must be there before its positions."""

    jobs: list[Job]
    placed: list[list[Placed]]
    letters: list[Letter]
    round: Round


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
        self._waiting: dict[TP, asyncio.Task[None]] = {}  # those whose batch left the rounds
        self._in_hand = 0
        self._last = (-1, "")  # the partition that was taken last: its number, its topic
        self._wake, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._ending = False
        self._under_way: asyncio.Task[None] | None = None

    @property
    def held(self) -> list[TP]:
        """The partitions whose batch waits for other partitions."""
        return list(self._waiting)

    async def take(self, job: Job) -> None:
        """Have *job* done; return as soon as there is room for another."""
        tp = job.batch.tp
        self._queues.setdefault(tp, deque()).append(job)
        if tp not in self._waiting:
            self._count(len(job.batch.records))
        self._wake.set()
        await self._room.wait()

    def _count(self, records: int) -> None:
        self._in_hand += records
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
        tasks = [task for task in (self._under_way, *self._waiting.values()) if task]
        if tasks:
            await asyncio.wait(tasks, timeout=patience)

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
        placed: list[list[Placed]] = []
        batches: list[Taken] = []
        for job in current:
            its, refused = sort_out(job.batch)
            placed.append(its)
            letters += refused
            span = span_of(its) if its else None  # now, for later all of it is out of the cache
            batches.append(Taken(job.fence, its, job.batch.ends, second_of(job.batch), span))
            await asyncio.sleep(0)  # the round under way is read from and written to in between
        prepared = self._work().writer.round(batches)
        await prepared.prepare()
        return _Prepared(current, placed, letters, prepared)

    async def _finish(self, prepared: _Prepared) -> None:
        """Bring a round to its end, however long Redis or Kafka is away."""
        work, jobs = self._work(), prepared.jobs
        generation = jobs[0].batch.generation
        try:
            await refuse(prepared.letters, generation, work)
            applied: list[Applied] = await insist(prepared.round.run, generation, work)
            work.telemetry.duplicates += applied[0].duplicates
            for job, placed, its in zip(jobs, prepared.placed, applied, strict=True):
                if its.held:
                    self._leave(job, placed)
                else:
                    self._consumer().finished(job.batch)
                    work.telemetry.took(len(placed))
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
        if job.batch.tp not in self._waiting:
            self._count(-len(job.batch.records))
        self._wake.set()

    async def _end_all(self, error: Exception) -> None:
        self._ending = True
        self._wake.set()
        foreseen = isinstance(error, PermanentFaultError)
        log.critical("The worker ends: %s", error, exc_info=None if foreseen else error)
        await self._crash(error)

    # ------------------------------------------------------------- what must wait

    def _leave(self, job: Job, placed: list[Placed]) -> None:
        """Have a batch done by itself, with events for a sealed day in it."""
        tp = job.batch.tp
        self._count(-sum(len(its.batch.records) for its in (job, *self._queues[tp])))
        self._waiting[tp] = asyncio.create_task(self._do_alone(job, placed))

    async def _do_alone(self, job: Job, placed: list[Placed]) -> None:
        tp, work = job.batch.tp, self._work()
        intake, held = Intake(job.batch, job.fence, work, placed), False
        try:
            while True:
                try:
                    if self._consumer().continues(job.batch):
                        await intake.run()
                        self._consumer().finished(job.batch)
                    break
                except NotYet:
                    if not held:
                        log.warning("%s/%s waits for others, to know whether a day is sealed", *tp)
                        self._consumer().hold(tp)
                    held = True
                    await asyncio.sleep(_PAUSE)
        except Stale:
            pass
        except Exception as error:
            await self._end_all(error)
            return
        if held:
            self._consumer().release(tp)
        self._let_go(job)
        del self._waiting[tp]
        self._count(sum(len(its.batch.records) for its in self._queues[tp]))
