"""What Kafka says of topics and of the consumer group, and what keeps workers from using them.

Metadata of all topics leaves out those that a client may not see; here each topic is asked for by
its name, so one that is missing differs from one that is denied.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, ConfigResource, ResourceType

from stream_app.broker import AWAY_CODES, cluster_metadata, unavailable
from stream_app.errors import BrokerDeniedError, BrokerUnavailableError, TopicsMissingError
from stream_app.grants import how_to_grant
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS, TOPICS

MISSING: Final = "missing"
DENIED: Final = "denied"
#: Said of a consumer group in which others take a part of the events: the rest is counted.
SHARED: Final = "shared"


class TopicState(NamedTuple):
    """What Kafka says of a topic."""

    id: str = ""  #: cut to 8 characters; librdkafka's mock cluster has none
    partitions: int = 0
    replicas: int = 0  #: of the partition that has fewest
    leaderless: int = 0  #: partitions that nobody can read or write
    operations: frozenset[str] | None = None  #: what this client may do; None if Kafka says nothing
    configuration: Mapping[str, str] | None = None  #: None if unknown: not asked, or not allowed
    error: str = ""  #: why nothing is known: MISSING, DENIED, or a sentence


class GroupState(NamedTuple):
    """What Kafka says of the consumer group of the workers."""

    state: str = ""  #: empty where there is no such group yet
    members: int = 0
    operations: frozenset[str] | None = None
    error: str = ""  #: DENIED, or a sentence
    clients: tuple[str, ...] = ()  #: the client id of each member


class Obstacle(NamedTuple):
    """Something in Kafka that keeps workers from counting, or from refusing what is invalid."""

    subject: str  #: the name of a topic, or `consumer group`
    kind: str  #: MISSING, DENIED, SHARED, or empty for anything else
    sentence: str  #: what is so
    advice: str  #: what to do

    def __str__(self) -> str:
        """Return both sentences."""
        return f"{self.sentence}. {self.advice}"


# ------------------------------------------------------------------------------------- asking


def read_topics(
    admin: Any, names: Sequence[str] = (*EVENT_TOPICS, DEAD_LETTERS), timeout: float = 5.0
) -> dict[str, TopicState]:
    """Return what Kafka says of each topic of *names*, without its configuration.

    Raises BrokerUnavailableError where no broker answers at all.
    """
    metadata = cluster_metadata(admin, timeout)
    if metadata.is_mock:
        return {
            name: TopicState(partitions=metadata.topics[name], replicas=1)
            if name in metadata.topics
            else TopicState(error=MISSING)
            for name in names
        }
    described = admin.describe_topics(
        TopicCollection(list(names)), include_authorized_operations=True, request_timeout=timeout
    )
    return {name: _topic(admin, answer, timeout) for name, answer in described.items()}


def _topic(admin: Any, answer: Any, timeout: float) -> TopicState:
    try:
        topic = answer.result(timeout + 1)
    except KafkaException as error:
        return TopicState(error=_kind(admin, error))
    except TimeoutError:
        raise unavailable(admin) from None
    return TopicState(
        id=str(topic.topic_id)[:8],
        partitions=len(topic.partitions),
        replicas=min((len(each.replicas) for each in topic.partitions), default=0),
        leaderless=sum(each.leader is None or each.leader.id < 0 for each in topic.partitions),
        operations=_operations(topic.authorized_operations),
    )


def read_configurations(
    admin: Any, names: Sequence[str], timeout: float = 5.0
) -> dict[str, Mapping[str, str] | None]:
    """Return the configuration of each topic of *names*, None where it is unknown.

    librdkafka's mock cluster does not answer, and a client may not be allowed to ask.
    """
    if not names or cluster_metadata(admin, timeout).is_mock:
        return dict.fromkeys(names)
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    configurations: dict[str, Mapping[str, str] | None] = {}
    for resource, answer in admin.describe_configs(resources, request_timeout=timeout).items():
        try:
            entries = answer.result(timeout + 1)
        except (KafkaException, TimeoutError):
            configurations[resource.name] = None
        else:
            values = {name: entry.value or "" for name, entry in entries.items()}
            configurations[resource.name] = values
    return configurations


def read_group(admin: Any, name: str, timeout: float = 5.0) -> GroupState:
    """Return what Kafka says of the consumer group *name*; nothing, of librdkafka's mock cluster.

    Raises BrokerUnavailableError where no broker answers at all.
    """
    if cluster_metadata(admin, timeout).is_mock:
        return GroupState()
    described = admin.describe_consumer_groups(
        [name], include_authorized_operations=True, request_timeout=timeout
    )
    try:
        group = described[name].result(timeout + 1)
    except KafkaException as error:
        kind = _kind(admin, error)
        return GroupState() if kind == MISSING else GroupState(error=kind)
    except TimeoutError:
        raise unavailable(admin) from None
    return GroupState(
        group.state.name.lower(), len(group.members), _operations(group.authorized_operations),
        clients=tuple(sorted(member.client_id for member in group.members)),
    )  # fmt: skip


def _operations(listed: Iterable[AclOperation] | None) -> frozenset[str] | None:
    # No client may do nothing at all and still be answered: then the broker keeps it to itself.
    return frozenset(each.name for each in listed) if listed else None


_MISSING_CODES: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)
_DENIED_CODES: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)


def _kind(admin: Any, error: KafkaException) -> str:
    reason = error.args[0]
    if reason.code() in AWAY_CODES:
        raise unavailable(admin, error) from None
    if reason.code() in _MISSING_CODES:
        return MISSING
    return DENIED if reason.code() in _DENIED_CODES else str(reason.str())


# ------------------------------------------------------------------------------------ judging

#: What a worker must be allowed, by what it is for.
READ, WRITE = "READ", "WRITE"


def topic_obstacles(
    topics: Mapping[str, TopicState], *, writes: bool = False
) -> Iterator[Obstacle]:
    """Yield what is wrong with *topics*; where the client *writes* some, also with its rights to.

    Every client reads them; workers and rebuilds publish to all topics but those of events.
    """
    for name, topic in topics.items():
        rights = (READ, WRITE) if writes and name not in EVENT_TOPICS else (READ,)
        if obstacle := _topic_obstacle(name, topic, rights):
            yield obstacle


def _topic_obstacle(name: str, topic: TopicState, rights: Sequence[str]) -> Obstacle | None:
    if topic.error == MISSING:
        return Obstacle(
            name, MISSING, f"The topic {name} does not exist",
            "Create it; a worker that starts does so as well",
        )  # fmt: skip
    if topic.error == DENIED:
        return Obstacle(
            name, DENIED, f"Kafka does not allow this client to see the topic {name}",
            how_to_grant("topic", name, rights),
        )  # fmt: skip
    if topic.error:
        return Obstacle(
            name, "", f"Nothing is known of the topic {name}: {topic.error}",
            "Check the brokers' logs",
        )  # fmt: skip
    denied = _lacking(rights, topic.operations)
    if not denied:
        return None
    verbs = " and ".join(denied)
    return Obstacle(
        name, DENIED, f"Kafka does not allow this client to {verbs} the topic {name}",
        how_to_grant("topic", name, denied),
    )  # fmt: skip


#: Returns what is wrong with a group that is called so.
JudgeGroup = Callable[[str, GroupState], Obstacle | None]


def group_obstacle(name: str, group: GroupState) -> Obstacle | None:
    """Return what keeps workers from joining the consumer *group* that is called *name*."""
    if group.error and group.error != DENIED:
        return Obstacle(
            "consumer group", "", f"Nothing is known of the consumer group {name}: {group.error}",
            "Check the brokers' logs",
        )  # fmt: skip
    if group.error or _lacking((READ,), group.operations):
        return group_denied(name)
    return None


def read_obstacles(
    admin: Any, group: str, timeout: float = 5.0, judge_group: JudgeGroup = group_obstacle
) -> list[Obstacle]:
    """Return what keeps a worker of the consumer *group* from using Kafka as it must.

    Raises BrokerUnavailableError where no broker answers at all.
    """
    topics = read_topics(admin, TOPICS, timeout)
    obstacles = list(topic_obstacles(topics, writes=True))
    if obstacle := judge_group(group, read_group(admin, group, timeout)):
        obstacles.append(obstacle)
    return obstacles


def topic_denied(name: str, right: str) -> Obstacle:
    """Return that Kafka denies this client the *right* to use the topic *name*."""
    return Obstacle(
        name, DENIED, f"Kafka does not allow this client to {right} the topic {name}",
        how_to_grant("topic", name, (right,)),
    )  # fmt: skip


def group_denied(name: str) -> Obstacle:
    """Return that Kafka lets nobody join the consumer group *name*."""
    return Obstacle(
        "consumer group", DENIED, f"Kafka does not allow this client to join the group {name}",
        how_to_grant("group", name, (READ,)),
    )  # fmt: skip


def _lacking(rights: Sequence[str], operations: frozenset[str] | None) -> list[str]:
    return [] if operations is None else [each for each in rights if each not in operations]


def raise_first(obstacles: Sequence[Obstacle]) -> None:
    """Raise BrokerDeniedError, TopicsMissingError or BrokerUnavailableError if there is any.

    What is denied comes first: with more rights, what seems to be missing may be there.
    """
    if denied := [each for each in obstacles if each.kind == DENIED]:
        raise BrokerDeniedError("; ".join(map(str, denied)))
    if missing := [each.subject for each in obstacles if each.kind == MISSING]:
        raise TopicsMissingError(missing)
    if obstacles:
        raise BrokerUnavailableError("; ".join(map(str, obstacles)))
