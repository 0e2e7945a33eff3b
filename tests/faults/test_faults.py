"""The night when everything goes wrong: whatever was acknowledged is counted once or refused.

    make faults SEED=7 RUNS=10 EVENTS=40000

runs other nights than the ones that `make test` runs. A failure tells its seed and its diary.
"""

import json
import os
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from event_lines import flow, traffic
from faults import Faults
from reference import report_of, rollups_of
from system import System

from servers.apache_kafka import ApacheKafka
from servers.redis_server import redis_server
from stream_app.topics import TOPIC_OF

RANGES = (
    ("UTC", "2026-10-01", "2026-10-02"),
    ("Asia/Kathmandu", "2026-09-30", "2026-10-03"),
)
AS_OF = "2026-11-01T00:00:00Z"
FIRST_SEED = int(os.environ.get("FAULTS_SEED", "1"))
RUNS = int(os.environ.get("FAULTS_RUNS", "2"))
EVENTS = int(os.environ.get("FAULTS_EVENTS", "12000"))
FAULTS = int(os.environ.get("FAULTS_EACH", "8"))


@pytest.fixture
def night(need_kafka: None, tmp_path: Path) -> Iterator[System]:
    """Yield a system whose Redis keeps its data."""
    with ExitStack() as running:
        broker = running.enter_context(ApacheKafka(tmp_path / "kafka"))
        store = running.enter_context(redis_server(tmp_path / "redis"))
        made = System(broker, store, tmp_path)
        yield made
        for worker in made.workers:
            worker.kill()


class Publisher(threading.Thread):
    """Publishes lines as several kinds of producers do, and counts what was acknowledged."""

    def __init__(self, kafka: str, lines: list[bytes], broken: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.kafka, self.lines, self.broken = kafka, lines, broken
        self.rng = random.Random(seed)
        self.acknowledged = 0
        self.errors: list[str] = []

    def run(self) -> None:
        """Publish everything, some of it twice, in pieces by different producers."""
        todo = [*self.lines, *self.rng.sample(self.lines, len(self.lines) // 5)]
        todo += [b"broken %d" % number for number in range(self.broken)]
        self.rng.shuffle(todo)
        size = len(todo) // 8 + 1
        for begin in range(0, len(todo), size):
            piece = todo[begin : begin + size]
            if self.rng.random() < 0.25:
                self._in_transactions(piece)
            else:
                self._plainly(piece)

    def _plainly(self, piece: list[bytes]) -> None:
        compression = self.rng.choice(("none", "gzip", "lz4", "zstd", "snappy"))
        producer = self._producer({"compression.type": compression, "enable.idempotence": True})
        for number, line in enumerate(piece):
            self._produce(producer, line)
            if number % 50 == 0:
                producer.poll(0.02)
        self._flush(producer)

    def _in_transactions(self, piece: list[bytes]) -> None:
        """Publish in transactions; before each comes one that is aborted."""
        name = f"night-{self.rng.getrandbits(32)}"
        patience = {"message.timeout.ms": 20_000, "transaction.timeout.ms": 20_000}
        producer = self._producer({"transactional.id": name, **patience})
        try:
            producer.init_transactions(60)
            for begin in range(0, len(piece), 400):
                producer.begin_transaction()
                for number in range(20):
                    producer.produce("usage.flows", flow(f"aborted {name} {begin} {number}"))
                producer.abort_transaction(60)
                producer.begin_transaction()
                for line in piece[begin : begin + 400]:
                    self._produce(producer, line)
                producer.commit_transaction(60)
        except Exception as error:  # what was not committed is sent again, whole
            self.errors.append(str(error))
            self._plainly(piece)

    def _producer(self, more: dict[str, Any]) -> Any:
        return Producer(
            {
                "bootstrap.servers": self.kafka, "message.timeout.ms": 120_000, "log_level": 0,
                "acks": "all", "linger.ms": 5, **more,
            }
        )  # fmt: skip

    def _produce(self, producer: Any, line: bytes) -> None:
        topic, subject = "usage.flows", b"?"
        if not line.startswith(b"broken"):
            told = json.loads(line)
            topic, subject = TOPIC_OF[told["type"]], told["subject"].encode()
        key = subject if self.rng.random() < 0.8 else b"%d" % self.rng.randrange(100)
        producer.produce(topic, line, key, on_delivery=self._told)

    def _told(self, error: Any, _message: Any) -> None:
        if error:
            self.errors.append(str(error))
        else:
            self.acknowledged += 1

    def _flush(self, producer: Any) -> None:
        left = producer.flush(130)
        if left:
            self.errors.append(f"{left} records were never acknowledged")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_a_night_of_faults_leaves_every_report_exact(night: System, seed: int) -> None:
    """Faults in random order while events come; then every report equals the reference."""
    rng = random.Random(seed)
    lines = list(traffic(EVENTS, seed=seed, accounts=8))
    night.usage("send", "-", stdin=flow("first", subject="account-0"))  # the topics are there
    night.start_worker()
    publisher = Publisher(night.kafka.bootstrap, lines, broken=40, seed=seed)
    faults = Faults(night, rng)
    publisher.start()
    for _ in range(FAULTS):
        publisher.join(rng.uniform(0.3, 2.5))
        faults.wake()
        faults.one()
    publisher.join(300)
    assert not publisher.is_alive(), "the publisher never came to its end"
    faults.wake(everyone=True)
    if not faults.running:
        night.start_worker()
    try:
        settle(night, faults)
        check(night, [*lines, flow("first", subject="account-0")], broken=40)
    except AssertionError as error:
        told = "\n".join([f"seed {seed}", *faults.diary, *publisher.errors, str(error)])
        raise AssertionError(told) from None


def settle(night: System, faults: Faults) -> None:
    """Wait until all is counted or refused; a worker that ends is started again, as anywhere."""
    for _ in range(15):
        done = night.usage("lag", "--until-zero", "10", code=None)
        if done.returncode == 0:
            return
        if not faults.running:
            faults.note("the last worker had ended by itself")
            night.start_worker()
    raise AssertionError(f"not settled after 150 s: {done.stdout.decode()}\n{night.log()}")


def check(night: System, lines: list[bytes], broken: int) -> None:
    """Hold reports, dead letters and lag against what was published."""
    for account, rollups in rollups_of(lines).items():
        for tz, *days in RANGES:
            report = night.report_here(account, *days, tz=tz, as_of=AS_OF)
            assert report == report_of(rollups, account, *days, tz, AS_OF), (account, tz)
    counts = night.dead_letters()["counts"]
    assert counts.keys() == {"malformed"}
    assert counts["malformed"] >= broken
