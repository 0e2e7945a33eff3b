"""Publishing records of the ledger: one at a time acknowledged, or several in a transaction.

A transactional id keeps the topics of alerts free of what a process sends that was suspended while
another one took over: Kafka has an epoch for each id, which `take_over` raises, and refuses every
transaction of an earlier one. A lease in Redis alone could not do that: it is checked before a
record is sent, and a process may be suspended in between for as long as anything.
"""

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from interaction_usage.store.errors import ChangePendingError, LedgerUnavailableError
from stream_app import clients
from stream_app.broker import LARGEST_DEAD_LETTER
from stream_app.grants import how_to_grant
from stream_app.publishing_failures import PublishingFailures

#: The partition that is written.
PARTITION: Final = 0
#: Milliseconds after which Kafka aborts a transaction that was left open. Until then nobody reads
#: what comes behind it, unless another process takes over.
_TRANSACTION_MS: Final = 10_000
#: Answers after which Kafka may have a record that it has not acknowledged.
_UNDECIDED: Final = frozenset(
    {
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._TIMED_OUT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    }
)


class OwnRecord(NamedTuple):
    """A record that was published here, and acknowledged."""

    offset: int
    key: bytes | None
    value: bytes | None


class LedgerProducer:
    """Publishes to one partition, and waits for the acknowledgement of each record."""

    def __init__(self, kafka: str, timeout: float, transactional_id: str = "") -> None:
        self._kafka, self._timeout, self._id = kafka, timeout, transactional_id
        self._producer: Producer | None = None
        self._failures = PublishingFailures(kafka)

    def take_over(self) -> None:
        """Have Kafka refuse what others publish by this transactional id, from now on.

        Raises LedgerUnavailableError.
        """
        producer = self._new_producer()
        try:
            producer.init_transactions(self._timeout)
        except KafkaException as error:
            raise LedgerUnavailableError(
                f"Kafka at {self._kafka} starts no transaction: {self._why(error.args[0])}"
            ) from None
        self._producer = producer

    def send(self, topic: str, records: Sequence[tuple[str, bytes]]) -> list[OwnRecord]:
        """Publish *records*; return them with their offsets, once Kafka has acknowledged each.

        In a transaction, if this producer has an id: all or none of them. Raises
        LedgerUnavailableError where Kafka has not all of them, and ChangePendingError where that is
        unknown; then whoever has an id takes over again.
        """
        failures: list[KafkaError] = []
        own: list[OwnRecord] = []

        def delivered(error: KafkaError | None, message: Any) -> None:
            if error:
                failures.append(error)
            else:
                own.append(OwnRecord(message.offset(), message.key(), message.value()))

        producer = self._begun()
        try:
            for key, value in records:
                producer.produce(topic, value, key, PARTITION, on_delivery=delivered)
        except KafkaException as error:
            why = error.args[0].str()
            raise LedgerUnavailableError(f"{topic} does not take {key!r}: {why}") from None
        deadline = time.monotonic() + self._timeout + 1
        while len(own) + len(failures) < len(records) and time.monotonic() < deadline:
            self._failures.poll(producer, 0.1)
        if len(own) == len(records):
            self._commit(producer, topic)
            self._failures.forget()
            return sorted(own)
        self._producer = None  # a failure may be the end of it
        if not failures or failures[0].code() in _UNDECIDED:
            reason = self._failures.noted()
            raise ChangePendingError(
                f"Kafka at {self._kafka} did not acknowledge it within {self._timeout:g} s"
                f"{f' ({reason})' if reason else ''}; "
                "if Kafka stored it anyway, it takes effect within seconds, so look before you "
                "repeat it"
            )
        why = self._failures.why(failures[0], topic)
        raise LedgerUnavailableError(f"Kafka at {self._kafka} does not take it: {why}")

    def _begun(self) -> Producer:
        """Return the producer, in a transaction if it has an id."""
        if not self._id:
            self._producer = self._producer or self._new_producer()
            return self._producer
        if self._producer is None:
            raise LedgerUnavailableError("the last transaction failed; another one is to be begun")
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise self._ended(error.args[0]) from None
        return self._producer

    def _commit(self, producer: Producer, topic: str) -> None:
        """End the transaction, if there is one: what was sent is published then."""
        if not self._id:
            return
        try:
            producer.commit_transaction(self._timeout)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.fatal() or reason.txn_requires_abort():
                raise self._ended(reason) from None
            self._producer = None
            raise ChangePendingError(
                f"Kafka at {self._kafka} did not end a transaction within {self._timeout:g} s; "
                f"whether {topic} has the change is not known yet"
            ) from None

    def _ended(self, reason: KafkaError) -> LedgerUnavailableError:
        """Return that nothing of a transaction is published, for this *reason*."""
        self._producer = None
        return LedgerUnavailableError(
            f"Kafka at {self._kafka} does not publish it: {self._why(reason)}"
        )

    def _why(self, reason: KafkaError) -> str:
        if reason.code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            advice = how_to_grant("transactional-id", self._id, ("Write",))
            return f"it does not allow this client the transactional id {self._id}. {advice}"
        if refused := self._failures.noted():
            return str(refused)
        return str(reason.str())

    def _new_producer(self) -> Producer:
        self._failures.forget()
        exclusive: dict[str, Any] = {}
        if self._id:
            exclusive = {
                "transactional.id": self._id,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "linger.ms": 0,
            }
        return Producer(
            {
                **clients.librdkafka(self._kafka),
                "enable.idempotence": True,  # a repeated record could undo a later one
                "compression.type": "zstd",
                "message.timeout.ms": int(self._timeout * 1000),
                "message.max.bytes": LARGEST_DEAD_LETTER,
                "error_cb": self._failures.note,
                **exclusive,
            }
        )
