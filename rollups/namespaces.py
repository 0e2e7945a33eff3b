"""Dropping whole sets of rollups: of a rebuild that failed, or those that it replaced."""

from typing import Any, cast

from redis.client import Redis

from rollups import keys
from rollups.keys import Namespace

#: Keys that are looked at, and deleted, in one go.
_AT_ONCE = 1000


def drop(redis: Redis, at: Namespace) -> None:
    """Delete every key of the rollups *at* a namespace."""
    names: list[Any] = []
    for name in redis.scan_iter(at.everything, count=_AT_ONCE):
        names.append(name)
        if len(names) >= _AT_ONCE:
            redis.unlink(*names)
            names.clear()
    if names:
        redis.unlink(*names)


def drop_leftovers(redis: Redis, live: Namespace) -> None:
    """Delete what rebuilds that were killed, and workers that woke up late, left behind."""
    newest = int(cast(bytes | None, redis.get(keys.GENERATION)) or 0)
    for generation in range(newest + 1):
        at = keys.numbered(generation) if generation else keys.FIRST
        if at != live:
            drop(redis, at)
