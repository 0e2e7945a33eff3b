"""Clients of the Redis at a URL, be it one server or a cluster (`?cluster=true`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.client import Redis
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException

from interaction_usage.store import keys
from interaction_usage.store.address import is_cluster, server_url
from interaction_usage.store.cluster_topology import Share, layout

#: A client to read the rollups with.
Client = Redis | RedisCluster


def connect(url: str, **options: Any) -> Client:
    """Return a client of the Redis at *url*, with further *options* of redis-py.

    A cluster's looks for the nodes at once. Raises RedisError where there are none.
    """
    if is_cluster(url):
        return _Cluster.from_url(server_url(url), **options)
    return Redis.from_url(server_url(url), **options)


class _Cluster(RedisCluster):
    """A cluster's client that behaves as a single server's in two things.

    Where no node answers it raises a RedisError, and it leaves no connection open; redis-py 8
    raises an exception of another kind, and does not close the pools of nodes found from a URL.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with _nobody_answers():
            super().__init__(*arguments, **options)
        look = self.nodes_manager.initialize

        def initialize(*arguments: Any, **options: Any) -> None:
            with _nobody_answers():
                look(*arguments, **options)

        setattr(self.nodes_manager, "initialize", initialize)  # noqa: B010 (a method, to mypy)

    def close(self) -> None:
        """Let go of all connections."""
        nodes = list(self.nodes_manager.nodes_cache.values())
        super().close()
        for node in nodes:
            if node.redis_connection:
                node.redis_connection.connection_pool.disconnect()


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
