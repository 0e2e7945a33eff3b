"""The rollups in Redis: one script changes them, plain reads answer for reports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final, NamedTuple, cast

import msgspec
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.client import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from rollups import keys
from rollups.concurrency import Summary
from rollups.fold import Placed, Told, accounts_of, fold
from rollups.reading import Reading
from rollups.slots import (
    SLOT_SECONDS,
    block_of,
    day_of,
    days_touched,
    first_slot_of,
    slot_of,
    whole_days,
)
from rollups.vocabulary import APPLICATIONS, SERIES

APPLY: Final = files("rollups.lua").joinpath("apply.lua").read_text("utf-8")
ADVANCE: Final = files("rollups.lua").joinpath("advance.lua").read_text("utf-8")

#: SMISMEMBER is the newest command in use.
OLDEST_REDIS: Final = (6, 2)

_APPLIED, _PARTLY_APPLIED, _KNOWN = 0, 1, 2

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[int]).decode


class LimitsDiffer(Exception):
    """The session limits in force are not the ones that the rollups were made with."""

    def __init__(self, recorded: Mapping[str, int], wanted: Mapping[str, int]) -> None:
        self.recorded = dict(recorded)
        self.wanted = dict(wanted)
        told = ", ".join(
            f"{application} {recorded.get(application)} s (set: {limit} s)"
            for application, limit in wanted.items()
            if recorded.get(application) != limit
        )
        super().__init__(
            f"the rollups were made with other session limits: {told}. Set these again, or "
            "rebuild the rollups from the topics with the new ones"
        )


class UnfitRedis(Exception):
    """A Redis that could lose rollups by its settings, or is too old for the scripts."""


class LostWrites(RedisError):
    """Redis does not have what it acknowledged: it restarted, or a replica was promoted early."""

    def __init__(self, behind: Mapping[str, tuple[int, int]]) -> None:
        told = ", ".join(
            f"{name} is at {stored}, not {acknowledged}"
            for name, (stored, acknowledged) in sorted(behind.items())[:3]
        )
        super().__init__(f"Redis lost writes it had acknowledged: {told}")


class Applied(NamedTuple):
    """What became of a batch: how many events it had, and how many of them were told before."""

    events: int
    duplicates: int


# ------------------------------------------------------------------------------- writing


class Writer:
    """Applies batches of events. One per worker; it keeps nothing that Redis does not have.

    *limits* are the session limits in seconds, by application.

    Whoever lets it write must write the records of a topic-partition without a hole, from a place
    that `positions` names. That Redis still has what was written before is checked on every new
    connection, before anything else is sent on it: a server that restarts, or is demoted, closes
    its connections. A batch applied on top of a hole would move the fences over it.
    """

    def __init__(self, redis: AsyncRedis, limits: Mapping[str, int]) -> None:
        self.redis = redis
        self._acknowledged: dict[str, int] = {}
        self._limits = _pack([limits[application] for application in APPLICATIONS])
        self._registered: set[str] = set()
        self._apply_sha = ""
        self._advance_sha = ""
        self._run_id = b""  # of the server whose append-only file was seen to

    @classmethod
    def of(cls, url: str, limits: Mapping[str, int], timeout: float) -> "Writer":
        """Return a writer to the Redis at *url* that checks every new connection.

        *timeout* is how many seconds Redis may take to answer.
        """
        writer = cls(AsyncRedis(), limits)
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
        await self._close_torn_log(connection)
        expected = dict(self._acknowledged)
        if not expected:
            return
        [positions] = await _ask(connection, ("HMGET", keys.POSITIONS, *expected))
        behind = {
            name: (int(found or 0), wanted)
            for (name, wanted), found in zip(expected.items(), positions, strict=True)
            if int(found or 0) < wanted
        }
        if behind:
            raise LostWrites(behind)

    async def _close_torn_log(self, connection: Any) -> None:
        """Have a Redis that has restarted begin a new append-only file, once, before a write.

        Redis 7.0 that loads a file cut in the middle of a transaction leaves the first half of it
        in the file, goes on writing behind it, and at the next start takes both for one: pieces of
        a script come back that was never applied. Its rewrite begins a new file at once. Valkey 9
        does not do this (measured); asking it, too, costs a rewrite per restart.
        """
        [server] = await _ask(connection, ("INFO", "server"))
        run_id = _info_field(server, b"run_id")
        if run_id == self._run_id:
            return
        [persistence, seen] = await _ask(
            connection, ("INFO", "persistence"), ("GET", keys.LOG_BEGUN)
        )
        if _info_field(persistence, b"aof_enabled") == b"1" and seen != run_id:
            await _begin_new_log(connection)
            await _ask(connection, ("SET", keys.LOG_BEGUN, run_id))
        self._run_id = run_id

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[Any]:
        """Yield one connection for several calls that must all reach the same running server.

        Were it replaced between them, the server could have lost what the first call wrote, and
        the second would say that it is there.
        """
        pool: Any = self.redis.connection_pool
        connection = await pool.get_connection()
        try:
            yield connection
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)

    async def begin(self, names: Sequence[str]) -> dict[str, int]:
        """Return where the rollups of these topic-partitions end, and go on from there.

        A name that Redis does not know has position 0. What was acknowledged before this call is
        expected no longer.
        """
        self._acknowledged = {}
        await self.prepare()
        if not names:
            return {}
        stored = await cast(Awaitable[list[Any]], self.redis.hmget(keys.POSITIONS, list(names)))
        found = {name: int(offset or 0) for name, offset in zip(names, stored, strict=True)}
        self._acknowledged = dict(found)
        return found

    async def prepare(self) -> None:
        """Register the scripts; again after Redis has forgotten them."""
        async with self._line() as line:
            await self._load(line)

    async def _load(self, line: Any) -> None:
        self._registered.clear()
        shas = await _ask(line, ("SCRIPT", "LOAD", APPLY), ("SCRIPT", "LOAD", ADVANCE))
        self._apply_sha, self._advance_sha = (sha.decode() for sha in shas)

    async def apply(self, fence: str, placed: Sequence[Placed], ends: int | None = None) -> Applied:
        """Apply a batch of one topic-partition, in the order of its offsets, exactly once.

        With *ends*, the position moves there when all of it is in the rollups. Safe to repeat,
        whole or in other cuts, also when a call failed and yet took effect. Raises RedisError when
        Redis failed; then an unknown part of the accounts was written, each of them wholly or not
        at all, and the position did not move beyond what is written.
        """
        waiting = accounts_of(placed)
        known: dict[str, frozenset[Told]] = {}
        duplicates = 0
        async with self._line() as line:
            while waiting:
                names = list(waiting)
                work = [(name, waiting[name], known.get(name, frozenset())) for name in names]
                answers = await self._send(line, fence, work)
                for name, (code, *rest) in zip(names, answers, strict=True):
                    if code == _PARTLY_APPLIED:
                        waiting[name] = [item for item in waiting[name] if item.offset > rest[0]]
                    elif code == _KNOWN:
                        pairs = zip(rest[::2], rest[1::2], strict=True)
                        told = {(epoch, identity.decode()) for epoch, identity in pairs}
                        duplicates += len(told)
                        known[name] = known.get(name, frozenset()) | told
                    else:
                        del waiting[name]
            if ends is not None:
                await self._advance(line, {fence: ends})
        return Applied(len(placed), duplicates)

    async def _send(
        self, line: Any, fence: str, work: list[tuple[str, list[Placed], frozenset[Told]]]
    ) -> list[Any]:
        """Fold and send each account's part, all in one round trip; return the answers."""
        parts = [(account, fold(fence, items, known).packed()) for account, items, known in work]
        while True:
            new = [account for account, *_ in work if account not in self._registered]
            # Accounts are listed before their first event is written, so that none is missing.
            register = [("SADD", keys.ACCOUNTS, *new)] if new else []
            answers = await _ask(
                line,
                *register,
                *(
                    ("EVALSHA", self._apply_sha, 1, keys.head(account), *part, self._limits)
                    for account, part in parts
                ),
                raising=False,
            )
            if any(isinstance(answer, NoScriptError) for answer in answers):
                await self._load(line)  # somebody flushed the scripts; the fences skip the rest
                continue
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            self._registered.update(new)
            return answers[len(register) :]

    async def advance(self, positions: Mapping[str, int]) -> None:
        """Record that every record before these offsets is counted or refused; never goes back.

        Only for what needed no writing, or was written and recorded before; see `apply`.
        """
        async with self._line() as line:
            await self._advance(line, positions)

    async def _advance(self, line: Any, positions: Mapping[str, int]) -> None:
        arguments = [text for item in positions.items() for text in item]
        if not arguments:
            return
        while True:
            [answer] = await _ask(
                line,
                ("EVALSHA", self._advance_sha, 1, keys.POSITIONS, *arguments),
                raising=False,
            )
            if not isinstance(answer, NoScriptError):
                break
            await self._load(line)
        if isinstance(answer, Exception):
            raise answer
        for name, offset in positions.items():
            self._acknowledged[name] = max(offset, self._acknowledged.get(name, 0))

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

    async def check_limits(self, limits: Mapping[str, int]) -> None:
        """Record the session limits with the rollups. Raises LimitsDiffer if others are there."""
        for application, limit in limits.items():
            await cast(Awaitable[bool], self.redis.hsetnx(keys.LIMITS, application, str(limit)))
        raw = await cast(Awaitable[dict[bytes, bytes]], self.redis.hgetall(keys.LIMITS))
        recorded = {name.decode(): int(value) for name, value in raw.items()}
        if recorded != dict(limits):
            raise LimitsDiffer(recorded, limits)


async def _ask(connection: Any, *commands: tuple[Any, ...], raising: bool = True) -> list[Any]:
    """Send *commands* in one go and return their answers; errors among these if not *raising*."""
    if not connection.is_connected:
        raise RedisConnectionError("the connection to Redis was lost")
    # From the look at it to the sending nothing else runs, so it is still the same connection.
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    answers: list[Any] = []
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:
            answers.append(error)
    if raising:
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
    return answers


def _info_field(info: bytes, name: bytes) -> bytes:
    """Return the value of a field of what INFO answers; empty where there is none."""
    for line in info.splitlines():
        if line.startswith(name + b":"):
            return line.partition(b":")[2]
    return b""


async def _begin_new_log(connection: Any) -> None:
    """Have Redis rewrite its append-only file; return as soon as the new one is begun."""
    [answer] = await _ask(connection, ("BGREWRITEAOF",), raising=False)
    if isinstance(answer, ResponseError) and "in progress" not in str(answer):
        raise answer
    while True:
        [persistence] = await _ask(connection, ("INFO", "persistence"))
        if _info_field(persistence, b"aof_rewrite_scheduled") != b"1":
            return
        await asyncio.sleep(0.05)


# ------------------------------------------------------------------------------- reading


def exists(redis: Redis, account: str) -> bool:
    """Tell whether *account* was set by an operator or an event was counted for it."""
    # Two commands, for on a cluster the two keys may live on different nodes.
    return bool(redis.exists(keys.head(account)) or redis.exists(keys.settings(account)))


def read(
    redis: Redis, account: str, first: int, end: int, *, by_slot: bool = False, flows: bool = False
) -> Reading:
    """Return the rollups of *account* over the slots [first, end).

    Whole UTC days come from the daily counters and only the two edges from slots, unless the
    amounts are wanted *by_slot*. The cost depends on the days in the range, not on the events.
    """
    days = list(days_touched(first, end))
    whole = whole_days(first, end)
    edges = [day for day in days if day not in whole]
    slot_days = days if by_slot else edges
    blocks = sorted({block_of(day) for day in whole})
    before = day_of(first)
    pipe = redis.pipeline(transaction=False)
    pipe.hgetall(keys.block_nets(account))
    pipe.hgetall(keys.day_nets(account, block_of(before)))
    for day in days or [before]:
        pipe.hgetall(keys.peaks(account, day))
    for block in blocks:
        pipe.hgetall(keys.day_counters(account, block))
    for day in slot_days:
        pipe.hgetall(keys.slot_counters(account, day))
    if flows:
        for block in blocks:
            pipe.hgetall(keys.day_flows(account, block))
        for day in edges:
            pipe.hgetall(keys.slot_flows(account, day))
    answers = iter(pipe.execute())
    block_nets, day_nets = next(answers), next(answers)
    peaks = {day: next(answers) for day in days or [before]}
    daily = [next(answers) for _ in blocks]
    slotwise = {day: next(answers) for day in slot_days}
    summaries = _summaries(peaks)
    per_slot = _by_slot(slotwise)
    return Reading(
        first,
        end,
        _carry(block_nets, day_nets, summaries, first),
        {name: _within(slots, first, end) for name, slots in summaries.items()},
        _sums(daily, whole, {day: slotwise[day] for day in edges}, first, end),
        {name: _within(slots, first, end) for name, slots in per_slot.items()} if by_slot else {},
        _sums(
            [next(answers) for _ in blocks],
            whole,
            {day: next(answers) for day in edges},
            first,
            end,
        )
        if flows
        else {},
    )


def _summaries(peaks: Mapping[int, Mapping[bytes, bytes]]) -> dict[str, dict[int, Summary]]:
    """Return series to slot to (net, rise) from the packed days."""
    found: dict[str, dict[int, Summary]] = {series: {} for series in SERIES}
    for day, fields in peaks.items():
        base = first_slot_of(day)
        for index, packed in fields.items():
            slots = found[SERIES[int(index)]]
            numbers = iter(_unpack(packed))
            for place, net, rise in zip(numbers, numbers, numbers, strict=True):
                slots[base + place] = Summary(net, rise)
    return found


def _carry(
    block_nets: Mapping[bytes, bytes],
    day_nets: Mapping[bytes, bytes],
    summaries: Mapping[str, Mapping[int, Summary]],
    first: int,
) -> dict[str, int]:
    """Return the level of each series before the slot *first*: blocks, then days, then slots."""
    day = day_of(first)
    levels = dict.fromkeys(SERIES, 0)
    for nets, bound in ((block_nets, block_of(day)), (day_nets, day)):
        for place, net in nets.items():
            index, _, number = place.partition(b".")
            if int(number) < bound:
                levels[SERIES[int(index)]] += int(net)
    for series, slots in summaries.items():
        levels[series] += sum(
            slots[slot].net for slot in range(first_slot_of(day), first) if slot in slots
        )
    return levels


def _by_slot(days: Mapping[int, Mapping[bytes, bytes]]) -> dict[str, dict[int, int]]:
    """Return metric to slot to amount from the packed days."""
    found: dict[str, dict[int, int]] = {}
    for day, fields in days.items():
        base = first_slot_of(day)
        for metric, packed in fields.items():
            numbers = iter(_unpack(packed))
            slots = found.setdefault(metric.decode(), {})
            for place, amount in zip(numbers, numbers, strict=True):
                slots[base + place] = amount
    return found


def _sums(
    daily: Iterable[Mapping[bytes, bytes]],
    whole: range,
    edges: Mapping[int, Mapping[bytes, bytes]],
    first: int,
    end: int,
) -> dict[str, int]:
    """Return metric to its sum: *daily* counters of *whole* days, slots of *edges* in the range."""
    sums: dict[str, int] = {}
    for fields in daily:
        for place, amount in fields.items():
            day, _, metric = place.partition(b".")
            if int(day) in whole:
                name = metric.decode()
                sums[name] = sums.get(name, 0) + int(amount)
    for name, slots in _by_slot(edges).items():
        total = sum(amount for slot, amount in slots.items() if first <= slot < end)
        if total:
            sums[name] = sums.get(name, 0) + total
    return sums


def _within(slots: Mapping[int, Any], first: int, end: int) -> dict[int, Any]:
    return {slot: value for slot, value in slots.items() if first <= slot < end}


def levels(redis: Redis, account: str, second: int) -> dict[str, int]:
    """Return how many sessions of each series are present at *second*.

    Only for seconds of the last 35 days: older ones have no deltas per second any more.
    """
    slot = slot_of(second)
    day, offset = day_of(slot), second - slot * SLOT_SECONDS
    fields = [f"{index}.{slot - first_slot_of(day)}" for index in range(len(SERIES))]
    carry = read(redis, account, slot, slot).carry
    packed = cast(list[bytes | None], redis.hmget(keys.slot_deltas(account, day), fields))
    found = dict(carry)
    for series, deltas in zip(SERIES, packed, strict=True):
        numbers = iter(_unpack(deltas) if deltas else ())
        found[series] += sum(
            change for when, change in zip(numbers, numbers, strict=True) if when <= offset
        )
    return found


def positions(redis: Redis) -> dict[str, int]:
    """Return, per topic-partition, the offset before which every record is counted or refused."""
    raw = cast(dict[bytes, bytes], redis.hgetall(keys.POSITIONS))
    return {name.decode(): int(offset) for name, offset in raw.items()}


def accounts(redis: Redis) -> list[str]:
    """Return every account that exists, sorted."""
    names = set(redis.sscan_iter(keys.ACCOUNTS, count=1000))
    names.update(redis.sscan_iter(keys.SETTINGS_ACCOUNTS, count=1000))
    return sorted(name.decode() for name in names)
