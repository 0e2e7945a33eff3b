"""Writing the rollups: where a worker's events go, and what must be true before any are written.

Events are applied by `micro_batch`, days are sealed by `sealing`; this module knows the namespace,
the secret and the nodes that both of them write to.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ResponseError

from interaction_usage.store import keys, preflight
from interaction_usage.store.connection import pinned_connection
from interaction_usage.store.errors import (
    LayoutDiffersError,
    LostSecretError,
    RollupsSwitchedError,
    SecretMissingError,
    SessionLimitsDifferError,
)
from interaction_usage.store.keys import Namespace
from interaction_usage.store.layouts import check_layout, is_of_first_layout
from interaction_usage.store.micro_batch import (
    ApplyResult,
    DeltaSizes,
    MicroBatch,
    PartitionBatch,
    Reject,
    publish_nothing,
)
from interaction_usage.store.nodes import Node, Nodes, nodes_at
from interaction_usage.store.reads import lowest_positions, parse_position
from interaction_usage.store.sealing import Sealer
from rollups.catalog import APPLICATIONS
from rollups.fold import SECRET_BYTES, OffsetEvent
from rollups.watermark import Position

log = logging.getLogger(__name__)

_SCAN_COUNT: Final = 1_000
#: How many of the listed accounts are looked at where the secret is missing.
_SOME_ACCOUNTS: Final = 100

_pack = msgspec.msgpack.Encoder().encode


class Writer:
    """Writes rollups. One per worker; it keeps nothing that Redis does not have.

    *limits* are the session limits in seconds, by application; *clock* returns the current second,
    which decides how long days stay open. It writes the rollups *at* a namespace, or those that are
    active whenever it begins.

    The caller must write the records of a topic-partition without a gap, from an offset that
    `begin` returned. Whether Redis still has what was written before is checked on every new
    connection (`nodes.Node.confirm`), before anything else is sent on it: a server that restarts,
    or is demoted, closes its connections. A batch applied on top of a gap would move the fences
    over it.
    """

    def __init__(
        self,
        redis: AsyncRedis,
        limits: Mapping[str, int],
        at: Namespace | None = None,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.keys = at or keys.FIRST
        self.clock = clock
        self.limits = dict(limits)
        self.packed_limits = _pack([limits[application] for application in APPLICATIONS])
        self.delta_sizes = DeltaSizes()
        self.secret = b""  #: what identities are hashed with; known once this is prepared
        self._follows_active = at is None
        self._listed: set[str] = set()
        self._forgotten = 0  # how often what was listed may have been lost
        self.nodes = Nodes(Node(redis, self._forget))
        self._sealer = Sealer(self)

    @classmethod
    def of(
        cls,
        url: str,
        limits: Mapping[str, int],
        timeout: float,
        at: Namespace | None = None,
        *,
        clock: Callable[[], float],
    ) -> "Writer":
        """Return a writer to the Redis at *url*, a server or a cluster, that checks connections.

        *timeout* is how many seconds Redis may take to answer.
        """
        writer = cls(AsyncRedis(), limits, at, clock=clock)
        writer.nodes = nodes_at(url, timeout, writer._forget, lambda: writer.keys)
        return writer

    async def close(self) -> None:
        """Close all connections."""
        await self.nodes.close()

    # ------------------------------------------------------------------ beginning

    async def begin(self, names: Sequence[str]) -> dict[str, int]:
        """Return where the rollups of these topic-partitions end, and continue from there.

        A name that Redis does not know has position 0. What was acknowledged before this call is
        not expected any longer, and the nodes of a cluster are discovered again.
        """
        for node in self.nodes.all:
            node.acknowledged, node.secret = {}, None
        await self.prepare()
        if not names:
            return {}
        await self._drop_positions_of_other_topologies()
        begins: dict[str, int] = {}
        for node in self.nodes.all:
            key = self.keys.positions_at(node.key_suffix)
            stored = await cast(Awaitable[list[bytes | None]], node.redis.hmget(key, list(names)))
            node.acknowledged = {
                name: parse_position(value).offset if value else 0
                for name, value in zip(names, stored, strict=True)
            }
            for name, offset in node.acknowledged.items():
                begins[name] = min(offset, begins.get(name, offset))
        return begins

    async def _drop_positions_of_other_topologies(self) -> None:
        """If a node of a cluster has no positions, delete those of other topologies.

        They may be wrong by the time that such a topology is back.
        """
        current = {
            self.keys.positions_at(node.key_suffix): node for node in self.nodes.all if node.primary
        }
        missing = [key for key, node in current.items() if not await node.redis.exists(key)]
        if not missing:
            return
        old = [
            (node, key)
            for node in current.values()
            async for key in node.redis.scan_iter(f"{self.keys.positions}*", count=_SCAN_COUNT)
            if key.decode() not in current
        ]
        for node, key in old:
            await node.redis.unlink(key)
        if await self.nodes.execute("EXISTS", self.keys.accounts):
            log.warning(
                "The Redis cluster has rollups, but no positions for its current hash slots (%s): "
                "all topics are read from their beginning. What is counted is skipped, so nothing "
                "is wrong, but it takes a while",
                ", ".join(missing),
            )

    async def active_namespace(self) -> Namespace:
        """Return the namespace that is active now; reports are read from it."""
        if not self.nodes.all:
            await self.nodes.discover()
        return keys.active(await self.nodes.execute_all(*self._live()))

    def _live(self) -> list[tuple[str, str]]:
        """Return what asks for the active namespace, on a cluster on each node."""
        own = [keys.live_at(node.primary.tag) for node in self.nodes.all if node.primary]
        return [("GET", key) for key in (keys.LIVE, *own)]

    async def _load_secret(self) -> None:
        """Load what identities and session keys of these rollups are hashed with.

        It is created once and kept with the rollups, before anything that depends on it; on a
        cluster on every node, so that one that lost everything does not cause another secret.
        """
        at, execute = self.keys, self.nodes.execute
        own = [
            at.secret_at(node.primary.tag) if node.primary else at.secret for node in self.nodes.all
        ]
        stored = {key: await execute("GET", key) for key in (*own, at.secret)}
        secret: bytes | None = next((value for value in stored.values() if value), None)
        if secret is None:
            if await self._has_any_account():
                raise SecretMissingError  # it was written before anything else
            await execute("SET", at.secret, secrets.token_bytes(SECRET_BYTES), "NX")
            secret = stored[at.secret] = cast(bytes, await execute("GET", at.secret))
        for key, value in stored.items():
            if value != secret:
                await execute("SET", key, secret)
        for node, key in zip(self.nodes.all, own, strict=True):
            node.secret = key, secret
        self.secret = secret

    async def _has_any_account(self) -> bool:
        """Return whether anything is counted for an account that is listed.

        One may be listed and no more: it was new just when Redis was emptied.
        """
        some = await self.nodes.execute("SRANDMEMBER", self.keys.accounts, _SOME_ACCOUNTS)
        for account in some:
            if await self.nodes.execute("EXISTS", self.keys.head(account.decode())):
                return True
        return False

    async def check_rollups(self) -> None:
        """Check that the rollups are still the active ones, and those that were begun with.

        Raises RollupsSwitchedError, or LostSecretError where a node was emptied or the rollups have
        another secret. An emptied Redis breaks no connection, so somebody has to look.
        """
        if not self.nodes.all:
            await self.nodes.discover()
        await self.nodes.check()
        live, secrets_ = self._live(), [node.secret for node in self.nodes.all if node.secret]
        answers = await self.nodes.execute_all(*live, *(("GET", key) for key, _ in secrets_))
        if keys.active(answers[: len(live)]) != self.keys:
            raise RollupsSwitchedError
        if answers[len(live) :] != [secret for _, secret in secrets_]:
            raise LostSecretError

    async def prepare(self) -> None:
        """Discover the nodes, load the scripts, and find out where and how to write."""
        self._forget()
        await self.nodes.discover()
        for node in self.nodes.all:
            async with pinned_connection(node.redis) as connection:
                await node.load_scripts(connection)
        if self._follows_active:
            self.keys = await self.active_namespace()
        await self._load_secret()

    # ------------------------------------------------------------------- applying

    async def apply(
        self,
        fence: str,
        placed: Sequence[OffsetEvent],
        ends: int | None = None,
        second: int | None = None,
        reject: Reject = publish_nothing,
    ) -> ApplyResult:
        """Apply a batch of one topic-partition by itself; see `MicroBatch`."""
        batch = PartitionBatch.of(fence, placed, ends, second)
        [result] = await self.micro_batch([batch]).run(reject)
        return result

    def micro_batch(self, batches: Sequence[PartitionBatch]) -> MicroBatch:
        """Return a micro-batch of *batches*, each of another topic-partition."""
        return MicroBatch(self, batches)

    async def list_accounts(self, accounts: Sequence[str]) -> None:
        """List *accounts* before their first event is written, so that none is missing."""
        with self.listing(accounts) as commands:
            for command in commands:
                await self.nodes.execute(*command)

    @contextmanager
    def listing(self, accounts: Sequence[str]) -> Iterator[list[tuple[str, ...]]]:
        """Yield the command that lists those of *accounts* that may not be, if any is.

        It is executed within this block, or the block raises. Where the server is found to have
        lost its last writes meanwhile, they do not count as listed. Nor do they before the block
        ends: what another micro-batch writes meanwhile must come behind its own listing.
        """
        new = [account for account in accounts if account not in self._listed]
        forgotten = self._forgotten
        yield [("SADD", self.keys.accounts, *new)] if new else []
        if forgotten == self._forgotten:
            self._listed.update(new)

    def _forget(self) -> None:
        self._listed.clear()
        self._forgotten += 1

    async def advance(self, positions: Mapping[str, Position]) -> None:
        """Record that every record before these offsets is counted or rejected; never goes back.

        Only for what needed no writing, or was written and recorded before; see `MicroBatch`.
        """
        if positions:
            async with self.nodes.watched():
                for node in self.nodes.all:
                    async with pinned_connection(node.redis) as connection:
                        await node.advance(connection, self.keys, positions)

    def is_acknowledged(self, name: str, offset: int) -> bool:
        """Tell whether every node has acknowledged this position, or a later one, since `begin`."""
        return all(node.acknowledged.get(name, -1) >= offset for node in self.nodes.all)

    async def positions(self) -> dict[str, Position]:
        """Return how far each topic-partition is counted, on every node."""
        stored = [
            await cast(
                Awaitable[dict[bytes, bytes]],
                node.redis.hgetall(self.keys.positions_at(node.key_suffix)),
            )
            for node in self.nodes.all
        ]
        return lowest_positions(stored)

    # -------------------------------------------------------------------- sealing

    async def scan_accounts(self, cursor: int, count: int) -> tuple[int, list[str]]:
        """Return about *count* of the accounts that an event was counted for, and a new cursor.

        A scan begins with cursor 0, and is complete when 0 is returned.
        """
        new, names = await self.nodes.execute("SSCAN", self.keys.accounts, cursor, "COUNT", count)
        return int(new), [name.decode() for name in names]

    async def is_rebuilding(self) -> bool:
        """Return whether a rebuild of the rollups is running."""
        return bool(await self.nodes.execute("EXISTS", keys.REBUILD))

    async def seal(self, accounts: Sequence[str], complete: int) -> int:
        """Seal the days of *accounts* that nothing changed for 35 days (`Sealer.seal`)."""
        return await self._sealer.seal(accounts, complete)

    async def seal_as(self, account: str, sealed: Mapping[int, int]) -> None:
        """Seal days of *account*, block to a bit for each of its days (`Sealer.seal_as`)."""
        await self._sealer.seal_as(account, sealed)

    # ------------------------------------------------------------- what must be true

    async def check_fitness(self) -> None:
        """Raise UnfitRedisError if this Redis may drop keys, or is too old."""
        await self.nodes.discover()
        for node in self.nodes.all:
            await preflight.check_fitness(node)

    async def check_limits(self) -> None:
        """Record the session limits and the layout with the active rollups, or compare them.

        Raises SessionLimitsDifferError, or LayoutDiffersError, if others are recorded.
        """
        if not self.nodes.all:
            await self.nodes.discover()
        if self._follows_active:
            self.keys = await self.active_namespace()
        ours = msgspec.json.encode({keys.LAYOUT_FIELD: keys.LAYOUT, **self.limits})
        try:
            # One command: a crash leaves all of it or nothing.
            await self.nodes.execute("SET", self.keys.limits, ours, "NX")
            stored: bytes | None = await self.nodes.execute("GET", self.keys.limits)
        except ResponseError as error:
            if is_of_first_layout(error):
                raise LayoutDiffersError(1) from None
            raise
        check_layout(stored)
        recorded: dict[str, Any] = msgspec.json.decode(stored or ours)
        recorded.pop(keys.LAYOUT_FIELD)
        if recorded != self.limits:
            raise SessionLimitsDifferError(recorded, self.limits)
