"""Micro-batches with a consumer and a writer that are moved by hand: no clock, no Kafka."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import ConsumerRecord
from faust.types import TP
from redis.asyncio import Redis as AsyncRedis
from redis.client import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store.errors import LostWritesError
from interaction_usage.store.micro_batch import ApplyResult, PartitionBatch, Reject, SealedEvent
from interaction_usage.store.reads import Rollups
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, runs_ending
from rollups.fold import OffsetEvent
from stream_app.errors import OffsetGapError
from stream_app.fetched_batch import Assignment, FetchedBatch
from stream_app.micro_batches import MicroBatches, QueuedBatch
from stream_app.retry import Backoff
from stream_app.telemetry import Telemetry
from stream_app.topics import CALLS, CLICKS, FLOWS
from stream_app.transport import BatchConsumer
from stream_app.worker_context import WorkerContext
from stream_app.write_gate import WriteGate
from tests.stream_app.usage_events import example, structured

FIRST, SECOND = Assignment(1, 1), Assignment(2, 2)
A, B, C, D = (TP(FLOWS, number) for number in range(4))
#: A timestamp in milliseconds, and an event of a second before it.
STAMP, TIME = 1_791_201_600_000, "2026-10-05T11:59:59Z"


@dataclass
class Group:
    """What Faust knows of the consumer group, set by hand."""

    consumer_generation_id: int = 1
    rebalancing_count: int = 1


class Consumer(BatchConsumer):
    """The bookkeeping of the real one, without its thread."""

    def __init__(self) -> None:
        self.group = Group()
        self.app = SimpleNamespace(gate=WriteGate(self.group))
        self.seek()
        self._processed = {A: 0, B: 0, C: 0, D: 0, TP(CLICKS, 0): 0, TP(CALLS, 0): 0}

    def seek(self) -> None:
        """Begin and end a seek that changes no offsets."""
        self.gate.end_seek(self.gate.begin_seek(), succeeded=True)

    def rebalance(self) -> None:
        """Have the group assign its partitions again, to this consumer."""
        self.group.consumer_generation_id += 1
        self.seek()


class Event:
    """A Faust event that counts its acks."""

    def __init__(self) -> None:
        self.acks = 0

    def ack(self) -> None:
        """Count it."""
        self.acks += 1


class ScriptedMicroBatch:
    """A micro-batch that is prepared and run when the test says so."""

    def __init__(self, writer: "ScriptedWriter", batches: Sequence[PartitionBatch]) -> None:
        self.writer, self.batches = writer, batches
        self.prepared = self.runs = 0
        self.sizes: dict[str, int] = {}
        self.may_end = asyncio.Event()
        self.outcomes: list[Exception | list[SealedEvent]] = []

    @property
    def ends(self) -> list[tuple[str, int | None]]:
        """What it writes, by fence and end."""
        return [(batch.fence, batch.ends) for batch in self.batches]

    @property
    def size(self) -> int:
        """How many events it has."""
        return sum(self.sizes.values())

    async def prepare(self) -> None:
        """Read and fold, in several steps."""
        for batch in self.batches:
            events = [event for _, found in batch.events.chunks() for event in found]
            self.sizes[batch.fence] = len(events)
            await asyncio.sleep(0)
        self.prepared += 1

    async def run(self, refuse: Reject) -> list[ApplyResult]:
        """Wait for the test, then do what it set; apply everything if it set nothing."""
        self.runs += 1
        await self.may_end.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else []
        if isinstance(outcome, Exception):
            raise outcome
        if outcome:
            await refuse(outcome)
        refused = [fence for fence, _ in outcome]
        return [
            ApplyResult(self.sizes[batch.fence], 0, refused.count(batch.fence))
            for batch in self.batches
        ]


class ScriptedWriter:
    """A writer that keeps its micro-batches."""

    def __init__(self) -> None:
        self.micro_batches: list[ScriptedMicroBatch] = []

    def micro_batch(self, batches: Sequence[PartitionBatch]) -> ScriptedMicroBatch:
        """Return a micro-batch, and keep it."""
        self.micro_batches.append(ScriptedMicroBatch(self, batches))
        return self.micro_batches[-1]


class Producer:
    """A producer of dead letters, whose broker may be away."""

    def __init__(self) -> None:
        self.sent: list[bytes | None] = []
        self.away = 0

    async def send(self, _topic: str, _key: Any, value: bytes | None, *_: Any) -> Any:
        """Accept a dead letter."""
        if self.away:
            self.away -= 1
            raise KafkaConnectionError
        self.sent.append(value)
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged


class Scene:
    """Micro-batches, and all that moves them."""

    def __init__(self, writer: Any = None, **limits: int) -> None:
        self.consumer, self.producer = Consumer(), Producer()
        self.writer = writer or ScriptedWriter()
        self.telemetry = Telemetry()
        self.crashes: list[BaseException] = []
        self.lost: list[LostWritesError] = []

        async def crash(error: BaseException) -> None:
            self.crashes.append(error)

        context = WorkerContext(
            self.consumer.gate, self.writer, lambda: self.producer, self.telemetry,
            cast(Any, self.lost.append), backoff=Backoff(0, 0),
        )  # fmt: skip
        self.micro_batches = MicroBatches(context, lambda: self.consumer, crash, **limits)
        self.putting: list[asyncio.Task[None]] = []
        self.running = asyncio.create_task(self.micro_batches.run())

    def put(self, tp: TP, begins: int, ends: int, **options: Any) -> Event:
        """Hand over the batch [begins, ends)."""
        values = options.get("values") or [good(f"{tp}{offset}") for offset in range(begins, ends)]
        batch = fetched(tp, begins, values, options.get("assignment", FIRST))
        event = Event()
        queued = QueuedBatch.of(event, batch, f"{tp.topic}/{tp.partition}")
        self.putting.append(asyncio.create_task(self.micro_batches.put(queued)))
        return event

    async def finish(self, number: int, *outcomes: Any) -> ScriptedMicroBatch:
        """Let a micro-batch come to its end."""
        await calm()
        micro_batch = cast(ScriptedWriter, self.writer).micro_batches[number]
        micro_batch.outcomes += outcomes
        micro_batch.may_end.set()
        await calm()
        return micro_batch

    @property
    def begun(self) -> list[list[tuple[str, int | None]]]:
        """What was begun to be written so far, by micro-batch."""
        return [micro_batch.ends for micro_batch in self.writer.micro_batches if micro_batch.runs]


def good(name: str) -> bytes:
    """Return an event of its own."""
    return structured(example("usage.flow.run", id=name, time=TIME))


def fetched(tp: TP, begins: int, values: Sequence[bytes], assignment: Assignment) -> FetchedBatch:
    """Return a batch of one record an offset."""
    records = [
        ConsumerRecord(*tp, begins + i, STAMP, 0, b"acme", value, None, 4, len(value), ())
        for i, value in enumerate(values)
    ]
    return FetchedBatch(tp, records, begins, begins + len(values), assignment)


async def calm() -> None:
    """Let everything run until it waits for the test."""
    for _ in range(100):
        await asyncio.sleep(0)


def name(tp: TP) -> str:
    """Return the name of its fence in these tests."""
    return f"{tp.topic}/{tp.partition}"


def played(act: Callable[[Scene], Coroutine[Any, Any, None]], **limits: int) -> None:
    """Play a scene; then what is being written ends, and everything stops."""

    async def run() -> None:
        scene = Scene(**limits)
        await act(scene)
        ending = asyncio.create_task(scene.micro_batches.stop(1))
        await calm()
        for micro_batch in scene.writer.micro_batches:
            micro_batch.may_end.set()
        await ending
        for task in scene.putting:
            task.cancel()
        await asyncio.wait_for(scene.running, 1)

    asyncio.run(run())


# ------------------------------------------------------------------------------------ order


def test_batches_of_a_partition_are_done_in_order_and_those_that_wait_together() -> None:
    """a: [0--2)[2--3)[3--5): the last two are begun when the first is done, as one."""

    async def act(scene: Scene) -> None:
        events = []
        for ends in ((0, 2), (2, 3), (3, 5)):
            events.append(scene.put(A, *ends))
            await calm()
        assert scene.begun == [[(name(A), 2)]]
        await scene.finish(0)
        assert scene.consumer.processed()[A] == 2
        assert [event.acks for event in events] == [1, 0, 0]
        assert scene.begun[1:] == [[(name(A), 5)]]
        second = await scene.finish(1)
        [(offsets, _)] = second.batches[0].events.chunks()
        assert offsets == [2, 3, 4]
        assert scene.consumer.processed()[A] == 5
        assert [event.acks for event in events] == [1, 1, 1]
        assert scene.telemetry.counted == 5
        assert scene.micro_batches.weight == 0

    played(act)


def test_batches_are_taken_together_only_where_they_follow_each_other_in_an_assignment() -> None:
    """old: [0--1)[1--2)  new: [0--1)[1--2): the old ones are let go, and the new ones one."""

    async def act(scene: Scene) -> None:
        scene.put(B, 0, 1)
        await calm()
        old = [scene.put(A, 0, 1), scene.put(A, 1, 2)]
        scene.consumer.rebalance()
        new = [scene.put(A, 0, 1, assignment=SECOND), scene.put(A, 1, 2, assignment=SECOND)]
        await calm()
        await scene.finish(0)
        assert [event.acks for event in old] == [1, 1]
        assert scene.begun[1:] == [[(name(A), 2)]]
        await scene.finish(1)
        assert [event.acks for event in new] == [1, 1]
        assert scene.consumer.processed()[A] == 2

    played(act)


def test_a_micro_batch_takes_what_there_is_of_a_number_before_the_next_one() -> None:
    """Room for 4 events: all of clicks/0, two of flows/0, which have the same accounts; then c."""
    clicks = TP(CLICKS, 0)

    async def act(scene: Scene) -> None:
        scene.put(B, 0, 1)
        await calm()
        for offset in range(4):
            scene.put(A, offset, offset + 1)
            scene.put(C, offset, offset + 1)
        for offset in range(2):
            scene.put(clicks, offset, offset + 1)
        await calm()
        for number in range(3):
            await scene.finish(number)
        assert scene.begun[1:] == [
            [(name(C), 4)],
            [(name(clicks), 2), (name(A), 2)],
            [(name(A), 4)],
        ]

    played(act, max_events=4)


def test_a_micro_batch_takes_no_batch_behind_those_for_which_it_had_room() -> None:
    """Room for 3 events: a: [0--1)[1--2)[2--4) and no further; then b: [0--1), and so on."""

    async def act(scene: Scene) -> None:
        scene.put(C, 0, 1)
        await calm()
        for ends in ((0, 1), (1, 2), (2, 4), (4, 5)):
            scene.put(A, *ends)
        scene.put(B, 0, 1)
        await calm()
        for number in range(2):
            await scene.finish(number)
        assert scene.begun[1:] == [[(name(A), 4)], [(name(B), 1)]]

    played(act, max_events=3)


def test_a_micro_batch_is_prepared_while_one_is_under_way_and_run_after_it() -> None:
    """a: [under way----]  b: [prepared][run]  c: the same micro-batch as b, for it was there."""

    async def act(scene: Scene) -> None:
        scene.put(A, 0, 1)
        await calm()
        scene.put(B, 0, 1)
        scene.put(C, 0, 1)
        scene.put(A, 1, 2)
        await calm()
        assert [micro_batch.prepared for micro_batch in scene.writer.micro_batches] == [1, 1]
        assert scene.begun == [[(name(A), 1)]]
        await scene.finish(0)
        assert scene.begun[1:] == [[(name(B), 1), (name(C), 1)]]

    played(act)


def test_three_micro_batches_as_large_as_they_may_be_are_written_at_a_time() -> None:
    """a, c: [under way----]  b: [under way, and done first]  d: [run when b is done]."""

    async def act(scene: Scene) -> None:
        for tp in (A, B, C, D):
            scene.put(tp, 0, 1)
            await calm()
        assert scene.begun == [[(name(A), 1)], [(name(B), 1)], [(name(C), 1)]]
        await scene.finish(1)
        assert scene.begun[3:] == [[(name(D), 1)]]
        assert scene.consumer.processed() | {B: 1} == scene.consumer.processed()
        assert scene.consumer.processed()[A] == 0
        await scene.finish(0)
        assert scene.consumer.processed()[A] == 1

    played(act, max_events=1)


def test_every_partition_has_the_turn_however_full_others_are() -> None:
    """A micro-batch has room for one batch; three partitions of one number always have another."""
    busy = [TP(CALLS, 0), TP(CLICKS, 0), A]

    async def act(scene: Scene) -> None:
        for offset in range(4):
            for tp in busy:
                scene.put(tp, offset, offset + 1)
        for number in range(12):
            await scene.finish(number)
        assert scene.begun == [
            [(name(tp), offset + 1)] for offset in range(4) for tp in sorted(busy)
        ]

    played(act, max_events=1)


# ------------------------------------------------------------------------------ generations


def test_a_batch_of_an_assignment_that_is_over_is_let_go() -> None:
    """old: [0--2)  new: [0--1): only the new one is written, and moves the chain."""

    async def act(scene: Scene) -> None:
        scene.consumer.rebalance()
        old = scene.put(A, 0, 2)
        new = scene.put(A, 0, 1, assignment=SECOND)
        await scene.finish(0)
        assert scene.begun == [[(name(A), 1)]]
        assert (old.acks, new.acks) == (1, 1)
        assert scene.consumer.processed()[A] == 1

    played(act)


@pytest.mark.parametrize("when", ["prepared", "under way"])
def test_a_micro_batch_whose_assignment_ends_is_written_no_more(when: str) -> None:
    """Redis is away; until it is back, the group has rebalanced, and others read this."""

    async def act(scene: Scene) -> None:
        old = scene.put(A, 0, 1)
        await calm()
        also_old = scene.put(B, 0, 1)
        await calm()
        scene.consumer.rebalance()
        scene.put(A, 0, 1, assignment=SECOND)
        if when == "under way":
            await scene.finish(0, RedisConnectionError("away"))
            assert old.acks == 1
            assert scene.writer.micro_batches[0].runs == 1
            assert scene.consumer.processed()[A] == 0
        else:  # the one under way was written: its assignment ended too late for that
            await scene.finish(0)
            assert old.acks == 1
            assert scene.consumer.processed()[A] == 0
        assert scene.writer.micro_batches[1].runs == 0
        assert also_old.acks == 1
        await scene.finish(2)
        assert scene.begun[1:] == [[(name(A), 1)]]
        assert scene.consumer.processed()[A] == 1

    played(act)


def test_after_lost_writes_nothing_of_the_assignment_is_written_any_more() -> None:
    """a: [lost][next]  b: [would be on top of the hole]; all are read again, and nobody crashes."""

    async def act(scene: Scene) -> None:
        events = [scene.put(A, 0, 1)]
        await calm()
        events.append(scene.put(A, 1, 2))
        await calm()
        events.append(scene.put(B, 0, 1))
        lost = LostWritesError({name(A): (0, 1)})
        await scene.finish(0, lost)
        assert scene.lost == [lost]
        assert scene.begun == [[(name(A), 1)]]
        assert [event.acks for event in events] == [1, 1, 1]
        assert set(scene.consumer.processed().values()) == {0}
        assert scene.crashes == []

    played(act)


# --------------------------------------------------------------------------------- retrying


def test_a_micro_batch_is_run_until_it_succeeds_and_counts_once() -> None:
    """Twice Redis does not answer; the batch moves the chain, and is acked, once."""

    async def act(scene: Scene) -> None:
        event = scene.put(A, 0, 3)
        await calm()
        [micro_batch] = scene.writer.micro_batches
        micro_batch.outcomes += [RedisConnectionError("away")] * 2
        micro_batch.may_end.set()
        await calm()
        assert micro_batch.runs == 3
        assert event.acks == 1
        assert scene.consumer.processed()[A] == 3
        assert scene.telemetry.counted == 3
        assert scene.telemetry.waiting_for == ""

    played(act)


def test_a_micro_batch_that_failed_behind_the_writes_counts_once_in_redis() -> None:
    """Every script is run, and the first answer of each kind is lost on its way."""
    with redis_server() as server, Redis.from_url(server.url) as redis:
        check_a_micro_batch_that_failed_behind_own_writes(server.url, redis)


def check_a_micro_batch_that_failed_behind_own_writes(url: str, redis: Redis) -> None:
    """Have it fail on the server at *url*."""

    async def run() -> None:
        async with AsyncRedis.from_url(url) as connected:
            writer = Writer(connected, dict.fromkeys(APPLICATIONS, 86_400), clock=time.time)
            await writer.prepare()
            [node] = writer.nodes.all
            whole, lost = node.run, set[str]()

            async def loses(connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
                answers = await whole(connection, script, *calls, **more)
                if script not in lost:
                    lost.add(script)
                    raise RedisConnectionError("lost on its way")
                return answers

            node.run = loses  # type: ignore[method-assign]
            scene = Scene(writer)
            scene.put(A, 0, 3)
            scene.put(B, 0, 3, values=[good(f"{A}1"), good("b1"), good("b2")])
            for _ in range(400):
                await asyncio.sleep(0.005)
                if scene.consumer.processed()[B] == 3 == scene.consumer.processed()[A]:
                    break
            await scene.micro_batches.stop(1)
            await scene.running
            assert lost == {"apply", "advance"}
            assert not scene.crashes

    asyncio.run(run())
    [account] = Rollups.live(redis).accounts()
    slot = STAMP // 1000 // 900
    totals = Rollups.live(redis).read(account, slot - 96, slot + 96).totals
    assert totals[runs_ending("abandoned")] == 5
    positions = Rollups.live(redis).positions()
    assert {fence: at.offset for fence, at in positions.items()} == {name(A): 3, name(B): 3}


def test_dead_letters_are_acknowledged_before_a_micro_batch_is_run() -> None:
    """Kafka is away twice; a position behind a record that is nowhere would lose it."""

    async def act(scene: Scene) -> None:
        scene.producer.away = 2
        scene.put(A, 0, 2, values=[b"broken", good("1")])
        scene.put(B, 0, 1, values=[b"no event"])
        await calm()
        assert scene.producer.sent == [b"broken", b"no event"]
        assert scene.begun == [[(name(A), 2), (name(B), 1)]]
        micro_batch = await scene.finish(0)
        assert list(micro_batch.sizes.values()) == [1, 0]
        assert scene.telemetry.refused == {"malformed": 2}
        assert scene.consumer.processed()[B] == 1

    played(act)


# ------------------------------------------------------------------------- what is sealed


def sealed_in(scene: Scene, number: int) -> list[SealedEvent]:
    """Return the first event of each batch of a micro-batch."""
    batches = scene.writer.micro_batches[number].batches
    return [
        SealedEvent(batch.fence, OffsetEvent(offsets[0], events[0]))
        for batch in batches
        for offsets, events in batch.events.chunks()
    ]


def test_what_is_for_a_sealed_day_is_a_dead_letter_before_the_micro_batch_ends() -> None:
    """a: [sealed][fine]  b: [sealed]: both come to their end, and hold nobody up."""

    async def act(scene: Scene) -> None:
        first, second = scene.put(A, 0, 2), scene.put(B, 0, 1)
        await calm()
        await scene.finish(0, sealed_in(scene, 0))
        assert scene.producer.sent == [good(f"{A}0"), good(f"{B}0")]
        assert scene.telemetry.refused == {"sealed": 2}
        assert scene.telemetry.counted == 1
        assert (first.acks, second.acks) == (1, 1)
        assert scene.consumer.processed() | {A: 2, B: 1} == scene.consumer.processed()

    played(act)


def test_nothing_is_written_behind_a_dead_letter_whose_assignment_is_over() -> None:
    """Whoever has the partition now reads it again, and finds out for himself."""

    async def act(scene: Scene) -> None:
        event = scene.put(A, 0, 1)
        await calm()
        scene.producer.away = 10_000
        await scene.finish(0, sealed_in(scene, 0))
        assert event.acks == 0
        scene.consumer.rebalance()
        await calm()
        assert event.acks == 1
        assert scene.consumer.processed()[A] == 0

    played(act)


# ------------------------------------------------------------------------------------- room


def test_no_more_is_taken_than_there_is_room_for() -> None:
    """Room for 3 records: the fourth is there, too, but whoever brought it waits."""

    async def act(scene: Scene) -> None:
        scene.put(A, 0, 3)
        scene.put(A, 3, 4)
        scene.put(B, 0, 1)
        await calm()
        assert [task.done() for task in scene.putting] == [True, False, False]
        await scene.finish(0)
        assert all(task.done() for task in scene.putting)

    played(act, max_queued=3)


def test_large_records_take_more_room() -> None:
    """Room for 3 KiB of them: one record of 4 KiB is too much for another to be taken."""

    async def act(scene: Scene) -> None:
        scene.put(A, 0, 1, values=[b"x" * 4096])
        scene.put(B, 0, 1)
        await calm()
        assert [task.done() for task in scene.putting] == [False, False]
        await scene.finish(0)
        assert all(task.done() for task in scene.putting)
        assert scene.micro_batches._weight == 0

    played(act, max_queued=3)


# -------------------------------------------------------------------------------- the end


def test_the_end_waits_for_what_is_under_way_and_begins_nothing() -> None:
    """a: [under way--]  b: [prepared: never begun]."""

    async def act(scene: Scene) -> None:
        first = scene.put(A, 0, 1)
        await calm()
        second = scene.put(B, 0, 1)
        await calm()
        ending = asyncio.create_task(scene.micro_batches.stop(60))
        await calm()
        assert not ending.done()
        await scene.finish(0)
        await asyncio.wait_for(ending, 1)
        third = scene.put(A, 1, 2)
        await calm()
        assert scene.begun == [[(name(A), 1)]]
        assert (first.acks, second.acks, third.acks) == (1, 0, 0)
        assert scene.consumer.processed()[A] == 1

    played(act)


def test_the_end_does_not_wait_for_ever() -> None:
    """Redis is away, and the worker has to stop."""

    async def act(scene: Scene) -> None:
        event = scene.put(A, 0, 1)
        await calm()
        await asyncio.wait_for(scene.micro_batches.stop(0.01), 1)
        assert event.acks == 0

    played(act)


def test_an_error_ends_the_worker_and_acks_nothing() -> None:
    """What no repeat can mend: nothing else is begun, and the batch is read again."""

    async def act(scene: Scene) -> None:
        event = scene.put(A, 0, 1)
        await calm()
        other = scene.put(B, 0, 1)
        error = ValueError("a mistake in the code")
        await scene.finish(0, error)
        assert scene.crashes == [error]
        assert scene.begun == [[(name(A), 1)]]
        assert (event.acks, other.acks) == (0, 0)
        assert set(scene.consumer.processed().values()) == {0}

    played(act)


def test_a_hole_in_the_chain_ends_the_worker_before_anything_is_written() -> None:
    """a: [0--1)   [2--3): what lay between was lost in this process."""

    async def act(scene: Scene) -> None:
        scene.put(A, 0, 1)
        await scene.finish(0)
        event = scene.put(A, 2, 3)
        await calm()
        [error] = scene.crashes
        assert isinstance(error, OffsetGapError)
        assert scene.begun == [[(name(A), 1)]]
        assert event.acks == 0

    played(act)
