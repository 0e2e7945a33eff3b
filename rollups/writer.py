"""Writing the rollups: rounds of events into Redis, each event once, by one script an account."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from hashlib import sha1
from itertools import chain
from typing import Any, NamedTuple, cast

import msgspec
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ResponseError

from rollups import keys
from rollups.days import open_day, seal, sealed_days
from rollups.fitness import check_fitness
from rollups.fold import (
    SEALED_AFTER,
    Placed,
    Portion,
    Told,
    by_account,
    days_touched_by,
    fold,
    span_of,
    stretches,
)
from rollups.keys import Namespace
from rollups.line import ask, at_once, line
from rollups.nodes import Node, Nodes, nodes_at
from rollups.reads import Position, lowest, position
from rollups.slots import DAYS_PER_BLOCK
from rollups.trouble import LayoutDiffers, LimitsDiffer
from rollups.vocabulary import APPLICATIONS

log = logging.getLogger(__name__)

#: Events that are folded before others may run: about 2 ms.
_FOLDED_AT_ONCE = 1_000

#: Days of one account that are sealed in one go.
_DAYS_AT_ONCE = 8

_APPLIED, _PARTLY_APPLIED, _KNOWN, _SEALED = 0, 1, 2, 3

_pack = msgspec.msgpack.Encoder().encode


class Taken(NamedTuple):
    """A batch of one topic-partition, as it is to be applied."""

    fence: str  #: the name of the topic-partition (`keys.fence`)
    placed: Sequence[Placed]  #: its events in the order of their offsets; there may be none
    ends: int | None = None  #: where the position moves when all of it is in the rollups
    second: int | None = None  #: the timestamp of its newest record
    #: the least and the greatest `Placed.recorded`; looked for where it is not told
    span: tuple[int, int] | None = None


class Held(NamedTuple):
    """An event that is not applied, for it would change a day that is sealed for its record."""

    placed: Placed
    #: The second of a record from which on the day is sealed. An earlier record that is still to
    #: come, from another topic-partition, could have kept it open.
    since: int


class Applied(NamedTuple):
    """What became of a batch."""

    events: int  #: how many it had
    duplicates: int  #: how many of its round were told before
    #: Some of what must be refused before the rest of the batch can be applied; the position has
    #: moved to the first of them.
    held: tuple[Held, ...] = ()


class Writer:
    """Applies rounds of events. One per worker; it keeps nothing that Redis does not have.

    *limits* are the session limits in seconds, by application. It writes the rollups *at* a
    namespace, or those that are in force whenever it begins.

    Whoever lets it write must write the records of a topic-partition without a hole, from a place
    that `begin` names. That Redis still has what was written before is checked on every new
    connection, before anything else is sent on it: a server that restarts, or is demoted, closes
    its connections. A batch applied on top of a hole would move the fences over it.
    """

    def __init__(
        self, redis: AsyncRedis, limits: Mapping[str, int], at: Namespace | None = None
    ) -> None:
        self.keys = at or keys.FIRST
        self.limits = dict(limits)
        self.packed_limits = _pack([limits[application] for application in APPLICATIONS])
        self._follows = at is None
        self._registered: set[str] = set()
        self.nodes = Nodes(Node(redis, self._registered.clear))

    @classmethod
    def of(
        cls, url: str, limits: Mapping[str, int], timeout: float, at: Namespace | None = None
    ) -> "Writer":
        """Return a writer to the Redis at *url* that checks every new connection.

        The Redis may be a cluster (`connect`). *timeout* is how many seconds it may take to answer.
        """
        writer = cls(AsyncRedis(), limits, at)
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
            node.acknowledged = {}
        await self.prepare()
        if self._follows:
            self.keys = await self.in_force()
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

    async def prepare(self) -> None:
        """Look for the nodes and register the scripts; again after Redis has forgotten them."""
        self._registered.clear()
        await self.nodes.find()
        for node in self.nodes.all:
            async with line(node.redis) as connection:
                await node.load(connection)

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
    ) -> Applied:
        """Apply a batch of one topic-partition by itself; see `Round`."""
        [applied] = await self.round([Taken(fence, placed, ends, second)]).run()
        return applied

    def round(self, batches: Sequence[Taken]) -> "Round":
        """Return a round of *batches*, each of another topic-partition."""
        return Round(self, batches)

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

    async def seal(self, accounts: Sequence[str], complete: int, now: int) -> int:
        """Seal what nothing touched for 35 days in *accounts*; return how many of their days.

        *complete* is the second up to which everything is counted (`watermark.complete`); *now* is
        the second it is. What is due is sealed a day later on the clock (see `due.lua`).
        """
        sealed = 0
        async with self.nodes.watched():
            for account in accounts:
                node = self.nodes.of(account)
                async with line(node.redis) as connection:
                    while done := await self._seal_some(node, connection, account, complete, now):
                        sealed += done
        return sealed

    async def _seal_some(
        self, node: Node, connection: Any, account: str, complete: int, now: int
    ) -> int:
        """Seal some days of one block; return how many, 0 where none is left, or they changed."""
        names = node.names(self.keys, account)
        [told] = await node.run(connection, "due", (names, (complete, now, _DAYS_AT_ONCE)))
        if not told:
            return 0
        block, packed, flat = told
        first = int(block) * DAYS_PER_BLOCK
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        days = sealed_days(packed)
        for day, its in fields.items():
            days[int(day) - first] = open_day(dict(zip(its[::2], its[1::2], strict=True)))
        seen = chain.from_iterable((day, _sha1(b"".join(its))) for day, its in fields.items())
        known = _sha1(packed) if packed else ""
        [done] = await node.run(connection, "seal", (names, (block, known, seal(days), *seen)))
        return len(fields) if done else 0

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


def _sha1(content: bytes) -> str:
    return sha1(content, usedforsecurity=False).hexdigest()


#: What one script call is about: an account, and a topic-partition if it is about only one.
_Whose = tuple[str, str]


class _Call(NamedTuple):
    """A part on its way to its account."""

    whose: _Whose
    portions: list[Portion]
    known: frozenset[Told]
    packed: tuple[bytes, bytes]


class Round:
    """Batches of several topic-partitions on their way into the rollups, each event exactly once.

    Safe to repeat, whole or in other cuts, also when it failed and yet took effect. Where events of
    a batch are `held`, everything of it before the first of them is applied; what is left of it
    must come again without those that were refused. The other batches of the round are applied.

    Folding is what costs in this process, and running it what costs in Redis; so a round may be
    prepared while another is running, and lets that go on in between.
    """

    def __init__(self, writer: Writer, batches: Sequence[Taken]) -> None:
        self._writer, self._batches = writer, batches
        self._has_run = False
        spans = [batch.span or span_of(batch.placed) for batch in batches if batch.placed]
        oldest = min((low for low, _ in spans), default=0)
        newest = max((high for _, high in spans), default=0)
        self._close = newest - oldest < SEALED_AFTER
        self._begin()

    def _begin(self) -> None:
        """Know nothing of what is in the rollups."""
        #: What of each account is still to be applied: stretches that can be folded, in order.
        self._waiting: dict[_Whose, list[list[Portion]]] = {
            (account, ""): list(stretches(portions, close=self._close))
            for account, portions in by_account((b.fence, b.placed) for b in self._batches).items()
        }
        self._known: dict[_Whose, frozenset[Told]] = {}
        self._held: dict[str, list[Held]] = {}
        self._duplicates = 0
        self._calls: list[_Call] = []

    async def prepare(self) -> None:
        """Fold everything, with pauses in which others can run."""
        self._calls = []
        folded = 0
        for whose, (portions, *_) in self._waiting.items():
            known = self._known.get(whose, frozenset())
            packed = fold(portions, self._writer.limits, known).packed()
            self._calls.append(_Call(whose, portions, known, packed))
            folded += sum(len(items) for _, items in portions)
            if folded >= _FOLDED_AT_ONCE:
                folded = 0
                await asyncio.sleep(0)

    async def run(self) -> list[Applied]:
        """Apply everything, and then move the positions; return what became of each batch.

        Raises RedisError when Redis failed; then an unknown part of the accounts was written, each
        of them wholly or not at all, and no position moved beyond what is written.
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
                if not self._calls:
                    await self.prepare()
                await self._send(lines)
                self._calls = []
            positions = {
                batch.fence: self._reached(batch, batch.ends)
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
            Applied(
                len(batch.placed),
                self._duplicates,
                tuple(sorted(self._held.get(batch.fence, ()), key=lambda i: i.placed.offset)),
            )
            for batch in self._batches
        ]

    def _reached(self, batch: Taken, ends: int) -> Position:
        """Return up to where *batch* is in the rollups: to its end, or to the first that is held.

        That, too, is told on the connection on which it was applied.
        """
        if held := self._held.get(batch.fence):
            first = min((item.placed for item in held), key=lambda item: item.offset)
            return Position(first.offset, first.recorded)
        return Position(ends, batch.second)

    async def _send(self, lines: Mapping[Node, Any]) -> None:
        """Send what is folded, to every node at once, and see to the answers."""
        accounts = [call.whose[0] for call in self._calls]
        await self._writer.list_accounts(accounts)
        calls: dict[Node, list[_Call]] = {node: [] for node in lines}
        for call in self._calls:
            calls[self._writer.nodes.of(call.whose[0])].append(call)
        answers = await at_once(*(self._ask(node, lines[node], its) for node, its in calls.items()))
        await self._writer.list_accounts(accounts)  # again, where the server had forgotten them
        for its, answered in zip(calls.values(), answers, strict=True):
            for call, (code, *rest) in zip(its, answered, strict=True):
                if code == _APPLIED:
                    self._done(call.whose)
                elif code == _PARTLY_APPLIED:
                    self._leave_out(call, dict(zip(rest[::2], rest[1::2], strict=True)))
                elif code == _KNOWN:
                    pairs = zip(rest[::2], rest[1::2], strict=True)
                    told = {(epoch, identity.decode()) for epoch, identity in pairs}
                    self._duplicates += len(told)
                    self._known[call.whose] = call.known | told
                elif call.whose[1] or len(call.portions) == 1 == len(self._waiting[call.whose]):
                    await self._look_closely(call, lines)
                else:
                    self._divide(call.whose)

    async def _ask(
        self, node: Node, connection: Any, calls: Sequence[_Call], mode: str = ""
    ) -> list[Any]:
        at, limits = self._writer.keys, self._writer.packed_limits
        told = [(node.names(at, call.whose[0]), (*call.packed, limits, mode)) for call in calls]
        return await node.run(connection, "apply", *told) if told else []

    def _done(self, whose: _Whose) -> None:
        self._waiting[whose].pop(0)
        if not self._waiting[whose]:
            del self._waiting[whose]

    def _leave_out(self, call: _Call, fences: Mapping[bytes, int]) -> None:
        """Keep of the first stretch of an account what lies above *fences*."""
        left: list[Portion] = []
        for fence, items in call.portions:
            upto = fences.get(fence.encode(), -1)
            above = [item for item in items if item.offset > upto]
            if above:
                left.append((fence, above))
        if left:
            self._waiting[call.whose][0] = left
        else:
            self._done(call.whose)

    def _divide(self, whose: _Whose) -> None:
        """Have each topic-partition by itself: one with a sealed day must not hold up the others.

        Whether an event is refused may depend on what those still bring.
        """
        known = self._known.pop(whose, frozenset())
        for portions in self._waiting.pop(whose):
            for fence, items in portions:
                alone = self._waiting.setdefault((whose[0], fence), [])
                alone.append([(fence, items)])
                self._known[whose[0], fence] = known

    async def _look_closely(self, call: _Call, lines: Mapping[Node, Any]) -> None:
        """Find out which events of a topic-partition are for a sealed day, where one may be.

        What comes before the first of them is applied one by one, for each event keeps open the
        days that it touches. Then those are held whose day nothing in between could have kept open.
        """
        account, _ = whose = call.whose
        items = [item for [(_, its)] in self._waiting[whose] for item in its]
        fence, limits = call.portions[0][0], self._writer.limits
        alone: list[list[Portion]] = [[(fence, [item])] for item in items]
        asked = [
            _Call(whose, one, call.known, fold(one, limits, call.known).packed()) for one in alone
        ]
        node = self._writer.nodes.of(account)
        answers = await self._ask(node, lines[node], asked, "ask")
        sealed = [answer[1:] if answer[0] == _SEALED else None for answer in answers]
        first = next((index for index, told in enumerate(sealed) if told), len(items))
        if first > 0:
            rest = items[first:]
            self._waiting[whose] = [*alone[:first], *(stretches([(fence, rest)]) if rest else ())]
            return
        kept_open: set[int] = set()
        held = self._held.setdefault(fence, [])
        for item, told in zip(items, sealed, strict=True):
            if told and told[0] not in kept_open:
                held.append(Held(item, told[1]))
            else:
                kept_open.update(days_touched_by(item.event, limits))
        del self._waiting[whose]
