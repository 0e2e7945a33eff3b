"""The lock on rebuilding: one process at a time has it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from redis.exceptions import RedisError

from interaction_usage.store import keys
from interaction_usage.store.client import Client
from interaction_usage.store.namespaces import release, renew
from stream_app.errors import LockLostError, RebuildRunningError

#: Seconds that the lock lives without being renewed, and between two renewals.
_LIFETIME, _RENEWAL = 60, 5.0


class RebuildLock:
    """A lock that ends by itself when it is not renewed, so it may be lost.

    Then another rebuild may have begun, and have dropped what this one wrote, also where nobody has
    the lock now.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.is_lost = False

    def check(self) -> None:
        """Raise LockLostError where a renewal found the lock gone."""
        if self.is_lost:
            raise LockLostError


@asynccontextmanager
async def locked(redis: Client) -> AsyncIterator[RebuildLock]:
    """Let nobody else rebuild; a process that is gone has the lock for a minute at most.

    Raises RebuildRunningError.
    """
    lock = RebuildLock(uuid4().hex)
    if not redis.set(keys.REBUILD, lock.token, nx=True, ex=_LIFETIME):
        raise RebuildRunningError
    renewing = asyncio.create_task(_keep_renewing(redis, lock))
    try:
        yield lock
    finally:
        renewing.cancel()
        with suppress(RedisError):
            release(redis, lock.token)


async def _keep_renewing(redis: Client, lock: RebuildLock) -> None:
    while not lock.is_lost:
        await asyncio.sleep(_RENEWAL)
        with suppress(RedisError):
            lock.is_lost = not renew(redis, lock.token, _LIFETIME)
