"""A worker that is started before its servers are there."""

import time
from collections.abc import Callable

from tests.support.event_lines import flow
from tests.support.system import System


def until(holds: Callable[[], object], night: System, seconds: float = 30) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, night.last_words()
        time.sleep(0.05)


def test_a_worker_started_before_its_servers_says_for_what_it_waits_and_goes_on(
    night: System,
) -> None:
    """Redis comes first, then Kafka; what was published long before is counted.

    Another one is told to end while it waits, which it does at once.
    """
    night.usage("send", "-", stdin=flow("1"))
    night.redis.kill()
    night.kafka.kill()
    worker, other = night.start_worker(), night.start_worker()
    until(lambda: all("Waiting for Redis" in its.log.read_text() for its in night.workers), night)
    began = time.monotonic()
    other.stop()
    assert time.monotonic() - began < 5
    assert other.process.returncode == 0
    assert "Waiting for Kafka" not in night.log()
    night.redis.start()
    until(lambda: "Waiting for Kafka" in night.log(), night)
    assert worker.alive
    night.kafka.start()
    night.catch_up()
    report = night.report_here("acme", "2026-10-01", "2026-10-01", as_of="2026-11-01T00:00:00Z")
    assert report["flow_runs"]["total"] == 1
