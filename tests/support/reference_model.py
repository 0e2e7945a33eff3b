"""The rollups' rule in plain Python: what the Lua script does, with dictionaries for Redis.

It is the reference that the script is tested against, and it lets a report be computed from events
without any server. It takes one event after the other, in the order of the offsets; how they are
cut into batches cannot matter here, so it may not matter there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rollups.catalog import APPLICATIONS, SERIES, SERIES_OF, STARTED, UNSTOPPED
from rollups.concurrency import FLAT, Presence, Summary, merge
from rollups.corrections import Correction, EventVoid, first_of, latest
from rollups.fold import SECRET_BYTES, AccountDelta, OffsetEvent, fold, is_flow_metric
from rollups.range_snapshot import Curve, RangeSnapshot
from rollups.slots import SLOT_SECONDS, day_of, slot_of
from rollups.timestamps import DAY_SECONDS, SECOND

T = TypeVar("T")

#: A session's 8-byte key, its application.
SessionKey = tuple[bytes, str]

_SECRET = bytes(SECRET_BYTES)


def interval(session: Presence, limit: int) -> tuple[int, int] | None:
    """Return the half-open interval of seconds [begin, end) in which *session* is present.

    Without a stop it lasts *limit* seconds (the session is inferred); with one it lasts until the
    stop, and for at least one second. A session whose start has not arrived is nowhere: None.
    """
    if session.start is None:
        return None
    if session.stop is None:
        return session.start, session.start + limit
    return session.start, max(session.stop, session.start + 1)


def summarize(deltas: Mapping[int, int]) -> Summary:
    """Return (net, rise) of one slot from its *deltas*: second of the slot (0 to 899) to change."""
    level = 0
    rise: int | None = None if 0 in deltas else 0
    for second in sorted(deltas):
        if not 0 <= second < SLOT_SECONDS:
            raise ValueError(f"a slot has the seconds 0 to {SLOT_SECONDS - 1}, not {second}")
        level += deltas[second]
        rise = level if rise is None else max(rise, level)
    return Summary(level, rise or 0) if rise is not None else FLAT


def combine(earlier: Summary, later: Summary) -> Summary:
    """Return the summary of two neighbouring stretches, *earlier* directly before *later*.

    It is associative, so hours, days and any range fold from slots.
    """
    return Summary(earlier.net + later.net, max(earlier.rise, earlier.net + later.rise))


@dataclass
class Account:
    """One account's rollups."""

    fences: dict[str, int] = field(default_factory=dict)
    identities: set[str] = field(default_factory=set)
    sessions: dict[SessionKey, Presence] = field(default_factory=dict)
    corrections: dict[SessionKey, Correction] = field(default_factory=dict)
    #: identity of a voided event -> the void in effect
    voids: dict[str, EventVoid] = field(default_factory=dict)
    #: open UTC day to the second on the clock at which it was last changed
    changed: dict[int, int] = field(default_factory=dict)
    sealed: set[int] = field(default_factory=set)  #: UTC days
    #: series -> slot -> second of the slot -> delta; without zeros
    deltas: dict[str, dict[int, dict[int, int]]] = field(
        default_factory=lambda: {series: {} for series in SERIES}
    )
    #: metric -> slot -> amount
    counters: dict[str, dict[int, int]] = field(default_factory=dict)
    flows: dict[str, dict[int, int]] = field(default_factory=dict)

    def seal(self, due: int, limits: Mapping[str, int]) -> None:
        """Seal the days that nothing changed since the second *due*, and forget their sessions."""
        days = {day for day, second in self.changed.items() if second <= due}
        self.sealed |= days
        for day in days:
            del self.changed[day]
        for key, presence in list(self.sessions.items()):
            reached = _days_reached(presence, limits[key[1]])
            if correction := self.corrections.get(key):
                reached |= _days_reached(correction.presence, limits[key[1]])
                reached.add(correction.time // SECOND // DAY_SECONDS)
            if self.changed.keys().isdisjoint(reached):
                del self.sessions[key]
                self.corrections.pop(key, None)

    def effective(self, key: SessionKey) -> Presence:
        """Return how a session is counted: as its correction says, else as its events say."""
        if key in self.corrections:
            return self.corrections[key].presence
        return self.sessions.get(key, Presence())

    def pending_voids(self) -> list[EventVoid]:
        """Return the voids whose event has not come."""
        return [void for name, void in self.voids.items() if name not in self.identities]


def apply_events(
    accounts: dict[str, Account],
    fence: str,
    placed: Sequence[OffsetEvent],
    limits: Mapping[str, int],
    now: int = 0,
) -> list[OffsetEvent]:
    """Apply a batch of one topic-partition to *accounts*, whatever of it was applied before.

    *now* is the second on the clock. Returns the events that were refused: a day is sealed.
    """
    refused = []
    for name in dict.fromkeys(item.event.account for item in placed):
        account = accounts.setdefault(name, Account())
        for item in placed:
            if item.event.account != name or item.offset <= account.fences.get(fence, -1):
                continue
            part = fold([(fence, [item])], _SECRET, limits)
            if not apply(account, part, limits, now):
                refused.append(item)
    return refused


def apply(account: Account, part: AccountDelta, limits: Mapping[str, int], now: int) -> bool:
    """Apply the *part* of one event, once; *limits* are in seconds.

    Changes nothing and returns False if a day that it touches, or whose deltas it changes, is
    sealed.
    """
    if not account.sealed.isdisjoint(part.days):
        return False
    [(fence, _, offset)] = part.fences
    identities = {name for names in part.identities.values() for name in names}
    if identities <= account.identities:
        account.fences[fence] = offset
        return True
    sessions: dict[SessionKey, Presence] = {}
    corrections: dict[SessionKey, Correction] = {}
    moves: list[tuple[str, int, int]] = []
    counts: list[tuple[str, int, int]] = []
    for name, (index, presence) in part.sessions.items():
        application = APPLICATIONS[index]
        key = name, application
        old, correction = account.effective(key), account.corrections.get(key)
        new = sessions[key] = merge(account.sessions.get(key, Presence()), presence)
        if name in part.corrections:
            correction = corrections[key] = latest(correction, part.corrections[name])
        if correction:
            new = correction.presence
        moves += _moves(application, old, new, limits[application])
        counts += _counts(application, old, new)
    days = set(part.days) | {day_of(slot_of(second)) for _, second, _ in (*moves, *counts)}
    if not account.sealed.isdisjoint(days):
        return False
    account.fences[fence] = offset
    for day in days:
        account.changed[day] = max(now, account.changed.get(day, now))
    account.identities |= identities
    account.sessions |= sessions
    account.corrections |= corrections
    for series, second, amount in moves:
        _add_delta(account.deltas[series], second, amount)
    for (metric, slot), amount in part.counters.items():
        _count(account, metric, slot, amount)
    for metric, second, amount in counts:
        _count(account, metric, slot_of(second), amount)
    for name, void in part.voids.items():
        known = account.voids.get(name)
        account.voids[name] = first_of(known, void)
        for each, sign in ((known, 1), (account.voids[name], -1)):
            for metric, amount in each.amounts if each else ():
                _count(account, metric, each.slot, sign * amount)
    return True


def _count(account: Account, metric: str, slot: int, amount: int) -> None:
    """Add to a counter, or to that of a flow."""
    counters = account.flows if is_flow_metric(metric) else account.counters
    _add(counters.setdefault(metric, {}), slot, amount)
    if not counters[metric]:
        del counters[metric]


def _days_reached(session: Presence, limit: int) -> set[int]:
    """Return the UTC days in which something of *session* may stand."""
    seconds = [] if session.start is None else [session.start]
    if session.stop is not None:
        seconds += [session.stop, session.stop - 1]
    elif session.start is not None:
        seconds.append(session.start + limit)
    return {second // DAY_SECONDS for second in seconds}


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


def _counts(application: str, old: Presence, new: Presence) -> Iterator[tuple[str, int, int]]:
    """Yield (metric, second, change) of the counters of sessions when *old* becomes *new*.

    A session counts where it starts, and there as one without a stop until it has one.
    """
    for metric, is_counted in (
        (STARTED[application], lambda session: True),
        (UNSTOPPED[application], lambda session: session.stop is None),
    ):
        before = old.start if is_counted(old) else None
        after = new.start if is_counted(new) else None
        if before != after:
            yield from (
                (metric, second, amount)
                for second, amount in ((before, -1), (after, 1))
                if second is not None
            )


def _add(amounts: dict[int, int], place: int, amount: int) -> None:
    """Add *amount* in a place; what comes to nothing is not kept."""
    amounts[place] = amounts.get(place, 0) + amount
    if not amounts[place]:
        del amounts[place]


def _add_delta(slots: dict[int, dict[int, int]], second: int, amount: int) -> None:
    slot = slot_of(second)
    seconds = slots.setdefault(slot, {})
    _add(seconds, second - slot * SLOT_SECONDS, amount)
    if not seconds:
        del slots[slot]


def read(account: Account, first: int, end: int) -> RangeSnapshot:
    """Return the rollups of *account* over the slots [first, end), with every breakdown."""
    found = {
        series: {slot: summarize(seconds) for slot, seconds in slots.items()}
        for series, slots in account.deltas.items()
    }
    return RangeSnapshot(
        first,
        end,
        {
            series: sum(summary.net for slot, summary in summaries.items() if slot < first)
            for series, summaries in found.items()
        },
        {series: _curve(summaries, first, end) for series, summaries in found.items()},
        _totals(account.counters, first, end),
        {
            metric: _dense(slots, first, end)
            for metric, slots in account.counters.items()
            if _within(slots, first, end)
        },
        _totals(account.flows, first, end),
        pending_voids=len(account.pending_voids()),
    )


def _curve(summaries: Mapping[int, Summary], first: int, end: int) -> Curve:
    pairs = [summaries.get(slot, FLAT) for slot in range(first, end)]
    return Curve([pair.net for pair in pairs], [pair.rise for pair in pairs])


def _dense(slots: Mapping[int, int], first: int, end: int) -> list[int]:
    """Return the amount of each slot of [first, end), in order."""
    return [slots.get(slot, 0) for slot in range(first, end)]


def _within(slots: Mapping[int, T], first: int, end: int) -> dict[int, T]:
    return {slot: value for slot, value in slots.items() if first <= slot < end}


def _totals(counters: Mapping[str, Mapping[int, int]], first: int, end: int) -> dict[str, int]:
    sums = {metric: sum(_within(slots, first, end).values()) for metric, slots in counters.items()}
    return {metric: total for metric, total in sums.items() if total}
