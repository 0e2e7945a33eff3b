"""Publishing dead letters: each in full if Kafka accepts that, else as much of it as it accepts."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from faust.exceptions import ProducerSendError

from stream_app import clients
from stream_app.broker import LARGEST_DEAD_LETTER
from stream_app.dead_letters import DeadLetter, read_dead_letter, shortened
from stream_app.errors import BrokerDeniedError
from stream_app.kafka_state import WRITE, topic_denied
from stream_app.topics import DEAD_LETTERS

log = logging.getLogger(__name__)

_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)

#: How dead letters are compressed: rejected records may have been sent compressed, and would be
#: many times as large otherwise.
COMPRESSION = "zstd"

#: Milliseconds that Kafka may take to acknowledge a dead letter of a `DeadLetterProducer`.
_TIMEOUT_MS = 60_000


async def publish(producer: Any, letters: Sequence[DeadLetter]) -> None:
    """Publish *letters* and return when Kafka has acknowledged each, in full or shortened.

    *producer* is Faust's, or a `DeadLetterProducer`. Raises KafkaError and ProducerSendError.
    """
    large: list[DeadLetter] = []
    sent: list[tuple[DeadLetter, Awaitable[Any]]] = []
    for letter in letters:
        try:
            sent.append((letter, await _send(producer, letter)))
        except (KafkaError, ProducerSendError) as error:
            if not _is_too_large(error):
                raise
            large.append(letter)
    outcomes = await asyncio.gather(*(answer for _, answer in sent), return_exceptions=True)
    for (letter, _), outcome in zip(sent, outcomes, strict=True):
        if isinstance(outcome, _TOO_LARGE):
            large.append(letter)  # or the batch was, that the producer made of it and others
        elif isinstance(outcome, BaseException):
            raise outcome
    for letter in large:
        await _publish_alone(producer, letter)


async def _publish_alone(producer: Any, letter: DeadLetter) -> None:
    """Publish *letter* in a batch of its own, with as much of it as Kafka accepts."""
    for shorter in (letter, *shortened(letter)):
        try:
            await (await _send_alone(producer, shorter))
        except _TOO_LARGE:
            continue
        if shorter is not letter:
            headers = read_dead_letter(letter.headers)
            place = headers.place if headers else "?"
            log.warning("%s is too large for %s and is kept there in part", place, DEAD_LETTERS)
        return
    raise MessageSizeTooLargeError(
        f"{DEAD_LETTERS} does not accept even a dead letter without its value; raise the topic's "
        "max.message.bytes"
    )


def _is_too_large(error: BaseException) -> bool:
    """Tell whether Kafka or its client did not accept a record because of its size."""
    return isinstance(
        error.__cause__ if isinstance(error, ProducerSendError) else error, _TOO_LARGE
    )


async def _send(producer: Any, letter: DeadLetter) -> Awaitable[Any]:
    """Send *letter* with Faust's producer; return what is done when Kafka acknowledges it."""
    if letter.key is None and letter.value is None:  # aiokafka's `send` accepts no such record
        return await _send_alone(producer, letter)
    sent: Awaitable[Any] = await producer.send(
        DEAD_LETTERS, letter.key, letter.value, None, None, letter.headers
    )
    return sent


async def _send_alone(producer: Any, letter: DeadLetter) -> Awaitable[Any]:
    """Do the same without Faust, in a batch of its own, to any of the partitions."""
    client = producer._ensure_producer()
    batch = client.create_batch()
    batch.append(timestamp=None, key=letter.key, value=letter.value, headers=letter.headers)
    batch.close()
    if batch.size() > LARGEST_DEAD_LETTER:
        raise MessageSizeTooLargeError(f"a dead letter of {batch.size()} bytes")
    partition = random.choice(sorted(await client.partitions_for(DEAD_LETTERS)))
    sent: Awaitable[Any] = await client.send_batch(batch, DEAD_LETTERS, partition=partition)
    return sent


class DeadLetterProducer:
    """Publishes dead letters to the Kafka at *servers*, outside the worker."""

    def __init__(self, servers: str) -> None:
        self._producer = AIOKafkaProducer(
            **clients.aiokafka(servers),
            acks="all",
            linger_ms=5,
            compression_type=COMPRESSION,
            max_request_size=LARGEST_DEAD_LETTER,
            request_timeout_ms=_TIMEOUT_MS,
        )

    async def __aenter__(self) -> "DeadLetterProducer":
        """Connect. Raises KafkaError."""
        try:
            await self._producer.start()
        except BaseException:  # nobody else ends what has only half begun
            await self._producer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Publish *letters* and return when Kafka has acknowledged each.

        Raises KafkaError; BrokerDeniedError where this client may not write the topic.
        """
        try:
            await publish(self, letters)
        except TopicAuthorizationFailedError:
            raise BrokerDeniedError(str(topic_denied(DEAD_LETTERS, WRITE))) from None

    async def send(
        self, topic: str, key: Any, value: Any, partition: None, timestamp: None, headers: Any
    ) -> Awaitable[Any]:
        """Send a record, as Faust's producer does. Raises KafkaError."""
        sent: Awaitable[Any] = await self._producer.send(topic, value, key, headers=headers)
        return sent

    def _ensure_producer(self) -> AIOKafkaProducer:
        return self._producer
