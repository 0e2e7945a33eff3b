"""The lock on replacing the rollups, for code that does so step by step, without an event loop."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Final
from uuid import uuid4

from redis.exceptions import RedisError

from interaction_usage.store import keys
from interaction_usage.store.client import Client
from interaction_usage.store.errors import RollupsLockedError
from interaction_usage.store.namespaces import release, renew

#: Seconds that the lock lives without being renewed, and between two renewals.
_LIFETIME_S: Final = 60
_RENEWAL_S: Final = 5.0


@contextmanager
def locked(redis: Client) -> Iterator[str]:
    """Let nobody else replace the rollups; yield the token that `namespaces.activate` takes.

    A process that is gone has the lock for a minute at most. One that could not renew it for as
    long has lost it: nothing is activated then. Raises RollupsLockedError.
    """
    token, is_over = uuid4().hex, Event()
    if not redis.set(keys.REBUILD, token, nx=True, ex=_LIFETIME_S):
        raise RollupsLockedError

    def keep() -> None:
        while not is_over.wait(_RENEWAL_S):
            with suppress(RedisError):
                renew(redis, token, _LIFETIME_S)

    renewing = Thread(target=keep, daemon=True)
    renewing.start()
    try:
        yield token
    finally:
        is_over.set()
        renewing.join()
        with suppress(RedisError):
            release(redis, token)
