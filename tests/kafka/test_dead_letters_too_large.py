"""Records whose dead letters Kafka does not take, and such as aiokafka would not send."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from stream_app.broker import admin_client
from tests.support.event_lines import flow


def small_topic(system: Any, limit: int) -> None:
    """Create the topic of dead letters as an operator might who knows nothing of it."""
    topic = NewTopic("usage.dead-letters", 1, 1, config={"max.message.bytes": str(limit)})
    admin = admin_client(system.kafka.bootstrap)
    for created in admin.create_topics([topic]).values():
        created.result(20)


def flow_runs(system: Any) -> int:
    """Return how many are counted."""
    total: int = system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"]
    return total


def by_size(system: Any) -> dict[str | None, int]:
    """Count the dead letters by what they leave out."""
    counts: dict[str | None, int] = {}
    for answer in system.dead_letters()["newest"]:
        what = answer["left_out"] and answer["left_out"].partition(" was too large")[0]
        counts[what] = counts.get(what, 0) + 1
    return counts


@pytest.mark.parametrize("limit", [2_000, 1_000_000])
def test_a_dead_letter_that_the_topic_does_not_take_stops_nothing(system: Any, limit: int) -> None:
    """Events behind it count, dead letters beside it are whole, a restart changes nothing."""
    small_topic(system, limit)
    worker = system.start_worker()
    system.usage("send", "-", stdin=flow("first"))
    large, other = os.urandom(limit - 100), b"no event " * 40
    values = [flow("1"), other, large, other, other, other, other, other, other, flow("2")]
    system.publish([("usage.flows", b"acme", value, None) for value in values])
    system.catch_up(30)
    assert flow_runs(system) == 3
    assert by_size(system) == {None: 7, f"its value, {len(large):,} bytes,": 1}
    worker.stop()
    system.start_worker()
    system.publish([("usage.flows", b"acme", flow("3"), None)])
    system.catch_up(30)
    assert flow_runs(system) == 4
    assert "is unavailable" not in system.log()


def test_a_record_larger_than_the_worker_may_send_stops_nothing(system: Any) -> None:
    """Compressed it is small, and only that is what a broker looks at."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("first"))
    limit = {"message.max.bytes": 100_000_000, "compression.type": "gzip"}
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap, **limit})
    failed: list[Any] = []
    for value in (bytes(40_000_000), flow("2")):
        producer.produce(
            "usage.flows", value, b"acme", on_delivery=lambda error, _: failed.append(error)
        )
    assert producer.flush(60) == 0
    assert failed == [None, None]
    system.catch_up()
    assert flow_runs(system) == 2
    assert by_size(system) == {"its value, 40,000,000 bytes,": 1}


def test_a_record_without_key_and_value_stops_nothing(
    system: Any, eventually: Callable[..., None]
) -> None:
    """Kafka takes it, and so does the topic of dead letters."""
    worker = system.start_worker()
    system.publish([("usage.flows", None, None, None)])
    system.usage("send", "-", stdin=flow("first"))
    eventually(lambda: not worker.alive or by_size(system) == {None: 1}, "it is listed")
    system.catch_up(20)
    assert flow_runs(system) == 1
    [answer] = system.dead_letters()["newest"]
    shown = system.usage("dead-letters", "show", answer["origin"]).stdout.decode()
    assert "Key        (none)\n" in shown
    assert shown.endswith("\n\n(none)\n")
