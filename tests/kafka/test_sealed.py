"""An event for a sealed day, through Kafka: refused with its reason, and the report stays."""

from typing import Any

from confluent_kafka import Producer
from event_lines import flow

DAY_MS = 86_400_000
#: 2026-01-10T12:00:00Z, when the first events were published
BEGAN = 1_768_046_400_000


def publish(system: Any, *told: tuple[bytes, int]) -> None:
    """Publish flow runs, each as of so many days after the first."""
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap})
    for line, days in told:
        producer.produce("usage.flows", line, b"acme", timestamp=BEGAN + days * DAY_MS)
    assert producer.flush(20) == 0


def run(name: str, day: str = "2026-01-10") -> bytes:
    """Return a flow run of acme."""
    return flow(name, time=f"{day}T11:00:00Z")


def test_an_event_for_a_sealed_day_is_a_dead_letter_and_the_report_stays(system: Any) -> None:
    """In one batch with others, and after a restart; a rebuild decides the same."""
    system.usage("send", "-", stdin=flow("topics", subject="other"))
    publish(
        system, (run("a"), 0), (run("b"), 34), (run("late 1"), 70), (run("c", "2026-02-20"), 71)
    )
    worker = system.start_worker()
    system.catch_up()
    worker.stop()
    publish(system, (run("late 2"), 72), (run("d", "2026-02-20"), 72), (run("b"), 73))
    system.start_worker()
    system.catch_up()
    report = system.report("acme", "2026-01-10", "2026-02-20")
    assert report["flow_runs"]["total"] == 4
    found = system.dead_letters()
    assert found["counts"] == {"sealed": 2}
    assert "it would change a day that is sealed" in str(found)
    verified = system.usage("rebuild", "--verify")
    assert b"2 accounts are exactly what the topics say" in verified.stderr
