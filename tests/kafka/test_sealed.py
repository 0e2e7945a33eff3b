"""An event for a sealed day, through Kafka: refused with its reason, and the report stays."""

from typing import Any

from confluent_kafka import Producer
from event_lines import flow

from stream_app.broker import ensure_topics
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS

DAY_MS = 86_400_000
#: 2026-01-10T12:00:00Z, when the first events were published
BEGAN = 1_768_046_400_000


def make_topics(system: Any) -> None:
    """Create the topics, so that a partition of one can be written to."""
    ensure_topics(system.kafka.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], 4, 1)


def publish(system: Any, *told: tuple[bytes, float], partition: int = 0) -> None:
    """Publish flow runs to one partition, each as of so many days after the first."""
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap})
    for line, days in told:
        at = BEGAN + int(days * DAY_MS)
        producer.produce("usage.flows", line, b"acme", partition=partition, timestamp=at)
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


def test_a_rebuild_refuses_an_event_for_a_sealed_day_that_no_worker_has_seen(system: Any) -> None:
    """No worker runs, and those that come begin behind it."""
    make_topics(system)
    worker = system.start_worker()
    publish(system, (run("a"), 0))
    system.catch_up()
    worker.stop()
    publish(system, (run("late"), 70), (run("b", "2026-02-20"), 71))
    system.usage("rebuild")
    system.start_worker()
    system.catch_up()
    found = system.dead_letters()
    assert found["counts"] == {"sealed": 1}
    assert "it would change a day that is sealed: 35 days or more" in str(found)
    assert system.report("acme", "2026-01-10", "2026-02-20")["flow_runs"]["total"] == 2


def test_a_rebuild_drops_nothing_that_an_earlier_record_of_another_partition_keeps_open(
    system: Any,
) -> None:
    """Read alone, partition 1 has an event 35.3 days after the only one of its day.

    In partition 2 there is one in between, 34.9 days after it, which is read later.
    """
    make_topics(system)
    system.start_worker()
    for line, days, partition in (
        (run("a"), 0, 0),
        (run("other", "2026-02-10"), 34.8, 1),
        (run("late 1"), 34.9, 2),
        (run("late 2"), 35.3, 1),
    ):
        publish(system, (line, days), partition=partition)
        system.catch_up()
    assert system.dead_letters()["counts"] == {}
    verified = system.usage("rebuild", "--verify")
    assert b"1 accounts are exactly what the topics say" in verified.stderr
    system.usage("rebuild")
    assert system.report("acme", "2026-01-10", "2026-02-20")["flow_runs"]["total"] == 4
    assert system.dead_letters()["counts"] == {}
