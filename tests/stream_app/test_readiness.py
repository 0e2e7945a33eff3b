"""Whether a worker counts: each reason why it does not, and when an obstacle is logged."""

import asyncio
import logging
from types import SimpleNamespace

import pytest

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka_state import Obstacle, group_denied, topic_denied
from stream_app.obstacles import KafkaWatch, Obstacles
from stream_app.readiness import Readiness
from stream_app.telemetry import Telemetry
from stream_app.write_gate import WriteGate

CLICKS = topic_denied("usage.clicks", "READ")


class Worker:
    """The parts of a worker that decide whether it counts, under a clock moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.gate = WriteGate(SimpleNamespace(consumer_generation_id=3, rebalancing_count=1))
        self.telemetry = Telemetry()
        self.obstacles = Obstacles(lambda: self.now)
        self.readiness = Readiness(self.gate, self.telemetry, self.obstacles, lambda: self.now)

    def count(self) -> None:
        """Get partitions, and start offsets."""
        self.readiness.starting = ""
        self.gate.end_seek(self.gate.begin_seek(), succeeded=True)


def test_a_worker_that_counts_is_ready() -> None:
    """And was not before it had its start offsets."""
    worker = Worker()
    assert worker.readiness.reasons() == ["The worker is starting"]
    worker.readiness.starting = ""
    assert worker.readiness.reasons() == ["The worker is joining the consumer group"]
    worker.gate.begin_seek()
    assert worker.readiness.reasons() == ["The worker is determining its start offsets"]
    worker.count()
    assert worker.readiness.reasons() == []


def test_a_worker_on_standby_is_ready() -> None:
    """It takes over as soon as it gets partitions."""
    worker = Worker()
    worker.count()
    worker.gate.assigned([])
    assert worker.readiness.reasons() == []


def test_each_reason_is_given() -> None:
    """Redis takes no heartbeat, a batch waits, Kafka is away, a right is missing."""
    worker = Worker()
    worker.count()
    worker.now += 5
    assert worker.readiness.reasons() == ["Redis has taken no heartbeat for 5 s"]
    worker.readiness.heartbeat_sent()
    worker.telemetry.waiting_for = "Redis: refused"
    worker.obstacles.kafka_away = "no broker answered"
    worker.obstacles.asked([CLICKS])
    worker.obstacles.kafka_away = "no broker answered"
    reasons = worker.readiness.reasons()
    assert reasons[:2] == [
        "The worker waits for Redis: refused", "Kafka does not answer: no broker answered"
    ]  # fmt: skip
    assert "READ the topic usage.clicks. Grant it" in reasons[2]


def test_an_obstacle_is_logged_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In a line each, whoever noticed it first, and however often."""
    now = 0.0
    obstacles = Obstacles(lambda: now)
    with caplog.at_level(logging.WARNING):
        obstacles.met(CLICKS)
        obstacles.met(CLICKS)
        for _ in range(3):
            obstacles.asked([CLICKS, group_denied("usage")])
        now = 60.0
        obstacles.asked([group_denied("usage")])
        obstacles.asked([])
    assert [message.partition(".")[0].partition(":")[0] for message in caplog.messages] == [
        "Kafka does not allow this client to READ the topic usage",
        "Kafka does not allow this client to join the group usage",
        "usage", "consumer group",
    ]  # fmt: skip


def test_what_was_run_into_lasts_until_it_is_not_run_into_again() -> None:
    """A broker that keeps rights to itself names none when it is asked."""
    now = 0.0
    obstacles = Obstacles(lambda: now)
    obstacles.met(CLICKS)
    obstacles.asked([])
    assert obstacles.current() == [CLICKS]
    now = 5.0
    assert obstacles.current() == []


def test_kafka_that_does_not_answer_is_away_until_it_does() -> None:
    """What was known of rights stays known meanwhile."""
    answers: list[list[Obstacle] | Exception] = [[CLICKS], BrokerUnavailableError("none"), []]

    def ask() -> list[Obstacle]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    obstacles = Obstacles()
    watch = KafkaWatch(obstacles, ask)
    seen = []
    for _ in range(3):
        asyncio.run(watch.look())
        seen.append((obstacles.kafka_away, len(obstacles.current())))
    assert seen == [("", 1), ("none", 1), ("", 0)]
