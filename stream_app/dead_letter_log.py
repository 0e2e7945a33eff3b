"""Reading `usage.dead-letters`: every refused record there is, once each, newest last."""

import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_app import dead_letters as names
from stream_app.broker import BrokerAway, spans
from stream_app.topics import DEAD_LETTERS

#: Seconds without a record after which reading is given up.
_PATIENCE = 10.0
#: Seconds that one look for more records may take.
_PAUSE = 0.05


class Refusal(NamedTuple):
    """One refused record."""

    refused_at: datetime
    reason: str
    sentence: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]  #: the record's own

    @property
    def origin(self) -> str:
        """Where the record was published: `topic/partition/offset`, which names it."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def refusals(servers: str) -> list[Refusal]:
    """Return all refused records in the order in which they were refused.

    A record that was refused again after a crash is told once. Raises BrokerAway.
    """
    ends = {place: span for place, span in spans(servers, [DEAD_LETTERS]).items() if span.end}
    found: dict[str, Refusal] = {}
    for message in _records(servers, ends):
        refusal = _refusal(message)
        found.setdefault(refusal.origin, refusal)
    return sorted(found.values(), key=lambda refusal: refusal.refused_at)


def _records(servers: str, ends: dict[tuple[str, int], Any]) -> list[Any]:
    """Return the messages of all partitions up to where they end now."""
    open_ends = {place: span.end for place, span in ends.items() if span.end > span.begin}
    if not open_ends:
        return []
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "usage-dead-letters-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        consumer.assign(
            [
                TopicPartition(topic, number, ends[topic, number].begin)
                for topic, number in open_ends
            ]
        )
        messages: list[Any] = []
        last = time.monotonic()
        while open_ends:
            batch = consumer.consume(1000, timeout=_PAUSE)
            if batch:
                last = time.monotonic()
            elif time.monotonic() - last > _PATIENCE:
                raise BrokerAway("the broker stopped answering")
            for message in batch:
                place = (message.topic(), message.partition())
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise BrokerAway(error.str())
                if error is None:
                    messages.append(message)
                if error is not None or message.offset() + 1 >= open_ends.get(place, 0):
                    open_ends.pop(place, None)
        return messages
    except KafkaException as error:
        raise BrokerAway(str(error)) from None
    finally:
        consumer.close()


def _refusal(message: Any) -> Refusal:
    headers = [(name, value or b"") for name, value in message.headers() or []]
    told = {name: value.decode("utf-8", "replace") for name, value in headers[-5:]}
    return Refusal(
        datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC),
        told.get(names.REASON, "unknown"),
        told.get(names.SENTENCE, ""),
        told.get(names.TOPIC, "unknown"),
        int(told.get(names.PARTITION, -1)),
        int(told.get(names.OFFSET, -1)),
        message.key(),
        message.value(),
        headers[:-5],
    )
