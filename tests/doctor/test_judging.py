"""What each answer of Kafka and Redis means: pure, a row a case."""

from collections.abc import Mapping
from typing import Any

import pytest

from interaction_usage.doctor import kafka, redis, stream
from interaction_usage.doctor.findings import Finding, Level, is_healthy
from interaction_usage.doctor.kafka import Cluster
from interaction_usage.store import keys
from interaction_usage.store.memory_history import daily_growth
from rollups.gaps import Acceptance, Gap
from rollups.watermark import Reach
from stream_app.broker import Metadata
from stream_app.errors import BrokerDeniedError, BrokerUnavailableError
from stream_app.kafka_state import DENIED, MISSING, GroupState, TopicState
from stream_app.lag import PartitionProgress
from stream_app.topics import DEAD_LETTERS, LEDGER_TOPICS, SESSIONS

KEPT = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
ALL = frozenset({"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"})
GOOD = TopicState("id", 12, 3, 0, ALL, {**KEPT, "min.insync.replicas": "2"})
DAY_MS = 86_400_000


COMPACTED = TopicState(
    "id", 1, 3, 0, ALL, {"cleanup.policy": "compact", "min.insync.replicas": "2"}
)


def worst(findings: list[Finding]) -> Level:
    """Return the gravest level of *findings*."""
    order = [Level.OK, Level.WARNING, Level.WRONG]
    return max((finding.level for finding in findings), key=order.index)


def judged(
    topic: TopicState = GOOD,
    group: GroupState | None = None,
    brokers: int = 3,
    *,
    cluster_id: str = "abc",
    dead_letters: TopicState = GOOD,
    accounts: TopicState = COMPACTED,
) -> list[Finding]:
    """Return what is said of a cluster with *topic*, whose oldest record is a day old."""
    usable = GroupState("stable", 2, frozenset({"READ"}))
    topics = {SESSIONS: topic, DEAD_LETTERS: dead_letters, LEDGER_TOPICS[0]: accounts}
    cluster = Cluster(
        Metadata(cluster_id, brokers, {}), topics, group or usable, {SESSIONS: 9 * DAY_MS}
    )
    return list(kafka.judge(cluster, "usage", 1_000, 10 * DAY_MS))


def about(findings: list[Finding], subject: str) -> str:
    """Return the sentences about *subject* that are not in order."""
    return "; ".join(
        finding.sentence
        for finding in findings
        if finding.subject == subject and finding.level is not Level.OK
    )


def with_settings(**settings: str) -> TopicState:
    """Return the good topic with some settings changed."""
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return GOOD._replace(configuration={**(GOOD.configuration or {}), **named})


def test_a_good_cluster_is_healthy() -> None:
    """Nothing is wrong, and nothing to look at."""
    assert worst(judged()) is Level.OK


@pytest.mark.parametrize(
    ("topic", "level", "sentence"),
    [
        (TopicState(error=MISSING), Level.WRONG, "does not exist"),
        (TopicState(error=DENIED), Level.WRONG, "does not allow this client to see"),
        (TopicState(error="boom"), Level.WRONG, "boom"),
        (GOOD._replace(operations=frozenset({"DESCRIBE"})), Level.WRONG, "to READ the topic"),
        (GOOD._replace(leaderless=2), Level.WRONG, "2 of 12 partitions have no leader"),
        (GOOD._replace(replicas=1), Level.WARNING, "one copy"),
        (GOOD._replace(configuration=None), Level.WARNING, "It is unknown how long"),
        (with_settings(retention_ms="604800000"), Level.WARNING, "after 7 days"),
        (with_settings(retention_ms="604800000"), Level.WARNING, "oldest record is 1 day old"),
        (with_settings(retention_ms="3600000"), Level.WARNING, "after 1 hour "),
        (with_settings(retention_bytes="1000000"), Level.WARNING, "beyond 1,000,000 bytes"),
        (with_settings(cleanup_policy="compact"), Level.WRONG, "cleanup.policy=compact"),
        (with_settings(cleanup_policy="compact,delete"), Level.WRONG, "cleanup.policy=compact"),
        (with_settings(min_insync_replicas="1"), Level.WARNING, "only one broker"),
        (with_settings(min_insync_replicas="3"), Level.WARNING, "One broker away"),
    ],
)
def test_a_topic_that_is_not_as_it_should_be(
    topic: TopicState, level: Level, sentence: str
) -> None:
    """It is said in a sentence, with what to do."""
    findings = judged(topic)
    assert sentence in about(findings, SESSIONS)
    assert worst(findings) is level
    assert all(finding.advice for finding in findings if finding.level is not Level.OK)


@pytest.mark.parametrize(
    ("topic", "level", "sentence"),
    [
        (GOOD, Level.WRONG, "cleanup.policy=delete"),
        (with_settings(cleanup_policy="compact,delete"), Level.WRONG, "compact,delete"),
        (COMPACTED._replace(operations=frozenset({"READ"})), Level.WRONG, "to WRITE the topic"),
        (COMPACTED._replace(configuration=None), Level.WARNING, "how long"),
        (TopicState(error=MISSING), Level.WRONG, "does not exist"),
    ],
)
def test_a_topic_of_the_ledger_is_compacted(topic: TopicState, level: Level, sentence: str) -> None:
    """And nothing is deleted by age, or settings and tokens would be lost with Redis."""
    findings = judged(accounts=topic)
    assert sentence in about(findings, LEDGER_TOPICS[0])
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


@pytest.mark.parametrize(
    ("newest_ms", "level"),
    [(None, Level.OK), (10 * DAY_MS, Level.OK), (10 * DAY_MS + 6_000, Level.WARNING)],
)
def test_records_from_the_future_are_a_clock_that_is_wrong(
    newest_ms: int | None, level: Level
) -> None:
    """Of a producer, a broker or this machine: more than 5 s ahead."""
    usable = GroupState("stable", 2, frozenset({"READ"}))
    topics = {SESSIONS: GOOD, DEAD_LETTERS: GOOD}
    cluster = Cluster(Metadata("abc", 3, {}), topics, usable, {}, {SESSIONS: newest_ms})
    [finding] = [
        each for each in kafka.judge(cluster, "usage", 1_000, 10 * DAY_MS)
        if each.subject == "clocks"
    ]  # fmt: skip
    assert finding.level is level


def test_one_broker_needs_no_copies() -> None:
    """Where there is one broker, more copies could not be had."""
    assert worst(judged(GOOD._replace(replicas=1), brokers=1)) is Level.OK


@pytest.mark.parametrize(
    ("group", "level"),
    [
        (GroupState(), Level.OK),  # no worker has joined it yet
        (GroupState(error=DENIED), Level.WRONG),
        (GroupState("stable", 1, frozenset({"DESCRIBE"})), Level.WRONG),
        (GroupState(error="timed out"), Level.WRONG),
    ],
)
def test_the_consumer_group(group: GroupState, level: Level) -> None:
    """Workers must be able to join it."""
    assert worst(judged(group=group)) is level


def test_a_dead_letter_that_would_be_cut_is_foreseen() -> None:
    """The topic's limit is below what a refused record may need."""
    small = with_settings(max_message_bytes="999")
    assert "999 bytes" in about(judged(dead_letters=small), DEAD_LETTERS)


def test_what_may_not_be_refused_is_wrong() -> None:
    """Workers publish dead letters, and only these."""
    reader = GOOD._replace(operations=frozenset({"READ", "DESCRIBE"}))
    assert worst(judged(reader)) is Level.OK
    assert "to WRITE the topic" in about(judged(dead_letters=reader), DEAD_LETTERS)


def test_the_embedded_broker_says_nothing_of_retention() -> None:
    """Unknown is said to be unknown, and not to be fine."""
    bare = TopicState(partitions=4, replicas=1)
    findings = judged(bare, brokers=1, cluster_id="mockCluster1", dead_letters=bare)
    assert [each.subject for each in findings if each.level is not Level.OK] == ["cluster"]
    assert "how long it keeps events is unknown" in findings[1].sentence


@pytest.mark.parametrize(
    ("error", "sentence", "advice"),
    [
        (BrokerUnavailableError("no broker"), "h:1 does not answer: no broker", "USAGE_KAFKA"),
        (BrokerDeniedError("It is denied. Grant it"), "It is denied", "Grant it"),
    ],
)
def test_a_kafka_that_denies_is_not_one_that_is_away(
    error: BrokerUnavailableError, sentence: str, advice: str
) -> None:
    """In words."""
    finding = kafka.explain(error, "h:1")
    assert finding.level is Level.WRONG
    assert sentence in finding.sentence
    assert advice in finding.advice


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


@pytest.mark.parametrize(
    ("limit", "growth", "level", "sentence"),
    [
        (100 << 20, None, Level.OK, "not known yet"),
        (100 << 20, -5.0, Level.OK, "does not grow"),
        (0, 1 << 20, Level.OK, "1.0 MiB on a typical day"),
        (100 << 20, 1 << 20, Level.OK, "in 40 days"),
        (100 << 20, 3 << 20, Level.WARNING, "in 13 days"),
    ],
)
def test_for_how_many_days_the_memory_lasts(
    limit: int, growth: float | None, level: Level, sentence: str
) -> None:
    """Of 60 MiB in use, at the rate of a typical day."""
    finding = redis.judge_growth(limit, 60 << 20, growth)
    assert finding.level is level
    assert sentence in finding.sentence


def test_a_load_of_history_counts_as_one_day() -> None:
    """Days grow by 10, but for one of 1,000; two days are too few to know."""
    used = [0, 10, 20, 1_020, 1_030, 1_040]
    history = {day * 24 + hour: used[day] for day in range(6) for hour in (3, 23)}
    assert daily_growth(history) == 10
    assert daily_growth({hour: size for hour, size in history.items() if hour < 3 * 24}) is None


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
        (kept(layout=keys.LAYOUT + 1), Level.WRONG, f"layout {keys.LAYOUT + 1}"),
        (kept(secret=None), Level.WRONG, "secret"),
        (kept(limit=60), Level.WRONG, "60 s"),
    ],
)
def test_the_rollups(rollups: Any, level: Level, sentence: str) -> None:
    """What no worker could go on with is wrong."""
    findings = list(stream.judge_rollups(rollups, LIMITS))
    assert worst(findings) is level
    assert sentence in " ".join(finding.sentence for finding in findings)


def test_an_earlier_layout_is_upgraded() -> None:
    """The advice is the command that does so."""
    [finding] = stream.judge_rollups(kept(layout=keys.OLDEST_LAYOUT), LIMITS)
    assert "usage upgrade" in finding.advice


def at(begin: int, position: int | None, stable: int, end: int) -> PartitionProgress:
    """Return a partition that is counted up to *position*."""
    counted = min(max(position or 0, begin), end)
    return PartitionProgress(begin, position, Reach(counted, stable, end))


@pytest.mark.parametrize(
    ("at", "level", "sentence"),
    [
        # begin, counted, stable, end
        (at(0, 10, 10, 10), Level.OK, "Every published event"),
        (at(0, 7, 10, 10), Level.WARNING, "3 events are not counted yet"),
        (at(0, 7, 8, 10), Level.WARNING, "2 events are blocked"),
        (at(9, 7, 10, 10), Level.WRONG, "offsets 7 to 8, before"),
        (at(4, None, 10, 10), Level.WRONG, "offsets 0 to 3, before"),
        (at(0, None, 0, 0), Level.OK, "Every published event"),
    ],
)
def test_what_is_not_counted(at: PartitionProgress, level: Level, sentence: str) -> None:
    """Waiting is worth a look; deleted before it was counted is wrong for good."""
    findings = list(stream.judge_lag({("t", 0): at}, []))
    assert worst(findings) is level
    assert any(sentence in finding.sentence for finding in findings)


def test_what_is_recorded_as_a_gap_is_said_once() -> None:
    """As a gap, and nowhere once that is accepted; what lies behind it is said."""
    deleted = {("t", 0): at(9, 7, 10, 10)._replace(topic_id="id")}
    gap = Gap("t", 0, "id", 7, 9, None, 100, "worker")
    assert worst(list(stream.judge_lag(deleted, [gap]))) is Level.WARNING  # one event waits
    [finding, _] = stream.judge_lag(deleted, [gap._replace(end=8)])
    assert "t/0, offset 8, before" in finding.sentence
    assert worst(list(stream.judge_lag(deleted, [gap._replace(topic_id="other")]))) is Level.WRONG


def test_a_beginning_that_is_gone_is_named() -> None:
    """It is counted, but a rebuild could not count it again."""
    findings = list(stream.judge_beginnings({("t", 0): at(4, 10, 10, 10)}))
    assert [finding.subject for finding in findings] == ["t/0"]
    assert list(stream.judge_beginnings({("t", 0): at(0, 10, 10, 10)})) == []


@pytest.mark.parametrize(
    ("workers", "waiting", "level"),
    [
        ({}, 0, Level.WARNING),
        ({}, 1, Level.WRONG),
        ({}, None, Level.WRONG),
        ({"host:1": {}}, 1, Level.OK),
        ({"host:1": {"waiting_for": "Redis"}}, 1, Level.WARNING),
        ({"host:1": {"obstacles": ["The topic t does not exist. Create it"]}}, 0, Level.WRONG),
    ],
)
def test_the_workers(workers: Any, waiting: int, level: Level) -> None:
    """With events waiting and nobody who counts, bills go wrong."""
    assert worst(list(stream.judge_workers(workers, waiting))) is level


def test_warnings_are_healthy() -> None:
    """Only what is wrong makes the exit code 1."""
    assert is_healthy(judged(with_settings(retention_ms="1000")))
    assert not is_healthy(judged(TopicState(error=MISSING)))


def test_topics_that_are_not_read_are_named_once() -> None:
    """As a wrong prefix leaves them: positions of topics that no worker here reads."""
    names = [keys.fence("staging.usage.sms", number, "id") for number in (0, 1)]
    [found] = stream.judge_topics([*names, keys.fence("usage.sms", 0)], ["usage.sms"])
    assert found.level is Level.WARNING
    assert found.sentence.endswith("not read: staging.usage.sms")
    assert list(stream.judge_topics([keys.fence("usage.sms", 0, "old")], ["usage.sms"])) == []
