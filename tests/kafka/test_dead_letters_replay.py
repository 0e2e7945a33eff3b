"""`usage dead-letters replay` with a worker that refuses or counts what it sends."""

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from stream_app.broker import spans
from tests.support.event_lines import event, flow

NOW = datetime.now(UTC).replace(microsecond=0)


def records(system: Any, *arguments: str) -> list[dict[str, Any]]:
    """Return the records that `list` tells, the newest first."""
    answer = json.loads(system.usage("dead-letters", "list", "--json", *arguments).stdout)
    newest: list[dict[str, Any]] = answer["newest"]
    return newest


def replay(system: Any, *arguments: str, code: int = 0) -> str:
    """Replay, let the worker take it, and return what the command said."""
    done = system.usage("dead-letters", "replay", *arguments, code=code)
    system.catch_up()
    answer: str = done.stderr.decode()
    return answer


def publish_two_hours_ago(system: Any, topic: str, *values: bytes) -> None:
    """Publish records whose timestamp is two hours old, as a clock that is behind makes them."""
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap})
    then = int((NOW - timedelta(hours=2)).timestamp() * 1000)
    for value in values:
        producer.produce(topic, value, b"acme", timestamp=then)
    assert producer.flush(30) == 0


def everything(system: Any, topic: str) -> list[Any]:
    """Return all messages of *topic*."""
    ends = spans(system.kafka.bootstrap, [topic])
    consumer = Consumer({"bootstrap.servers": system.kafka.bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition(*place, 0) for place in ends])
    count = sum(span.end for span in ends.values())
    found = consumer.consume(count, 20)
    consumer.close()
    assert len(found) == count
    return list(found)


def test_what_is_refused_again_keeps_the_history(system: Any) -> None:
    """Bytes that are wrong stay wrong: one record each, refused twice."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("1"))
    own = [("usage-reason", b"theirs"), ("usage-replayed", b"usage.flows/0/0"), ("null", None)]
    wrong = flow("2")
    system.publish([("usage.flows", None, b"\xff", own), ("usage.sms", b"acme", wrong, None)])
    system.catch_up()
    before = sorted(answer["origin"] for answer in records(system))
    assert replay(system, "--all") == "2 records replayed: 1 to usage.flows, 1 to usage.sms\n"
    answer = records(system)
    assert sorted(one["origin"] for one in answer) == before
    assert {(one["state"], one["replays"], one["refusals"]) for one in answer} == {("open", 1, 2)}
    for origin in before:
        shown = system.usage("dead-letters", "show", origin).stdout.decode()
        history = [line.split()[5] for line in shown.splitlines() if line.startswith("History")]
        reason = "malformed:" if "flows" in origin else "wrong-topic:"
        assert history == [reason, "replayed", reason]
    copies = [m for m in everything(system, "usage.flows") if m.value() == b"\xff"]
    assert [(copy.key(), copy.headers()) for copy in copies] == [(None, own)] * 2


def test_a_future_event_counts_once_however_often_it_is_replayed(system: Any) -> None:
    """When its time has come it is valid; its session, flow run and SMS count once each."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("first"))
    at = (NOW - timedelta(hours=1)).isoformat()
    day = at[:10]
    answer = {"session": "s", "application": "agent"}
    publish_two_hours_ago(system, "usage.flows", flow("2", time=at))
    publish_two_hours_ago(system, "usage.sms", event("3", "sms.sent", {}, time=at))
    publish_two_hours_ago(system, "usage.sessions", event("4", "session.started", answer, time=at))
    system.catch_up()
    origins = [one["origin"] for one in records(system, "--reason", "future", "--account", "acme")]
    assert len(origins) == 3
    assert "3 records replayed" in replay(system, "--reason", "future")
    counted = usage_of(system, day)
    assert counted == (1, 1, 1)
    assert replay(system, "--reason", "future") == "Nothing to replay.\n"
    assert "3 records replayed" in replay(system, *origins)
    assert usage_of(system, day) == counted
    assert records(system) == []
    states = {(one["state"], one["replays"]) for one in records(system, "--include-replayed")}
    assert states == {("replayed", 2)}


def usage_of(system: Any, day: str) -> tuple[int, int, int]:
    """Return the flow runs, SMS and most agent sessions of *day*."""
    answer = system.report("acme", day, day)
    most = answer["concurrency"]["agent"]["max"]
    return answer["flow_runs"]["total"], answer["sms"]["messages_with_link"], most


def test_a_binary_event_is_replayed_with_attributes(system: Any) -> None:
    """They are headers, and the account is found in them."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("first"))
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    attributes = {
        "ce_specversion": "1.0", "ce_id": "b", "ce_source": "t", "ce_type": "usage.flow.run",
        "ce_subject": "binary", "ce_time": at, "content-type": "application/json",
    }  # fmt: skip
    headers = [(name, text.encode()) for name, text in attributes.items()]
    body = b'{"flow": "f", "application": "agent"}'
    system.publish([("usage.flows", b"k", body, headers)])
    system.catch_up()
    assert replay(system, "--account", "nobody") == "Nothing to replay.\n"
    assert "1 record replayed" in replay(system, "--account", "binary")
    (answer,) = records(system)
    assert (answer["account"], answer["reason"], answer["refusals"]) == ("binary", "future", 2)


def test_the_largest_record_a_topic_takes_can_be_replayed(system: Any) -> None:
    """It does not grow, however often it is refused."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("1"))
    system.publish([("usage.flows", None, os.urandom(999_000), [("h", b"y" * 900)])])
    system.catch_up()
    for _ in range(2):
        assert "1 record replayed" in replay(system, "--reason", "too-large")
    (answer,) = records(system)
    assert (answer["refusals"], answer["replays"]) == (3, 2)
    sizes = sorted(len(message.value()) for message in everything(system, "usage.flows"))
    assert sizes[1:] == [999_000] * 3


def test_a_rebuild_does_not_open_what_was_replayed(system: Any) -> None:
    """The first copy is refused again, the second counted again; the record stays one."""
    worker = system.start_worker()
    system.usage("send", "-", stdin=flow("first"))
    at = (NOW - timedelta(hours=1)).isoformat()
    publish_two_hours_ago(system, "usage.flows", flow("2", time=at))
    system.catch_up()
    replay(system, "--all")
    worker.stop()
    system.client().flushall()
    system.start_worker()
    system.catch_up()
    assert system.report("acme", at[:10], at[:10])["flow_runs"]["total"] == 1
    assert len(everything(system, "usage.dead-letters")) == 3
    assert records(system) == []


def test_what_kafka_does_not_take_is_reported_and_stays_open(system: Any) -> None:
    """The topic was reported to take less; the rest is replayed, exit code 1."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("1"))
    system.publish([("usage.sms", None, os.urandom(100_000), None)])
    system.publish([("usage.flows", None, b"small", None)])
    system.catch_up()
    limit = ConfigEntry("max.message.bytes", "10000", incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ResourceType.TOPIC, "usage.sms", incremental_configs=[limit])
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    for changed in admin.incremental_alter_configs([topic]).values():
        changed.result(10)
    unsent, sent, failed = replay(system, "--all", code=1).splitlines()
    assert "not sent: " in unsent
    assert sent == "1 record replayed: 1 to usage.flows"
    assert failed == "Error: Of 2 records, 1 not sent; these are still open."
    answer = {one["origin"].partition("/")[0]: one["replays"] for one in records(system)}
    assert answer == {"usage.sms": 0, "usage.flows": 1}
