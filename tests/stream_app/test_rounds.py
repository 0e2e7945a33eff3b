"""Rounds with a consumer and a writer that are moved by hand: no clock, no Kafka, step by step."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
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
from stream_app import agents, rounds
from stream_app.agents import Attempts, Work
from stream_app.rounds import Job, Rounds
from stream_app.telemetry import Telemetry
from stream_app.topics import CALLS, CLICKS, FLOWS
from stream_app.transport import Batch, BatchConsumer, BrokenChain, Generation
from stream_app.verdicts import NONE
from tests.stream_app.usage_events import example, structured

FIRST, SECOND = Generation(1, 1), Generation(2, 2)
A, B, C = TP(FLOWS, 0), TP(FLOWS, 1), TP(FLOWS, 2)
#: A timestamp in milliseconds, and an event of a second before it.
STAMP, TIME = 1_791_201_600_000, "2026-10-05T11:59:59Z"


class Consumer(BatchConsumer):
    """The bookkeeping of the real one, without its thread."""

    def __init__(self) -> None:
        self.current = FIRST
        self._processed = {A: 0, B: 0, C: 0, TP(CLICKS, 0): 0, TP(CALLS, 0): 0}

    @property
    def generation(self) -> Generation:
        """The one set by hand."""
        return self.current


class Event:
    """A Faust event that counts its acks."""

    def __init__(self) -> None:
        self.acks = 0

    def ack(self) -> None:
        """Count it."""
        self.acks += 1


class ScriptedRound:
    """A round that is prepared and run when the test says so."""

    def __init__(self, writer: "ScriptedWriter", batches: Sequence[PartitionBatch]) -> None:
        self.writer, self.batches = writer, batches
        self.prepared = self.runs = 0
        self.may_end = asyncio.Event()
        self.outcomes: list[Exception | list[SealedEvent]] = []

    @property
    def ends(self) -> list[tuple[str, int | None]]:
        """What it takes, by fence and end."""
        return [(batch.fence, batch.ends) for batch in self.batches]

    async def prepare(self) -> None:
        """Fold, in several steps."""
        await asyncio.sleep(0)
        self.prepared += 1

    async def run(self, refuse: Reject) -> list[ApplyResult]:
        """Wait for the test, then do what it said; apply everything if it said nothing."""
        self.runs += 1
        await self.may_end.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else []
        if isinstance(outcome, Exception):
            raise outcome
        if outcome:
            await refuse(outcome)
        refused = [fence for fence, _ in outcome]
        return [
            ApplyResult(len(batch.placed), 0, refused.count(batch.fence)) for batch in self.batches
        ]


class ScriptedWriter:
    """A writer that keeps its rounds."""

    def __init__(self) -> None:
        self.rounds: list[ScriptedRound] = []

    def micro_batch(self, batches: Sequence[PartitionBatch]) -> ScriptedRound:
        """Return a round, and keep it."""
        self.rounds.append(ScriptedRound(self, batches))
        return self.rounds[-1]


class Producer:
    """A producer of dead letters, whose broker may be away."""

    def __init__(self) -> None:
        self.sent: list[bytes | None] = []
        self.away = 0

    async def send(self, _topic: str, _key: Any, value: bytes | None, *_: Any) -> Any:
        """Take a dead letter."""
        if self.away:
            self.away -= 1
            raise KafkaConnectionError
        self.sent.append(value)
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged


class Scene:
    """Rounds, and all that moves them."""

    def __init__(self, writer: Any = None) -> None:
        self.consumer, self.producer = Consumer(), Producer()
        self.writer = writer or ScriptedWriter()
        self.telemetry = Telemetry()
        self.crashes: list[BaseException] = []
        self.lost: list[LostWritesError] = []
        attempts = Attempts(lambda: self.consumer.generation)

        async def crash(error: BaseException) -> None:
            self.crashes.append(error)

        self.work = Work(
            self.producer, self.writer, self.telemetry, attempts, self.lost.append, NONE
        )
        self.rounds = Rounds(lambda: self.work, lambda: self.consumer, crash)
        self.taking: list[asyncio.Task[None]] = []
        self.running = asyncio.create_task(self.rounds.run())

    def take(self, tp: TP, begins: int, ends: int, **told: Any) -> Event:
        """Hand over the batch [begins, ends)."""
        values = told.get("values") or [good(f"{tp}{offset}") for offset in range(begins, ends)]
        batch = fetched(tp, begins, values, told.get("generation", FIRST))
        event = Event()
        job = Job(event, batch, f"{tp.topic}/{tp.partition}")
        self.taking.append(asyncio.create_task(self.rounds.take(job)))
        return event

    async def round(self, number: int, *outcomes: Any) -> ScriptedRound:
        """Let a round come to its end."""
        await calm()
        its = cast(ScriptedWriter, self.writer).rounds[number]
        its.outcomes += outcomes
        its.may_end.set()
        await calm()
        return its

    @property
    def begun(self) -> list[list[tuple[str, int | None]]]:
        """What was begun to be written so far, round by round."""
        return [its.ends for its in self.writer.rounds if its.runs]


def good(name: str) -> bytes:
    """Return an event of its own."""
    return structured(example("usage.flow.run", id=name, time=TIME))


def fetched(tp: TP, begins: int, values: Sequence[bytes], generation: Generation) -> Batch:
    """Return a batch of one record an offset."""
    records = [
        ConsumerRecord(*tp, begins + i, STAMP, 0, b"acme", value, None, 4, len(value), ())
        for i, value in enumerate(values)
    ]
    return Batch(tp, records, begins, begins + len(values), generation)


async def calm() -> None:
    """Let everything run until it waits for the test."""
    for _ in range(100):
        await asyncio.sleep(0)


def name(tp: TP) -> str:
    """Return the name of its fence in these tests."""
    return f"{tp.topic}/{tp.partition}"


def played(act: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    """Play a scene; then what is under way ends, and so do the rounds."""

    async def run() -> None:
        scene = Scene()
        await act(scene)
        ending = asyncio.create_task(scene.rounds.end(1))
        await calm()
        for its in scene.writer.rounds:
            its.may_end.set()
        await ending
        for task in scene.taking:
            task.cancel()
        await asyncio.wait_for(scene.running, 1)

    asyncio.run(run())


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, pause in ((agents, "FIRST_PAUSE"), (agents, "LONGEST_PAUSE")):
        monkeypatch.setattr(module, pause, 0)


# ------------------------------------------------------------------------------------ order


def test_batches_of_a_partition_are_done_one_after_the_other() -> None:
    """a: [0--2)[2--3)[3--5): none is begun before the one before it is done."""

    async def act(scene: Scene) -> None:
        events = [scene.take(A, *ends) for ends in ((0, 2), (2, 3), (3, 5))]
        for number, end in enumerate((2, 3, 5)):
            await calm()
            assert scene.begun[number:] == [[(name(A), end)]]
            assert [event.acks for event in events] == [1] * number + [0] * (3 - number)
            await scene.round(number)
            assert scene.consumer.processed()[A] == end
        assert scene.telemetry.counted == 5
        assert scene.telemetry.batches == 3

    played(act)


def test_a_round_is_prepared_while_one_is_under_way_and_run_after_it() -> None:
    """a: [under way----]  b: [prepared][run]  c: the same round as b, for it was there."""

    async def act(scene: Scene) -> None:
        scene.take(A, 0, 1)
        await calm()
        scene.take(B, 0, 1)
        scene.take(C, 0, 1)
        scene.take(A, 1, 2)
        await calm()
        assert [its.prepared for its in scene.writer.rounds] == [1, 1]
        assert scene.begun == [[(name(A), 1)]]
        await scene.round(0)
        assert scene.begun[1:] == [[(name(B), 1), (name(C), 1)]]

    played(act)


def test_every_partition_has_its_turn_however_full_others_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A round has room for one batch; three partitions of one number always have another."""
    monkeypatch.setattr(rounds, "MOST_EVENTS", 1)
    busy = [TP(CALLS, 0), TP(CLICKS, 0), A]

    async def act(scene: Scene) -> None:
        for offset in range(4):
            for tp in busy:
                scene.take(tp, offset, offset + 1)
        for number in range(12):
            await scene.round(number)
        assert scene.begun == [
            [(name(tp), offset + 1)] for offset in range(4) for tp in sorted(busy)
        ]

    played(act)


# ------------------------------------------------------------------------------ generations


def test_a_batch_of_an_assignment_that_is_over_is_let_go() -> None:
    """old: [0--2)  new: [0--1): only the new one is written, and moves the chain."""

    async def act(scene: Scene) -> None:
        scene.consumer.current = SECOND
        old = scene.take(A, 0, 2)
        new = scene.take(A, 0, 1, generation=SECOND)
        await scene.round(0)
        assert scene.begun == [[(name(A), 1)]]
        assert (old.acks, new.acks) == (1, 1)
        assert scene.consumer.processed()[A] == 1

    played(act)


@pytest.mark.parametrize("when", ["prepared", "under way"])
def test_a_round_whose_assignment_ends_is_written_no_more(when: str) -> None:
    """Redis is away; until it is back, the group was assigned anew, and others read this."""

    async def act(scene: Scene) -> None:
        old = scene.take(A, 0, 1)
        await calm()
        also_old = scene.take(B, 0, 1)
        await calm()
        scene.consumer.current = SECOND
        scene.take(A, 0, 1, generation=SECOND)
        if when == "under way":
            await scene.round(0, RedisConnectionError("away"))
            assert old.acks == 1
            assert scene.writer.rounds[0].runs == 1
            assert scene.consumer.processed()[A] == 0
        else:  # the one under way was written: its assignment ended too late for that
            await scene.round(0)
            assert old.acks == 1
            assert scene.consumer.processed()[A] == 0
        assert scene.writer.rounds[1].runs == 0
        assert also_old.acks == 1
        await scene.round(2)
        assert scene.begun[1:] == [[(name(A), 1)]]
        assert scene.consumer.processed()[A] == 1

    played(act)


def test_after_lost_writes_nothing_of_the_assignment_is_written_any_more() -> None:
    """a: [lost][next]  b: [would be on top of the hole]; all are read again, and nobody crashes."""

    async def act(scene: Scene) -> None:
        events = [scene.take(A, 0, 1), scene.take(A, 1, 2)]
        await calm()
        events.append(scene.take(B, 0, 1))
        lost = LostWritesError({name(A): (0, 1)})
        await scene.round(0, lost)
        assert scene.lost == [lost]
        assert scene.begun == [[(name(A), 1)]]
        assert [event.acks for event in events] == [1, 1, 1]
        assert set(scene.consumer.processed().values()) == {0}
        assert scene.crashes == []

    played(act)


# --------------------------------------------------------------------------------- retrying


def test_a_round_is_run_until_it_succeeds_and_counts_once() -> None:
    """Twice Redis does not answer; the batch moves the chain, and is acked, once."""

    async def act(scene: Scene) -> None:
        event = scene.take(A, 0, 3)
        await calm()
        [its] = scene.writer.rounds
        its.outcomes += [RedisConnectionError("away")] * 2
        its.may_end.set()
        await calm()
        assert its.runs == 3
        assert event.acks == 1
        assert scene.consumer.processed()[A] == 3
        assert scene.telemetry.counted == 3
        assert scene.telemetry.waiting_for == ""

    played(act)


def test_a_round_that_failed_behind_its_writes_counts_once_in_redis() -> None:
    """Every script is run, and the first answer of each kind is lost on its way."""
    with redis_server() as server, Redis.from_url(server.url) as redis:
        check_a_round_that_failed_behind_its_writes(server.url, redis)


def check_a_round_that_failed_behind_its_writes(url: str, redis: Redis) -> None:
    """Have it fail on the server at *url*."""

    async def run() -> None:
        async with AsyncRedis.from_url(url) as connected:
            writer = Writer(connected, dict.fromkeys(APPLICATIONS, 86_400), clock=time.time)
            await writer.prepare()
            [node] = writer.nodes.all
            whole, lost = node.run, set[str]()

            async def loses(connection: Any, script: str, *calls: Any) -> list[Any]:
                answers = await whole(connection, script, *calls)
                if script not in lost:
                    lost.add(script)
                    raise RedisConnectionError("lost on its way")
                return answers

            node.run = loses  # type: ignore[method-assign]
            scene = Scene(writer)
            scene.take(A, 0, 3)
            scene.take(B, 0, 3, values=[good(f"{A}1"), good("b1"), good("b2")])
            for _ in range(400):
                await asyncio.sleep(0.005)
                if scene.consumer.processed()[B] == 3 == scene.consumer.processed()[A]:
                    break
            await scene.rounds.end(1)
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


def test_dead_letters_are_acknowledged_before_a_round_is_run() -> None:
    """Kafka is away twice; a position behind a record that is nowhere would lose it."""

    async def act(scene: Scene) -> None:
        scene.producer.away = 2
        scene.take(A, 0, 2, values=[b"broken", good("1")])
        scene.take(B, 0, 1, values=[b"no event"])
        await calm()
        assert scene.producer.sent == [b"broken", b"no event"]
        assert scene.begun == [[(name(A), 2), (name(B), 1)]]
        its = await scene.round(0)
        assert [len(batch.placed) for batch in its.batches] == [1, 0]
        assert scene.telemetry.refused == {"malformed": 2}
        assert scene.consumer.processed()[B] == 1

    played(act)


# ------------------------------------------------------------------------- what is sealed


def sealed_in(scene: Scene, number: int) -> list[SealedEvent]:
    """Return the first event of each batch of a round."""
    batches = scene.writer.rounds[number].batches
    return [SealedEvent(batch.fence, batch.placed[0]) for batch in batches]


def test_what_is_for_a_sealed_day_is_a_dead_letter_before_the_round_ends() -> None:
    """a: [sealed][fine]  b: [sealed]: both come to their end, and hold nobody up."""

    async def act(scene: Scene) -> None:
        first, second = scene.take(A, 0, 2), scene.take(B, 0, 1)
        await calm()
        await scene.round(0, sealed_in(scene, 0))
        assert scene.producer.sent == [good(f"{A}0"), good(f"{B}0")]
        assert scene.telemetry.refused == {"sealed": 2}
        assert scene.telemetry.counted == 1
        assert (first.acks, second.acks) == (1, 1)
        assert scene.consumer.processed() | {A: 2, B: 1} == scene.consumer.processed()

    played(act)


def test_nothing_is_written_behind_a_dead_letter_whose_assignment_is_over() -> None:
    """Whoever has the partition now reads it again, and finds out for himself."""

    async def act(scene: Scene) -> None:
        event = scene.take(A, 0, 1)
        await calm()
        scene.producer.away = 10_000
        await scene.round(0, sealed_in(scene, 0))
        assert event.acks == 0
        scene.consumer.current = SECOND
        await calm()
        assert event.acks == 1
        assert scene.consumer.processed()[A] == 0

    played(act)


# ------------------------------------------------------------------------------------- room


def test_no_more_is_taken_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for 3 records: the fourth is there, too, but whoever brought it waits."""
    monkeypatch.setattr(rounds, "MOST_IN_HAND", 3)

    async def act(scene: Scene) -> None:
        scene.take(A, 0, 3)
        scene.take(A, 3, 4)
        scene.take(B, 0, 1)
        await calm()
        assert [task.done() for task in scene.taking] == [True, False, False]
        await scene.round(0)
        assert all(task.done() for task in scene.taking)

    played(act)


def test_large_records_take_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for 3 KiB of them: one record of 4 KiB is too much for another to be taken."""
    monkeypatch.setattr(rounds, "MOST_IN_HAND", 3)

    async def act(scene: Scene) -> None:
        scene.take(A, 0, 1, values=[b"x" * 4096])
        scene.take(B, 0, 1)
        await calm()
        assert [task.done() for task in scene.taking] == [False, False]
        await scene.round(0)
        assert all(task.done() for task in scene.taking)
        assert scene.rounds._in_hand == 0

    played(act)


# -------------------------------------------------------------------------------- the end


def test_the_end_waits_for_what_is_under_way_and_begins_nothing() -> None:
    """a: [under way--]  b: [prepared: never begun]."""

    async def act(scene: Scene) -> None:
        first = scene.take(A, 0, 1)
        await calm()
        second = scene.take(B, 0, 1)
        await calm()
        ending = asyncio.create_task(scene.rounds.end(60))
        await calm()
        assert not ending.done()
        await scene.round(0)
        await asyncio.wait_for(ending, 1)
        third = scene.take(A, 1, 2)
        await calm()
        assert scene.begun == [[(name(A), 1)]]
        assert (first.acks, second.acks, third.acks) == (1, 0, 0)
        assert scene.consumer.processed()[A] == 1

    played(act)


def test_the_end_does_not_wait_for_ever() -> None:
    """Redis is away, and the worker was told to stop."""

    async def act(scene: Scene) -> None:
        event = scene.take(A, 0, 1)
        await calm()
        await asyncio.wait_for(scene.rounds.end(0.01), 1)
        assert event.acks == 0

    played(act)


def test_an_error_ends_the_worker_and_acks_nothing() -> None:
    """What no repeat can mend: nothing else is begun, and the batch is read again."""

    async def act(scene: Scene) -> None:
        event = scene.take(A, 0, 1)
        await calm()
        other = scene.take(B, 0, 1)
        error = ValueError("a mistake in the code")
        await scene.round(0, error)
        assert scene.crashes == [error]
        assert scene.begun == [[(name(A), 1)]]
        assert (event.acks, other.acks) == (0, 0)
        assert set(scene.consumer.processed().values()) == {0}

    played(act)


def test_a_hole_in_the_chain_ends_the_worker_before_anything_is_written() -> None:
    """a: [0--1)   [2--3): what lay between was lost in this process."""

    async def act(scene: Scene) -> None:
        scene.take(A, 0, 1)
        await scene.round(0)
        event = scene.take(A, 2, 3)
        await calm()
        [error] = scene.crashes
        assert isinstance(error, BrokenChain)
        assert scene.begun == [[(name(A), 1)]]
        assert event.acks == 0

    played(act)
