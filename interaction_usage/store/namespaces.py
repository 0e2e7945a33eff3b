"""Creating, activating and dropping whole sets of rollups, as a rebuild does."""

from collections.abc import Sequence
from typing import Any, cast

from redis.cluster import RedisCluster

from interaction_usage.store import keys
from interaction_usage.store.client import Client, live_keys, run_ids
from interaction_usage.store.keys import Namespace

_IF_LOCKED = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
_IF_SAME_SERVER = (
    "if ARGV[3] ~= '' and not string.find(redis.call('INFO', 'server'), ARGV[3], 1, true) then "
    "return 0 end "
)
_SET_IF_LOCKED = _IF_LOCKED + _IF_SAME_SERVER + "redis.call('SET', KEYS[2], ARGV[2]) return 1"
_RENEW_IF_LOCKED = _IF_LOCKED + "return redis.call('EXPIRE', KEYS[1], ARGV[2])"
_RELEASE_IF_LOCKED = _IF_LOCKED + "return redis.call('DEL', KEYS[1])"

#: Seconds for which a switch on a cluster is safe from another rebuild.
_SWITCH_S = 60
#: Keys that are scanned, and deleted, in one step.
_KEYS_PER_STEP = 1000


def drop(redis: Client, at: Namespace) -> None:
    """Delete every key of the rollups *at* a namespace."""
    names: list[Any] = []
    for name in redis.scan_iter(at.everything, count=_KEYS_PER_STEP):
        names.append(name)
        if len(names) >= _KEYS_PER_STEP:
            redis.unlink(*names)
            names.clear()
    if names:
        redis.unlink(*names)


def new_namespace(redis: Client, live: Namespace) -> Namespace:
    """Return a namespace that is newer than the active one, and that nobody else was given."""
    while True:
        new = keys.numbered(int(redis.incr(keys.GENERATION)))
        if new.number > live.number:
            return new


def activate(
    redis: Client, at: Namespace, token: str, servers: Sequence[str] | None = None
) -> bool:
    """Activate the rollups *at* a namespace: reports read them and workers write them from now on.

    Returns whether that was done: only if *token* is the value of `keys.REBUILD`, and the servers
    still have these run ids (`client.run_ids`), unless any will do. On one server
    that is one step; on a cluster the other keys are on other nodes, and are set right after the
    check. Every node gets the name there: rollups that are dropped afterwards must not become
    active again because one node has lost its last writes.
    """
    if not isinstance(redis, RedisCluster):
        run_id = servers[0] if servers else ""
        arguments = (keys.REBUILD, keys.LIVE, token, at.name, run_id)
        return bool(redis.eval(_SET_IF_LOCKED, 2, *arguments))
    if servers is not None and run_ids(redis) != servers:
        return False
    if not renew(redis, token, _SWITCH_S):
        return False
    for name in live_keys(redis):
        redis.set(name, at.name)
    return True


def renew(redis: Client, token: str, seconds: int) -> bool:
    """Extend the rebuild lock by *seconds*; return whether *token* still owns it."""
    return bool(redis.eval(_RENEW_IF_LOCKED, 1, keys.REBUILD, token, seconds))


def release(redis: Client, token: str) -> None:
    """Release the rebuild lock if *token* still owns it."""
    redis.eval(_RELEASE_IF_LOCKED, 1, keys.REBUILD, token)


def drop_leftovers(redis: Client, live: Namespace) -> None:
    """Delete what killed rebuilds, and workers that woke up late, left behind."""
    newest = int(cast(bytes | None, redis.get(keys.GENERATION)) or 0)
    # The next one, too: a node of a cluster may have lost the number that it gave out last.
    for generation in range(max(newest, live.number - 1) + 2):
        at = keys.numbered(generation) if generation else keys.FIRST
        if at != live:
            drop(redis, at)
