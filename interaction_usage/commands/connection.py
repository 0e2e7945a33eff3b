"""The connection of a command to Redis, and its errors as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from interaction_usage import settings
from interaction_usage.commands.errors import CommandError

#: Seconds that Kafka may take to answer before a change is refused.
PATIENCE_S = 5.0


@contextmanager
def ledger_connection(config: settings.Settings) -> Iterator[Any]:
    """Yield the ledger (`store.ledger`) of the deployment; errors become a CommandError."""
    from interaction_usage.store.errors import LedgerError, LedgerUnavailableError
    from stream_app.ledger import KafkaLedger

    try:
        with redis_connection(config) as redis:
            redis.ping()  # nothing is published that Redis could not have at once
            yield KafkaLedger(config, redis, PATIENCE_S)
    except LedgerUnavailableError as error:
        raise CommandError(f"{error}; nothing was changed.") from None
    except LedgerError as error:
        raise CommandError(f"{error}.") from None


@contextmanager
def redis_connection(
    config: settings.Settings, patience: float = 30, *, late: bool = False
) -> Iterator[Any]:
    """Yield a client of the Redis in *config*; its errors become a CommandError.

    Wait up to *patience* seconds for an answer. A *late* client may be had while Redis is away.
    """
    from redis.exceptions import MovedError, RedisError

    from interaction_usage.store.address import place
    from interaction_usage.store.client import connect, connect_late
    from interaction_usage.store.errors import (
        IS_CLUSTER_NODE,
        LayoutDiffersError,
        permanent_fault,
        shown,
    )

    where = f"Redis at {place(config.redis)}"
    new_client = connect_late if late else connect
    try:
        with new_client(
            config.redis, socket_timeout=patience, socket_connect_timeout=3
        ) as connected:
            yield connected
    except MovedError:
        raise CommandError(f"{where}: {IS_CLUSTER_NODE}.") from None
    except LayoutDiffersError as error:
        raise CommandError(f"{where}: {error}.") from None
    except RedisError as error:
        if fault := permanent_fault(error):
            raise CommandError(f"{where}: {fault}.") from None
        raise CommandError(f"{where} does not answer: {shown(error)}") from None
