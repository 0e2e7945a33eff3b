"""Kafka: whether its topics keep what a bill needs, and whether this client may use them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, ResourceType

from interaction_usage.doctor.findings import Area, Finding

KAFKA: Final = Area("kafka")

#: Milliseconds of a day.
_DAY_MS: Final = 86_400_000

#: What the id of librdkafka's mock cluster begins with. It answers none of the questions below.
_MOCK: Final = "mockCluster"

_ACLS: Final = "grant it to this client with kafka-acls"


class Topic(NamedTuple):
    """What Kafka says of a topic."""

    partitions: int = 0
    replicas: int = 0  #: of the partition that has fewest
    leaderless: int = 0  #: partitions that nobody can read or write
    operations: frozenset[str] | None = None  #: what this client may do; None if Kafka says nothing
    configuration: Mapping[str, str] | None = None  #: None if this client may not read it
    error: str = ""  #: why nothing is known: missing, denied, or a sentence


class Group(NamedTuple):
    """What Kafka says of the consumer group of the workers."""

    state: str = ""
    members: int = 0
    operations: frozenset[str] | None = None
    error: str = ""


class Cluster(NamedTuple):
    """What Kafka says of everything that a deployment uses."""

    id: str
    brokers: int
    topics: Mapping[str, Topic]
    group: Group

    @property
    def is_mock(self) -> bool:
        """Whether it is the embedded broker of development, which keeps nothing."""
        return self.id.startswith(_MOCK)


# ------------------------------------------------------------------------------------- asking


def ask(servers: str, names: Sequence[str], group: str, timeout: float = 10.0) -> Cluster:
    """Return what Kafka says of the topics *names* and of *group*. Raises KafkaException."""
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    metadata = admin.list_topics(timeout=timeout)
    brokers = len(metadata.brokers)
    if metadata.cluster_id.startswith(_MOCK):
        there = {
            name: Topic(len(metadata.topics[name].partitions), 1)
            if name in metadata.topics
            else Topic(error="missing")
            for name in names
        }
        return Cluster(metadata.cluster_id, brokers, there, Group())
    described = admin.describe_topics(
        TopicCollection(list(names)), include_authorized_operations=True, request_timeout=timeout
    )
    topics = {name: _topic(answer, timeout) for name, answer in described.items()}
    known = [name for name, topic in topics.items() if not topic.error]
    configurations = _configurations(admin, known, timeout)
    for name in known:
        topics[name] = topics[name]._replace(configuration=configurations[name])
    return Cluster(metadata.cluster_id, brokers, topics, _group(admin, group, timeout))


def _topic(answer: Any, timeout: float) -> Topic:
    try:
        found = answer.result(timeout + 1)
    except KafkaException as error:
        return Topic(error=_kind(error))
    except TimeoutError:
        return Topic(error="Kafka did not answer in time")
    return Topic(
        partitions=len(found.partitions),
        replicas=min((len(each.replicas) for each in found.partitions), default=0),
        leaderless=sum(each.leader is None or each.leader.id < 0 for each in found.partitions),
        operations=_operations(found.authorized_operations),
    )


def _configurations(
    admin: AdminClient, names: Sequence[str], timeout: float
) -> dict[str, Mapping[str, str] | None]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    found: dict[str, Mapping[str, str] | None] = {}
    for resource, answer in admin.describe_configs(resources, request_timeout=timeout).items():
        try:
            entries = answer.result(timeout + 1)
        except (KafkaException, TimeoutError):
            found[resource.name] = None
        else:
            found[resource.name] = {name: entry.value or "" for name, entry in entries.items()}
    return found


def _group(admin: AdminClient, name: str, timeout: float) -> Group:
    asked = admin.describe_consumer_groups(
        [name], include_authorized_operations=True, request_timeout=timeout
    )
    try:
        found = asked[name].result(timeout + 1)
    except KafkaException as error:
        kind = _kind(error)
        return Group() if kind == "missing" else Group(error=kind)
    except TimeoutError:
        return Group(error="Kafka did not answer in time")
    return Group(
        found.state.name.lower(), len(found.members), _operations(found.authorized_operations)
    )


def _operations(listed: Iterable[AclOperation] | None) -> frozenset[str] | None:
    return None if listed is None else frozenset(each.name for each in listed)


_MISSING: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)
_DENIED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)


def _kind(error: KafkaException) -> str:
    reason = error.args[0]
    if reason.code() in _MISSING:
        return "missing"
    return "denied" if reason.code() in _DENIED else str(reason.str())


# ------------------------------------------------------------------------------------ judging


def judge(
    cluster: Cluster,
    event_topics: Sequence[str],
    dead_letters: str,
    ledger: Sequence[str],
    largest_dead_letter: int,
) -> Iterator[Finding]:
    """Yield what is to be said of a cluster that answers."""
    brokers = "1 broker" if cluster.brokers == 1 else f"{cluster.brokers} brokers"
    if cluster.is_mock:
        yield KAFKA.warning(
            "cluster",
            "This is the embedded broker for development: it keeps nothing when it ends",
            "Use Apache Kafka for anything that is billed",
        )
    else:
        yield KAFKA.ok("cluster", f"{cluster.id}, {brokers}")
    for name in (*event_topics, dead_letters, *ledger):
        rights = ("READ",) if name in event_topics else ("READ", "WRITE")
        yield from _judge_topic(
            name, cluster.topics[name], rights, cluster.brokers, is_compacted=name in ledger
        )
    yield from _judge_sizes(cluster, event_topics)
    yield from _judge_dead_letters(cluster.topics[dead_letters], dead_letters, largest_dead_letter)
    if not cluster.is_mock:
        yield from _judge_group(cluster.group)


def _judge_topic(
    name: str, topic: Topic, rights: Sequence[str], brokers: int, *, is_compacted: bool
) -> Iterator[Finding]:
    if topic.error:
        yield _unknown_topic(name, topic.error)
        return
    problems = [
        *_judge_rights(name, topic, rights),
        *_judge_replicas(name, topic, brokers),
        *(_judge_compaction if is_compacted else _judge_configuration)(name, topic),
    ]
    yield from problems
    if not problems:
        partitions = "1 partition" if topic.partitions == 1 else f"{topic.partitions} partitions"
        kept = (
            "the last record of each key is kept"
            if is_compacted
            else ("nothing is deleted by age or size")
        )
        yield KAFKA.ok(name, f"{partitions}, {kept}")


def _unknown_topic(name: str, error: str) -> Finding:
    if error == "missing":
        return KAFKA.wrong(
            name, "The topic does not exist", "Start `usage worker`, which creates it, or create it"
        )
    if error == "denied":
        return KAFKA.wrong(
            name, "This client may not see the topic", f"Allow DESCRIBE and READ: {_ACLS}"
        )
    return KAFKA.wrong(name, f"Nothing is known of it: {error}", "Check the brokers' logs")


def _judge_rights(name: str, topic: Topic, rights: Sequence[str]) -> Iterator[Finding]:
    if topic.operations is None:
        return
    if denied := [right for right in rights if right not in topic.operations]:
        needed = " and ".join(denied)
        yield KAFKA.wrong(
            name, f"This client may not {needed}, which a worker must", _allow(denied)
        )


def _allow(rights: Sequence[str]) -> str:
    return f"Allow {' and '.join(rights)}: {_ACLS}"


def _judge_replicas(name: str, topic: Topic, brokers: int) -> Iterator[Finding]:
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


def _judge_compaction(name: str, topic: Topic) -> Iterator[Finding]:
    """Say where settings, tokens or gaps are not kept for ever."""
    if topic.configuration is None:
        yield from _unknown_configuration(name, topic)
    elif (policy := topic.configuration.get("cleanup.policy", "delete")) != "compact":
        yield KAFKA.wrong(
            name,
            f"Kafka deletes records that a bill needs (cleanup.policy={policy})",
            "Set cleanup.policy=compact with kafka-configs",
        )


def _unknown_configuration(name: str, topic: Topic) -> Iterator[Finding]:
    if topic.operations is not None:
        yield KAFKA.warning(
            name,
            "This client may not see how long the topic keeps its records",
            _allow(["DESCRIBE_CONFIGS"]),
        )


def _judge_configuration(name: str, topic: Topic) -> Iterator[Finding]:
    if topic.configuration is None:
        yield from _unknown_configuration(name, topic)
        return
    if "compact" in topic.configuration.get("cleanup.policy", "delete"):
        yield KAFKA.wrong(
            name,
            "Kafka deletes all events but the last of each key (cleanup.policy=compact)",
            "Set cleanup.policy=delete with kafka-configs",
        )
    age, size = (
        int(topic.configuration.get(f"retention.{kind}", "-1")) for kind in ("ms", "bytes")
    )
    if age >= 0:
        yield KAFKA.warning(
            name,
            f"Kafka deletes events after {_days(age)} (retention.ms={age}); a rebuild reaches no "
            "further back",
            "Set retention.ms=-1 with kafka-configs",
        )
    if size >= 0:
        yield KAFKA.warning(
            name,
            f"Kafka deletes the oldest events of a partition beyond {size:,} bytes "
            f"(retention.bytes={size})",
            "Set retention.bytes=-1 with kafka-configs",
        )


def _days(milliseconds: int) -> str:
    for unit, length in (("day", _DAY_MS), ("hour", _DAY_MS // 24)):
        if milliseconds >= length:
            number = f"{milliseconds / length:.3g}"
            return f"{number} {unit}" if number == "1" else f"{number} {unit}s"
    return f"{milliseconds:,} ms"


def _judge_sizes(cluster: Cluster, event_topics: Sequence[str]) -> Iterator[Finding]:
    """Say where workers beyond some number have nothing to do: the topic with fewest decides."""
    counts = {
        name: cluster.topics[name].partitions
        for name in event_topics
        if not cluster.topics[name].error
    }
    if counts and min(counts.values()) == 1 < max(counts.values()):
        name = min(counts, key=counts.__getitem__)
        yield KAFKA.warning(
            name,
            "The topic has 1 partition and others have more: only one worker can read it",
            f"Add partitions: kafka-topics --alter --topic {name} --partitions "
            f"{max(counts.values())}",
        )


def _judge_dead_letters(topic: Topic, name: str, largest: int) -> Iterator[Finding]:
    if topic.configuration is None:
        return
    limit = int(topic.configuration.get("max.message.bytes", str(largest)))
    if limit < largest:
        yield KAFKA.warning(
            name,
            f"A dead letter may have {limit:,} bytes; of a larger refused record only a part is "
            "kept, and it cannot be replayed",
            f"Set max.message.bytes={largest} with kafka-configs",
        )


def _judge_group(group: Group) -> Iterator[Finding]:
    subject = "consumer group"
    if group.error == "denied":
        yield KAFKA.wrong(
            subject, "This client may not use the workers' consumer group", _allow(["READ"])
        )
    elif group.error:
        yield KAFKA.wrong(subject, f"Nothing is known of it: {group.error}", "Check the brokers")
    elif group.operations is not None and "READ" not in group.operations:
        yield KAFKA.wrong(
            subject, "This client may not join the workers' consumer group", _allow(["READ"])
        )
    else:
        members = "no member" if not group.members else f"{group.members} members"
        if group.members == 1:
            members = "1 member"
        yield KAFKA.ok(subject, f"{group.state or 'new'}, {members}")


def explain(error: KafkaException, servers: str) -> Finding:
    """Return what it means that Kafka at *servers* did not answer at all."""
    return KAFKA.wrong(
        "cluster",
        f"Kafka at {servers} does not answer ({error.args[0].str()})",
        "Check USAGE_KAFKA and that a broker is running there",
    )
