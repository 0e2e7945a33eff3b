"""Kafka: whether its topics keep what a bill needs, and whether this client may use them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from interaction_usage.doctor.findings import Area, Finding
from rollups.quantity import quantity
from stream_app.broker import Metadata, admin_client, cluster_metadata
from stream_app.errors import BrokerDeniedError, BrokerUnavailableError
from stream_app.grants import how_to_grant
from stream_app.kafka_state import (
    GroupState,
    Obstacle,
    TopicState,
    group_obstacle,
    read_configurations,
    read_group,
    read_topics,
    topic_obstacles,
)
from stream_app.retention import ADVICE, read_newest, read_oldest, retention, sentence
from stream_app.topics import COMPACTED_TOPICS, DEAD_LETTERS, EVENT_TOPICS, LEDGER_TOPICS

KAFKA: Final = Area("kafka")

#: Milliseconds that a record's timestamp may be ahead of this machine's clock. Kafka gives its time
#: in no answer; but its records carry timestamps of producers, or of brokers (LogAppendTime).
_CLOCKS_MS: Final = 5_000


class Cluster(NamedTuple):
    """What Kafka says of everything that a deployment uses."""

    metadata: Metadata
    topics: Mapping[str, TopicState]
    group: GroupState
    oldest: Mapping[str, int | None]  #: of each topic the timestamp of its oldest record, in ms
    newest: Mapping[str, int | None] = {}  #: and the latest timestamp of a record

    def deleting(self) -> list[str]:
        """Return the event topics from which events are deleted by age or size."""
        return [
            name
            for name, topic in self.topics.items()
            if name in EVENT_TOPICS and topic.configuration is not None
            and retention(topic.configuration).is_finite
        ]  # fmt: skip


def ask(servers: str, names: Sequence[str], group: str, timeout: float = 10.0) -> Cluster:
    """Return what Kafka says of topics and *group*. Raises BrokerUnavailableError."""
    admin = admin_client(servers)
    topics = read_topics(admin, names, timeout)
    known = [name for name, topic in topics.items() if not topic.error]
    for name, configuration in read_configurations(admin, known, timeout).items():
        topics[name] = topics[name]._replace(configuration=configuration)
    return Cluster(
        cluster_metadata(admin, timeout), topics, read_group(admin, group, timeout),
        read_oldest(admin, known, timeout), read_newest(admin, known, timeout),
    )  # fmt: skip


# ------------------------------------------------------------------------------------ judging


def judge(cluster: Cluster, group: str, largest_dead_letter: int, now_ms: int) -> Iterator[Finding]:
    """Yield what is to be said of a cluster that answers, and of the consumer *group* in it."""
    yield _judge_cluster(cluster.metadata)
    if not cluster.metadata.is_mock:
        yield _judge_clocks(cluster.newest, now_ms)
    obstacles = {each.subject: each for each in topic_obstacles(cluster.topics, writes=True)}
    for name, topic in cluster.topics.items():
        if name in obstacles:
            yield wrong(obstacles[name])
        if not topic.error:
            oldest = cluster.oldest.get(name)
            problems = [
                *_judge_replicas(name, topic, cluster.metadata.brokers),
                *(
                    _judge_compaction(name, topic)
                    if name in COMPACTED_TOPICS
                    else _judge_configuration(name, topic, oldest, now_ms)
                ),
            ]
            yield from problems
            if not problems and name not in obstacles:
                yield _in_order(name, topic)
    yield from _judge_sizes(cluster.topics)
    yield from _judge_dead_letters(cluster.topics[DEAD_LETTERS], largest_dead_letter)
    if not cluster.metadata.is_mock:
        yield _judge_group(group, cluster.group)


def _judge_cluster(metadata: Metadata) -> Finding:
    if metadata.is_mock:
        return KAFKA.warning(
            "cluster",
            "This is the embedded broker for development: it keeps nothing when it ends",
            "Use Apache Kafka for anything that is billed",
        )
    brokers = "1 broker" if metadata.brokers == 1 else f"{metadata.brokers} brokers"
    return KAFKA.ok("cluster", f"{metadata.cluster_id}, {brokers}")


def _judge_clocks(newest: Mapping[str, int | None], now_ms: int) -> Finding:
    """Say whether records come from the future: then a clock is wrong, here or there."""
    ahead = {name: at - now_ms for name, at in newest.items() if at is not None}
    if not ahead:
        return KAFKA.ok("clocks", "No record yet to compare this machine's clock with")
    name = max(ahead, key=ahead.__getitem__)
    if ahead[name] <= _CLOCKS_MS:
        return KAFKA.ok("clocks", "No record's timestamp is ahead of this machine's clock")
    return KAFKA.warning(
        "clocks",
        f"A record of {name} has a timestamp {ahead[name] / 1000:,.0f} s ahead of this machine's "
        "clock",
        "Synchronise brokers, producers and this machine with NTP; a producer may also send "
        "microseconds for milliseconds",
    )


def wrong(obstacle: Obstacle) -> Finding:
    """Return what Kafka says is in the way."""
    return KAFKA.wrong(obstacle.subject, obstacle.sentence, obstacle.advice)


def _in_order(name: str, topic: TopicState) -> Finding:
    partitions = quantity(topic.partitions, "partition")
    kept = "how long it keeps events is unknown"
    if topic.configuration is not None:
        kept = "nothing is deleted by age or size"
    rights = "" if topic.operations is None else "; this client has the rights it needs"
    return KAFKA.ok(name, f"{partitions}, {kept}{rights}")


def _judge_replicas(name: str, topic: TopicState, brokers: int) -> Iterator[Finding]:
    if topic.leaderless:
        yield KAFKA.wrong(
            name,
            f"{topic.leaderless} of {topic.partitions} partitions have no leader: their events "
            "can be neither written nor read",
            "Bring the brokers back that hold them",
        )
    if topic.replicas == 1 and brokers > 1:
        yield KAFKA.warning(
            name,
            "There is one copy of each event; it is lost with its broker",
            "Raise the replication factor to 3 with kafka-reassign-partitions",
        )
    if topic.configuration is None or topic.replicas < 3:
        return
    in_sync = int(topic.configuration.get("min.insync.replicas", "1"))
    if in_sync < 2:
        yield KAFKA.warning(
            name,
            "Kafka acknowledges events that only one broker has (min.insync.replicas=1)",
            "Set min.insync.replicas=2 with kafka-configs",
        )
    elif in_sync >= topic.replicas:
        yield KAFKA.warning(
            name,
            f"One broker away stops all producers (min.insync.replicas={in_sync} of "
            f"{topic.replicas} replicas)",
            f"Set min.insync.replicas={topic.replicas - 1} with kafka-configs",
        )


def _judge_compaction(name: str, topic: TopicState) -> Iterator[Finding]:
    """Say where settings, tokens or gaps are not kept for ever."""
    if topic.configuration is None:
        yield from _unknown_configuration(name, topic)
    elif (policy := topic.configuration.get("cleanup.policy", "delete")) != "compact":
        yield KAFKA.wrong(
            name,
            f"Kafka deletes records that a bill needs (cleanup.policy={policy})",
            "Set cleanup.policy=compact with kafka-configs",
        )


def _unknown_configuration(name: str, topic: TopicState) -> Iterator[Finding]:
    if topic.id:  # the mock cluster has neither ids nor configurations
        yield KAFKA.warning(
            name,
            "It is unknown how long the topic keeps its records: this client may not ask",
            how_to_grant("topic", name, ["DescribeConfigs"]),
        )


def _judge_configuration(
    name: str, topic: TopicState, oldest: int | None, now_ms: int
) -> Iterator[Finding]:
    if topic.configuration is None:
        yield from _unknown_configuration(name, topic)
        return
    if "compact" in topic.configuration.get("cleanup.policy", "delete"):
        yield KAFKA.wrong(
            name,
            "Kafka deletes all events but the last of each key (cleanup.policy=compact)",
            "Set cleanup.policy=delete with kafka-configs",
        )
    found = retention(topic.configuration)
    if found.is_finite:
        yield KAFKA.warning(name, sentence(name, found, oldest, now_ms), ADVICE)


def _judge_sizes(topics: Mapping[str, TopicState]) -> Iterator[Finding]:
    """Say where workers beyond some number have nothing to do: the topic with fewest decides."""
    counts = {
        name: topic.partitions
        for name, topic in topics.items()
        if name not in (DEAD_LETTERS, *LEDGER_TOPICS) and not topic.error
    }
    if counts and min(counts.values()) == 1 < max(counts.values()):
        name = min(counts, key=counts.__getitem__)
        yield KAFKA.warning(
            name,
            "The topic has 1 partition and others have more: only one worker can read it",
            f"Add partitions: kafka-topics --alter --topic {name} --partitions "
            f"{max(counts.values())}",
        )


def _judge_dead_letters(topic: TopicState, largest: int) -> Iterator[Finding]:
    if topic.configuration is None:
        return
    limit = int(topic.configuration.get("max.message.bytes", str(largest)))
    if limit < largest:
        yield KAFKA.warning(
            DEAD_LETTERS,
            f"A dead letter may have {limit:,} bytes; of a larger refused record only a part is "
            "kept, and it cannot be replayed",
            f"Set max.message.bytes={largest} with kafka-configs",
        )


def _judge_group(name: str, group: GroupState) -> Finding:
    if obstacle := group_obstacle(name, group):
        return wrong(obstacle)
    members = "no member" if not group.members else f"{group.members} members"
    if group.members == 1:
        members = "1 member"
    return KAFKA.ok("consumer group", f"{name}: {group.state or 'new'}, {members}")


def judge_transactions(name: str, obstacle: Obstacle | None) -> Finding:
    """Say whether `usage alerts run` may publish here, which it does under a transactional id."""
    if obstacle:
        return wrong(obstacle._replace(sentence=f"{obstacle.sentence}, as `usage alerts run` must"))
    return KAFKA.ok("transactional id", f"{name}: this client may publish alerts' states")


def explain(error: BrokerUnavailableError, servers: str) -> Finding:
    """Return what it means that Kafka at *servers* did not answer at all, or denied everything."""
    if isinstance(error, BrokerDeniedError):
        what, _, advice = str(error).partition(". ")
        return KAFKA.wrong("cluster", what, advice or "Grant it to this client with kafka-acls")
    return KAFKA.wrong(
        "cluster",
        f"Kafka at {servers} does not answer: {error}",
        "Check USAGE_KAFKA and that a broker is running there",
    )
