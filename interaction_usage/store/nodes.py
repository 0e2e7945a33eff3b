"""The servers that a writer writes to: a single one, or every primary of a cluster.

A cluster is one server many times: each node has the rollups of its accounts, the positions that
are true of these, and connections that are checked for lost writes, all by itself. What is added is
that accounts may move. The fences move with them, so nothing doubles; but a position says something
of the accounts that a node *had*. So a change of the layout is treated like lost writes: begin
again, from the positions that the new layout has (see `layout`).

While a hash slot is on its way from one node to another, some keys of an account are here and some
there. A script that ran then would take those that are there for missing. So a key that never
exists is named beside the account's head: a cluster refuses a command (TRYAGAIN) where one of its
keys is here and one is not.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MovedError, NoScriptError, RedisError, ResponseError

from interaction_usage.store.address import at_node, is_cluster, server_url
from interaction_usage.store.cluster_topology import Layout, Share, hash_slot, layout
from interaction_usage.store.connection import ask, close_torn_log, info_field, line
from interaction_usage.store.errors import (
    OF_A_CLUSTER,
    BeginAgain,
    LostSecretError,
    LostWrites,
    NodesChanged,
    UnfitRedis,
)
from interaction_usage.store.keys import Namespace, log_begun
from interaction_usage.store.reads import position
from rollups.watermark import Position

log = logging.getLogger(__name__)

#: The scripts of an account, and that of a node's positions, in the order they are registered in.
SCRIPTS: Final = ("apply", "advance", "close", "seal", "forget")
_SOURCES = {
    name: files("interaction_usage.store.lua").joinpath(f"{name}.lua").read_text("utf-8")
    for name in SCRIPTS
}

#: What a deployment should know, and is logged once, where Redis does not let its file be closed.
_MAY_TEAR = (
    "Redis does not allow BGREWRITEAOF to this user, or does not say (INFO) whether it needs it. "
    "Where it keeps an append-only file, and crashes in the middle of a write, its next start but "
    "one may bring back half of an update: run `usage rebuild --verify` after a crash of Redis "
    "(docs/redis.md)"
)
_NO_CLUSTER = (
    "USAGE_REDIS says cluster=true, but the Redis there is no node of a cluster; leave that out"
)


class Node:
    """A server with some of the accounts, and with positions of its own, which are true of these.

    What it acknowledged is kept here, so that a new connection can be asked whether it still has
    that: a server may lose its last writes, and with them the positions behind them.
    """

    def __init__(
        self, redis: AsyncRedis, forgot: Callable[[], None], share: Share | None = None
    ) -> None:
        self.redis = redis
        self._forgot = forgot  # called when the server had forgotten the scripts, and maybe more
        self.share = share  #: what it has of a cluster; None without one
        self.place = share.place if share else ""  #: what its own keys end with
        self.acknowledged: dict[str, int] = {}
        self.secret: tuple[str, bytes] | None = None  #: the key of the secret in use, and it
        self.shas: dict[str, str] = {}
        self.run_id = b""  # of the server whose append-only file was seen to
        self._has_warned = False

    async def confirm(self, connection: Any, at: Namespace) -> None:
        """Check on a new *connection* that it has what it acknowledged. Raises LostWrites."""
        await connection.on_connect()
        try:
            server = await close_torn_log(connection, self.run_id, log_begun(self.place))
        except MovedError:
            if self.share:
                raise  # its hash slots are elsewhere now; whoever looks for the nodes sees that
            raise UnfitRedis(OF_A_CLUSTER) from None
        self._forgot()  # it may be another server, or one without its last writes
        self.run_id = server.run_id
        if server.may_tear and not self._has_warned:
            self._has_warned = True
            log.warning(_MAY_TEAR)
        await self._check_positions(connection, at)
        if self.secret:
            name, secret = self.secret
            if await ask(connection, ("GET", name)) != [secret]:
                # What others write since is hashed with another one: no repeat would be recognised.
                raise LostSecretError

    async def _check_positions(self, connection: Any, at: Namespace) -> None:
        expected = dict(self.acknowledged)
        if not expected:
            return
        [stored] = await ask(connection, ("HMGET", at.positions_at(self.place), *expected))
        found = (position(told).offset if told else 0 for told in stored)
        behind = {
            name: (offset, wanted)
            for (name, wanted), offset in zip(expected.items(), found, strict=True)
            if offset < wanted
        }
        if behind:
            raise LostWrites(behind)

    async def load(self, connection: Any) -> None:
        """Register the scripts."""
        shas = await ask(connection, *(("SCRIPT", "LOAD", _SOURCES[name]) for name in SCRIPTS))
        self.shas = {name: sha.decode() for name, sha in zip(SCRIPTS, shas, strict=True)}

    def names(self, at: Namespace, account: str) -> tuple[str, ...]:
        """Return the keys that a script of *account* is told of here."""
        return (at.head(account), at.never(account)) if self.share else (at.head(account),)

    async def run(
        self, connection: Any, script: str, *calls: tuple[tuple[str, ...], Sequence[Any]]
    ) -> list[Any]:
        """Run a script once for each of *calls*, (keys, arguments), in one go; return the answers.

        Every script may be run again, and is, where the server had forgotten it.
        """
        while True:
            sha = self.shas[script]
            answers = await ask(
                connection,
                *(("EVALSHA", sha, len(names), *names, *rest) for names, rest in calls),
                raising=False,
            )
            if any(isinstance(answer, NoScriptError) for answer in answers):
                self._forgot()
                await self.load(connection)  # the fences skip what was applied
                continue
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            return answers

    async def advance(
        self, connection: Any, at: Namespace, positions: Mapping[str, Position]
    ) -> None:
        """Move the positions forward on this node."""
        arguments: list[Any] = []
        for name, (offset, second) in positions.items():
            arguments += [name, offset, "" if second is None else second]
        await self.run(connection, "advance", ((at.positions_at(self.place),), arguments))
        for name, (offset, _) in positions.items():
            self.acknowledged[name] = max(offset, self.acknowledged.get(name, 0))


class Nodes:
    """One server, with every account."""

    def __init__(self, node: Node) -> None:
        self.all = [node]

    def of(self, key: str) -> Node:
        """Return the node that has *key*, or the rollups of the account of that name."""
        return self.all[0]

    async def find(self) -> None:
        """Look for the nodes that there are now. Raises UnfitRedis where there can be none."""

    async def check(self) -> None:
        """Raise NodesChanged where other nodes are there, or other accounts on them."""

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Have what fails in this block raise NodesChanged where that is why."""
        yield

    async def close(self) -> None:
        """Let go of all connections."""
        for node in self.all:
            await node.redis.aclose()


class ClusterNodes(Nodes):
    """The primaries of a cluster, as they were when they were last looked for.

    *connect* makes a node, given what it has; *seed* is a client of the server that the settings
    name, which is asked where no node is known or none answers.
    """

    def __init__(self, seed: AsyncRedis, connect: Callable[[Share], Node]) -> None:
        self.all = []
        self._seed, self._connect = seed, connect
        self._layout = Layout(-1, ())
        self._owners: list[int] = []

    def of(self, key: str) -> Node:
        """Return the node that has *key*, or the rollups of the account of that name."""
        return self.all[self._owners[hash_slot(key)]]

    async def find(self) -> None:
        """Look for the nodes that there are now. Raises UnfitRedis where there can be none."""
        found = await self._look()
        known = {node.share: node for node in self.all}
        self.all = [
            known.pop(share) if share in known else self._connect(share) for share in found.shares
        ]
        self._layout, self._owners = found, found.owners()
        for node in known.values():
            await node.redis.aclose()

    async def check(self) -> None:
        """Raise NodesChanged where other nodes are there, or other accounts on them.

        Also after every failover, for a node that was demoted and promoted again in between may
        have lost writes without closing a connection.
        """
        found, known = await self._look(), self._layout
        if found.epoch < known.epoch:
            return  # whoever knows more does not answer
        for share in found.shares:
            if share not in known.shares:
                raise NodesChanged(f"{share.host}:{share.port} has other accounts")
        if found.epoch > known.epoch:
            raise NodesChanged(f"there was a failover, or a hash slot moved (epoch {found.epoch})")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Have what fails in this block raise NodesChanged where that is why."""
        try:
            yield
        except BeginAgain:
            raise
        except (RedisError, OSError):
            try:
                await self.check()
            except BeginAgain:
                raise
            except (RedisError, OSError):
                pass  # nobody can tell
            raise

    async def close(self) -> None:
        """Let go of all connections."""
        await super().close()
        await self._seed.aclose()

    async def _look(self) -> Layout:
        """Return the layout as it is known to the node that has heard of the latest epoch."""
        found = await self._ask([node.redis for node in self.all])
        layouts = [told for told in found if isinstance(told, Layout)]
        if not layouts:
            [told] = await self._ask([self._seed])
            if not isinstance(told, Layout):
                raise told
            layouts = [told]
        return max(layouts, key=lambda told: told.epoch)

    async def _ask(self, clients: Sequence[AsyncRedis]) -> list[Layout | BaseException]:
        """Return what each of *clients* knows, or why it does not tell. Raises LostWrites."""
        told = await asyncio.gather(*map(_layout_by, clients), return_exceptions=True)
        for error in told:
            if isinstance(error, BaseException) and not isinstance(error, (RedisError, OSError)):
                raise error
            if isinstance(error, BeginAgain):
                raise error
        return told


async def _layout_by(redis: AsyncRedis) -> Layout:
    """Return the layout as the server knows it that *redis* is a client of."""
    host = str(redis.connection_pool.connection_kwargs["host"])
    async with line(redis) as connection:
        try:
            info, slots = await ask(connection, ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"))
        except ResponseError as error:
            if "cluster support disabled" in str(error):
                raise UnfitRedis(_NO_CLUSTER) from None
            raise
    return layout(int(info_field(info, b"cluster_current_epoch")), slots, host)


def nodes_at(
    url: str, timeout: float, forgot: Callable[[], None], at: Callable[[], Namespace]
) -> Nodes:
    """Return the nodes of the Redis at *url*, each new connection to which is checked.

    *timeout* is how many seconds Redis may take to answer; *forgot* is called when a node has
    forgotten more than it told; *at* tells where the rollups are that are written.
    """

    def connected(server: str, confirm: Any = None) -> AsyncRedis:
        return AsyncRedis.from_url(
            server,
            socket_timeout=timeout,
            socket_connect_timeout=min(timeout, 2.0),
            health_check_interval=30,
            retry=Retry(NoBackoff(), 0),  # whoever calls knows what must be done again
            redis_connect_func=confirm,
        )

    def node_at(share: Share | None = None) -> Node:
        node = Node(AsyncRedis(), forgot, share)

        async def confirm(connection: Any) -> None:
            await node.confirm(connection, at())

        place = at_node(url, share.host, share.port) if share else server_url(url)
        node.redis = connected(place, confirm)
        return node

    if is_cluster(url):
        return ClusterNodes(connected(server_url(url)), node_at)
    return Nodes(node_at())
