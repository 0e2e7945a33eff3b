"""An account's usage computed from its events alone, without Redis. Pure.

It proves a report, or explains one. It is the rule of the rollups with dictionaries: events are
folded as a worker folds them (`rollups.fold`), and what they say is added up here. So a report can
be made again from a set of events, and made without one of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rollups.catalog import APPLICATIONS, SERIES, SERIES_OF, STARTED, UNSTOPPED
from rollups.concurrency import Presence, merge
from rollups.corrections import Correction, EventVoid, first_of, latest
from rollups.events import Event
from rollups.fold import SECRET_BYTES, AccountDelta, OffsetEvent, fold, is_flow_metric
from rollups.range_snapshot import Curve, RangeSnapshot
from rollups.slots import SLOT_SECONDS, slot_of

#: Nothing is kept, so nobody has to guess it: any secret keeps events apart.
_SECRET = bytes(SECRET_BYTES)

#: A session's key, and its application.
SessionKey = tuple[bytes, str]


class Move(NamedTuple):
    """A change of a series' level at a second."""

    series: str
    second: int
    amount: int


class Effect(NamedTuple):
    """What an event, or several, changed."""

    moves: tuple[Move, ...] = ()
    counts: tuple[tuple[str, int, int], ...] = ()  #: counter, slot, amount
    sessions: tuple[SessionKey, ...] = ()

    def touches(self, begin: int, end: int) -> bool:
        """Tell whether it changes a level or a counter in the seconds [begin, end)."""
        carry = dict.fromkeys(SERIES, 0)
        for series, second, amount in self.moves:
            if begin <= second < end:
                return True
            if second < begin:
                carry[series] += amount
        first, last = slot_of(begin), slot_of(end)
        return any(carry.values()) or any(first <= slot < last for _, slot, _ in self.counts)


class UsageModel:
    """What some events of one account add up to."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._identities: set[str] = set()
        self._sessions: dict[SessionKey, Presence] = {}
        self._corrections: dict[SessionKey, Correction] = {}
        self._voids: dict[str, EventVoid] = {}
        self._deltas: dict[str, dict[int, int]] = {series: {} for series in SERIES}
        self._counters: dict[str, dict[int, int]] = {}

    def add(self, events: Iterable[Event]) -> Effect:
        """Add *events* of the account; those that were added before change nothing."""
        items = [OffsetEvent(number, event) for number, event in enumerate(events)]
        if not items:
            return Effect()
        return self._add(fold([("", items)], _SECRET, self._limits, frozenset(self._identities)))

    def _add(self, part: AccountDelta) -> Effect:
        for names in part.identities.values():
            self._identities.update(names)
        moves: list[Move] = []
        counts = [(metric, slot, amount) for (metric, slot), amount in part.counters.items()]
        keys: list[SessionKey] = []
        for name, (index, presence) in part.sessions.items():
            key = name, APPLICATIONS[index]
            keys.append(key)
            old = self.effective(key)
            self._sessions[key] = merge(self._sessions.get(key, Presence()), presence)
            if name in part.corrections:
                correction = self._corrections.get(key)
                self._corrections[key] = latest(correction, part.corrections[name])
            changes = self._change(key, old, self.effective(key))
            moves += changes.moves
            counts += changes.counts
        for identity, void in part.voids.items():
            counts += self._void(identity, void)
        effect = Effect(tuple(moves), tuple(counts), tuple(keys))
        self._apply(effect)
        return effect

    def effective(self, key: SessionKey) -> Presence:
        """Return how a session is counted: as its correction says, else as its events say."""
        if key in self._corrections:
            return self._corrections[key].presence
        return self._sessions.get(key, Presence())

    def _void(self, identity: str, void: EventVoid) -> Iterator[tuple[str, int, int]]:
        """Yield what changes in the counters where *void* is one of an event."""
        known = self._voids.get(identity)
        self._voids[identity] = first_of(known, void)
        for each, sign in ((known, 1), (self._voids[identity], -1)):
            if each is not None:
                for metric, amount in each.amounts:
                    yield metric, each.slot, sign * amount

    def _change(self, key: SessionKey, old: Presence, new: Presence) -> Effect:
        """Return what changes where a session is counted otherwise."""
        application = key[1]
        limit = self._limits[application]
        return Effect(
            tuple(_moves(application, _interval(old, limit), _interval(new, limit))),
            tuple(_counts(application, old, new)),
        )

    def _apply(self, effect: Effect) -> None:
        for series, second, amount in effect.moves:
            _add(self._deltas[series], second, amount)
        for metric, slot, amount in effect.counts:
            _add(self._counters.setdefault(metric, {}), slot, amount)

    # ------------------------------------------------------------------------------- reading

    def snapshot(self, first: int, end: int) -> RangeSnapshot:
        """Return the same over the slots [first, end) as the rollups give it, breakdowns too."""
        curves = {series: _curve(deltas, first, end) for series, deltas in self._deltas.items()}
        counters = {
            metric: slots
            for metric, slots in self._counters.items()
            if any(first <= slot < end for slot in slots)
        }
        totals = {metric: _total(slots, first, end) for metric, slots in counters.items()}
        return RangeSnapshot(
            first,
            end,
            {series: carry for series, (carry, _) in curves.items()},
            {series: curve for series, (_, curve) in curves.items()},
            {name: total for name, total in totals.items() if total and not is_flow_metric(name)},
            {
                metric: [slots.get(slot, 0) for slot in range(first, end)]
                for metric, slots in counters.items()
                if not is_flow_metric(metric)
            },
            {name: total for name, total in totals.items() if total and is_flow_metric(name)},
            pending_voids=sum(named not in self._identities for named in self._voids),
        )


def _interval(session: Presence, limit: int) -> tuple[int, int] | None:
    """Return the seconds [begin, end) in which a session is present; None if it never is."""
    if session.start is None:
        return None
    if session.stop is None:
        return session.start, session.start + limit
    return session.start, max(session.stop, session.start + 1)


def _moves(
    application: str, before: tuple[int, int] | None, after: tuple[int, int] | None
) -> Iterator[Move]:
    """Yield what changes in the series of an application."""
    if before == after:
        return
    for series in SERIES_OF[application]:
        for edge, amount in ((0, 1), (1, -1)):
            if before:
                yield Move(series, before[edge], -amount)
            if after:
                yield Move(series, after[edge], amount)


def _counts(application: str, old: Presence, new: Presence) -> Iterator[tuple[str, int, int]]:
    """Yield what changes in the counters of sessions, which count where a session starts."""
    for metric, before, after in (
        (STARTED[application], old.start, new.start),
        (
            UNSTOPPED[application],
            old.start if old.stop is None else None,
            new.start if new.stop is None else None,
        ),
    ):
        if before != after:
            if before is not None:
                yield metric, slot_of(before), -1
            if after is not None:
                yield metric, slot_of(after), 1


def _add(amounts: dict[int, int], place: int, amount: int) -> None:
    """Add *amount* in a place; what comes to nothing is not kept."""
    amounts[place] = amounts.get(place, 0) + amount
    if not amounts[place]:
        del amounts[place]


def _total(slots: Mapping[int, int], first: int, end: int) -> int:
    return sum(amount for slot, amount in slots.items() if first <= slot < end)


def _curve(deltas: Mapping[int, int], first: int, end: int) -> tuple[int, Curve]:
    """Return the level before the slot *first*, and net and rise of each slot of [first, end).

    The rise of a slot is its highest level, relative to the one before it: also that of its first
    second if no delta stands there.
    """
    carry = 0
    nets, rises = [0] * (end - first), [0] * (end - first)
    of_slots: dict[int, list[tuple[int, int]]] = {}
    for second, amount in deltas.items():
        slot = slot_of(second)
        if slot < first:
            carry += amount
        elif slot < end:
            of_slots.setdefault(slot, []).append((second - slot * SLOT_SECONDS, amount))
    for slot, changes in of_slots.items():
        changes.sort()
        nets[slot - first], rises[slot - first] = _summary(changes)
    return carry, Curve(nets, rises)


def _summary(changes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    level = 0
    rise = None if changes[0][0] == 0 else 0
    for _, amount in changes:
        level += amount
        rise = level if rise is None else max(rise, level)
    return level, rise or 0
