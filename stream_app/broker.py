"""Requests to the broker outside the stream: which topics exist, where they begin and end."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from interaction_usage.store.account_table import ACCOUNTS
from interaction_usage.store.issued_table import REPORTS
from stream_app import clients
from stream_app.errors import BrokerDeniedError, BrokerUnavailableError, TopicDeletedError
from stream_app.grants import how_to_grant
from stream_app.handshake import LoginFailure
from stream_app.login_failures import LoginFailures
from stream_app.topics import COMPACTED_TOPICS, DEAD_LETTERS, LEDGER_TOPICS

_MOCK = "mockCluster"  # what the id of librdkafka's mock cluster begins with


#: Bytes. A dead letter is a record and five more headers, so it needs room beyond what a record may
#: have; one that does not fit is shortened (`stream_app.dead_letters`).
LARGEST_DEAD_LETTER = 32 * 1024 * 1024

#: Nothing is deleted by its age: rollups are rebuilt from the topics, what was rejected for a
#: sealed day is known from the dead letters, and settings and tokens from their own topics.
_FOR_EVER = {"retention.ms": "-1"}


def topic_configuration(topic: str, replication: int) -> dict[str, str]:
    """Return what a *topic* is created with, given its number of replicas.

    With three or more, Kafka acknowledges what two brokers have: one may be lost without losing
    events, and one may be away without stopping producers.
    """
    configuration = dict(_FOR_EVER)
    if topic in COMPACTED_TOPICS:
        configuration["cleanup.policy"] = "compact"
    # The whole history of an account may be imported; a report of ten years has a large file.
    if topic in (DEAD_LETTERS, ACCOUNTS.topic, REPORTS.topic):
        configuration["max.message.bytes"] = str(LARGEST_DEAD_LETTER)
    if replication >= 3:
        configuration["min.insync.replicas"] = "2"
    return configuration


#: What a broker answers where it denies a request, and librdkafka where it cannot log in.
_DENIALS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.POLICY_VIOLATION,
        KafkaError._AUTHENTICATION,
    }
)


#: What librdkafka answers where no broker let it in, or none was reached.
AWAY_CODES = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
    }
)

#: What a broker answers of a partition that has another leader, or none: for a moment after a topic
#: was created, or a broker left. Seconds between two tries then, and for how long there are some.
_LEADERLESS = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
    }
)
_LEADER_POLL_S, _LEADER_PATIENCE_S = 0.1, 2.0

#: Seconds after which a login counts as refused that every broker refused.
_REFUSED_AFTER_S = 2.0


class Span(NamedTuple):
    """The offsets [begin, end) that a partition holds now, and how many of them may be read.

    A transaction that is open keeps everything behind its first record from those who read
    committed transactions, other producers' acknowledged records included: until it is committed or
    aborted, or Kafka aborts it after the producer's `transaction.timeout.ms`.
    """

    begin: int
    stable: int  #: before the first record of a transaction that is open (last stable offset)
    end: int  #: behind the last record that is acknowledged (high watermark)


class Admin:
    """An admin client that is replaced by a new one when no broker answered.

    Where the only broker comes back as one of a new cluster, librdkafka's client may be left with
    none, and never find it again.
    """

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._failures = LoginFailures(servers)
        self._client = self._new()
        self._last: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def renew(self) -> None:
        """Forget the known brokers."""
        # The last one lives on for whoever still waits for its answer, in another thread.
        self._last, self._client = self._client, self._new()
        self._failures.forget()

    def list_topics(self, *topic: str, timeout: float) -> Any:
        """Return the metadata of all topics, or of one. Raises KafkaException.

        That is sooner than after *timeout* seconds where Kafka refuses the login.
        """
        deadline = time.monotonic() + timeout
        while True:
            began = time.monotonic()
            some = min(_REFUSED_AFTER_S, max(deadline - began, 0.0))
            try:
                found = self._client.list_topics(*topic, timeout=some)
            except KafkaException:
                waited = time.monotonic() - began
                is_last = time.monotonic() >= deadline or waited < some / 2
                if is_last or self.login_failure():
                    raise
                continue
            self._client.poll(0)
            self._failures.forget()
            return found

    def login_failure(self) -> LoginFailure | None:
        """Return why Kafka does not let this client in; None if that is not the reason."""
        self._client.poll(0)
        return self._failures.find()

    def _new(self) -> Any:
        return AdminClient(
            {
                **clients.librdkafka(self._servers),
                "error_cb": self._failures.note,
            }
        )


def admin_client(servers: str) -> Any:
    """Return an admin client, which does not log lost connections."""
    return Admin(servers)


def topic_partitions(
    admin: Any, topics: Sequence[str], timeout: float = 5.0, metadata: "Metadata | None" = None
) -> dict[str, int]:
    """Return how many partitions each of *topics* has; those that do not exist are left out.

    Raises BrokerUnavailableError; BrokerDeniedError where this client may not see one of them.
    """
    metadata = metadata or cluster_metadata(admin, timeout)
    hidden = [name for name in topics if name not in metadata.topics]
    if hidden and not metadata.is_mock:
        _raise_if_denied(admin, hidden, timeout)
    return {name: metadata.topics[name] for name in topics if name in metadata.topics}


def _raise_if_denied(admin: Any, topics: Sequence[str], timeout: float) -> None:
    """Raise BrokerDeniedError if Kafka hides one of *topics*, which seems to be missing then."""
    described = admin.describe_topics(TopicCollection(list(topics)), request_timeout=timeout)
    for topic, answer in described.items():
        try:
            answer.result(timeout + 1)
        except KafkaException as error:
            if _is_denial(error):
                raise BrokerDeniedError(
                    f"Kafka does not allow this client to see the topic {topic}. "
                    f"{how_to_grant('topic', topic, ('DESCRIBE',))}"
                ) from None
        except TimeoutError:
            raise unavailable(admin) from None


class Metadata(NamedTuple):
    """What a broker says of the cluster."""

    cluster_id: str
    brokers: int
    topics: Mapping[str, int]  #: name to partitions; only those that this client may see

    @property
    def is_mock(self) -> bool:
        """Whether it is librdkafka's mock cluster, which answers few requests and keeps nothing."""
        return self.cluster_id.startswith(_MOCK)


def cluster_metadata(admin: Any, timeout: float = 5.0) -> Metadata:
    """Return what a broker says of the cluster. Raises BrokerUnavailableError."""
    metadata = _metadata(admin, timeout)
    topics = {name: len(topic.partitions) for name, topic in metadata.topics.items()}
    return Metadata(metadata.cluster_id or "", len(metadata.brokers), topics)


def _metadata(admin: Any, timeout: float, *topic: str) -> Any:
    try:
        return admin.list_topics(*topic, timeout=timeout)
    except KafkaException as error:
        raise unavailable(admin, error) from None


def ensure_topics(
    servers: str, topics: Sequence[str], partitions: int, replication: int, timeout: float = 5.0
) -> None:
    """Create those of *topics* that are missing. Raises BrokerUnavailableError.

    Those of the ledger have one partition, for their records have one order.
    librdkafka's mock cluster answers no such request; it creates topics on a metadata request.
    """
    admin = admin_client(servers)
    there = topic_partitions(admin, topics, timeout)
    missing = [topic for topic in topics if topic not in there]
    if not missing:
        return
    if cluster_metadata(admin, timeout).is_mock:
        for topic in missing:
            _metadata(admin, timeout, topic)
        return
    wanted = [
        NewTopic(
            topic,
            1 if topic in LEDGER_TOPICS else partitions,
            replication,
            config=topic_configuration(topic, replication),
        )
        for topic in missing
    ]
    futures = admin.create_topics(wanted, operation_timeout=timeout, request_timeout=timeout)
    for topic, created in futures.items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                kind = BrokerDeniedError if _is_denial(error) else BrokerUnavailableError
                raise kind(f"{topic} could not be created: {_sentence(error)}") from None


def topic_ids(
    admin: Any, topics: Sequence[str], timeout: float = 5.0, metadata: Metadata | None = None
) -> dict[str, str]:
    """Return the id that Kafka gave each of *topics* when it was created, cut to 8 characters.

    A topic that was deleted and created again has another id. Topics that do not exist are left
    out; librdkafka's mock cluster has no ids, so all are empty. Raises BrokerUnavailableError.
    """
    metadata = metadata or cluster_metadata(admin, timeout)
    there = list(topic_partitions(admin, topics, timeout, metadata))
    if not there or metadata.is_mock:
        return dict.fromkeys(there, "")
    futures = admin.describe_topics(TopicCollection(there), request_timeout=timeout)
    ids = {}
    for topic, described in futures.items():
        try:
            ids[topic] = str(described.result(timeout + 1).topic_id)[:8]
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise unavailable(admin, error) from None
        except TimeoutError:
            raise unavailable(admin) from None
    return ids


def spans(
    servers: str, topics: Sequence[str], timeout: float = 10.0
) -> dict[tuple[str, int], Span]:
    """Return where each partition of *topics* begins and ends.

    Topics that do not exist are left out. Raises BrokerUnavailableError.
    """
    return spans_of(admin_client(servers), topics, timeout)


def spans_of(
    admin: Any,
    topics: Sequence[str],
    timeout: float = 10.0,
    metadata: Metadata | None = None,
    counted: Mapping[tuple[str, int], int] | None = None,
) -> dict[tuple[str, int], Span]:
    """Return the same, with an *admin* client. Raises BrokerUnavailableError.

    Of a partition that is *counted* to its end nothing is left to read; so Kafka is not asked where
    it begins, and 0 stands for that, nor what of it is stable, which is the end.
    """
    partitions = [
        TopicPartition(topic, number)
        for topic, count in topic_partitions(admin, topics, timeout, metadata).items()
        for number in range(count)
    ]
    if not partitions:
        return {}
    ends = _offsets(admin, _list_offsets(admin, partitions, OffsetSpec.latest(), timeout), timeout)
    places = ((at, (at.topic, at.partition)) for at in partitions)
    unread = [at for at, place in places if not counted or counted.get(place, 0) < ends[place]]
    # After the ends: what is behind the stable offset then is behind a transaction, not just newer.
    asked = _list_offsets(admin, unread, OffsetSpec.latest(), timeout, stable=True)
    begins = _offsets(admin, _list_offsets(admin, unread, OffsetSpec.earliest(), timeout), timeout)
    stable = _offsets(admin, asked, timeout)
    return {
        tp: Span(begins.get(tp, 0), min(stable.get(tp, end), end), end) for tp, end in ends.items()
    }


def offsets_since(
    admin: Any, places: Sequence[tuple[str, int]], second: int, timeout: float = 10.0
) -> dict[tuple[str, int], int]:
    """Return where the records that were published since a *second* begin, or the end.

    Raises BrokerUnavailableError.
    """
    partitions = [TopicPartition(*place) for place in places]
    if not partitions:
        return {}
    spec = OffsetSpec.for_timestamp(second * 1000)
    found = _offsets(admin, _list_offsets(admin, partitions, spec, timeout), timeout)
    ends = _offsets(admin, _list_offsets(admin, partitions, OffsetSpec.latest(), timeout), timeout)
    return {place: ends[place] if offset < 0 else offset for place, offset in found.items()}


def committed_offsets(admin: Any, group: str, timeout: float = 5.0) -> dict[tuple[str, int], int]:
    """Return up to where *group* committed each topic-partition, of those for which it did.

    Raises BrokerUnavailableError.
    """
    [future] = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group)], request_timeout=timeout
    ).values()
    try:
        committed = future.result(timeout + 1).topic_partitions
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise unavailable(admin, error) from None
    except TimeoutError:
        raise unavailable(admin) from None
    return {
        (tp.topic, tp.partition): tp.offset for tp in committed if tp.offset >= 0 and not tp.error
    }


def offset_answers(
    admin: Any, partitions: list[TopicPartition], spec: Any, timeout: float
) -> Iterator[tuple[tuple[str, int], Any]]:
    """Yield each topic-partition with what Kafka answers for *spec*: an offset and a timestamp.

    Raises BrokerUnavailableError.
    """
    yield from _answers(admin, _list_offsets(admin, partitions, spec, timeout), timeout)


class _Asked(NamedTuple):
    """Offsets that Kafka was asked for."""

    futures: Mapping[TopicPartition, Any]
    again: Callable[[TopicPartition], Any]  #: asks for one of them again


def _list_offsets(
    admin: Any, partitions: list[TopicPartition], spec: Any, timeout: float, stable: bool = False
) -> _Asked:
    isolation = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED

    def ask(wanted: list[TopicPartition]) -> Any:
        return admin.list_offsets(
            dict.fromkeys(wanted, spec), isolation_level=isolation, request_timeout=timeout
        )

    return _Asked(ask(partitions) if partitions else {}, lambda tp: ask([tp])[tp])


def _offsets(admin: Any, asked: _Asked, timeout: float) -> dict[tuple[str, int], int]:
    return {place: answer.offset for place, answer in _answers(admin, asked, timeout)}


def _answers(admin: Any, asked: _Asked, timeout: float) -> Iterator[tuple[tuple[str, int], Any]]:
    """Yield the answers; a partition that has no leader at the moment is asked for again."""
    patient_until = time.monotonic() + _LEADER_PATIENCE_S
    for tp, first in asked.futures.items():
        future = first
        while True:
            try:
                yield (tp.topic, tp.partition), future.result(timeout + 1)
                break
            except KafkaException as error:
                code = error.args[0].code()
                if code in _LEADERLESS and time.monotonic() < patient_until:
                    time.sleep(_LEADER_POLL_S)
                    future = asked.again(tp)
                    continue
                if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise TopicDeletedError(tp.topic) from None
                raise unavailable(admin, error) from None
            except TimeoutError:
                raise unavailable(admin) from None


def unavailable(admin: Any, error: KafkaException | None = None) -> BrokerUnavailableError:
    """Return what it means that Kafka did not answer, or answered with *error*."""
    failure = None
    if isinstance(admin, Admin):
        if error is None or error.args[0].code() in AWAY_CODES:
            failure = admin.login_failure()
        admin.renew()
    if error and _is_denial(error):
        return BrokerDeniedError(_sentence(error))
    if failure:
        kind = BrokerDeniedError if failure.is_permanent else BrokerUnavailableError
        return kind(str(failure))
    return BrokerUnavailableError(_sentence(error) if error else "no broker answered in time")


def _is_denial(error: KafkaException) -> bool:
    reason = error.args[0]
    return isinstance(reason, KafkaError) and reason.code() in _DENIALS


def _sentence(error: KafkaException) -> str:
    reason = error.args[0]
    text = reason.str() if isinstance(reason, KafkaError) else str(reason)
    if _is_denial(error):
        return f"Kafka does not allow it ({text}). Grant it to this client with kafka-acls"
    return f"no broker answered ({text})"
