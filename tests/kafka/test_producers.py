"""Producers that were not written here: the CloudEvents SDK, kcat; and what they get wrong."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.bindings.kafka import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, TopicPartition

from tests.support.event_lines import event, flow


def cloud_event(number: str, kind: str, data: dict[str, Any]) -> CloudEvent:
    """Return an event as the SDK makes it."""
    attributes = {
        "id": number,
        "source": "sdk",
        "type": f"usage.{kind}",
        "subject": "acme",
        "specversion": "1.0",
        "time": datetime(2026, 10, 1, 10, tzinfo=UTC),
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes, data)


def test_the_cloudevents_sdk_is_a_producer_in_both_modes(system: Any) -> None:
    """What the official SDK makes, structured and binary, is counted as it is."""
    data = {"flow": "reset", "application": "mobile-web"}
    messages = [
        to_structured_event(cloud_event("1", "flow.run", data)),
        to_binary_event(cloud_event("2", "flow.run", data)),
        to_binary_event(cloud_event("2", "flow.run", data)),
    ]
    records = [("usage.flows", m.key, m.value, list(m.headers.items())) for m in messages]
    system.start_worker()
    system.usage("send", "-", stdin=flow("x"))  # the topics are there before a stranger comes
    system.publish(records)
    system.catch_up()
    runs = system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]
    assert runs["by_application"]["mobile-web"] == 2
    assert not system.dead_letters()["counts"]


def test_kcat_is_a_producer_in_both_modes(system: Any, need: Callable[[str, str], str]) -> None:
    """A line piped into kcat is an event; so is one whose attributes are headers."""
    kcat = need("kcat", "kcat")
    system.start_worker()
    system.usage("send", "-", stdin=flow("x"))
    to = [kcat, "-P", "-b", system.kafka.bootstrap]
    click = event("1", "assist.clicked", {"service": "chat"})
    subprocess.run([*to, "-t", "usage.clicks", "-k", "acme"], input=click, check=True, timeout=30)
    attributes = {
        "specversion": "1.0", "id": "2", "source": "kcat", "type": "usage.assist.clicked",
        "subject": "acme", "time": "2026-10-01T11:00:00+02:00",
    }  # fmt: skip
    headers = [f"-Hce_{name}={value}" for name, value in attributes.items()]
    headers.append("-Hcontent-type=application/json")
    body = b'{"service":"chat"}'
    subprocess.run([*to, "-t", "usage.clicks", *headers], input=body, check=True, timeout=30)
    system.catch_up()
    assert system.report("acme", "2026-10-01", "2026-10-01")["assistance"]["chat"] == 2


def test_refused_records_are_dead_letters_and_the_next_good_one_counts(system: Any) -> None:
    """Bytes untouched, with reason, sentence and origin; the stream goes on behind them."""
    bad = [
        b"\xff\xfe not an event",
        event("2", "flow.run", {"flow": "f"}),
        event("3", "flow.run", {"flow": "f", "application": "agent"}, subject="no spaces"),
        flow("4", time="2100-01-01T00:00:00Z"),
        b"x" * 70_000,
        None,
    ]
    system.start_worker()
    system.usage("send", "-", stdin=flow("first"))
    headers = [("trace", b"\x00\xff")]
    system.publish([("usage.flows", b"same", value, headers) for value in [*bad, flow("last")]])
    system.catch_up()
    assert system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"] == 2
    answer = system.dead_letters()
    assert answer["counts"] == {
        "malformed": 2, "invalid-data": 1, "invalid-attribute": 1, "future": 1, "too-large": 1,
    }  # fmt: skip
    letters = read_all(system, "usage.dead-letters", len(bad))
    assert sorted(letters, key=lambda m: int(dict(m.headers())["usage-offset"])) == letters
    for value, letter in zip(bad, letters, strict=True):
        assert letter.value() == value
        assert letter.key() == b"same"
        assert letter.headers()[0] == ("trace", b"\x00\xff")
        assert [name for name, _ in letter.headers()[1:]] == [
            "usage-reason", "usage-sentence", "usage-topic", "usage-partition", "usage-offset",
        ]  # fmt: skip
    newest = answer["newest"][0]
    shown = system.usage("dead-letters", "show", newest["origin"]).stdout.decode()
    assert newest["sentence"] in shown


def read_all(system: Any, topic: str, count: int) -> list[Any]:
    """Return *count* messages of *topic*, from the beginning, by their origin's offset."""
    consumer = Consumer({"bootstrap.servers": system.kafka.bootstrap, "group.id": "reader"})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    found: list[Any] = []
    while len(found) < count:
        message = consumer.poll(10)
        assert message is not None, f"{len(found)} of {count} messages came"
        assert message.error() is None
        found.append(message)
    consumer.close()
    return sorted(found, key=lambda m: int(dict(m.headers())["usage-offset"]))


def test_an_event_on_the_wrong_topic_is_refused_with_the_right_one_named(system: Any) -> None:
    """The sentence tells the producer where the event belongs."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("1"))
    system.publish([("usage.sms", b"acme", flow("2"), None)])
    system.catch_up()
    newest = system.dead_letters()["newest"][0]
    assert newest["reason"] == "wrong-topic"
    assert "belongs on the topic usage.flows" in newest["sentence"]
    assert json.loads(system.usage("lag", "--json").stdout)["usage.sms"] == 0


def test_a_header_name_that_is_no_text_does_not_stop_the_stream(
    system: Any, need: Callable[[str, str], str]
) -> None:
    """aiokafka cannot read such a record; it is counted, and so is the one behind it."""
    kcat = need("kcat", "kcat")
    system.usage("send", "-", stdin=flow("1"))
    to = [kcat, "-P", "-b", system.kafka.bootstrap, "-t", "usage.flows", "-p", "0"]
    for number, compression in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        sent = [*to, "-z", compression, "-H", b"\xff\xfe=x"]
        subprocess.run(sent, input=flow(f"odd {number}"), check=True, timeout=30)
        subprocess.run(to, input=flow(f"even {number}"), check=True, timeout=30)
    system.start_worker()
    system.catch_up()
    assert system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"] == 11


def test_the_largest_record_a_topic_takes_fits_into_the_dead_letters(system: Any) -> None:
    """A dead letter is larger than its record; it must not be refused in its turn."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("1"))
    system.publish([("usage.flows", None, b"x" * 999_000, [("h", b"y" * 900)])])
    system.catch_up()
    assert system.dead_letters()["counts"] == {"too-large": 1}
