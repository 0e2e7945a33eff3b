"""What each answer of Kafka and Redis means: pure, a row a case."""

from collections.abc import Mapping
from typing import Any

import pytest

from interaction_usage.doctor import kafka, redis, stream
from interaction_usage.doctor.findings import Finding, Level, is_healthy
from interaction_usage.doctor.kafka import Cluster, Group, Topic
from interaction_usage.doctor.stream import Partition
from interaction_usage.store import keys
from rollups.gaps import Acceptance, Gap

KEPT = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
ALL = frozenset({"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"})
GOOD = Topic(12, 3, 0, ALL, {**KEPT, "min.insync.replicas": "2"})


COMPACTED = Topic(1, 3, 0, ALL, {"cleanup.policy": "compact", "min.insync.replicas": "2"})


def worst(findings: list[Finding]) -> Level:
    """Return the gravest level of *findings*."""
    order = [Level.OK, Level.WARNING, Level.WRONG]
    return max((finding.level for finding in findings), key=order.index)


def judged(
    topic: Topic = GOOD, group: Group | None = None, brokers: int = 3, ledger: Topic = COMPACTED
) -> list[Finding]:
    """Return what is said of a cluster with *topic* and a good topic of dead letters."""
    usable = Group("stable", 2, frozenset({"READ"}))
    topics = {"events": topic, "dead": GOOD, "ledger": ledger}
    cluster = Cluster("abc", brokers, topics, group or usable)
    return list(kafka.judge(cluster, ["events"], "dead", ["ledger"], 1_000))


def about(findings: list[Finding], subject: str) -> str:
    """Return the sentences about *subject* that are not in order."""
    return "; ".join(
        finding.sentence
        for finding in findings
        if finding.subject == subject and finding.level is not Level.OK
    )


def with_settings(**settings: str) -> Topic:
    """Return the good topic with some settings changed."""
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return GOOD._replace(configuration={**(GOOD.configuration or {}), **named})


def test_a_good_cluster_is_healthy() -> None:
    """Nothing is wrong, and nothing to look at."""
    assert worst(judged()) is Level.OK


@pytest.mark.parametrize(
    ("topic", "level", "sentence"),
    [
        (Topic(error="missing"), Level.WRONG, "does not exist"),
        (Topic(error="denied"), Level.WRONG, "may not see"),
        (Topic(error="boom"), Level.WRONG, "boom"),
        (GOOD._replace(operations=frozenset({"DESCRIBE"})), Level.WRONG, "may not READ"),
        (GOOD._replace(leaderless=2), Level.WRONG, "2 of 12 partitions have no leader"),
        (GOOD._replace(replicas=1), Level.WARNING, "one copy"),
        (GOOD._replace(configuration=None), Level.WARNING, "how long"),
        (with_settings(retention_ms="604800000"), Level.WARNING, "after 7 days"),
        (with_settings(retention_ms="3600000"), Level.WARNING, "after 1 hour "),
        (with_settings(retention_bytes="1000000"), Level.WARNING, "beyond 1,000,000 bytes"),
        (with_settings(cleanup_policy="compact"), Level.WRONG, "cleanup.policy=compact"),
        (with_settings(cleanup_policy="compact,delete"), Level.WRONG, "cleanup.policy=compact"),
        (with_settings(min_insync_replicas="1"), Level.WARNING, "only one broker"),
        (with_settings(min_insync_replicas="3"), Level.WARNING, "One broker away"),
    ],
)
def test_a_topic_that_is_not_as_it_should_be(topic: Topic, level: Level, sentence: str) -> None:
    """It is said in a sentence, with what to do."""
    findings = judged(topic)
    assert sentence in about(findings, "events")
    assert worst(findings) is level
    assert all(finding.advice for finding in findings if finding.level is not Level.OK)


@pytest.mark.parametrize(
    ("topic", "level", "sentence"),
    [
        (GOOD, Level.WRONG, "cleanup.policy=delete"),
        (with_settings(cleanup_policy="compact,delete"), Level.WRONG, "compact,delete"),
        (COMPACTED._replace(operations=frozenset({"READ"})), Level.WRONG, "may not WRITE"),
        (COMPACTED._replace(configuration=None), Level.WARNING, "how long"),
        (Topic(error="missing"), Level.WRONG, "does not exist"),
    ],
)
def test_a_topic_of_the_ledger_is_compacted(topic: Topic, level: Level, sentence: str) -> None:
    """And nothing is deleted by age, or settings and tokens would be lost with Redis."""
    findings = judged(ledger=topic)
    assert sentence in about(findings, "ledger")
    assert worst(findings) is level


def test_open_gaps_are_wrong_until_they_are_accepted() -> None:
    """Each is named, with what to do."""
    gap = Gap("usage.flows", 3, "", 10, 20, None, 100, "worker")
    accepted = gap._replace(accepted=Acceptance("a test", "ann", 1))
    [found] = stream.judge_gaps([gap])
    assert found.level is Level.WRONG
    assert "usage.flows/3, offsets 10 to 19" in found.sentence
    for gaps in ([], [accepted]):
        assert worst(list(stream.judge_gaps(gaps))) is Level.OK


def test_one_broker_needs_no_copies() -> None:
    """Where there is one broker, more copies could not be had."""
    assert worst(judged(GOOD._replace(replicas=1), brokers=1)) is Level.OK


@pytest.mark.parametrize(
    ("group", "level"),
    [
        (Group(), Level.OK),  # no worker has joined it yet
        (Group(error="denied"), Level.WRONG),
        (Group("stable", 1, frozenset({"DESCRIBE"})), Level.WRONG),
        (Group(error="timed out"), Level.WRONG),
    ],
)
def test_the_consumer_group(group: Group, level: Level) -> None:
    """Workers must be able to join it."""
    assert worst(judged(group=group)) is level


def test_a_dead_letter_that_would_be_cut_is_foreseen() -> None:
    """The topic's limit is below what a refused record may need."""
    small = with_settings(max_message_bytes="999")
    cluster = Cluster("abc", 3, {"events": GOOD, "dead": small}, Group())
    findings = list(kafka.judge(cluster, ["events"], "dead", [], 1_000))
    assert "999 bytes" in about(findings, "dead")


# ------------------------------------------------------------------------------------- redis

INFO: Mapping[str, Any] = {
    "redis_version": "7.0.15", "role": "master", "maxmemory": 1 << 30, "used_memory": 1 << 20,
    "maxmemory_policy": "noeviction", "aof_enabled": 1, "aof_last_write_status": "ok",
    "rdb_last_bgsave_status": "ok", "evicted_keys": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "level", "sentence"),
    [
        ({}, Level.OK, ""),
        ({"redis_version": "6.0.16"}, Level.WRONG, "too old"),
        ({"redis_version": "7.2.4", "valkey_version": "9.0.1"}, Level.OK, ""),
        ({"role": "slave"}, Level.WRONG, "replica"),
        ({"evicted_keys": 3}, Level.WRONG, "evicted 3 keys"),
        ({"maxmemory_policy": "allkeys-lru"}, Level.WRONG, "drops keys"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 0}, Level.OK, ""),
        ({"used_memory": 800 << 20}, Level.WARNING, "78% of its memory"),
        ({"used_memory": 1000 << 20}, Level.WRONG, "98% of its memory"),
        ({"aof_enabled": 0}, Level.WARNING, "no append-only file"),
        ({"aof_last_write_status": "err"}, Level.WRONG, "cannot write"),
        ({"rdb_last_bgsave_status": "err"}, Level.WARNING, "snapshot failed"),
    ],
)
def test_a_redis_that_is_not_as_it_should_be(
    changed: dict[str, Any], level: Level, sentence: str
) -> None:
    """Each is reported apart."""
    findings = list(redis.judge(redis.Server("here", {**INFO, **changed}, 0.0, {})))
    assert worst(findings) is level
    assert sentence in about(findings, "here")


@pytest.mark.parametrize(
    ("server", "level"),
    [
        (redis.Server("here", None, 0.0, {}), Level.WARNING),
        (redis.Server("here", INFO, 6.0, {}), Level.WARNING),
        (redis.Server("here", INFO, -6.0, {}), Level.WARNING),
        (redis.Server("here", INFO, None, {}), Level.OK),
        (redis.Server("here", INFO, 0.0, {"count events": "UNLINK"}), Level.WARNING),
        (redis.Server("here", INFO, 0.0, {"read reports": "GET"}), Level.WRONG),
    ],
)
def test_clocks_and_rights(server: redis.Server, level: Level) -> None:
    """A reader's user is fine for reports, and not for a worker."""
    assert worst(list(redis.judge(server))) is level


# ------------------------------------------------------------------------------------ stream

LIMITS = {"agent": 86_400}


def kept(layout: int = keys.LAYOUT, limit: int = 86_400, secret: bytes | None = b"s") -> Any:
    """Return what stands beside rollups."""
    recorded = f'{{"layout": {layout}, "agent": {limit}}}'.encode()
    return stream.rollups_from(recorded, secret)


@pytest.mark.parametrize(
    ("rollups", "level", "sentence"),
    [
        (stream.rollups_from(None, None), Level.OK, ""),
        (kept(), Level.OK, ""),
        (kept(layout=1), Level.WRONG, "layout 1"),
        (kept(secret=None), Level.WRONG, "secret"),
        (kept(limit=60), Level.WRONG, "60 s"),
    ],
)
def test_the_rollups(rollups: Any, level: Level, sentence: str) -> None:
    """What no worker could go on with is wrong."""
    findings = list(stream.judge_rollups(rollups, LIMITS))
    assert worst(findings) is level
    assert sentence in " ".join(finding.sentence for finding in findings)


@pytest.mark.parametrize(
    ("at", "level", "sentence"),
    [
        # counted to 10          begin   stable  end
        (Partition(0, 10, 10, 10), Level.OK, "Every published event"),
        (Partition(0, 7, 10, 10), Level.WARNING, "3 events are not counted yet"),
        (Partition(0, 7, 8, 10), Level.WARNING, "2 events are blocked"),
        (Partition(9, 7, 10, 10), Level.WRONG, "offsets 7 to 8 before"),
        (Partition(4, None, 10, 10), Level.WRONG, "offsets 0 to 3 before"),
        (Partition(0, None, 0, 0), Level.OK, "Every published event"),
    ],
)
def test_what_is_not_counted(at: Partition, level: Level, sentence: str) -> None:
    """Waiting is worth a look; deleted before it was counted is wrong for good."""
    findings = list(stream.judge_lag({("t", 0): at}))
    assert worst(findings) is level
    assert any(sentence in finding.sentence for finding in findings)


def test_a_beginning_that_is_gone_is_named() -> None:
    """It is counted, but a rebuild could not count it again."""
    findings = list(stream.judge_beginnings({("t", 0): Partition(4, 10, 10, 10)}))
    assert [finding.subject for finding in findings] == ["t/0"]
    assert list(stream.judge_beginnings({("t", 0): Partition(0, 10, 10, 10)})) == []


@pytest.mark.parametrize(
    ("workers", "waiting", "level"),
    [
        ({}, 0, Level.WARNING),
        ({}, 1, Level.WRONG),
        ({"host:1": {}}, 1, Level.OK),
        ({"host:1": {"waiting_for": "Redis"}}, 1, Level.WARNING),
    ],
)
def test_the_workers(workers: Any, waiting: int, level: Level) -> None:
    """With events waiting and nobody who counts, bills go wrong."""
    assert worst(list(stream.judge_workers(workers, waiting))) is level


def test_warnings_are_healthy() -> None:
    """Only what is wrong makes the exit code 1."""
    assert is_healthy(judged(with_settings(retention_ms="1000")))
    assert not is_healthy(judged(Topic(error="missing")))
