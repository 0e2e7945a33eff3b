"""The rollups' rule in plain Python: what the Lua script does, with dictionaries for Redis.

It is the reference that the script is tested against, and it lets a report be computed from events
without any server. Every result here is a function of the set of events applied.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rollups.concurrency import Presence, interval, merge, summarize
from rollups.fold import Growth, Part, Placed, Told, accounts_of, epoch_of, fold, identity, is_near
from rollups.reading import Reading
from rollups.slots import SLOT_SECONDS, first_slot_of, slot_of
from rollups.vocabulary import APPLICATIONS, SERIES, SERIES_OF

T = TypeVar("T")


@dataclass
class Account:
    """One account's rollups."""

    fences: dict[str, int] = field(default_factory=dict)
    identities: set[Told] = field(default_factory=set)
    sessions: dict[tuple[bytes, str], Presence] = field(default_factory=dict)
    #: series -> slot -> second of the slot -> delta; without zeros
    deltas: dict[str, dict[int, dict[int, int]]] = field(
        default_factory=lambda: {series: {} for series in SERIES}
    )
    #: metric -> slot -> amount
    counters: dict[str, dict[int, int]] = field(default_factory=dict)
    flows: dict[str, dict[int, int]] = field(default_factory=dict)


def apply_events(
    accounts: dict[str, Account],
    fence: str,
    placed: Sequence[Placed],
    limits: Mapping[str, int],
) -> None:
    """Apply a batch of one topic-partition to *accounts*, whatever of it was applied before."""
    for name, items in accounts_of(placed).items():
        account = accounts.setdefault(name, Account())
        above = [item for item in items if item.offset > account.fences.get(fence, -1)]
        if above:
            apply(account, fold(fence, above, _known(account, above)), limits)


def _known(account: Account, placed: Sequence[Placed]) -> frozenset[Told]:
    """Return which identities of *placed* are remembered: of their own epoch or one beside it."""
    told = {(epoch_of(recorded), identity(event.source, event.id)) for _, event, recorded in placed}
    return frozenset(
        (epoch, name) for epoch, name in told if is_near(epoch, name, account.identities)
    )


def apply(account: Account, part: Part, limits: Mapping[str, int]) -> None:
    """Apply *part*, none of whose events was applied before; *limits* are in seconds."""
    for epoch, names in part.identities:
        account.identities.update((epoch, name) for name in names)
    for key, index, start, stop in part.sessions:
        application = APPLICATIONS[index]
        old = account.sessions.get((key, application), Presence())
        new = merge(old, Presence(start, stop))
        account.sessions[key, application] = new
        _move(account, application, old, new, limits[application])
    _grow(account.counters, part.counters)
    _grow(account.flows, part.flows)
    account.fences[part.fence] = part.last


def _move(account: Account, application: str, old: Presence, new: Presence, limit: int) -> None:
    """Take the deltas of *old* back and add those of *new*."""
    for presence, sign in ((old, -1), (new, 1)):
        if stretch := interval(presence, limit):
            for series in SERIES_OF[application]:
                _add_delta(account.deltas[series], stretch[0], sign)
                _add_delta(account.deltas[series], stretch[1], -sign)


def _add_delta(slots: dict[int, dict[int, int]], second: int, amount: int) -> None:
    slot = slot_of(second)
    seconds = slots.setdefault(slot, {})
    offset = second - slot * SLOT_SECONDS
    seconds[offset] = seconds.get(offset, 0) + amount
    if not seconds[offset]:
        del seconds[offset]
    if not seconds:
        del slots[slot]


def _grow(counters: dict[str, dict[int, int]], days: list[tuple[int, list[Growth]]]) -> None:
    for day, metrics in days:
        for metric, steps in metrics:
            slots = counters.setdefault(metric, {})
            for place, amount in steps:
                slot = first_slot_of(day) + place
                slots[slot] = slots.get(slot, 0) + amount


def read(account: Account, first: int, end: int) -> Reading:
    """Return the rollups of *account* over the slots [first, end), with every breakdown."""
    summaries = {
        series: {slot: summarize(seconds) for slot, seconds in slots.items()}
        for series, slots in account.deltas.items()
    }
    return Reading(
        first,
        end,
        {
            series: sum(summary.net for slot, summary in slots.items() if slot < first)
            for series, slots in summaries.items()
        },
        {series: _within(slots, first, end) for series, slots in summaries.items()},
        _totals(account.counters, first, end),
        {metric: _within(slots, first, end) for metric, slots in account.counters.items()},
        _totals(account.flows, first, end),
    )


def _within(slots: Mapping[int, T], first: int, end: int) -> dict[int, T]:
    return {slot: value for slot, value in slots.items() if first <= slot < end}


def _totals(counters: Mapping[str, Mapping[int, int]], first: int, end: int) -> dict[str, int]:
    sums = {metric: sum(_within(slots, first, end).values()) for metric, slots in counters.items()}
    return {metric: total for metric, total in sums.items() if total}
