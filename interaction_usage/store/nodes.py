"""The servers that a writer writes to: a single one, or every primary of a cluster.

A cluster is many servers side by side: each node has the rollups of its accounts, the positions
that are valid for these, and connections that are checked for lost writes. In addition, accounts
may move. The fences move with them, so nothing is counted twice; but a position describes
the accounts that a node *had*. So a change of the topology is treated like lost writes: read again,
from the positions of the new topology (see `cluster_topology`).

While a hash slot moves from one node to another, some keys of an account are on one and some on the
other. A script that ran then would take those on the other node for missing. So a key that never
exists is named beside the account's head: a cluster rejects a command (TRYAGAIN) if one of its keys
is on the node and another is not.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MovedError, NoScriptError, RedisError, ResponseError

from interaction_usage.store import scripts
from interaction_usage.store.address import is_cluster, node_url, sentinels, server_url
from interaction_usage.store.cluster_topology import (
    Primary,
    Topology,
    hash_slot,
    parse_topology,
)
from interaction_usage.store.connection import (
    close_torn_log,
    execute,
    info_field,
    pinned_connection,
)
from interaction_usage.store.errors import (
    IS_CLUSTER_NODE,
    ClusterChangedError,
    LostSecretError,
    LostWritesError,
    ReseekRequired,
    UnfitRedisError,
)
from interaction_usage.store.keys import Namespace, log_begun
from interaction_usage.store.reads import parse_position
from interaction_usage.store.scripts import OTHER_SECRET
from interaction_usage.store.sentinels import async_master
from rollups.watermark import Position

log = logging.getLogger(__name__)

#: The scripts of an account, and that of a node's positions, in the order they are loaded in.
SCRIPTS: Final = ("apply", "advance", "close", "seal", "forget")
_OF_POSITIONS: Final = "advance"
_SOURCES: Final = {name: scripts.guarded_source(name) for name in SCRIPTS}

#: Seconds that a connection may take at most, and between two checks that it still works.
_CONNECT_TIMEOUT_S, _HEALTH_CHECK_INTERVAL_S = 2.0, 30

_MAY_TEAR = (
    "Redis does not allow this user BGREWRITEAOF, or does not say (INFO) whether it is needed. "
    "If it keeps an append-only file and crashes in the middle of a write, its next start but one "
    "may bring back half of an update: run `usage rebuild --verify` after a crash of Redis "
    "(docs/redis.md)"
)
_NO_CLUSTER = (
    "USAGE_REDIS says cluster=true, but that Redis is not a node of a cluster; remove the option"
)


class Node:
    """A server with some of the accounts, and with the positions that hold for them.

    What it acknowledged is recorded here, so that each new connection can be checked for it: a
    server may lose its last writes, and with them the positions after them.
    """

    def __init__(
        self, redis: AsyncRedis, forgot: Callable[[], None], primary: Primary | None = None
    ) -> None:
        self.redis = redis
        self._forgot = forgot  # called when the server has lost the scripts, and maybe more
        self.primary = primary  #: which primary of a cluster it is; None without one
        self.key_suffix = primary.key_suffix if primary else ""  #: what its own keys end with
        self.acknowledged: dict[str, int] = {}
        self.secret: tuple[str, bytes] | None = None  #: the key of the secret in use, and its value
        self.shas: dict[str, str] = {}
        self.run_id = b""  # of the server whose append-only file was checked last
        self._has_warned = False

    async def confirm(self, connection: Any, at: Namespace) -> None:
        """Check that a new *connection* leads to everything that was acknowledged.

        Raises ReseekRequired. Whatever is raised, the connection is closed first: redis-py would
        keep it in its pool, and use it unchecked, unless the error is one of its own.
        """
        try:
            await self._confirm(connection, at)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    async def _confirm(self, connection: Any, at: Namespace) -> None:
        await connection.on_connect()
        try:
            server = await close_torn_log(connection, self.run_id, log_begun(self.key_suffix))
        except MovedError:
            if self.primary:
                raise  # its hash slots have moved; whoever looks for the nodes will see that
            raise UnfitRedisError(IS_CLUSTER_NODE) from None
        self._forgot()  # it may be another server, or one without its last writes
        self.run_id = server.run_id
        if server.may_tear and not self._has_warned:
            self._has_warned = True
            log.warning(_MAY_TEAR)
        await self._check_positions(connection, at)
        if self.secret:
            key, secret = self.secret
            if await execute(connection, ("GET", key)) != [secret]:
                # Others hash with another one since then: no duplicate would be recognised.
                raise LostSecretError

    async def _check_positions(self, connection: Any, at: Namespace) -> None:
        expected = dict(self.acknowledged)
        if not expected:
            return
        [stored] = await execute(connection, ("HMGET", at.positions_at(self.key_suffix), *expected))
        offsets = (parse_position(value).offset if value else 0 for value in stored)
        behind = {
            name: (offset, acknowledged)
            for (name, acknowledged), offset in zip(expected.items(), offsets, strict=True)
            if offset < acknowledged
        }
        if behind:
            raise LostWritesError(behind)

    async def load_scripts(self, connection: Any) -> None:
        """Load the scripts into the server."""
        shas = await execute(connection, *(("SCRIPT", "LOAD", _SOURCES[name]) for name in SCRIPTS))
        self.shas = {name: sha.decode() for name, sha in zip(SCRIPTS, shas, strict=True)}

    def script_keys(self, at: Namespace, account: str) -> tuple[str, ...]:
        """Return the keys that a script of *account* is given here."""
        return (at.head(account), at.never(account)) if self.primary else (at.head(account),)

    async def run(
        self,
        connection: Any,
        script: str,
        *calls: tuple[tuple[str, ...], Sequence[Any]],
        before: Sequence[tuple[Any, ...]] = (),
    ) -> list[Any]:
        """Run a script once for each of *calls*, (keys, arguments); return the answers.

        Commands that are to be executed *before* go with them; their answers are left out.
        Every script is safe to run again, and is if the server had lost it. Raises LostSecretError
        where the server was emptied: then none of them did anything, but on a cluster only those
        that move positions are sure to notice.
        """
        guard_keys, secret = self._guard(script)
        extra = len(guard_keys)
        while True:
            sha = self.shas[script]
            answers = await execute(
                connection,
                *before,
                *(
                    ("EVALSHA", sha, len(names) + extra, *names, *guard_keys, *rest, secret)
                    for names, rest in calls
                ),
                raising=False,
            )
            if any(isinstance(answer, NoScriptError) for answer in answers):
                self._forgot()
                await self.load_scripts(connection)  # the fences skip what was applied
                continue
            for answer in answers:
                if isinstance(answer, ResponseError) and str(answer).startswith(OTHER_SECRET):
                    raise LostSecretError
                if isinstance(answer, Exception):
                    raise answer
            return answers[len(before) :]

    def _guard(self, script: str) -> tuple[tuple[str, ...], bytes]:
        """Return the key of the secret and the secret, which a script compares before anything.

        A node's own secret is not in the hash slot of its accounts, but in that of its positions.
        """
        if self.secret is None or (self.primary and script != _OF_POSITIONS):
            return (), b""
        key, secret = self.secret
        return (key,), secret

    async def advance(
        self, connection: Any, at: Namespace, positions: Mapping[str, Position]
    ) -> None:
        """Move the positions forward on this node."""
        arguments: list[Any] = []
        for name, (offset, second) in positions.items():
            arguments += [name, offset, "" if second is None else second]
        await self.run(connection, "advance", ((at.positions_at(self.key_suffix),), arguments))
        for name, (offset, _) in positions.items():
            self.acknowledged[name] = max(offset, self.acknowledged.get(name, 0))


class Nodes:
    """One server, with every account."""

    def __init__(self, node: Node) -> None:
        self.all = [node]

    def of(self, key: str) -> Node:
        """Return the node that has *key*, or the rollups of the account of that name."""
        return self.all[0]

    async def discover(self) -> None:
        """Find the nodes as they are now. Raises UnfitRedisError if there can be none."""

    async def check(self) -> None:
        """Raise ClusterChangedError if there are other nodes, or other accounts on them."""

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Turn an error in this block into a ClusterChangedError if that explains it."""
        yield

    async def execute(self, *command: Any) -> Any:
        """Send a command about one key to the node that has the key; return the answer."""
        async with (
            self.watched(),
            pinned_connection(self.of(command[1]).redis) as connection,
        ):
            [answer] = await execute(connection, command)
            return answer

    async def execute_all(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands about one key each, in one round trip to each node; return the answers.

        Those of one node are executed in their order.
        """
        places: dict[Node, list[int]] = {}
        for place, command in enumerate(commands):
            places.setdefault(self.of(command[1]), []).append(place)
        answers: dict[int, Any] = {}
        async with self.watched():
            for node, own in places.items():
                async with pinned_connection(node.redis) as connection:
                    found = await execute(connection, *(commands[place] for place in own))
                answers.update(zip(own, found, strict=True))
        return [answers[place] for place in range(len(commands))]

    async def close(self) -> None:
        """Close all connections."""
        for node in self.all:
            await node.redis.aclose()


class ClusterNodes(Nodes):
    """The primaries of a cluster, as they were when they were last discovered.

    *connect* makes the node of a primary; *seed* is a client of the server in the settings, which
    is asked while no node is known, or if none answers.
    """

    def __init__(self, seed: AsyncRedis, connect: Callable[[Primary], Node]) -> None:
        self.all = []
        self._seed, self._connect = seed, connect
        self._topology = Topology(-1, ())
        self._owners: list[int] = []

    def of(self, key: str) -> Node:
        """Return the node that has *key*, or the rollups of the account of that name."""
        return self.all[self._owners[hash_slot(key)]]

    async def discover(self) -> None:
        """Find the nodes as they are now. Raises UnfitRedisError if there can be none."""
        topology = await self._newest_topology()
        known = {node.primary: node for node in self.all}
        self.all = [
            known.pop(primary) if primary in known else self._connect(primary)
            for primary in topology.primaries
        ]
        self._topology, self._owners = topology, topology.owners()
        for node in known.values():
            await node.redis.aclose()

    async def check(self) -> None:
        """Raise ClusterChangedError if there are other nodes, or other accounts on them.

        Also after every failover: a node that was demoted and promoted again in between may have
        lost writes without closing a connection.
        """
        topology, known = await self._newest_topology(), self._topology
        if topology.epoch < known.epoch:
            return  # the nodes that know more do not answer
        for primary in topology.primaries:
            if primary not in known.primaries:
                raise ClusterChangedError(f"{primary.host}:{primary.port} has other accounts")
        if topology.epoch > known.epoch:
            raise ClusterChangedError(
                f"there was a failover, or a hash slot moved (epoch {topology.epoch})"
            )

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Turn an error in this block into a ClusterChangedError if that explains it."""
        try:
            yield
        except (RedisError, OSError):
            with suppress(RedisError, OSError):  # then nobody can tell
                await self.check()
            raise

    async def close(self) -> None:
        """Close all connections."""
        await super().close()
        await self._seed.aclose()

    async def _newest_topology(self) -> Topology:
        """Return the topology as known to the node that has heard of the latest epoch."""
        answers = await self._ask([node.redis for node in self.all])
        topologies = [answer for answer in answers if isinstance(answer, Topology)]
        if not topologies:
            [answer] = await self._ask([self._seed])
            if not isinstance(answer, Topology):
                raise answer
            topologies = [answer]
        return max(topologies, key=lambda topology: topology.epoch)

    async def _ask(self, clients: Sequence[AsyncRedis]) -> list[Topology | BaseException]:
        """Return what each of *clients* answers, or its error. Raises ReseekRequired."""
        answers = await asyncio.gather(*map(_topology_by, clients), return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in errors:
            if isinstance(error, ReseekRequired) or not isinstance(error, (RedisError, OSError)):
                raise error
        return answers


async def _topology_by(redis: AsyncRedis) -> Topology:
    """Return the topology as known to the server that *redis* is a client of."""
    host = str(redis.connection_pool.connection_kwargs["host"])
    async with pinned_connection(redis) as connection:
        try:
            info, slots = await execute(connection, ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"))
        except ResponseError as error:
            if "cluster support disabled" in str(error):
                raise UnfitRedisError(_NO_CLUSTER) from None
            raise
    return parse_topology(int(info_field(info, b"cluster_current_epoch")), slots, host)


def nodes_at(
    url: str, timeout: float, forgot: Callable[[], None], at: Callable[[], Namespace]
) -> Nodes:
    """Return the nodes of the Redis at *url*; each new connection to them is checked.

    *timeout* is how many seconds Redis may take to answer; *forgot* is called when a node has lost
    what was loaded into it; *at* returns the namespace that is written.
    """

    def client(server: str, confirm: Any = None) -> AsyncRedis:
        options: dict[str, Any] = {
            "socket_timeout": timeout,
            "socket_connect_timeout": min(timeout, _CONNECT_TIMEOUT_S),
            "health_check_interval": _HEALTH_CHECK_INTERVAL_S,
            "retry": Retry(NoBackoff(), 0),  # the caller knows what must be done again
            "redis_connect_func": confirm,
        }
        if found := sentinels(server):
            return async_master(found, **options)
        return AsyncRedis.from_url(server, **options)

    def node_at(primary: Primary | None = None) -> Node:
        node = Node(AsyncRedis(), forgot, primary)

        async def confirm(connection: Any) -> None:
            await node.confirm(connection, at())

        server = node_url(url, primary.host, primary.port) if primary else server_url(url)
        node.redis = client(server, confirm)
        return node

    if is_cluster(url):
        return ClusterNodes(client(server_url(url)), node_at)
    return Nodes(node_at())
