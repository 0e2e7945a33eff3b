"""A Redis Cluster of several servers on 127.0.0.1, ready when every node says so."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage.servers.child import ServerDiedError
from interaction_usage.servers.ports import free_port
from interaction_usage.servers.redis_server import Flavour, RedisServer

#: How many hash slots every cluster has.
HASH_SLOTS = 16_384

#: Milliseconds after which a node that does not answer is taken for failed.
_NODE_TIMEOUT = 2_000
#: Seconds that the nodes may take to agree, and between two looks at whether they do.
_PATIENCE, _LOOK = 60.0, 0.02


class RedisCluster:
    """Primaries with an equal share of the hash slots each, and replicas of them if wanted.

    The replica at an index follows the primary at the same index. Each server has a folder of its
    own in `folder`; with `keep` it survives `kill()` there, as a `RedisServer` does, and with its
    place in the cluster. `extra` are further arguments of every server.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 3,
        replicated: bool = False,
        flavour: Flavour = "auto",
        keep: bool = True,
        extra: Sequence[str] = (),
    ) -> None:
        self._folder, self._flavour, self._keep, self._extra = folder, flavour, keep, extra
        self._bus_ports: dict[int, int] = {}
        self.primaries = [self._server(f"node-{number}") for number in range(nodes)]
        self.replicas = [
            self._server(f"replica-{number}") for number in range(nodes if replicated else 0)
        ]

    @property
    def url(self) -> str:
        """A redis:// URL that names its first node, and says that it is one of a cluster."""
        return f"{self.primaries[0].url}?cluster=true"

    @property
    def servers(self) -> list[RedisServer]:
        """All servers, whether they run or not."""
        return [*self.primaries, *self.replicas]

    def start(self) -> None:
        """Start new servers, make them one cluster, and wait until each says that it is whole.

        Raises ServerDiedError when one does not come up, or they do not agree within a minute.
        """
        for server in self.servers:
            server.start()
        count = len(self.primaries)
        for number, server in enumerate(self.primaries):
            first, end = (HASH_SLOTS * at // count for at in (number, number + 1))
            ask(server, "CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            ask(server, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            self._meet(server)
        self.wait()
        for primary, replica in zip(self.primaries, self.replicas, strict=False):
            ask(replica, "CLUSTER", "REPLICATE", ask(primary, "CLUSTER", "MYID"))
        self._until(lambda: all(_is_linked(replica) for replica in self.replicas))

    def wait(self) -> None:
        """Wait until every running node takes commands and is known to every other."""
        running = [server for server in self.servers if server.alive]
        names = {ask(server, "CLUSTER", "MYID") for server in running}
        self._until(lambda: all(_is_ready(server, names) for server in running))

    def add(self) -> RedisServer:
        """Start one more primary, which has no slots yet, and have it join."""
        server = self._server(f"node-{len(self.primaries)}")
        server.start()
        self.primaries.append(server)
        self._meet(server)
        self.wait()
        return server

    def stop(self) -> None:
        """End all servers in order."""
        for server in self.servers:
            if server.alive:
                server.process.terminate()  # so that they end beside each other
        for server in self.servers:
            server.stop()

    def _server(self, name: str) -> RedisServer:
        port, bus = free_port(), free_port()
        self._bus_ports[port] = bus
        return RedisServer(
            self._folder / name,
            port=port,
            flavour=self._flavour,
            keep=self._keep,
            extra=(
                *("--cluster-enabled", "yes"),
                *("--cluster-port", str(bus)),
                *("--cluster-node-timeout", str(_NODE_TIMEOUT)),
                # A replica takes over however far behind it is.
                *("--cluster-replica-validity-factor", "0"),
                *("--repl-diskless-sync-delay", "0"),
                *self._extra,
            ),
        )

    def _meet(self, server: RedisServer) -> None:
        first = self.primaries[0].port
        ask(server, "CLUSTER", "MEET", "127.0.0.1", first, self._bus_ports[first])

    def _until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                log = self.primaries[0].folder / "redis.log"
                raise ServerDiedError("The Redis cluster", "did not become whole in time.", log)
            time.sleep(_LOOK)


def ask(server: RedisServer, *command: Any) -> Any:
    """Return what one node answers to a command, text as text."""
    with Redis.from_url(server.url, decode_responses=True) as client:
        return client.execute_command(*command)


def _is_ready(server: RedisServer, names: set[str]) -> bool:
    """Tell whether a node takes commands and has met the nodes with these *names*."""
    try:
        state, known = (ask(server, "CLUSTER", what) for what in ("INFO", "NODES"))
    except RedisError:
        return False
    met = {line.split()[0] for line in known.splitlines() if "handshake" not in line}
    return "cluster_state:ok" in state and names <= met


def _is_linked(replica: RedisServer) -> bool:
    answer = ask(replica, "INFO", "replication")
    return bool(answer["role"] == "slave" and answer["master_link_status"] == "up")


@contextmanager
def redis_cluster(
    folder: Path | None = None,
    *,
    nodes: int = 3,
    replicated: bool = False,
    flavour: Flavour = "auto",
    extra: Sequence[str] = (),
) -> Iterator[RedisCluster]:
    """Yield a running cluster until the block ends; data is kept when `folder` is given.

    Raises ServerMissingError when the flavour asked for is not on this machine, ServerDiedError
    when it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="usage-redis-cluster-") as temporary:
        cluster = RedisCluster(
            folder or Path(temporary),
            nodes=nodes,
            replicated=replicated,
            flavour=flavour,
            keep=folder is not None,
            extra=extra,
        )
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
