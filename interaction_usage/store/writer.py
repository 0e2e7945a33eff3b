"""Writing the rollups: rounds of events into Redis, each event once, by one script an account."""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NamedTuple, cast

import msgspec
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ResponseError

from interaction_usage.store import keys
from interaction_usage.store.connection import ask, at_once, line
from interaction_usage.store.day_encoding import open_day, seal, sealed_days
from interaction_usage.store.errors import LayoutDiffers, LimitsDiffer, SecretMissingError
from interaction_usage.store.keys import Namespace
from interaction_usage.store.nodes import Node, Nodes, nodes_at
from interaction_usage.store.preflight import check_fitness
from interaction_usage.store.reads import lowest, position
from rollups.catalog import APPLICATIONS
from rollups.fold import (
    MOST_EVENTS,
    SEALED_AFTER,
    SECRET_BYTES,
    Placed,
    Portion,
    by_account,
    days_touched_by,
    fold,
    halves,
    stretches,
)
from rollups.slots import DAYS_PER_BLOCK
from rollups.timestamps import DAY_SECONDS
from rollups.watermark import Position

log = logging.getLogger(__name__)

#: Events that are folded before others may run: about 2 ms.
_FOLDED_AT_ONCE = 1_000

#: Days of one account that are sealed in one go, fields of them that are read in one go, and
#: buckets of identities or sessions that are forgotten in one go: each some milliseconds at most.
_DAYS_AT_ONCE, _FIELDS_AT_ONCE, _BUCKETS_AT_ONCE = 8, 1_000, 12
#: Accounts of which it is kept that their parts must be smaller.
_SIZES_KEPT = 10_000
#: Accounts whose heads are looked at in one go.
_HEADS_AT_ONCE = 100

#: What the script answers, but for those that ask for smaller parts.
_APPLIED, _PARTLY_APPLIED, _KNOWN, _DAYS_SEALED = range(4)

_pack = msgspec.msgpack.Encoder().encode


class Taken(NamedTuple):
    """A batch of one topic-partition, as it is to be applied."""

    fence: str  #: the name of the topic-partition (`keys.fence`)
    placed: Sequence[Placed]  #: its events in the order of their offsets; there may be none
    ends: int | None = None  #: where the position moves when all of it is in the rollups
    second: int | None = None  #: the timestamp of its newest record


class Sealed(NamedTuple):
    """An event that is refused, for a day that it touches is sealed."""

    fence: str
    placed: Placed


#: Called with events that are refused, before anything behind them is written.
Refuse = Callable[[Sequence[Sealed]], Awaitable[None]]


class Applied(NamedTuple):
    """What became of a batch."""

    events: int  #: how many it had
    duplicates: int  #: how many of its round were applied before
    refused: int = 0  #: how many were for a sealed day


async def _refuse_quietly(_: Sequence[Sealed]) -> None:
    """Publish nothing."""


class Writer:
    """Applies rounds of events. One per worker; it keeps nothing that Redis does not have.

    *limits* are the session limits in seconds, by application; *clock* tells the second it is, for
    which days stay open. It writes the rollups *at* a namespace, or those that are in force
    whenever it begins.

    Whoever lets it write must write the records of a topic-partition without a hole, from a place
    that `begin` names. That Redis still has what was written before is checked on every new
    connection, before anything else is sent on it: a server that restarts, or is demoted, closes
    its connections. A batch applied on top of a hole would move the fences over it.
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
        self._follows = at is None
        self._registered: set[str] = set()
        #: Events that a part may have, of accounts of which the script asked for smaller parts.
        self.part_sizes: dict[str, int] = {}
        self.secret = b""  #: what identities are hashed with; known once this is prepared
        self.nodes = Nodes(Node(redis, self._registered.clear))

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
        """Return a writer to the Redis at *url* that checks every new connection.

        The Redis may be a cluster (`connect`). *timeout* is how many seconds it may take to answer.
        """
        writer = cls(AsyncRedis(), limits, at, clock=clock)
        writer.nodes = nodes_at(url, timeout, writer._registered.clear, lambda: writer.keys)
        return writer

    async def close(self) -> None:
        """Let go of all connections."""
        await self.nodes.close()

    # ------------------------------------------------------------------ beginning

    async def begin(self, names: Sequence[str]) -> dict[str, int]:
        """Return where the rollups of these topic-partitions end, and go on from there.

        A name that Redis does not know has position 0. What was acknowledged before this call is
        expected no longer, and the nodes of a cluster are looked for anew.
        """
        for node in self.nodes.all:
            node.acknowledged, node.secret = {}, None
        await self.prepare()
        if not names:
            return {}
        await self._forget_other_layouts()
        begins: dict[str, int] = {}
        for node in self.nodes.all:
            stored = await cast(
                Awaitable[list[bytes | None]],
                node.redis.hmget(self.keys.positions_at(node.place), list(names)),
            )
            node.acknowledged = {
                name: position(told).offset if told else 0
                for name, told in zip(names, stored, strict=True)
            }
            for name, offset in node.acknowledged.items():
                begins[name] = min(offset, begins.get(name, offset))
        return begins

    async def _forget_other_layouts(self) -> None:
        """Where a node of a cluster has no positions, delete those of other layouts.

        They may be true no longer by the time at which that layout is there again.
        """
        known = {self.keys.positions_at(node.place): node for node in self.nodes.all if node.share}
        missing = [key for key, node in known.items() if not await node.redis.exists(key)]
        if not missing:
            return
        old = [
            (node, key)
            for node in known.values()
            async for key in node.redis.scan_iter(f"{self.keys.positions}*", count=1000)
            if key.decode() not in known
        ]
        for node, key in old:
            await node.redis.unlink(key)
        counted = await self._tell("EXISTS", self.keys.accounts)
        if counted:
            log.warning(
                "The Redis cluster has rollups, but no positions for the hash slots as they are "
                "now (%s): all topics are read from their beginning. What is counted is skipped, "
                "so nothing is wrong, but it takes its time",
                ", ".join(missing),
            )

    async def in_force(self) -> Namespace:
        """Return the namespace that is in force now; reports are read from it."""
        if not self.nodes.all:
            await self.nodes.find()
        told = [await self._tell("GET", keys.LIVE)]
        told += await asyncio.gather(
            *(node.redis.get(keys.live_at(node.share.tag)) for node in self.nodes.all if node.share)
        )
        return keys.in_force(told)

    async def _learn_secret(self) -> None:
        """Learn what identities and session keys of these rollups are hashed with.

        It is made once and kept with the rollups, before anything that depends on it; on a cluster
        on every node, so that one that lost everything does not bring another one about.
        """
        at = self.keys
        own = [at.secret_at(node.share.tag) if node.share else at.secret for node in self.nodes.all]
        stored = {name: await self._tell("GET", name) for name in (*own, at.secret)}
        secret: bytes | None = next((value for value in stored.values() if value), None)
        if secret is None:
            if await self._tell("EXISTS", at.accounts):
                raise SecretMissingError  # it was written before anything else
            await self._tell("SET", at.secret, secrets.token_bytes(SECRET_BYTES), "NX")
            secret = stored[at.secret] = cast(bytes, await self._tell("GET", at.secret))
        for name, value in stored.items():
            if value != secret:
                await self._tell("SET", name, secret)
        for node, name in zip(self.nodes.all, own, strict=True):
            node.secret = name, secret
        self.secret = secret

    async def prepare(self) -> None:
        """Look for the nodes, register the scripts, and learn where and how to write."""
        self._registered.clear()
        await self.nodes.find()
        for node in self.nodes.all:
            async with line(node.redis) as connection:
                await node.load(connection)
        if self._follows:
            self.keys = await self.in_force()
        await self._learn_secret()

    async def _tell(self, *command: Any) -> Any:
        """Send a command about one key to the node that has it; return the answer."""
        async with self.nodes.watched(), line(self.nodes.of(command[1]).redis) as connection:
            [answer] = await ask(connection, command)
            return answer

    # ------------------------------------------------------------------- applying

    async def apply(
        self,
        fence: str,
        placed: Sequence[Placed],
        ends: int | None = None,
        second: int | None = None,
        refuse: Refuse = _refuse_quietly,
    ) -> Applied:
        """Apply a batch of one topic-partition by itself; see `Round`."""
        [applied] = await self.round([Taken(fence, placed, ends, second)]).run(refuse)
        return applied

    def round(self, batches: Sequence[Taken]) -> "Round":
        """Return a round of *batches*, each of another topic-partition."""
        return Round(self, batches)

    def was_too_much(self, account: str, size: int) -> None:
        """Make smaller parts of *account* from now on: one of *size* events was too much."""
        if len(self.part_sizes) >= _SIZES_KEPT:
            self.part_sizes.clear()
        self.part_sizes[account] = max(size // 2, 1)

    def was_applied(self, account: str, size: int) -> None:
        """Make larger parts again where one of the size that was allowed went through."""
        allowed = self.part_sizes.get(account)
        if allowed is not None and size >= allowed:
            if 2 * allowed < MOST_EVENTS:
                self.part_sizes[account] = 2 * allowed
            else:
                del self.part_sizes[account]

    async def list_accounts(self, accounts: Sequence[str]) -> None:
        """Have *accounts* listed before their first event is written, so that none is missing."""
        new = [account for account in accounts if account not in self._registered]
        if new:
            await self._tell("SADD", self.keys.accounts, *new)
            self._registered.update(new)

    # -------------------------------------------------------------------- advancing

    async def advance(self, positions: Mapping[str, Position]) -> None:
        """Record that every record before these offsets is counted or refused; never goes back.

        Only for what needed no writing, or was written and recorded before; see `Round`.
        """
        if positions:
            async with self.nodes.watched():
                for node in self.nodes.all:
                    async with line(node.redis) as connection:
                        await node.advance(connection, self.keys, positions)

    async def positions(self) -> dict[str, Position]:
        """Return how far each topic-partition is counted, on every node."""
        return lowest(
            [
                cast(
                    dict[bytes, bytes],
                    await cast(
                        Awaitable[Any], node.redis.hgetall(self.keys.positions_at(node.place))
                    ),
                )
                for node in self.nodes.all
            ]
        )

    async def say(self, key: str, what: bytes, seconds: int) -> None:
        """Have *what* stand under *key* for some seconds."""
        await self._tell("SET", key, what, "EX", seconds)

    async def be_listed(self, name: str, second: int, since: int) -> None:
        """Put a worker that lives at *second* on their list; take off who did before *since*."""
        await self._tell("ZADD", keys.WORKERS, second, name)
        await self._tell("ZREMRANGEBYSCORE", keys.WORKERS, "-inf", since)

    async def words(self) -> list[bytes]:
        """Return what each worker last said of itself, as far as that still stands."""
        names = await self._tell("ZRANGE", keys.WORKERS, 0, -1)
        said = [await self._tell("GET", keys.worker(name.decode())) for name in names]
        return [word for word in said if word]

    # ---------------------------------------------------------------------- sealing

    async def some_accounts(self, cursor: int, count: int) -> tuple[int, list[str]]:
        """Return some accounts that an event was counted for, about *count*, and a new cursor.

        A cursor of 0 begins, and is returned at the end.
        """
        told = await self._tell("SSCAN", self.keys.accounts, cursor, "COUNT", count)
        return int(told[0]), [name.decode() for name in told[1]]

    async def is_rebuilt(self) -> bool:
        """Tell whether a rebuild of the rollups is under way."""
        return bool(await self._tell("EXISTS", keys.REBUILD))

    async def seal(self, accounts: Sequence[str], complete: int) -> int:
        """Seal what nothing changed for 35 days in *accounts*; return how many of their days.

        *complete* is a second on the clock: everything that was published before it is counted or
        refused (`watermark.CaughtUp`). No script of this takes longer the more an account has.
        Nothing is sealed while a rebuild runs: it takes over which days are sealed.
        """
        due = complete - SEALED_AFTER
        sealed = 0
        async with self.nodes.watched():
            for node in self.nodes.all:
                its = [account for account in accounts if self.nodes.of(account) is node]
                async with line(node.redis) as connection:
                    for at in range(0, len(its), _HEADS_AT_ONCE):
                        if await self.is_rebuilt():
                            return sealed
                        some = its[at : at + _HEADS_AT_ONCE]
                        for account, look in (await self._heads(connection, some)).items():
                            sealed += await self._seal_account(node, connection, account, look, due)
        return sealed

    async def seal_as(self, account: str, sealed: Mapping[int, int]) -> None:
        """Seal the days of *account* that *sealed* says, block to a bit for each of its days.

        For rollups that nobody else writes yet: they are to refuse what the ones before them did.
        """
        async with self.nodes.watched():
            node, head = self.nodes.of(account), self.keys.head(account)
            async with line(node.redis) as connection:
                for block, bits in sealed.items():
                    await ask(connection, ("HSET", head, f"{keys.SEALED_DAYS}{block}", bits))
                    await self._seal_block(node, connection, account, block, _LONG_AGO)
                [look] = (await self._heads(connection, [account])).values()
                await self._forget(node, connection, account, look)

    async def _heads(self, connection: Any, accounts: Sequence[str]) -> dict[str, "_Head"]:
        """Return what the head of each account says there is to do."""
        looks = {account: _Head() for account in accounts}
        cursors = dict.fromkeys(accounts, b"0")
        while cursors:
            commands = (
                ("HSCAN", self.keys.head(account), cursor, "COUNT", _FIELDS_AT_ONCE)
                for account, cursor in cursors.items()
            )
            answers = await ask(connection, *commands)
            for account, (cursor, flat) in zip(list(cursors), answers, strict=True):
                looks[account].add(flat[::2])
                cursors[account] = cursor
                if int(cursor) == 0:
                    del cursors[account]
        return looks

    async def _seal_block(
        self, node: Node, connection: Any, account: str, block: int, due: int
    ) -> int:
        """Seal the days of a block that are due; return how many."""
        names, sealed = node.names(self.keys, account), 0
        while True:
            [told] = await node.run(connection, "close", (names, (block, due, _DAYS_AT_ONCE)))
            if not told:
                return sealed
            version, *days = told
            [packed] = await ask(connection, ("GET", self.keys.sealed_days(account, block)))
            kept = sealed_days(packed)
            for day in days:
                fields = await self._fields(connection, self.keys.day(account, day))
                kept[day - block * DAYS_PER_BLOCK] = open_day(fields)
            arguments = (block, version, seal(kept), *days)
            [done] = await node.run(connection, "seal", (names, arguments))
            sealed += len(days) if done else 0

    async def _fields(self, connection: Any, key: str) -> dict[bytes, bytes]:
        """Return the fields of a closed day, which nobody changes, some at a time."""
        found: dict[bytes, bytes] = {}
        cursor = b"0"
        while True:
            [(cursor, flat)] = await ask(
                connection, ("HSCAN", key, cursor, "COUNT", _FIELDS_AT_ONCE)
            )
            found |= zip(flat[::2], flat[1::2], strict=True)
            if int(cursor) == 0:
                return found

    async def _seal_account(
        self, node: Node, connection: Any, account: str, look: "_Head", due: int
    ) -> int:
        sealed = 0
        for block in look.open_blocks(due):
            sealed += await self._seal_block(node, connection, account, block, due)
        if sealed:
            look = (await self._heads(connection, [account]))[account]
        await self._forget(node, connection, account, look)
        return sealed

    async def _forget(self, node: Node, connection: Any, account: str, look: "_Head") -> None:
        """Drop the identities and sessions that no open day of *account* needs any more."""
        for block in (*sorted(look.remembered - look.opened), *([""] if look.scan else ())):
            while True:
                arguments = (block, self.packed_limits, _BUCKETS_AT_ONCE)
                names = node.names(self.keys, account)
                [more] = await node.run(connection, "forget", (names, arguments))
                if not more:
                    break

    # ------------------------------------------------------------- what must be true

    async def check_fitness(self) -> None:
        """Raise UnfitRedis where this Redis may drop keys, or lacks a command that is used."""
        await self.nodes.find()
        for node in self.nodes.all:
            await check_fitness(node)

    async def check_limits(self) -> None:
        """Record the session limits, and the layout, with the rollups that are in force.

        Raises LimitsDiffer, or LayoutDiffers, where others are there.
        """
        if not self.nodes.all:
            await self.nodes.find()
        if self._follows:
            self.keys = await self.in_force()
        told = msgspec.json.encode({keys.LAYOUT_FIELD: keys.LAYOUT, **self.limits})
        try:
            # One command: a crash leaves all of it or nothing.
            await self._tell("SET", self.keys.limits, told, "NX")
            found: bytes | None = await self._tell("GET", self.keys.limits)
        except ResponseError as error:
            if "WRONGTYPE" in str(error):
                raise LayoutDiffers from None
            raise
        recorded = msgspec.json.decode(found or told)
        if recorded.pop(keys.LAYOUT_FIELD, None) != keys.LAYOUT:
            raise LayoutDiffers
        if recorded != self.limits:
            raise LimitsDiffer(recorded, self.limits)


#: Before every second on a clock: with it, only days are sealed that were closed before.
_LONG_AGO = -(1 << 50)


class _Head:
    """What an account's head says there is to seal and to forget."""

    def __init__(self) -> None:
        self.opened: set[int] = set()  #: blocks with open days
        self.remembered: set[int] = set()  #: blocks with identities
        self.scan = False  #: whether sessions are to be looked through

    def add(self, fields: Sequence[bytes]) -> None:
        """Take note of some *fields*."""
        for field in fields:
            kind, _, block = field.decode().partition(":")
            if kind == "o":
                self.opened.add(int(block))
            elif kind == "i":
                self.remembered.add(int(block))
            elif kind == "zs":
                self.scan = True

    def open_blocks(self, due: int) -> list[int]:
        """Return the blocks that may have a day that nothing changed since the second *due*.

        No event is applied before its own time, so later days were changed since.
        """
        return sorted(block for block in self.opened if block * _BLOCK_SECONDS <= due)


_BLOCK_SECONDS = DAYS_PER_BLOCK * DAY_SECONDS


def _is_above(fences: Mapping[str, int], fence: str, item: Placed) -> bool:
    return item.offset > fences.get(fence, -1)


class _Call(NamedTuple):
    """A part on its way to its account."""

    account: str
    portions: list[Portion]
    known: frozenset[str]
    packed: tuple[bytes, bytes]

    @property
    def size(self) -> int:
        """How many events it has."""
        return sum(len(items) for _, items in self.portions)


class Round:
    """Batches of several topic-partitions on their way into the rollups, each event exactly once.

    Safe to repeat, whole or in other cuts, also when it failed and yet took effect. An event for a
    sealed day is refused: that is said, and must be on record, before anything of its account that
    comes behind it is written, for the fences pass over it then.

    Folding is what costs in this process, and running it what costs in Redis; so a round may be
    prepared while another is running, and lets that go on in between.
    """

    def __init__(self, writer: Writer, batches: Sequence[Taken]) -> None:
        self._writer, self._batches = writer, batches
        self._has_run = False
        self._begin()

    def _begin(self) -> None:
        """Know nothing of what is in the rollups."""
        #: What of each account is still to be applied: stretches that can be folded, in order.
        sizes = self._writer.part_sizes
        self._waiting: dict[str, list[list[Portion]]] = {
            account: list(stretches(portions, sizes.get(account, MOST_EVENTS)))
            for account, portions in by_account((b.fence, b.placed) for b in self._batches).items()
        }
        self._known: dict[str, frozenset[str]] = {}
        self._refused: dict[str, int] = defaultdict(int)  # by the name of the topic-partition
        self._duplicates = 0
        #: Stretches that were folded as if nothing was known, by their id, and what they came to.
        self._folded: dict[int, tuple[list[Portion], tuple[bytes, bytes]]] = {}

    async def prepare(self) -> None:
        """Fold everything, with pauses in which others can run."""
        folded = 0
        for stretches_of_one in self._waiting.values():
            for portions in stretches_of_one:
                self._folded[id(portions)] = portions, self._fold(portions)
                folded += sum(len(items) for _, items in portions)
                if folded >= _FOLDED_AT_ONCE:
                    folded = 0
                    await asyncio.sleep(0)

    def _fold(
        self, portions: list[Portion], known: frozenset[str] = frozenset()
    ) -> tuple[bytes, bytes]:
        return fold(portions, self._writer.secret, self._writer.limits, known).packed()

    def _next_calls(self) -> list[_Call]:
        """Return what is sent next: the first stretch of each account."""
        calls = []
        for account, (portions, *_) in self._waiting.items():
            known = self._known.get(account, frozenset())
            if not known and id(portions) in self._folded:
                _, packed = self._folded[id(portions)]
            else:
                packed = self._fold(portions, known)
            calls.append(_Call(account, portions, known, packed))
        return calls

    async def run(self, refuse: Refuse = _refuse_quietly) -> list[Applied]:
        """Apply everything, and then move the positions; return what became of each batch.

        What is for a sealed day is handed to *refuse* on the way, perhaps more than once where a
        run is repeated. Raises RedisError when Redis failed, and whatever *refuse* raises; then an
        unknown part of the accounts was written, each of them wholly or not at all, and no position
        moved beyond what is written.
        """
        if self._has_run:
            # What a run that failed was told is true no more: the server may have lost that since,
            # and the positions would move over it.
            self._begin()
        self._has_run = True
        writer = self._writer
        async with writer.nodes.watched(), AsyncExitStack() as stack:
            # One connection to each node for all of it: see `line`.
            lines = {
                node: await stack.enter_async_context(line(node.redis)) for node in writer.nodes.all
            }
            while self._waiting:
                if sealed := await self._send(self._next_calls(), lines):
                    await refuse(sealed)
            positions = {
                batch.fence: Position(batch.ends, self._no_later_than_now(batch.second))
                for batch in self._batches
                if batch.ends is not None
            }
            if positions:
                moves = [
                    node.advance(connection, writer.keys, positions)
                    for node, connection in lines.items()
                ]
                await at_once(*moves)
        return [
            Applied(len(batch.placed), self._duplicates, self._refused[batch.fence])
            for batch in self._batches
        ]

    def _no_later_than_now(self, second: int | None) -> int | None:
        """Return *second*, a record's timestamp, which its producer may have set to anything."""
        return None if second is None else min(second, int(self._writer.clock()))

    async def _send(self, parts: Sequence[_Call], lines: Mapping[Node, Any]) -> list[Sealed]:
        """Send *parts*, to every node at once, and see to the answers.

        Returns what is refused; nothing of its account was written in this call.
        """
        accounts = [call.account for call in parts]
        await self._writer.list_accounts(accounts)
        calls: dict[Node, list[_Call]] = {node: [] for node in lines}
        for call in parts:
            calls[self._writer.nodes.of(call.account)].append(call)
        answers = await at_once(*(self._ask(node, lines[node], its) for node, its in calls.items()))
        await self._writer.list_accounts(accounts)  # again, where the server had forgotten them
        sealed: list[Sealed] = []
        for its, answered in zip(calls.values(), answers, strict=True):
            for call, (code, *rest) in zip(its, answered, strict=True):
                if code == _APPLIED:
                    self._done(call.account)
                    self._writer.was_applied(call.account, call.size)
                elif code == _PARTLY_APPLIED:
                    pairs = zip(rest[::2], rest[1::2], strict=True)
                    upto = {name.decode(): offset for name, offset in pairs}
                    self._keep(call, partial(_is_above, upto))
                elif code == _KNOWN:
                    self._duplicates += len(rest)
                    known = frozenset(identity.decode() for identity in rest)
                    self._known[call.account] = call.known | known
                elif code == _DAYS_SEALED:
                    sealed += self._leave_out_sealed(call, frozenset(rest))
                elif call.size > 1:
                    # Too much for one call, or a sealed day would change: each event by itself.
                    self._waiting[call.account][:1] = halves(call.portions)
                    self._writer.was_too_much(call.account, call.size)
                else:
                    [(fence, [item])] = call.portions
                    sealed.append(Sealed(fence, item))
                    self._done(call.account)
        for fence, _ in sealed:
            self._refused[fence] += 1
        return sealed

    async def _ask(self, node: Node, connection: Any, calls: Sequence[_Call]) -> list[Any]:
        writer = self._writer
        now = int(writer.clock())
        told = [
            (node.names(writer.keys, call.account), (*call.packed, writer.packed_limits, now))
            for call in calls
        ]
        return await node.run(connection, "apply", *told) if told else []

    def _done(self, account: str) -> None:
        self._waiting[account].pop(0)
        if not self._waiting[account]:
            del self._waiting[account]

    def _keep(self, call: _Call, wanted: Callable[[str, Placed], bool]) -> None:
        """Keep of the first stretch of an account what is *wanted*."""
        left: list[Portion] = []
        for fence, items in call.portions:
            if kept := [item for item in items if wanted(fence, item)]:
                left.append((fence, kept))
        if left:
            self._waiting[call.account][0] = left
        else:
            self._done(call.account)

    def _leave_out_sealed(self, call: _Call, days: frozenset[int]) -> list[Sealed]:
        """Leave out of a stretch what touches *days*, which are sealed, and return it."""
        limits = self._writer.limits

        def is_sealed(item: Placed) -> bool:
            return not days.isdisjoint(days_touched_by(item.event, limits))

        sealed = [
            Sealed(fence, item)
            for fence, items in call.portions
            for item in items
            if is_sealed(item)
        ]
        self._keep(call, lambda _, item: not is_sealed(item))
        return sealed
