"""Dropping whole sets of rollups: of a rebuild that failed, or those that it replaced."""

from typing import Any, cast

from redis.cluster import RedisCluster

from interaction_usage.store import keys
from interaction_usage.store.client import Client, live_keys
from interaction_usage.store.keys import Namespace

_HELD = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
_SET_IF_HELD = _HELD + "redis.call('SET', KEYS[2], ARGV[2]) return 1"
_RENEW_IF_HELD = _HELD + "return redis.call('EXPIRE', KEYS[1], ARGV[2])"
_RELEASE_IF_HELD = _HELD + "return redis.call('DEL', KEYS[1])"

#: Seconds for which a switch on a cluster is safe from another rebuild.
_SWITCH = 60
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


def put_in_force(redis: Client, at: Namespace, token: str) -> bool:
    """Have reports read the rollups *at* a namespace from now on, and workers write them.

    Tell whether that was done: only where *token* stands under `keys.REBUILD`. On one server that
    is one step; on a cluster the other keys are on other nodes, and are set just after the look.
    There every node is told: what is dropped on one of them afterwards must not come in force again
    because another has lost its last writes.
    """
    if not isinstance(redis, RedisCluster):
        return bool(redis.eval(_SET_IF_HELD, 2, keys.REBUILD, keys.LIVE, token, at.name))
    if not renew(redis, token, _SWITCH):
        return False
    for name in live_keys(redis):
        redis.set(name, at.name)
    return True


def renew(redis: Client, token: str, seconds: int) -> bool:
    """Keep the right to rebuild for some more *seconds*; tell whether *token* still holds it."""
    return bool(redis.eval(_RENEW_IF_HELD, 1, keys.REBUILD, token, seconds))


def release(redis: Client, token: str) -> None:
    """Give up the right to rebuild, where *token* still holds it."""
    redis.eval(_RELEASE_IF_HELD, 1, keys.REBUILD, token)


def drop_leftovers(redis: Client, live: Namespace) -> None:
    """Delete what rebuilds that were killed, and workers that woke up late, left behind."""
    newest = int(cast(bytes | None, redis.get(keys.GENERATION)) or 0)
    # The one behind it, too: a node of a cluster may have lost the number that it gave out last.
    for generation in range(max(newest, live.number - 1) + 2):
        at = keys.numbered(generation) if generation else keys.FIRST
        if at != live:
            drop(redis, at)
