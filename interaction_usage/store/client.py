"""Clients of the Redis at a URL: one server, a cluster, or the master of a service."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, cast

from redis.client import Redis
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, ResponseError

from interaction_usage.store import keys
from interaction_usage.store.address import is_cluster, sentinels, server_url
from interaction_usage.store.cluster_topology import Primary, parse_topology
from interaction_usage.store.errors import is_denied
from interaction_usage.store.sentinels import master

#: A client to read the rollups with.
Client = Redis | RedisCluster


def connect(url: str, **options: Any) -> Client:
    """Return a client of the Redis at *url*, with further *options* of redis-py.

    That of a cluster discovers the nodes at once. Raises RedisError if no node answers.
    """
    if is_cluster(url):
        return _Cluster.from_url(server_url(url), **options)
    if found := sentinels(url):
        return master(found, **options)
    return Redis.from_url(server_url(url), **options)


def connect_late(url: str, **options: Any) -> Client:
    """Return the same, which discovers the nodes of a cluster when it is first used.

    Raises no RedisError, but its commands do as long as no node answers.
    """
    return cast(Client, _LateCluster(url, options)) if is_cluster(url) else connect(url, **options)


class _LateCluster:
    """Stands for a cluster's client, and makes it when that is first possible."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url, self._options = url, options
        self._client: Any = None
        self._making = Lock()

    @property  # type: ignore[misc]
    def __class__(self) -> type[RedisCluster]:  # type: ignore[override]
        return RedisCluster

    def __getattr__(self, name: str) -> Any:
        with self._making:  # each would wait for nodes that do not answer, and make a client
            if self._client is None:
                self._client = connect(self._url, **self._options)
        return getattr(self._client, name)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()


class _Cluster(RedisCluster):
    """A cluster's client that behaves like a single server's in two respects.

    It raises a RedisError if no node answers, and it leaves no connection open; redis-py 8 raises
    an exception of another kind, and does not close the pools of nodes discovered from a URL.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with _no_answer_is_an_error():
            super().__init__(*arguments, **options)
        discover = self.nodes_manager.initialize

        def initialize(*arguments: Any, **options: Any) -> None:
            with _no_answer_is_an_error():
                discover(*arguments, **options)

        setattr(self.nodes_manager, "initialize", initialize)  # noqa: B010 (a method, to mypy)

    def close(self) -> None:
        """Close all connections."""
        nodes = list(self.nodes_manager.nodes_cache.values())
        super().close()
        for node in nodes:
            if node.redis_connection:
                node.redis_connection.connection_pool.disconnect()


@contextmanager
def _no_answer_is_an_error() -> Iterator[None]:
    try:
        yield
    except RedisClusterException as error:
        raise RedisConnectionError(str(error)) from error


def primaries_of(redis: Client) -> tuple[Primary, ...]:
    """Return the primaries of the cluster that *redis* is a client of; none for a single server.

    Raises UncoveredSlotsError if a hash slot belongs to no node.
    """
    if not isinstance(redis, RedisCluster):
        return ()
    slots: Any = redis.cluster_slots()
    rows = [(*span, nodes["primary"]) for span, nodes in slots.items()]
    return parse_topology(0, rows).primaries


def live_keys(redis: Client) -> list[str]:
    """Return the keys that name the active namespace (`keys.active`), on a cluster one per node."""
    return [keys.LIVE, *(keys.live_at(primary.tag) for primary in primaries_of(redis))]


def run_ids(redis: Client) -> list[str]:
    """Return the run id of every primary, which is another one after a restart or a failover.

    What a server acknowledged under another run id it may have lost. Empty where this user may not
    run INFO.
    """
    of_nodes: dict[str, Any] = (
        {"target_nodes": RedisCluster.PRIMARIES} if isinstance(redis, RedisCluster) else {}
    )
    try:
        answer = cast(Any, redis).info("server", **of_nodes)
    except ResponseError as error:
        if is_denied(error):
            return []
        raise
    each = [answer] if "run_id" in answer else answer.values()
    return sorted(server["run_id"] for server in each)
