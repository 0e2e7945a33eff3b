"""The state of a rule, and which change of it is notified. Pure: the second is an argument.

What a rule watches is a list of *stretches*: half-open [begin, end) in which it is over its
threshold, as the rollups have it now; the last one may be open (end None), and then the rule is
triggered. Rollups follow from the set of events, so the same stretches come out whoever evaluates,
however often, and after any replay. A stretch that overlaps one that was notified is the same one,
though a late event may have moved its ends. So one is notified once:

    looks             |        |         |
    stretches    [--)      [-------)   [---      notified: triggered, resolved; triggered, resolved;
                                                           triggered

A stretch that ended before the look that first saw it is notified as triggered and resolved, and as
*late* where it crossed the threshold more than a minute before an earlier look: the event that made
it was late.

Where numbers are stale nobody evaluates (`evaluator`), and states stay as they are; they are shown
as *unknown* then, never as ok.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Final, Literal, NamedTuple

import msgspec

#: Seconds by which an event may come after its own time before what it changes is late.
LATE_S: Final = 60
#: Stretches that a state remembers; before the oldest of them nothing is notified any more.
_MOST_REMEMBERED: Final = 50


class Status(StrEnum):
    """What a rule is shown as."""

    OK = "ok"
    TRIGGERED = "triggered"
    UNKNOWN = "unknown"  #: the numbers are stale, or nobody evaluates


class Stretch(NamedTuple):
    """Seconds [begin, end) in which a rule is over its threshold; still is if *end* is None."""

    begin: int
    end: int | None
    value: int | None = None  #: the most in it
    crossed: int | None = None  #: the second at which it was over, if known; else `begin`
    grain: int = 0  #: how many seconds later that may have been

    @property
    def since(self) -> int:
        """The second from which on it is over, as people read it."""
        return self.begin if self.crossed is None else self.crossed


class Reading(NamedTuple):
    """What the numbers of a rule say at one second."""

    value: int | None  #: now
    stretches: tuple[Stretch, ...] = ()  #: in order; only the last may be open
    due: int | None = None  #: the second at which it may change without an event
    separate: bool = False  #: whether each stretch is another matter, as months are


Change = Literal["triggered", "resolved"]


class Notification(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change of state, as it is delivered."""

    id: str
    change: Literal["triggered", "resolved", "test"]
    at: int  #: when it was noticed
    since: int  #: the second of the change, by the events' own times
    value: int | None = None
    late: bool = False  #: whether an event that came late has changed the past
    over: bool = False  #: whether the rule is over its threshold at `at`


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of a rule, as its record in the topic has it."""

    triggered: bool = False
    since: int = 0  #: of the state, by the events' own times
    value: int | None = None  #: when it last changed
    looked: int = 0  #: when it last changed or was first evaluated
    notified: tuple[tuple[int, int | None], ...] = ()  #: stretches; only the last may be open
    floor: int = 0  #: stretches that end before it are not looked at
    unsent: tuple[Notification, ...] = ()  #: not delivered yet, nor given up
    failed: int = 0  #: how many were given up
    failed_at: int = 0  #: when the last of them was
    changes: int = 0  #: how many there were


encode: Final = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(State).decode


def decode(content: bytes) -> State:
    """Return the state that `encode` wrote. Raises msgspec.DecodeError."""
    return _decode(content)


def first(created: int) -> State:
    """Return the state of a rule set at *created*: what ended before is not its concern."""
    return State(since=created, looked=created, floor=created)


def step(
    name: str, state: State, reading: Reading, now: int, last_look: int | None, created: int = 0
) -> State:
    """Return the state after a look at *now*; the same object if nothing has changed.

    *name* is the rule's, which was *created* at a second; the *last_look* at all rules was at
    another, if that is known.
    """
    looked = now if last_look is None else last_look
    fresh = [each for each in reading.stretches if _is_new(state, each, looked)]
    last = reading.stretches[-1] if reading.stretches else None
    current = last if last is not None and last.end is None else None
    notified = [each for each in state.notified if each[1] is not None]
    open_ = next((each for each in state.notified if each[1] is None), None)
    made: list[Notification] = []

    def notify(change: Change, stretch: Stretch, since: int) -> None:
        number = state.changes + len(made)
        latest = since + (stretch.grain if change == "triggered" else 0)
        late = last_look is not None and created <= since and latest < looked - LATE_S
        made.append(
            Notification(
                _id(name, number), change, now, since, stretch.value, late, current is not None
            )
        )

    if open_ is not None:
        ended = _ended(open_, reading, current, looked)
        if ended is not None or current is None:
            end = max(ended.end if ended and ended.end is not None else now, open_[0])
            notify("resolved", Stretch(open_[0], end, reading.value), end)
            notified.append((open_[0], end))
            open_ = None
    for stretch in fresh:
        assert stretch.end is not None
        notify("triggered", stretch, stretch.since)
        notify("resolved", stretch, stretch.end)
        notified.append((stretch.begin, stretch.end))
    if current is not None and open_ is None:
        notify("triggered", current, current.since)
        open_ = (current.begin, None)
    if not made:
        return state
    if open_ is not None:
        notified = [each for each in notified if each[0] < open_[0]]
    kept, floor = _bounded(sorted(notified), state.floor)
    is_changed = (current is not None) != state.triggered or open_ not in (None, *state.notified)
    return msgspec.structs.replace(
        state,
        triggered=current is not None,
        since=made[-1].since if is_changed else state.since,
        value=made[-1].value,
        looked=now,
        notified=(*kept, open_) if open_ is not None else kept,
        floor=floor,
        unsent=(*state.unsent, *made),
        changes=state.changes + len(made),
    )


def delivered(state: State, ids: Iterable[str]) -> State:
    """Return *state* without the notifications that were delivered."""
    gone = frozenset(ids)
    return msgspec.structs.replace(
        state, unsent=tuple(each for each in state.unsent if each.id not in gone)
    )


def given_up(state: State, ids: Sequence[str], now: int) -> State:
    """Return *state* without the notifications that could not be delivered; they are counted."""
    return msgspec.structs.replace(
        delivered(state, ids), failed=state.failed + len(ids), failed_at=now
    )


def _is_new(state: State, stretch: Stretch, looked: int) -> bool:
    """Tell whether *stretch* has ended and was never notified."""
    end = stretch.end
    if end is None or end <= state.floor:
        return False
    return not any(
        stretch.begin < (until if until is not None else max(looked, begin) + 1) and begin < end
        for begin, until in state.notified
    )


def _ended(
    open_: tuple[int, int | None], reading: Reading, current: Stretch | None, looked: int
) -> Stretch | None:
    """Return the stretch as which the *open_* one has ended, if it has.

    Where the rule is over now, it has only if that began after the last look, or is another month:
    a dip before the look that a late event has made is no change of what was notified.
    """
    if current is not None and current.begin <= looked and not reading.separate:
        return None
    known = max(looked, open_[0])
    overlapping = [
        each
        for each in reading.stretches
        if each.end is not None and each.end > open_[0] and each.begin <= known
    ]
    return overlapping[-1] if overlapping else None


def _bounded(
    notified: Sequence[tuple[int, int | None]], floor: int
) -> tuple[tuple[tuple[int, int | None], ...], int]:
    """Return the stretches to remember, and the second before which nothing is notified."""
    gone, kept = notified[:-_MOST_REMEMBERED], notified[-_MOST_REMEMBERED:]
    ends = [end for _, end in gone if end is not None]
    return tuple(kept), max([floor, *ends])


def _id(name: str, number: int) -> str:
    """Return the id of a rule's change: the same whoever makes it, so repeats can be dropped."""
    return f"msg_{sha256(f'{name}/{number}'.encode()).hexdigest()[:24]}"
