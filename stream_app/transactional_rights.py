"""Whether this client may publish under a transactional id, asked without touching a transaction.

Kafka says what a client may do with topics and groups, but not with transactional ids. So this asks
it to end a transaction of a producer that cannot exist: it checks the right first, and then finds
that no producer has this number. Beginning a transaction would stop the process that has the id.
"""

import asyncio
from typing import Any, Final

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.transaction import EndTxnRequest

from stream_app import clients
from stream_app.grants import how_to_grant
from stream_app.kafka_state import DENIED, Obstacle

_NOBODY: Final = -1
_PAUSE_S: Final = 0.1
#: What passes by itself: Kafka is making its own topic for transactions, or moves a coordinator.
_PASSING: Final = (
    errors.CoordinatorNotAvailableError,
    errors.CoordinatorLoadInProgressError,
    errors.NotCoordinatorError,
)


def read_transactional_obstacle(servers: str, name: str, timeout: float = 5.0) -> Obstacle | None:
    """Return what keeps this client from publishing under the transactional id *name*."""
    try:
        asyncio.run(asyncio.wait_for(_ask(servers, name), timeout))
    except errors.TransactionalIdAuthorizationFailed:
        return Obstacle(
            "transactional id", DENIED,
            f"Kafka does not allow this client to WRITE the transactional id {name}",
            how_to_grant("transactional-id", name, ("WRITE",)),
        )  # fmt: skip
    except errors.InvalidProducerIdMapping:
        return None
    except (errors.KafkaError, OSError, TimeoutError) as error:
        return Obstacle(
            "transactional id", "",
            f"It is unknown whether this client may WRITE the transactional id {name}: "
            f"{str(error) or 'no answer'}",
            "Check the brokers' logs",
        )  # fmt: skip
    return None


async def _ask(servers: str, name: str) -> None:
    """Raise what Kafka answers."""
    client: Any = AIOKafkaClient(**clients.aiokafka(servers))
    try:
        await client.bootstrap()
        while True:
            try:
                node = await client.coordinator_lookup(CoordinationType.TRANSACTION, name)
                answer = await client.send(node, EndTxnRequest(name, _NOBODY, 0, False))
                if wrong := answer.error_code:
                    raise errors.for_code(wrong)(name)
                return
            except _PASSING:
                await asyncio.sleep(_PAUSE_S)
    finally:
        await client.close()
