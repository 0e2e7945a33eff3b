"""Settings, tokens and gaps are in Kafka first: what Redis lost comes back."""

import json
from collections.abc import Callable
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from interaction_usage.store import account_history, keys
from interaction_usage.store.gaps import complete_to, read_gaps
from stream_app.topics import COMPACTED_TOPICS, LEDGER_TOPICS
from tests.support.event_lines import flow
from tests.support.system import System

DAY = ("acme", "2026-10-01", "2026-10-01")


def decided(system: System) -> list[Any]:
    """Return everything that people decided, as the commands show it."""
    with system.client() as redis:
        history = account_history.read(redis, "acme", 10)
    shown = [["account", "show", "acme"], ["token", "list"], ["gaps", "list"]]
    return [history, *(json.loads(system.usage(*each, "--json").stdout) for each in shown)]


def test_what_kafka_deleted_before_it_was_counted_is_a_gap_and_outlives_redis(
    system: System, eventually: Callable[..., None]
) -> None:
    """[0, 50) counted, [50, 70) deleted: the gap, settings and tokens survive the loss of Redis."""
    system.variables["USAGE_PARTITIONS"] = "1"
    system.usage("send", "-", stdin=b"\n".join(flow(f"{number}") for number in range(50)))
    worker = system.start_worker()
    system.usage("account", "set", "acme", "--name", "Acme Ltd", "--timezone", "Europe/Paris")
    system.usage("account", "set", "acme", "--no-sms")
    system.usage("token", "create", "--account", "acme")
    system.usage("token", "create", "--operator")
    first, _ = json.loads(system.usage("token", "list", "--json").stdout)
    system.usage("token", "revoke", first["id"])
    system.catch_up()
    with system.client() as redis:
        eventually(lambda: complete_to(redis) is not None, "a worker reports how far it counted")
        counted_to = complete_to(redis)
    worker.stop()
    system.usage("send", "-", stdin=b"\n".join(flow(f"late {number}") for number in range(50)))
    delete_before(system, 70)

    worker = system.start_worker()
    system.catch_up()
    assert "Kafka deleted the offsets 50 to 69, and the rollups end before them" in system.log()
    assert system.report(*DAY)["flow_runs"]["total"] == 80
    with system.client() as redis:
        [gap] = read_gaps(redis)
    assert (gap.topic, gap.first, gap.end) == ("usage.flows", 50, 70)
    assert counted_to is not None
    assert gap.since is not None
    assert counted_to <= gap.since <= gap.until  # it looked again before it stopped
    assert b"gap " in system.usage("doctor", code=1).stdout
    system.usage("gaps", "accept", gap.id, "--reason", "sent again", "--by", "ann")
    before = decided(system)

    worker.stop()
    with system.client() as redis:
        redis.flushall()
    system.start_worker()
    system.catch_up()
    eventually(lambda: len(decided_if_there(system)) == 4, "settings, tokens and gaps are back")
    history, account, tokens, gaps = decided(system)
    assert [history, account, tokens] == before[:3]
    # What was counted before is lost with Redis, so another gap has all that Kafka deleted.
    assert gaps[0] == before[3][0]
    assert [(each["first"], each["end"], each["since"]) for each in gaps[1:]] == [(0, 70, None)]


def decided_if_there(system: System) -> list[Any]:
    """Return the same, or nothing as long as something is missing."""
    with system.client() as redis:
        there = [keys.settings("acme"), keys.TOKENS, keys.GAPS, keys.settings_history("acme")]
        return there if all(redis.exists(key) for key in there) else []


def delete_before(system: System, offset: int) -> None:
    """Delete the records of the flows before *offset*."""
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    [deleted] = admin.delete_records([TopicPartition("usage.flows", 0, offset)]).values()
    deleted.result(20)


def test_topics_of_the_ledger_keep_everything_and_have_one_partition(system: System) -> None:
    """A command creates them where no worker did."""
    system.usage("account", "set", "acme")
    system.usage("token", "create", "--operator")
    system.usage("gaps", "accept", "--all", "--reason", "none")
    system.usage("reports", "issue", "acme", "--month", "2020-01", code=1)  # no worker counts
    system.variables["USAGE_ALERTS_SECRET"] = "a secret of the tests, long enough"
    rule = ("--series", "agent", "--above", "1", "--to", "https://example.com/hook")
    system.usage("alerts", "set", "acme", *rule)
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    found = admin.list_topics(timeout=10).topics
    assert {name: len(found[name].partitions) for name in LEDGER_TOPICS} == dict.fromkeys(
        LEDGER_TOPICS, 1
    )
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in LEDGER_TOPICS]
    for resource, described in admin.describe_configs(resources).items():
        configuration = described.result(20)
        policy = "compact" if resource.name in COMPACTED_TOPICS else "delete"
        assert configuration["cleanup.policy"].value == policy
        assert configuration["retention.ms"].value == "-1"
