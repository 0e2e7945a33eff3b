"""What a worker says of itself, by a clock of the test's own."""

import logging

import pytest

from stream_app.state_log import EVERY_S, PATIENCE_S, StateLog
from stream_app.telemetry import Telemetry


class Worker:
    """A worker that counts or does not, and its log."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "stream_app.state_log")
        self.caplog, self.now = caplog, 0.0
        self.reasons: list[str] = []
        self.telemetry, self.behind = Telemetry(), 0
        self.log = StateLog(
            lambda: self.reasons, self.telemetry, lambda: self.behind, lambda: self.now
        )

    def live(self, seconds: float) -> list[str]:
        """Let *seconds* pass; return what it said."""
        self.caplog.clear()
        for _ in range(int(seconds)):
            self.now += 1
            self.log.look()
        return self.caplog.messages


def test_a_change_is_said_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """With how long it lasts, and how much waits; and when it is over."""
    worker = Worker(caplog)
    assert worker.live(20) == []
    worker.reasons, worker.behind = ["Kafka does not answer"], 1200
    assert worker.live(EVERY_S / 2) == ["Nothing is counted: Kafka does not answer"]
    assert worker.live(150) == [
        "0 events counted in 60 s, 1,200 are waiting",
        "Still nothing is counted, for 65 s, 1,200 are waiting: Kafka does not answer",
        "0 events counted in 60 s, 1,200 are waiting",
        "Still nothing is counted, for 2 min, 1,200 are waiting: Kafka does not answer",
        "0 events counted in 60 s, 1,200 are waiting",
    ]
    worker.reasons = []
    assert worker.live(2) == ["Counting again, after 3 min"]
    assert worker.live(2) == []


def test_a_rebalance_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """It takes a few seconds, and is over."""
    worker = Worker(caplog)
    worker.reasons = ["The worker is joining the consumer group"]
    assert worker.live(PATIENCE_S) == []
    worker.reasons = []
    assert worker.live(5) == []


def test_a_line_of_numbers_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Of this minute, not of all."""
    worker = Worker(caplog)
    for counted in (1_500, 2_100):
        worker.telemetry.counted = counted
        [line] = worker.live(EVERY_S)
        number = {1_500: "1,500", 2_100: "600"}[counted]
        assert line == f"{number} events counted in 60 s, 0 are waiting"
