"""Everything that is kept of an account for its reports, to be held against the same elsewhere."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from redis.client import Redis

from rollups import keys
from rollups.concurrency import Summary
from rollups.keys import Namespace
from rollups.reads import unpack, unpack_by_slot
from rollups.slots import DAYS_PER_BLOCK, SLOT_SECONDS, SLOTS_PER_DAY, block_of, first_slot_of
from rollups.vocabulary import SERIES

#: How often an account is read anew because it changed in the meantime.
_TRIES = 50


class Busy(Exception):
    """An account changed whenever it was read."""


class Contents(NamedTuple):
    """An account's rollups, as of its fences."""

    #: Topic-partition to the last offset that was applied.
    fences: Mapping[str, int]
    #: (what, where) to what stands there: a series or metric; a slot, UTC day or block of days.
    values: Mapping[tuple[str, str], Any]


class Difference(NamedTuple):
    """One place where two rollups of an account differ; None where one has nothing."""

    account: str
    what: str  #: the series or metric
    where: str  #: the slot's first instant, the UTC day, or the block of days
    live: Any
    rebuilt: Any


def contents(redis: Redis, at: Namespace, account: str) -> Contents:
    """Return what the rollups *at* a namespace hold of *account* at one moment. Raises Busy."""
    days: set[int] | None = None
    for _ in range(_TRIES):
        pipe = redis.pipeline(transaction=True)
        pipe.hgetall(at.head(account))
        pipe.hgetall(at.open_days(account))
        wanted = sorted(days or ())
        for key_of_day in (at.peaks, at.slot_counters, at.slot_flows):
            for day in wanted:
                pipe.hgetall(key_of_day(account, day))
        blocks = sorted({block_of(day) for day in wanted})
        for key_of_block in (at.day_counters, at.day_flows, at.day_nets):
            for block in blocks:
                pipe.hgetall(key_of_block(account, block))
        pipe.hgetall(at.block_nets(account))
        head, open_days, *answers = pipe.execute()
        known, days = days, _days(head, open_days)
        if known == days:
            return Contents(_fences(head), dict(_values(wanted, blocks, answers)))
    raise Busy(account)


def _days(head: Mapping[bytes, bytes], open_days: Mapping[bytes, bytes]) -> set[int]:
    """Return every UTC day that an event touched: the open ones, and the sealed ones' bits."""
    days = {int(day) for day in open_days}
    for field, bits in head.items():
        if field.startswith(keys.SEALED_DAYS.encode()):
            block = int(field[len(keys.SEALED_DAYS) :])
            days |= {
                block * DAYS_PER_BLOCK + place
                for place in range(DAYS_PER_BLOCK)
                if int(bits) >> place & 1
            }
    return days


def _fences(head: Mapping[bytes, bytes]) -> dict[str, int]:
    prefix = keys.FENCE.encode()
    return {
        field[len(prefix) :].decode(): int(offset)
        for field, offset in head.items()
        if field.startswith(prefix)
    }


def _values(
    days: list[int], blocks: list[int], answers: list[dict[bytes, bytes]]
) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield what each slot, day and block holds; *answers* are in the order in which was asked."""
    left = iter(answers)
    for day in days:
        for index, packed in next(left).items():
            numbers = unpack(packed)
            for at in range(0, len(numbers), 3):
                slot = first_slot_of(day) + numbers[at]
                yield (SERIES[int(index)], _slot(slot)), Summary(*numbers[at + 1 : at + 3])
    for kind in ("", "flow "):
        for metric, slots in unpack_by_slot({day: next(left) for day in days}).items():
            for slot, amount in slots.items():
                yield (kind + metric, _slot(slot)), amount
    for kind in ("", "flow "):
        for _ in blocks:
            for field, total in next(left).items():
                when, _, metric = field.decode().partition(".")
                yield (f"{kind}{metric} in all", _day(int(when))), int(total)
    for _ in blocks:
        for field, net in next(left).items():
            series, _, when = field.decode().partition(".")
            yield (f"{SERIES[int(series)]} in all", _day(int(when))), int(net)
    for field, net in next(left).items():
        series, _, block = field.decode().partition(".")
        first = int(block) * DAYS_PER_BLOCK
        yield (
            (f"{SERIES[int(series)]} in all", f"{_day(first)} and {DAYS_PER_BLOCK - 1} days"),
            int(net),
        )


def _slot(slot: int) -> str:
    day, place = divmod(slot, SLOTS_PER_DAY)
    minutes = place * SLOT_SECONDS // 60
    return f"{_day(day)}T{minutes // 60:02}:{minutes % 60:02}Z"


def _day(day: int) -> str:
    try:
        return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return f"UTC day {day}"


def differences(account: str, live: Contents, rebuilt: Contents) -> list[Difference]:
    """Return where *live* and *rebuilt* differ, by place; they must have the same fences."""
    found = []
    places = live.values.keys() | rebuilt.values.keys()
    for what, where in sorted(places, key=lambda place: place[::-1]):
        here, there = live.values.get((what, where)), rebuilt.values.get((what, where))
        if here != there:
            found.append(Difference(account, what, where, here, there))
    return found
