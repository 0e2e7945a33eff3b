"""Random faults without Kafka: a real Redis whose answers and writes are lost, from a seed.

A run of tests/faults takes half a minute and hits few of the moments that matter; these take part
of a second and hit many. The consumer is moved by hand: it reads logs that are lists.

    RANDOM_FAULTS_SEED=100 RANDOM_FAULTS=500 python -m pytest tests/stream_app/test_random_faults.py

runs other ones than the few that `make test` runs.
"""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from faust.types import TP
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store.errors import ReseekRequired
from interaction_usage.store.reads import Rollups
from interaction_usage.store.writer import Writer
from stream_app.fetched_batch import FetchedBatch
from stream_app.micro_batches import MicroBatches, QueuedBatch
from stream_app.retry import Backoff
from stream_app.telemetry import Telemetry
from stream_app.topics import TOPIC_OF
from stream_app.worker_context import WorkerContext
from tests.stream_app.test_micro_batches import Consumer, Event, Producer
from tests.support import reference_model
from tests.support.event_lines import traffic
from tests.support.reference import LIMITS, rollups_of

SLOTS = 1_989_600, 1_990_272  # around the days of the events
STAMPS = (-1, 1_791_201_600_000, 1_900_000_000_000, 1_791_201_600_000_000)
PARTITIONS = 2
FIRST_SEED = int(os.environ.get("RANDOM_FAULTS_SEED", "1"))
RUNS = int(os.environ.get("RANDOM_FAULTS", "20"))


class Run:
    """A worker, its logs, and a Redis that forgets."""

    def __init__(self, redis: Any, url: str, lines: list[bytes], rng: random.Random) -> None:
        self.redis, self.rng = redis, rng
        self.logs: dict[TP, list[bytes]] = {}
        for line in lines:
            topic = next(topic for kind, topic in TOPIC_OF.items() if kind.encode() in line)
            self.logs.setdefault(TP(topic, rng.randrange(PARTITIONS)), []).append(line)
        self.consumer = Consumer()
        self.fetched: dict[TP, int] = {}
        self.writer = Writer.of(url, LIMITS, 5.0, clock=time.time)
        self.crashes: list[BaseException] = []
        self.snapshot: dict[bytes, bytes] = {}
        self.trouble = 0.0  #: the chance that a call of a script breaks off
        self.must_seek = True
        producer = Producer()
        context = WorkerContext(
            self.consumer.gate, self.writer, lambda: producer, Telemetry(), self.lost_writes,
            backoff=Backoff(0.001, 0.001),
        )  # fmt: skip
        self.micro_batches = MicroBatches(context, lambda: self.consumer, self.crash)
        self.tasks: list[asyncio.Task[None]] = []
        [node] = self.writer.nodes.all
        self.run_script = node.run
        node.run = self.break_off  # type: ignore[method-assign]

    async def crash(self, error: BaseException) -> None:
        """Note what ends the worker."""
        self.crashes.append(error)

    def lost_writes(self, _: ReseekRequired) -> None:
        """Have the partitions assigned again, some time later."""
        self.must_seek = True

    async def break_off(self, connection: Any, *call: Any, **more: Any) -> list[Any]:
        """Run scripts, of which some are not sent, and some not answered."""
        if self.rng.random() < self.trouble / 2:
            raise RedisConnectionError("broken before it was sent")
        answers = await self.run_script(connection, *call, **more)
        if self.rng.random() < self.trouble:
            if self.rng.random() < 0.5:
                self.forget()
            raise RedisConnectionError("broken before it was answered")
        return answers

    def remember(self) -> None:
        """Take what Redis will come back with."""
        self.snapshot = {key: self.redis.dump(key) for key in self.redis.keys("*")}

    def forget(self) -> None:
        """Every connection breaks, and then it comes back without the last writes.

        In this order, and at once: what is on its way is not run after it.
        """
        self.redis.client_kill_filter(_type="normal", skipme=True)
        with self.redis.pipeline(transaction=True) as back:
            back.flushall()
            for key, value in self.snapshot.items():
                back.restore(key, 0, value)
            back.execute()

    async def seek(self) -> None:
        """Be assigned everything again, and start from where the rollups end."""
        # Kafka's number is the same now and then, as after another cluster took the place.
        self.consumer.group.consumer_generation_id = self.rng.randrange(2)
        gate = self.consumer.gate
        seek = gate.begin_seek()
        self.consumer._processed = {}
        await gate.quiet()
        while True:
            with suppress(RedisError, OSError):
                names = {tp: f"{tp.topic}/{tp.partition}" for tp in self.logs}
                ends = await self.writer.begin(list(names.values()))
                break
        self.fetched = {tp: ends[name] for tp, name in names.items()}
        self.consumer._processed = dict(self.fetched)
        gate.end_seek(seek, succeeded=True)
        self.must_seek = False

    def fetch(self) -> None:
        """Hand over a batch of any partition that has more."""
        more = [tp for tp, log in self.logs.items() if self.fetched[tp] < len(log)]
        if not more:
            return
        tp = self.rng.choice(more)
        begins = self.fetched[tp]
        ends = self.fetched[tp] = min(begins + self.rng.randint(1, 30), len(self.logs[tp]))
        records = [
            ConsumerRecord(
                *tp, offset, self.rng.choice(STAMPS), 0, b"", value, None, 0, len(value), ()
            )
            for offset, value in enumerate(self.logs[tp][begins:ends], begins)
        ]
        batch = FetchedBatch(tp, records, begins, ends, self.consumer.gate.assignment)
        queued = QueuedBatch.of(Event(), batch, f"{tp.topic}/{tp.partition}")
        self.tasks.append(asyncio.create_task(self.micro_batches.put(queued)))

    async def is_still_there(self) -> bool:
        """Do what a heartbeat does: where nothing is left to write, it notices lost writes."""
        try:
            await self.writer.check_rollups()
            await self.writer.nodes.execute("GET", self.writer.keys.secret)
        except ReseekRequired:
            self.must_seek = True
            return False
        except RedisError:  # a connection that a fault has closed; the next look has another one
            return False
        return True

    @property
    def done(self) -> bool:
        """Whether everything is counted."""
        ends = {tp: len(log) for tp, log in self.logs.items()}
        return not self.must_seek and self.consumer.processed() == ends

    async def play(self, steps: int) -> None:
        """Do anything in any order, and then let it come to its end."""
        running = asyncio.create_task(self.micro_batches.run())
        for step in range(steps + 3000):
            self.trouble = 0.15 if step < steps else 0.0
            if self.must_seek and self.rng.random() < 0.3:
                await self.seek()
            chance = self.rng.random() if step < steps else 0.9
            if chance < 0.05:
                self.must_seek = True
            elif chance < 0.1:
                self.remember()
            elif chance < 0.13:
                self.forget()
            elif not self.must_seek:
                self.fetch()
            await asyncio.sleep(self.rng.choice((0, 0, 0.001)) if step < steps else 0.001)
            if self.crashes or (step > steps and self.done and await self.is_still_there()):
                break
        await self.micro_batches.stop(5)
        await running
        for task in self.tasks:
            task.cancel()
        await self.writer.close()


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Yield one server, whose answers are broken off."""
    with redis_server(flavour=request.param) as running:
        yield running


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_a_run_with_random_faults_leaves_every_value_exact(
    server: Any, redis: Any, seed: int
) -> None:
    """Whatever breaks between any two steps: everything is counted once, and nobody crashes."""
    rng = random.Random(seed)
    lines = list(traffic(400, seed=seed, accounts=3))
    sent = lines + rng.sample(lines, 100)
    rng.shuffle(sent)

    async def act() -> Run:
        run = Run(redis, server.url, sent, rng)
        async with asyncio.timeout(60):
            await run.play(150)
        return run

    run = asyncio.run(act())
    assert run.crashes == []
    assert run.done
    live = Rollups.live(redis)
    expected = rollups_of(lines)
    assert live.accounts() == sorted(expected)
    for account, rollups in expected.items():
        found = live.read(account, *SLOTS, flows=True)
        wanted = reference_model.read(rollups, *SLOTS)
        assert found._replace(by_slot={}) == wanted._replace(by_slot={}), account
