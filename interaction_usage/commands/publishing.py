"""Publishing records and waiting for their acknowledgement, for `send` and `replay`."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
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
#: Called once for each record that was not sent: with its value, and why.
OnFailure = Callable[[bytes, str], None]
#: What librdkafka calls: with the error, and the record as a message of its own.
_Callback = Callable[[Any, Any], None]

#: Milliseconds for which records are collected before they are sent, and bytes of a batch: the
#: larger it is, the less it costs everybody, and the better it compresses. `wait` ends the linger.
_LINGER_MS, _BATCH_BYTES = 100, 1_000_000


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


class _Producer:
    """A producer, and how many of its records were acknowledged."""

    def __init__(self, servers: str, patience: float, options: Mapping[str, Any]) -> None:
        from confluent_kafka import KafkaException, Producer

        from stream_app import clients
        from stream_app.publishing_failures import PublishingFailures

        self._invalid = KafkaException
        self._failures = PublishingFailures(servers)
        self._published = self._failed = 0
        self._producer = Producer(
            {
                **clients.librdkafka(servers),
                "enable.idempotence": True,
                # librdkafka takes a batch that was refused (by a partition that has only just come
                # up) for delivered when the one behind it is taken, which Kafka does for a producer
                # that it knows nothing of there.
                "max.in.flight.requests.per.connection": 1,
                "compression.type": "lz4",
                "message.timeout.ms": int(patience * 1000),
                "message.max.bytes": _MOST_BYTES,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 2 * _MOST_BYTES // 1024,
                "error_cb": self._failures.note,
                **options,
            }
        )

    def poll(self, seconds: float = 0) -> None:
        """Have what was acknowledged, and what failed, reported; for up to some seconds."""
        self._failures.poll(self._producer, seconds)

    def wait(self, tick: Callable[[], None]) -> None:
        """Return when every record is acknowledged or given up, those of *tick* included."""
        while True:
            self.poll(0.2 if len(self._producer) else 0)
            tick()
            if not len(self._producer):
                return

    def _produce(self, produce: Callable[[], None], topic: str) -> str | None:
        """Call *produce* as soon as there is room; return why the record is not sent, if so."""
        while True:
            try:
                produce()
            except BufferError:  # the queue is full: let the broker take some of it
                self.poll(0.1)
            except self._invalid as error:  # the record is invalid, or the producer has ended
                return self._failures.why(error.args[0], topic)
            else:
                self._published += 1
                return None


class Publisher(_Producer):
    """Sends many records to Kafka and reports each that was given up."""

    def __init__(self, servers: str, patience: float) -> None:
        options = {
            "linger.ms": _LINGER_MS,
            "batch.size": _BATCH_BYTES,
            "delivery.report.only.error": True,
        }
        super().__init__(servers, patience, options)
        self._forgot_at = 0  # how many were acknowledged then

    @property
    def acknowledged(self) -> int:
        """How many records Kafka has acknowledged."""
        return self._published - self._failed - len(self._producer)

    def failures_to(self, on_failure: OnFailure) -> _Callback:
        """Return what makes `publish` report to *on_failure*, for many records.

        One for each would cost four times as much as all the rest of publishing it.
        """

        def failed(error: Any, message: Any) -> None:
            self._failed += 1
            on_failure(message.value(), self._failures.why(error, message.topic()))

        return failed

    def publish(self, topic: str, key: bytes, value: bytes, failed: _Callback) -> str | None:
        """Queue a record, or return why not. *failed* is called where it is not sent later on."""
        try:
            self._producer.produce(topic, value, key, on_delivery=failed)
        except (BufferError, self._invalid):
            send = partial(self._producer.produce, topic, value, key, on_delivery=failed)
            return self._produce(send, topic)
        self._published += 1
        return None

    def poll(self, seconds: float = 0) -> None:
        """Have what failed reported, for up to some seconds."""
        super().poll(seconds)
        if self.acknowledged > self._forgot_at:
            self._failures.forget()
            self._forgot_at = self.acknowledged

    def wait(self, tick: Callable[[], None]) -> None:
        """Return when every record is acknowledged or given up; nothing lingers any longer."""
        with suppress(self._invalid):  # `poll` notes what ended a producer
            self._producer.flush(0)
        super().wait(tick)


class ReportingPublisher(_Producer):
    """Sends records to Kafka and reports where each went, or why it was given up."""

    def __init__(self, servers: str, patience: float) -> None:
        super().__init__(servers, patience, {"linger.ms": 5})

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

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                self._failures.forget()
                on_delivery(None, message.partition(), message.offset())
            else:
                on_delivery(self._failures.why(error, topic), -1, -1)

        send = partial(
            self._producer.produce,
            topic,
            value,
            key,
            partition,
            headers=list(headers) or None,
            on_delivery=delivered,
        )
        if why := self._produce(send, topic):
            on_delivery(why, -1, -1)
        self.poll()
