"""Writing the rollups: batches of events into Redis, each event once, by one script an account."""

from collections.abc import Awaitable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple, cast

import msgspec
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError

from rollups import keys
from rollups.fold import Placed, Told, accounts_of, days_touched_by, fold, stretches
from rollups.keys import Namespace
from rollups.line import ask, close_torn_log, line
from rollups.reads import Position, position
from rollups.trouble import LayoutDiffers, LimitsDiffer, LostWrites, UnfitRedis
from rollups.vocabulary import APPLICATIONS

#: The scripts, in the order in which they are registered.
SCRIPTS: Final = ("apply", "advance", "seal")
_SOURCES = {
    name: files("rollups.lua").joinpath(f"{name}.lua").read_text("utf-8") for name in SCRIPTS
}

#: SMISMEMBER is the newest command in use.
OLDEST_REDIS: Final = (6, 2)

_APPLIED, _PARTLY_APPLIED, _KNOWN, _SEALED = 0, 1, 2, 3

_pack = msgspec.msgpack.Encoder().encode


class Held(NamedTuple):
    """An event that is not applied, for it would change a day that is sealed for its record."""

    placed: Placed
    #: The second of a record from which on the day is sealed. An earlier record that is still to
    #: come, from another topic-partition, could have kept it open.
    since: int


class Applied(NamedTuple):
    """What became of a batch."""

    events: int  #: how many it had
    duplicates: int  #: how many of these were told before
    #: Some of what must be refused before the rest of the batch can be applied; the position has
    #: not moved.
    held: tuple[Held, ...] = ()


class Writer:
    """Applies batches of events. One per worker; it keeps nothing that Redis does not have.

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
        self.redis = redis
        self.keys = at or keys.FIRST
        self.limits = dict(limits)
        self._follows = at is None
        self._acknowledged: dict[str, int] = {}
        self._limits = _pack([limits[application] for application in APPLICATIONS])
        self._registered: set[str] = set()
        self._shas: dict[str, str] = {}
        self._run_id = b""  # of the server whose append-only file was seen to

    @classmethod
    def of(
        cls, url: str, limits: Mapping[str, int], timeout: float, at: Namespace | None = None
    ) -> "Writer":
        """Return a writer to the Redis at *url* that checks every new connection.

        *timeout* is how many seconds Redis may take to answer.
        """
        writer = cls(AsyncRedis(), limits, at)
        writer.redis = AsyncRedis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=min(timeout, 2.0),
            health_check_interval=30,
            retry=Retry(NoBackoff(), 0),  # whoever calls knows what must be done again
            redis_connect_func=writer._confirm,
        )
        return writer

    async def _confirm(self, connection: Any) -> None:
        """Check on a new *connection* that Redis has what it acknowledged. Raises LostWrites."""
        await connection.on_connect()
        self._run_id = await close_torn_log(connection, self._run_id)
        expected = dict(self._acknowledged)
        if not expected:
            return
        [stored] = await ask(connection, ("HMGET", self.keys.positions, *expected))
        found = (position(told).offset if told else 0 for told in stored)
        behind = {
            name: (offset, wanted)
            for (name, wanted), offset in zip(expected.items(), found, strict=True)
            if offset < wanted
        }
        if behind:
            raise LostWrites(behind)

    # ------------------------------------------------------------------ beginning

    async def begin(self, names: Sequence[str]) -> dict[str, int]:
        """Return where the rollups of these topic-partitions end, and go on from there.

        A name that Redis does not know has position 0. What was acknowledged before this call is
        expected no longer.
        """
        self._acknowledged = {}
        await self.prepare()
        if self._follows:
            self.keys = await self.in_force()
        if not names:
            return {}
        stored = await cast(
            Awaitable[list[bytes | None]], self.redis.hmget(self.keys.positions, list(names))
        )
        found = {
            name: position(told).offset if told else 0
            for name, told in zip(names, stored, strict=True)
        }
        self._acknowledged = dict(found)
        return found

    async def in_force(self) -> Namespace:
        """Return the namespace that is in force now; reports are read from it."""
        return keys.namespace(cast(bytes | None, await self.redis.get(keys.LIVE)))

    async def prepare(self) -> None:
        """Register the scripts; again after Redis has forgotten them."""
        async with line(self.redis) as connection:
            await self._load(connection)

    async def _load(self, connection: Any) -> None:
        self._registered.clear()
        shas = await ask(connection, *(("SCRIPT", "LOAD", _SOURCES[name]) for name in SCRIPTS))
        self._shas = {name: sha.decode() for name, sha in zip(SCRIPTS, shas, strict=True)}

    # ------------------------------------------------------------------- applying

    async def apply(
        self,
        fence: str,
        placed: Sequence[Placed],
        ends: int | None = None,
        second: int | None = None,
    ) -> Applied:
        """Apply a batch of one topic-partition, in the order of its offsets, exactly once.

        With *ends*, the position moves there when all of it is in the rollups; *second* is the
        timestamp of its newest record. Safe to repeat, whole or in other cuts, also when a call
        failed and yet took effect. Where events are `held`, everything before the first of them is
        applied; call again without those that were refused. Raises RedisError when Redis failed;
        then an unknown part of the accounts was written, each of them wholly or not at all, and the
        position did not move beyond what is written.
        """
        async with line(self.redis) as connection:
            round_trips = _Batch(self, connection, fence, placed)
            await round_trips.run()
            held = tuple(sorted(round_trips.held, key=lambda item: item.placed.offset))
            if ends is not None and not held:
                await self._advance(connection, {fence: Position(ends, second)})
        return Applied(len(placed), round_trips.duplicates, held)

    async def send(
        self,
        connection: Any,
        fence: str,
        work: Sequence[tuple[str, Sequence[Placed], frozenset[Told]]],
        mode: str = "",
    ) -> list[Any]:
        """Fold and send these parts of accounts, all in one round trip; return the answers."""
        parts = [
            (account, fold(fence, items, self.limits, known).packed())
            for account, items, known in work
        ]
        while True:
            new = [account for account in dict(parts) if account not in self._registered]
            # Accounts are listed before their first event is written, so that none is missing.
            register = [("SADD", self.keys.accounts, *new)] if new else []
            answers = await ask(
                connection,
                *register,
                *(
                    (
                        *("EVALSHA", self._shas["apply"], 1, self.keys.head(account)),
                        *(*part, self._limits, mode),
                    )
                    for account, part in parts
                ),
                raising=False,
            )
            if any(isinstance(answer, NoScriptError) for answer in answers):
                await self._load(connection)  # somebody flushed them; the fences skip the rest
                continue
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            self._registered.update(new)
            return answers[len(register) :]

    # -------------------------------------------------------------------- advancing

    async def advance(self, positions: Mapping[str, Position]) -> None:
        """Record that every record before these offsets is counted or refused; never goes back.

        Only for what needed no writing, or was written and recorded before; see `apply`.
        """
        if positions:
            async with line(self.redis) as connection:
                await self._advance(connection, positions)

    async def _advance(self, connection: Any, positions: Mapping[str, Position]) -> None:
        arguments: list[Any] = []
        for name, (offset, second) in positions.items():
            arguments += [name, offset, "" if second is None else second]
        await self._run(connection, "advance", self.keys.positions, arguments)
        for name, (offset, _) in positions.items():
            self._acknowledged[name] = max(offset, self._acknowledged.get(name, 0))

    async def _run(self, connection: Any, script: str, key: str, arguments: list[Any]) -> Any:
        while True:
            [answer] = await ask(
                connection, ("EVALSHA", self._shas[script], 1, key, *arguments), raising=False
            )
            if not isinstance(answer, NoScriptError):
                break
            await self._load(connection)
        if isinstance(answer, Exception):
            raise answer
        return answer

    # ---------------------------------------------------------------------- sealing

    async def seal(self, accounts: Sequence[str], complete: int, now: int) -> int:
        """Seal what nothing touched for 35 days in *accounts*; return how many of their days.

        *complete* is the second up to which everything is counted (`watermark.complete`); *now* is
        the second it is. What is due is sealed a day later on the clock (see `seal.lua`).
        """
        sealed = 0
        async with line(self.redis) as connection:
            for account in accounts:
                head = self.keys.head(account)
                sealed += await self._run(connection, "seal", head, [complete, now])
        return sealed

    # ------------------------------------------------------------- what must be true

    async def check_fitness(self) -> None:
        """Raise UnfitRedis where this Redis may drop keys, or lacks a command that is used."""
        server = await self.redis.info("server")
        version = str(server.get("valkey_version") or server["redis_version"])
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
            oldest = ".".join(map(str, OLDEST_REDIS))
            raise UnfitRedis(f"Redis is {version}; {oldest} is the oldest that will do")
        memory = await self.redis.info("memory")
        policy = memory.get("maxmemory_policy", "noeviction")
        if memory.get("maxmemory") and policy != "noeviction":
            raise UnfitRedis(
                f"Redis evicts keys when its memory is full (maxmemory-policy {policy}), and a "
                "rollup that is gone makes a wrong bill; set maxmemory-policy noeviction"
            )

    async def check_limits(self) -> None:
        """Record the session limits, and the layout, with the rollups that are in force.

        Raises LimitsDiffer, or LayoutDiffers, where others are there.
        """
        if self._follows:
            self.keys = await self.in_force()
        told = msgspec.json.encode({keys.LAYOUT_FIELD: keys.LAYOUT, **self.limits})
        try:
            # One command: a crash leaves all of it or nothing.
            await self.redis.set(self.keys.limits, told, nx=True)
            found = cast(bytes | None, await self.redis.get(self.keys.limits))
        except ResponseError as error:
            if "WRONGTYPE" in str(error):
                raise LayoutDiffers from None
            raise
        recorded = msgspec.json.decode(found or told)
        if recorded.pop(keys.LAYOUT_FIELD, None) != keys.LAYOUT:
            raise LayoutDiffers
        if recorded != self.limits:
            raise LimitsDiffer(recorded, self.limits)


class _Batch:
    """One batch on its way into the rollups: what of each account is still to be applied."""

    def __init__(self, writer: Writer, connection: Any, fence: str, placed: Sequence[Placed]):
        self._writer, self._connection, self._fence = writer, connection, fence
        #: Each account's events in stretches that can be folded, in order.
        self._waiting = {
            account: list(stretches(items)) for account, items in accounts_of(placed).items()
        }
        self._known: dict[str, frozenset[Told]] = {}
        self.held: list[Held] = []
        self.duplicates = 0

    async def run(self) -> None:
        """Send the first stretch of every account until there is none."""
        while self._waiting:
            work = [
                (account, items, self._known.get(account, frozenset()))
                for account, (items, *_) in self._waiting.items()
            ]
            answers = await self._writer.send(self._connection, self._fence, work)
            for (account, items, known), (code, *rest) in zip(work, answers, strict=True):
                if code == _PARTLY_APPLIED:
                    above = [item for item in items if item.offset > rest[0]]
                    self._waiting[account][0] = above
                elif code == _KNOWN:
                    pairs = zip(rest[::2], rest[1::2], strict=True)
                    told = {(epoch, identity.decode()) for epoch, identity in pairs}
                    self.duplicates += len(told)
                    self._known[account] = known | told
                elif code == _SEALED:
                    await self._look_closely(account, known)
                else:
                    self._waiting[account].pop(0)
                    if not self._waiting[account]:
                        del self._waiting[account]

    async def _look_closely(self, account: str, known: frozenset[Told]) -> None:
        """Find out which events of *account* are for a sealed day, where one of a part may be.

        What comes before the first of them is applied one by one, for each event keeps open the
        days that it touches. Then those are held whose day nothing in between could have kept open.
        """
        items = [item for stretch in self._waiting[account] for item in stretch]
        asked = [(account, [item], known) for item in items]
        answers = await self._writer.send(self._connection, self._fence, asked, "ask")
        sealed = [answer[1:] if answer[0] == _SEALED else None for answer in answers]
        first = next((index for index, told in enumerate(sealed) if told), len(items))
        if first > 0:
            singles: list[Sequence[Placed]] = [[item] for item in items[:first]]
            rest = items[first:]
            self._waiting[account] = [*singles, *(stretches(rest) if rest else ())]
            return
        kept_open: set[int] = set()
        for item, told in zip(items, sealed, strict=True):
            if told and told[0] not in kept_open:
                self.held.append(Held(item, told[1]))
            else:
                kept_open.update(days_touched_by(item.event, self._writer.limits))
        del self._waiting[account]
