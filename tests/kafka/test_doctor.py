"""`usage doctor` against a real Kafka and its rights, in good health and in bad."""

import json
from collections.abc import Callable
from typing import Any

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from stream_app.broker import ensure_topics
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from tests.support.event_lines import event
from tests.support.system import System


def doctor(system: System, code: int) -> dict[str, list[dict[str, Any]]]:
    """Return what the doctor finds, by its level."""
    shown = json.loads(system.usage("doctor", "--json", code=code).stdout)
    found: dict[str, list[dict[str, Any]]] = {"ok": [], "warning": [], "wrong": []}
    for finding in shown["findings"]:
        found[finding["level"]].append(finding)
    return found


def configure(system: System, topic: str, name: str, value: str) -> None:
    """Set a configuration of a topic."""
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(20)


def test_a_deployment_in_good_health_and_in_bad(
    system: System, eventually: Callable[..., None]
) -> None:
    """What is wrong is said, with what to do, and only that."""
    worker = system.start_worker()
    flow = {"flow": "f", "application": "agent"}
    system.usage("send", "-", stdin=event("1", "flow.run", flow))
    system.catch_up()
    eventually(lambda: any(each["area"] == "workers" for each in doctor(system, 0)["ok"]), "counts")
    found = doctor(system, 0)
    assert found["wrong"] == []
    assert [each["subject"] for each in found["warning"]] == []
    assert any(each["sentence"] == "Counts" for each in found["ok"])

    configure(system, "usage.clicks", "retention.ms", "604800000")
    configure(system, "usage.calls", "cleanup.policy", "compact")
    found = doctor(system, 1)
    assert [each["subject"] for each in found["warning"]] == ["usage.clicks", "place"]
    assert "There is no archive, and Kafka deletes events of" in found["warning"][1]["sentence"]
    assert "a rebuild reaches back 7 days at most" in found["warning"][0]["sentence"]
    assert [each["subject"] for each in found["wrong"]] == ["usage.calls"]
    configure(system, "usage.flows", "retention.bytes", "1000000")
    [flows, *_] = doctor(system, 1)["warning"]
    assert "retention.bytes=1000000" in flows["sentence"]
    assert "its oldest record is less than an hour old" in flows["sentence"]
    configure(system, "usage.flows", "retention.bytes", "-1")

    worker.kill()
    configure(system, "usage.calls", "cleanup.policy", "delete")
    system.usage("send", "-", stdin=event("2", "flow.run", flow))
    with system.client() as redis:
        for name in redis.scan_iter("usage:worker:*"):
            redis.delete(name)
    found = doctor(system, 1)
    [wrong] = found["wrong"]
    assert wrong["area"] == "workers"
    assert "1 published events are not counted" in wrong["sentence"]


def test_a_worker_warns_of_what_kafka_deletes(
    system: System, eventually: Callable[..., None]
) -> None:
    """In one line, when it starts: a rebuild could miss what is deleted by then."""
    ensure_topics(system.kafka.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], 1, 1)
    configure(system, "usage.clicks", "retention.ms", "604800000")
    configure(system, "usage.dead-letters", "retention.ms", "86400000")
    system.start_worker()
    eventually(lambda: "Set retention.ms=-1" in system.log(), "it warns")
    [said] = [line for line in system.log().splitlines() if "Kafka deletes" in line]
    assert "usage.clicks after 7 days" in said
    assert "usage.dead-letters after 1 day" in said
