"""The way from a command to Redis: connected once, and a sentence when it does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import settings
from commands.errors import Failure


@contextmanager
def redis_connection(config: settings.Settings, patience: float = 30) -> Iterator[Any]:
    """Yield a client of the Redis in *config*; what goes wrong with it is a Failure.

    An answer may take *patience* seconds.
    """
    from redis.exceptions import MovedError, RedisError

    from rollups.connect import client

    try:
        with client(config.redis, socket_timeout=patience, socket_connect_timeout=3) as connected:
            yield connected
    except MovedError:
        place = _place(config.redis)
        raise Failure(
            f"Redis at {place} is a node of a cluster; add ?cluster=true to USAGE_REDIS"
        ) from None
    except RedisError as error:
        raise Failure(f"Redis at {_place(config.redis)} does not answer: {error}") from None


def _place(url: str) -> str:
    """Return *url* without a password."""
    _, at, tail = url.rpartition("@")
    return tail if at else url.partition("://")[2]
