"""Everything that an account's reports are made of, to compare it between two sets of rollups."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from interaction_usage.store import keys
from interaction_usage.store.account_read import days_of
from interaction_usage.store.client import Client
from interaction_usage.store.day_encoding import Day, block_nets, day_nets, open_day, sealed_days
from interaction_usage.store.errors import AccountBusyError
from interaction_usage.store.keys import Namespace
from interaction_usage.store.pending_voids import pending_void
from rollups.catalog import SERIES, SESSION_METRICS
from rollups.concurrency import FLAT, Summary
from rollups.slots import DAYS_PER_BLOCK, SLOT_SECONDS
from rollups.timestamps import DAY_SECONDS, SECOND

#: How often an account is read again because it changed in the meantime.
_ATTEMPTS = 50


class Contents(NamedTuple):
    """An account's rollups, as of its fences."""

    #: Topic-partition to the last offset that was applied.
    fences: Mapping[str, int]
    #: (what, where) to the value there: a series or metric; a slot, UTC day or block of days.
    values: Mapping[tuple[str, str], Any]
    #: The first instant from which on sessions are counted; empty: from the beginning.
    sessions_from: str = ""


class Difference(NamedTuple):
    """One value that differs between two sets of rollups; None if one of them has none."""

    account: str
    what: str  #: the series or metric
    where: str  #: the slot's first instant, the UTC day, or the block of days
    live: Any
    rebuilt: Any


def read_contents(redis: Client, at: Namespace, account: str) -> Contents:
    """Return what the rollups *at* a namespace have of *account* at one moment.

    Raises AccountBusyError.
    """
    known: tuple[list[int], list[int]] | None = None
    for _ in range(_ATTEMPTS):
        pipe = redis.pipeline(transaction=True)
        pipe.hgetall(at.head(account))
        pipe.hgetall(at.nets(account))
        days, blocks = known or ([], [])
        for day in days:
            pipe.hgetall(at.day(account, day))
        for block in blocks:
            pipe.get(at.sealed_days(account, block))
        pipe.hvals(at.pending_voids(account))
        head, nets, *answers, pending = pipe.execute()
        named = _days(head, keys.OPEN_DAYS), _blocks(head, keys.SEALED_DAYS)
        if known == named:
            content = {day: open_day(fields) for day, fields in zip(days, answers, strict=False)}
            for block, packed in zip(blocks, answers[len(days) :], strict=True):
                for place, sealed in sealed_days(packed).items():
                    content[block * DAYS_PER_BLOCK + place] = sealed
            sessions_from = head.get(keys.SESSIONS_COUNTED_FROM.encode())
            return Contents(
                _fences(head), dict([*_values(content, nets), *_pending(pending)]),
                "" if sessions_from is None else _slot(int(sessions_from), 0),
            )  # fmt: skip
        known = named
    raise AccountBusyError(account)


def _blocks(head: Mapping[bytes, bytes], kind: str) -> list[int]:
    prefix = kind.encode()
    return sorted(int(field[len(prefix) :]) for field in head if field.startswith(prefix))


def _days(head: Mapping[bytes, bytes], kind: str) -> list[int]:
    """Return the UTC days of a kind that an account's *head* names."""
    return [
        day
        for block in _blocks(head, kind)
        for day in days_of(block, head[f"{kind}{block}".encode()])
    ]


def _fences(head: Mapping[bytes, bytes]) -> dict[str, int]:
    prefix = keys.FENCE.encode()
    return {
        field[len(prefix) :].decode(): int(offset)
        for field, offset in head.items()
        if field.startswith(prefix)
    }


def _values(
    days: Mapping[int, Day], nets: Mapping[bytes, bytes]
) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield the values of each slot, day and block."""
    for number, day in days.items():
        for series, (slots, slot_nets, rises) in day.curves.items():
            for slot, net, rise in zip(slots, slot_nets, rises, strict=True):
                if (net, rise) != FLAT:  # means the same as no record; a sealed day has none
                    yield (series, _slot(number, slot)), Summary(net, rise)
        for kind, counters in (("", day.counters), ("flow ", day.flows)):
            for metric, (slots, amounts) in counters.items():
                for slot, amount in zip(slots, amounts, strict=True):
                    yield (kind + metric, _slot(number, slot)), amount
    for name, packed in nets.items():
        first = int(name) * DAYS_PER_BLOCK
        for series, net in zip(SERIES, block_nets(packed), strict=True):
            if net:
                yield (f"{series} in all", f"{_day(first)} and {DAYS_PER_BLOCK - 1} days"), net
        for place, series, net in day_nets(packed):
            yield (f"{series} in all", _day(first + place)), net


def _pending(packed: Sequence[bytes]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield the voids whose event has not come: they show in the counters, and are listed."""
    for void in map(pending_void, packed):
        place = f"{void.type} {void.source} {void.id}"
        yield (f"pending void of {place}", _day(void.time // (DAY_SECONDS * SECOND))), void.reason


def _slot(day: int, place: int) -> str:
    minutes = place * SLOT_SECONDS // 60
    return f"{_day(day)}T{minutes // 60:02}:{minutes % 60:02}Z"


def _day(day: int) -> str:
    try:
        return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return f"UTC day {day}"


def differences(account: str, live: Contents, rebuilt: Contents) -> list[Difference]:
    """Return where *live* and *rebuilt* differ, by place; they must have the same fences.

    Counters of sessions are compared where both count them.
    """
    differing = []
    sessions_from = max(live.sessions_from, rebuilt.sessions_from)
    places = live.values.keys() | rebuilt.values.keys()
    for what, where in sorted(places, key=lambda place: place[::-1]):
        here, there = live.values.get((what, where)), rebuilt.values.get((what, where))
        if here != there and not (what in SESSION_METRICS and where < sessions_from):
            differing.append(Difference(account, what, where, here, there))
    return differing
