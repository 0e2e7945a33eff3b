"""What the rules of alerts are judged by, of many accounts at once: each as of one moment.

Whether an account has changed follows from its head alone: every change moves a fence, so heads of
2,000 accounts say in one round trip which of them are to be read. Workers write nothing for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis.cluster import RedisCluster

from interaction_usage.store import keys, scripts, slot_deltas
from interaction_usage.store.account_read import AccountRead, head_fields
from interaction_usage.store.day_encoding import SERIES_FIELDS
from interaction_usage.store.range_assembly import Days, Nets, assemble
from interaction_usage.store.reads import Rollups
from rollups.catalog import SERIES
from rollups.range_snapshot import RangeSnapshot
from rollups.slots import (
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    day_of,
    days_touched,
    first_slot_of,
    slot_of,
)

_FENCES: Final = scripts.source("fences")
#: Accounts whose heads one script reads: half a millisecond.
_HEADS_AT_ONCE: Final = 100

#: Series to its field of an open day.
FIELD_OF_SERIES: Final = {series: field for field, series in SERIES_FIELDS.items()}


class Wanted(NamedTuple):
    """What is to be read of an account."""

    account: str
    now: int  #: the second of the look
    #: The slots [first, end) of months, each with its series and counters.
    months: tuple[tuple[int, int], ...] = ()
    of_months: tuple[str, ...] = ()
    #: The slots [first, end) of curves second by second, and their series.
    curve: tuple[int, int] | None = None
    series: tuple[str, ...] = ()
    last_change: bool = False  #: whether to read when today and yesterday were last changed

    @property
    def days(self) -> range:
        """The UTC days that are read; they include every one of the months."""
        edges = [*self.months]
        if self.curve:
            edges.append((self.curve[0], self.curve[0] + 1))
        if not edges:
            return range(day_of(slot_of(self.now)), day_of(slot_of(self.now)) + 1)
        return days_touched(min(first for first, _ in edges), max(end for _, end in edges))

    @property
    def fields(self) -> list[bytes]:
        """The fields of open days that are read."""
        names = {*self.of_months, *self.series}
        return [FIELD_OF_SERIES.get(name, name.encode()) for name in sorted(names)] or [b""]


class Numbers(NamedTuple):
    """What was read of an account."""

    months: tuple[RangeSnapshot, ...]  #: in the order of `Wanted.months`
    carry: Mapping[str, int]  #: series to the level before the curve
    changes: Mapping[str, Sequence[tuple[int, int]]]  #: series to (second, change), in order
    last_change: int | None  #: the second at which today or yesterday was last changed


def signatures(rollups: Rollups, accounts: Sequence[str]) -> list[bytes]:
    """Return what differs for each account whenever its rollups have changed."""
    heads = [rollups.keys.head(account) for account in accounts]
    pipe: Any = rollups.redis.pipeline(transaction=False)
    if isinstance(rollups.redis, RedisCluster):  # a script there has keys of one slot only
        for head in heads:
            pipe.hvals(head)
        return [b" ".join(values) for values in pipe.execute()]
    # Commands cost more in this process than what they do costs in Redis.
    script = rollups.redis.register_script(_FENCES)
    for begin in range(0, len(heads), _HEADS_AT_ONCE):
        script(keys=heads[begin : begin + _HEADS_AT_ONCE], client=pipe)
    return [value for values in pipe.execute() for value in values]


def read(rollups: Rollups, wanted: Sequence[Wanted]) -> list[Numbers | None]:
    """Return the numbers of each account; None where it changed in the middle: read it again."""
    pipe = rollups.redis.pipeline(transaction=False)
    for one in wanted:
        pipe.hmget(rollups.keys.head(one.account), head_fields(one.days))
    asked = list(zip(wanted, pipe.execute(), strict=True))
    if isinstance(rollups.redis, RedisCluster):  # a transaction there has keys of one slot only
        return [numbers for one in asked for numbers in _read(rollups, [one])]
    return _read(rollups, asked)


def _read(
    rollups: Rollups, asked: Sequence[tuple[Wanted, list[bytes | None]]]
) -> list[Numbers | None]:
    pipe = rollups.redis.pipeline(transaction=True)
    reads = []
    for one, bits in asked:
        days = AccountRead(one.account, one.days, bits, one.fields, fences=False)
        days.queue(pipe, rollups.keys)
        curve = _queue_curve(pipe, rollups.keys, one)
        if one.last_change:
            for day in recent_days(one.now):
                pipe.hget(rollups.keys.day(one.account, day), keys.LAST_CHANGE)
        reads.append((one, days, curve))
    answers = iter(pipe.execute())
    found: list[Numbers | None] = []
    for one, days, curve in reads:
        stored = days.parse(answers)
        changes = changes_of(one, curve, answers)
        last = [next(answers) for _ in recent_days(one.now)] if one.last_change else []
        found.append(_numbers(one, stored, changes, last) if stored else None)
    return found


#: A UTC day, and fields of its deltas: `series.slot`.
CurveFields = list[tuple[int, list[str]]]


def _queue_curve(pipe: Any, at: keys.Namespace, one: Wanted) -> CurveFields:
    asked = curve_fields(one)
    for day, fields in asked:
        pipe.hmget(at.slot_deltas(one.account, day), fields)
    return asked


def curve_fields(one: Wanted) -> CurveFields:
    """Return the fields of deltas that are *wanted*: slot by slot, each series in it."""
    asked = []
    first, end = one.curve or (0, 0)
    for day in days_touched(first, end):
        base = first_slot_of(day)
        slots = range(max(first, base) - base, min(end - base, SLOTS_PER_DAY))
        asked.append(
            (day, [f"{SERIES.index(name)}.{slot}" for slot in slots for name in one.series])
        )
    return asked


def changes_of(
    one: Wanted, asked: CurveFields, answers: Iterator[Any]
) -> dict[str, list[tuple[int, int]]]:
    """Return series to (second, change), in order, given the values of the fields of each day."""
    changes: dict[str, list[tuple[int, int]]] = {name: [] for name in one.series}
    if one.curve is None:
        return changes
    slot, width = one.curve[0], len(one.series)
    for _, fields in asked:
        for place, deltas in enumerate(next(answers)):
            if deltas:
                base = (slot + place // width) * SLOT_SECONDS
                found = [(base + second, change) for second, change in slot_deltas.unpack(deltas)]
                changes[one.series[place % width]] += found
        slot += len(fields) // width
    return changes


def recent_days(now: int) -> range:
    """Return yesterday, today and, for clocks that are ahead, tomorrow."""
    today = day_of(slot_of(now))
    return range(today - 1, today + 2)


def _numbers(
    one: Wanted,
    stored: tuple[Nets, Days],
    changes: Mapping[str, Sequence[tuple[int, int]]],
    last: Sequence[bytes | None],
) -> Numbers:
    nets, days = stored
    months = tuple(assemble(*month, nets, days, by_slot=True) for month in one.months)
    carry: Mapping[str, int] = {}
    if one.curve:
        carry = assemble(one.curve[0], one.curve[0], nets, days).carry
    seconds = [int(value) for value in last if value]
    return Numbers(months, carry, changes, max(seconds, default=None))
