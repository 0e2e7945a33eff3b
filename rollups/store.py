"""The rollups in Redis: one script changes them, plain reads answer for reports."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple, cast

import msgspec
from redis.asyncio import Redis as AsyncRedis
from redis.client import Redis
from redis.exceptions import NoScriptError, RedisError

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
            redis_connect_func=writer._confirm,
        )
        return writer

    async def _confirm(self, connection: Any) -> None:
        """Check on a new *connection* that Redis has what it acknowledged. Raises LostWrites."""
        await connection.on_connect()
        expected = dict(self._acknowledged)
        if not expected:
            return
        await connection.send_command("HMGET", keys.POSITIONS, *expected)
        stored = [int(offset or 0) for offset in await connection.read_response()]
        behind = {
            name: (found, wanted)
            for (name, wanted), found in zip(expected.items(), stored, strict=True)
            if found < wanted
        }
        if behind:
            raise LostWrites(behind)

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
        self._registered.clear()
        self._apply_sha = await self.redis.script_load(APPLY)
        self._advance_sha = await self.redis.script_load(ADVANCE)

    async def apply(self, fence: str, placed: Sequence[Placed]) -> Applied:
        """Apply a batch of one topic-partition, in the order of its offsets, exactly once.

        Safe to repeat, whole or in other cuts, also when a call failed and yet took effect. When it
        returns, every event of the batch is in the rollups. Raises RedisError when Redis failed;
        then an unknown part of the accounts was written, each of them wholly or not at all.
        """
        waiting = accounts_of(placed)
        known: dict[str, frozenset[Told]] = {}
        duplicates = 0
        while waiting:
            names = list(waiting)
            answers = await self._send(fence, [(n, waiting[n], known.get(n)) for n in names])
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
        return Applied(len(placed), duplicates)

    async def _send(
        self, fence: str, work: list[tuple[str, list[Placed], frozenset[Told] | None]]
    ) -> list[Any]:
        """Fold and send each account's part, all in one round trip; return the answers."""
        parts = [
            (account, fold(fence, items, known or frozenset()).packed())
            for account, items, known in work
        ]
        while True:
            pipe = self.redis.pipeline(transaction=False)
            new = [account for account, *_ in work if account not in self._registered]
            if new:
                pipe.sadd(keys.ACCOUNTS, *new)
            for account, part in parts:
                pipe.evalsha(self._apply_sha, 1, keys.head(account), *part, self._limits)
            answers = await pipe.execute(raise_on_error=False)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                await (
                    self.prepare()
                )  # Redis restarted; what did get through is skipped by its fence
                continue
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            self._registered.update(new)
            return answers[1:] if new else answers

    async def advance(self, positions: Mapping[str, int]) -> None:
        """Record that every record before these offsets is counted or refused; never goes back."""
        arguments = [text for item in positions.items() for text in item]
        if not arguments:
            return
        try:
            await self.redis.evalsha(self._advance_sha, 1, keys.POSITIONS, *arguments)
        except NoScriptError:
            await self.prepare()
            await self.redis.evalsha(self._advance_sha, 1, keys.POSITIONS, *arguments)
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
