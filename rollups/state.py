"""The rollups' rule in plain Python: what the Lua script does, with dictionaries for Redis.

It is the reference that the script is tested against, and it lets a report be computed from events
without any server. It takes one event after the other, in the order of the offsets; how they are
cut into batches cannot matter here, so it may not matter there.
"""

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rollups.concurrency import FLAT, Presence, Summary, interval, merge, summarize
from rollups.fold import (
    SEALED_AFTER,
    Part,
    Placed,
    Told,
    accounts_of,
    epoch_of,
    fold,
    identity,
    is_flow_metric,
    is_near,
)
from rollups.reading import Curve, Reading, dense
from rollups.slots import SLOT_SECONDS, day_of, slot_of
from rollups.vocabulary import APPLICATIONS, SERIES, SERIES_OF

T = TypeVar("T")

#: An epoch, a session's 8-byte key, its application.
SessionKey = tuple[int, bytes, str]


@dataclass
class Account:
    """One account's rollups."""

    fences: dict[str, int] = field(default_factory=dict)
    identities: set[Told] = field(default_factory=set)
    sessions: dict[SessionKey, Presence] = field(default_factory=dict)
    #: UTC day to the second of the newest record that touched it
    touched: dict[int, int] = field(default_factory=dict)
    #: series -> slot -> second of the slot -> delta; without zeros
    deltas: dict[str, dict[int, dict[int, int]]] = field(
        default_factory=lambda: {series: {} for series in SERIES}
    )
    #: metric -> slot -> amount
    counters: dict[str, dict[int, int]] = field(default_factory=dict)
    flows: dict[str, dict[int, int]] = field(default_factory=dict)

    def sealed_at(self, day: int) -> float:
        """Return from which second of a record on *day* is sealed for it; never if untouched."""
        return self.touched[day] + SEALED_AFTER if day in self.touched else math.inf


def apply_events(
    accounts: dict[str, Account],
    fence: str,
    placed: Sequence[Placed],
    limits: Mapping[str, int],
) -> list[Placed]:
    """Apply a batch of one topic-partition to *accounts*, whatever of it was applied before.

    Returns the events that were not counted because a day was sealed.
    """
    refused = []
    for name, items in accounts_of(placed).items():
        account = accounts.setdefault(name, Account())
        for item in items:
            if item.offset <= account.fences.get(fence, -1):
                continue
            account.fences[fence] = item.offset
            if _known(account, item):
                continue
            if not apply(account, fold([(fence, [item])], limits), limits):
                refused.append(item)
    return refused


def _known(account: Account, item: Placed) -> bool:
    """Tell whether the identity of *item* is remembered: in its own epoch or one beside it."""
    name = identity(item.event.source, item.event.id)
    return is_near(epoch_of(item.recorded), name, account.identities)


def apply(account: Account, part: Part, limits: Mapping[str, int]) -> bool:
    """Apply *part*, none of whose events was applied before; *limits* are in seconds.

    Changes nothing and returns False if a day that it touches, or whose deltas it changes, is
    sealed for its newest record.
    """
    sessions: dict[SessionKey, Presence] = {}
    moves: list[tuple[str, int, int]] = []
    for (key, epoch), (index, presence) in part.sessions.items():
        application = APPLICATIONS[index]
        place = _place((account.sessions, sessions), epoch, key, application)
        old = sessions.get(place, account.sessions.get(place, Presence()))
        sessions[place] = merge(old, presence)
        moves += _moves(application, old, sessions[place], limits[application])
    days = set(part.days) | {day_of(slot_of(second)) for _, second, _ in moves}
    if any(part.recorded >= account.sealed_at(day) for day in days):
        return False
    for day, recorded in part.days.items():
        account.touched[day] = max(recorded, account.touched.get(day, recorded))
    for epoch, names in part.identities.items():
        account.identities.update((epoch, name) for name in names)
    account.sessions |= sessions
    for series, second, amount in moves:
        _add_delta(account.deltas[series], second, amount)
    for (metric, slot), amount in part.counters.items():
        counters = account.flows if is_flow_metric(metric) else account.counters
        slots = counters.setdefault(metric, {})
        slots[slot] = slots.get(slot, 0) + amount
    return True


def _place(
    there: Sequence[Container[SessionKey]], epoch: int, key: bytes, application: str
) -> SessionKey:
    """Return where a session is kept: in its record's epoch, or one beside it that knows it."""
    for near in (epoch, epoch - 1, epoch + 1):
        if any((near, key, application) in known for known in there):
            return near, key, application
    return epoch, key, application


def _moves(
    application: str, old: Presence, new: Presence, limit: int
) -> Iterator[tuple[str, int, int]]:
    """Yield (series, second, change) of the deltas that move when *old* becomes *new*."""
    for series in SERIES_OF[application]:
        before, after = interval(old, limit), interval(new, limit)
        for edge, amount in ((0, 1), (1, -1)):
            if before and (not after or before[edge] != after[edge]):
                yield series, before[edge], -amount
            if after and (not before or before[edge] != after[edge]):
                yield series, after[edge], amount


def _add_delta(slots: dict[int, dict[int, int]], second: int, amount: int) -> None:
    slot = slot_of(second)
    seconds = slots.setdefault(slot, {})
    offset = second - slot * SLOT_SECONDS
    seconds[offset] = seconds.get(offset, 0) + amount
    if not seconds[offset]:
        del seconds[offset]
    if not seconds:
        del slots[slot]


def read(account: Account, first: int, end: int) -> Reading:
    """Return the rollups of *account* over the slots [first, end), with every breakdown."""
    found = {
        series: {slot: summarize(seconds) for slot, seconds in slots.items()}
        for series, slots in account.deltas.items()
    }
    return Reading(
        first,
        end,
        {
            series: sum(summary.net for slot, summary in summaries.items() if slot < first)
            for series, summaries in found.items()
        },
        {series: _curve(summaries, first, end) for series, summaries in found.items()},
        _totals(account.counters, first, end),
        {
            metric: dense(slots, first, end)
            for metric, slots in account.counters.items()
            if _within(slots, first, end)
        },
        _totals(account.flows, first, end),
    )


def _curve(summaries: Mapping[int, Summary], first: int, end: int) -> Curve:
    pairs = [summaries.get(slot, FLAT) for slot in range(first, end)]
    return Curve([pair.net for pair in pairs], [pair.rise for pair in pairs])


def _within(slots: Mapping[int, T], first: int, end: int) -> dict[int, T]:
    return {slot: value for slot, value in slots.items() if first <= slot < end}


def _totals(counters: Mapping[str, Mapping[int, int]], first: int, end: int) -> dict[str, int]:
    sums = {metric: sum(_within(slots, first, end).values()) for metric, slots in counters.items()}
    return {metric: total for metric, total in sums.items() if total}
