"""Publishing dead letters outside the worker."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from stream_app.dead_letters import DeadLetter
from stream_app.topics import DEAD_LETTERS

#: Bytes that a dead letter may have; the topic takes no larger ones.
_MOST_BYTES = 32 * 1024 * 1024
#: Milliseconds that Kafka may take to acknowledge one before it counts as away.
_PATIENCE = 60_000


class LetterBox:
    """Publishes dead letters to the Kafka at *servers*."""

    def __init__(self, servers: str) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=servers.split(","),
            acks="all",
            linger_ms=5,
            max_request_size=_MOST_BYTES,
            request_timeout_ms=_PATIENCE,
        )

    async def __aenter__(self) -> "LetterBox":
        """Connect. Raises KafkaError."""
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go."""
        await self._producer.stop()

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Publish *letters* and return when Kafka has acknowledged each. Raises KafkaError."""
        sent = [
            await self._producer.send(
                DEAD_LETTERS, key=letter.key, value=letter.value, headers=letter.headers
            )
            for letter in letters
        ]
        await asyncio.gather(*sent)
