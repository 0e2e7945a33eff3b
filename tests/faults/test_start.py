"""A worker that is started before its servers are there."""

import time
from collections.abc import Callable

from tests.support.event_lines import flow
from tests.support.system import System


def until(holds: Callable[[], object], fault_run: System, seconds: float = 30) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, fault_run.last_words()
        time.sleep(0.05)


def test_a_worker_started_before_the_servers_says_for_what_it_waits_and_goes_on(
    fault_run: System,
) -> None:
    """Redis comes first, then Kafka; what was published long before is counted.

    Another one is reported to end while it waits, which it does at once.
    """
    fault_run.usage("send", "-", stdin=flow("1"))
    fault_run.redis.kill()
    fault_run.kafka.kill()
    worker, other = fault_run.start_worker(), fault_run.start_worker()
    until(
        lambda: all("Waiting for Redis" in entry.log.read_text() for entry in fault_run.workers),
        fault_run,
    )
    began = time.monotonic()
    other.stop()
    assert time.monotonic() - began < 5
    assert other.process.returncode == 0
    assert "Waiting for Kafka" not in fault_run.log()
    fault_run.redis.start()
    until(lambda: "Waiting for Kafka" in fault_run.log(), fault_run)
    assert worker.alive
    fault_run.kafka.start()
    fault_run.catch_up()
    report = fault_run.report_here("acme", "2026-10-01", "2026-10-01", as_of="2026-11-01T00:00:00Z")
    assert report["flow_runs"]["total"] == 1
