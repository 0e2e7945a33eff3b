"""Clients of the Redis at a URL, be it one server or a cluster (`?cluster=true`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.client import Redis
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException

from rollups import keys
from rollups.address import is_cluster, server_url
from rollups.layout import Share, layout

#: A client to read the rollups with.
Client = Redis | RedisCluster


def client(url: str, **options: Any) -> Client:
    """Return a client of the Redis at *url*, with further *options* of redis-py.

    A cluster's looks for the nodes at once. Raises RedisError where there are none.
    """
    if is_cluster(url):
        with _nobody_answers():
            return _told_apart(RedisCluster.from_url(server_url(url), **options))
    return Redis.from_url(server_url(url), **options)


def _told_apart(cluster: RedisCluster) -> RedisCluster:
    """Have *cluster* raise a RedisError where no node answers, as the client of one server does.

    redis-py 8 raises an exception of another kind where it looks for the nodes anew.
    """
    look = cluster.nodes_manager.initialize

    def initialize(*arguments: Any, **options: Any) -> None:
        with _nobody_answers():
            look(*arguments, **options)

    setattr(cluster.nodes_manager, "initialize", initialize)  # noqa: B010 (a method, to mypy)
    return cluster


@contextmanager
def _nobody_answers() -> Iterator[None]:
    try:
        yield
    except RedisClusterException as error:
        raise RedisConnectionError(str(error)) from error


def shares_of(redis: Client) -> tuple[Share, ...]:
    """Return the nodes of the cluster that *redis* is a client of; none of a single server.

    Raises Uncovered where a hash slot belongs to no node.
    """
    if not isinstance(redis, RedisCluster):
        return ()
    told: Any = redis.cluster_slots()
    return layout(0, [(*slots, its["primary"]) for slots, its in told.items()]).shares


def live_keys(redis: Client) -> list[str]:
    """Return the keys that name the namespace in force (`keys.in_force`): one on each node, too."""
    return [keys.LIVE, *(keys.live_at(share.tag) for share in shares_of(redis))]
