"""Dropping whole sets of rollups: of a rebuild that failed, or those that it replaced."""

from typing import Any, cast

from rollups import keys
from rollups.connect import Client, live_keys
from rollups.keys import Namespace

#: Keys that are looked at, and deleted, in one go.
_AT_ONCE = 1000


def drop(redis: Client, at: Namespace) -> None:
    """Delete every key of the rollups *at* a namespace."""
    names: list[Any] = []
    for name in redis.scan_iter(at.everything, count=_AT_ONCE):
        names.append(name)
        if len(names) >= _AT_ONCE:
            redis.unlink(*names)
            names.clear()
    if names:
        redis.unlink(*names)


def new_namespace(redis: Client, live: Namespace) -> Namespace:
    """Return a namespace that is newer than the one in force, and that nobody else was given."""
    while True:
        new = keys.numbered(int(redis.incr(keys.GENERATION)))
        if new.number > live.number:
            return new


def put_in_force(redis: Client, at: Namespace) -> None:
    """Have reports read the rollups *at* a namespace from now on, and workers write them.

    On a cluster every node is told: what is dropped on one of them afterwards must not come in
    force again because another has lost its last writes.
    """
    for name in live_keys(redis):
        redis.set(name, at.name)


def drop_leftovers(redis: Client, live: Namespace) -> None:
    """Delete what rebuilds that were killed, and workers that woke up late, left behind."""
    newest = int(cast(bytes | None, redis.get(keys.GENERATION)) or 0)
    # The one behind it, too: a node of a cluster may have lost the number that it gave out last.
    for generation in range(max(newest, live.number - 1) + 2):
        at = keys.numbered(generation) if generation else keys.FIRST
        if at != live:
            drop(redis, at)
