"""Publishing records and waiting for their acknowledgement, for `send` and `replay`."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from interaction_usage import settings
from interaction_usage.commands.durations import Seconds
from interaction_usage.commands.errors import CommandError

#: Seconds that Kafka may take to acknowledge a record before it counts as not sent.
_PATIENCE = 30
#: Larger records are not sent at all; the topic may allow less.
_MOST_BYTES = 32 * 1024 * 1024

patience_option = click.option(
    "--patience",
    type=Seconds(0.1),
    default=_PATIENCE,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for Kafka's acknowledgement.",
)

#: Called once for each record: why it was not sent, or None, and its partition and offset.
OnDelivery = Callable[[str | None, int, int], None]


def check_broker(config: settings.Settings) -> None:
    """Check that Kafka answers and that the topics exist, before anything is published."""
    from stream_app.broker import ensure_topics
    from stream_app.errors import BrokerUnavailableError
    from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS

    topics = [*EVENT_TOPICS, DEAD_LETTERS]
    try:
        ensure_topics(config.kafka, topics, config.partitions, config.replication)
    except BrokerUnavailableError as error:
        raise CommandError(f"Kafka at {config.kafka}: {error}; nothing was sent.") from None


class Publisher:
    """Sends records to Kafka and reports each as acknowledged or given up."""

    def __init__(self, servers: str, patience: float) -> None:
        from confluent_kafka import Producer

        from stream_app import clients
        from stream_app.publishing_failures import PublishingFailures

        self._failures = PublishingFailures(servers)
        self._producer = Producer(
            {
                **clients.librdkafka(servers),
                "enable.idempotence": True,
                # librdkafka takes a batch that was refused (by a partition that has only just come
                # up) for delivered when the one behind it is taken, which Kafka does for a producer
                # that it knows nothing of there.
                "max.in.flight.requests.per.connection": 1,
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.timeout.ms": int(patience * 1000),
                "message.max.bytes": _MOST_BYTES,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 2 * _MOST_BYTES // 1024,
                "error_cb": self._failures.note,
            }
        )

    def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        *,
        on_delivery: OnDelivery,
        partition: int = -1,
    ) -> None:
        """Queue a record; *on_delivery* is called within a later call of this object.

        The record's key chooses the partition unless one is given.
        """
        from confluent_kafka import KafkaException

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                self._failures.forget()
                on_delivery(None, message.partition(), message.offset())
            else:
                on_delivery(self._failures.why(error, topic), -1, -1)

        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    partition,
                    headers=list(headers) or None,
                    on_delivery=delivered,
                )
                break
            except BufferError:  # the queue is full: let the broker take some of it
                self._failures.poll(self._producer, 0.1)
            except KafkaException as error:  # the record is invalid, or the producer has ended
                on_delivery(self._failures.why(error.args[0], topic), -1, -1)
                break
        self._failures.poll(self._producer, 0)

    def wait(self, tick: Callable[[], None]) -> None:
        """Return when every record is acknowledged or given up, those of *tick* included."""
        while True:
            self._failures.poll(self._producer, 0.2 if len(self._producer) else 0)
            tick()
            if not len(self._producer):
                return
