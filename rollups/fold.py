"""Folding: one account's events of one micro-batch, added up before anything goes to Redis.

The result, an `AccountDelta`, is what the Lua script applies at once: sums, not events. It is right
only if none of its events was applied before. The script checks that first, and answers with what
to leave out; then the rest is folded again. Duplicates are rare: one fold is nearly always enough.

So events are added up as soon as they are decoded, and not kept: what is needed of them is in the
processor's cache then. An account's sums know the offsets of its events, to read those again.

A micro-batch takes batches of several topic-partitions, so a delta has a fence for each of them.

Identities and session keys are 64 bits of SipHash-2-4 under a secret of the rollups. Whoever
publishes events chooses ids and session names; without the secret he cannot make two of them meet.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from siphashc import siphash

from rollups.catalog import (
    APPLICATIONS,
    EVENT_TYPES,
    FLOW_PREFIXES,
    CatalogError,
    Counting,
    EventType,
    counting,
)
from rollups.concurrency import UNKNOWN_SECOND, Presence
from rollups.corrections import Correction, EventVoid, first_of, latest
from rollups.events import (
    Data,
    Event,
    EventVoided,
    SessionCorrected,
    SessionStarted,
    SessionStopped,
)
from rollups.slots import DAYS_PER_BLOCK, SLOT_SECONDS, SLOTS_PER_DAY, day_of
from rollups.timestamps import DAY_SECONDS, SECOND


class OffsetEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as it stands in a topic-partition."""

    offset: int
    event: Event


#: Events of one topic-partition, by the name of its fence, in the order of their offsets.
Portion = tuple[str, Sequence[OffsetEvent]]
#: Where events stand: the name of their topic-partition's fence, and their offsets in order.
Places = tuple[str, Sequence[int]]

_pack = msgspec.msgpack.Encoder().encode


class AccountDelta(NamedTuple):
    """What a micro-batch changes in one account: its events, folded."""

    #: Per topic-partition: its name, the offsets of its first and of its last event here.
    fences: list[tuple[str, int, int]]
    #: The UTC days that its events touch (`days_touched_by`).
    days: list[int]
    #: Per block of days: the identities, as decimal strings of signed 64-bit numbers.
    identities: dict[int, list[str]]
    #: Sessions with an event in the delta, by their 8-byte key: the application's index, and the
    #: earliest start and stop, `UNKNOWN_SECOND` for none.
    seconds: dict[bytes, tuple[int, int, int]]
    #: Slot to metric or flow metric (`flow_metric`) to the amount it grew by; a slot may have none.
    growth: dict[int, dict[str, int]]
    #: Of the sessions that are corrected in the delta, the correction in effect, by their key.
    corrections: Mapping[bytes, Correction] = MappingProxyType({})
    #: Of the events that are voided in the delta, the void in effect, by the identity of the event.
    voids: Mapping[str, EventVoid] = MappingProxyType({})

    @property
    def sessions(self) -> dict[bytes, tuple[int, Presence]]:
        """The application's index of each session by its key, and what is known of it."""
        return {
            key: (index, _presence(*seconds)) for key, (index, *seconds) in self.seconds.items()
        }

    @property
    def counters(self) -> dict[tuple[str, int], int]:
        """(metric, slot) to the amount it grew by."""
        return {
            (metric, slot): amount
            for slot, amounts in self.growth.items()
            for metric, amount in amounts.items()
        }

    def packed(self) -> tuple[bytes, bytes]:
        """Return the delta as the script takes it: MessagePack, and the session keys end to end.

        (The MessagePack that Redis' Lua reads has no type for bytes.) Everything in it is a list
        whose length the script knows from its place, for lists of lists cost Lua a table each.
        """
        fences = list(chain.from_iterable(self.fences))
        identities = list(chain.from_iterable(self.identities.items()))
        sessions = list(chain.from_iterable(self.seconds.values()))
        parts: list[Any] = [fences, self.days, identities, sessions, self._packed_counters()]
        if self.corrections or self.voids:
            parts += self._packed_corrections()
        return _pack(parts), b"".join(self.seconds)

    def _packed_counters(self) -> list[int | list[str] | list[int]]:
        """Return per UTC day: the day, the metrics that grow, and their growth.

        The growth is of each metric how many slots it has, and of each slot its place in the day
        and the amount: as the script needs them, so that it copies nothing.
        """
        by_day: dict[int, dict[str, list[int]]] = {}
        for slot, amounts in self.growth.items():
            if not amounts:
                continue
            day, place = divmod(slot, SLOTS_PER_DAY)
            metrics = by_day.setdefault(day, {})
            for metric, amount in amounts.items():
                cells = metrics.get(metric)
                if cells is None:
                    cells = metrics[metric] = [0]
                cells[0] += 1
                cells += (place, amount)
        packed: list[int | list[str] | list[int]] = []
        for day, metrics in by_day.items():
            packed += (day, list(metrics), list(chain.from_iterable(metrics.values())))
        return packed

    def _packed_corrections(self) -> tuple[list[int], list[list[object]]]:
        """Return corrections by the place of their session, from 1 on; and the voids.

        A delta without any does not have them: what nobody corrects costs nothing.
        """
        corrections: list[int] = []
        for place, key in enumerate(self.seconds, 1):
            if correction := self.corrections.get(key):
                corrections += (place, *correction.rank)
        voids = [
            [day_of(void.slot) // DAYS_PER_BLOCK, name, *void.stored()]
            for name, void in self.voids.items()
        ]
        return corrections, voids


def _presence(start: int, stop: int) -> Presence:
    return Presence(*(None if second == UNKNOWN_SECOND else second for second in (start, stop)))


_TWO_63, _TWO_64 = 1 << 63, 1 << 64
_SLOT_MICROS = SLOT_SECONDS * SECOND
_DAY_MICROS = DAY_SECONDS * SECOND

#: Seconds after which a day is sealed, counted on the worker's clock from the last event that was
#: applied to it. Until then its identities, and the sessions that reach into it, are remembered.
SEALED_AFTER = 35 * DAY_SECONDS

#: Events that a delta may have; the script asks for smaller ones where these are too much work.
MOST_EVENTS = 1_500

#: Bytes of the secret that identities and session keys are hashed with.
SECRET_BYTES = 16


def identity(secret: bytes, day: int, source: str, event_id: str) -> str:
    """Return the 64-bit identity of an event of a UTC *day*: decimal, signed for sets of integers.

    Among a million events of an account, the chance that any two share one is 1 in 37 million.
    """
    # No separator can be forged: the day is a number, and a source has no control characters.
    return _signed(siphash(secret, f"{day}\n{source}\n{event_id}"))


def _signed(number: int) -> str:
    return str(number - _TWO_64 if number >= _TWO_63 else number)


def session_key(secret: bytes, application: str, session: str) -> bytes:
    """Return the 8-byte key of an account's session."""
    return siphash(secret, f"{application}\n{session}").to_bytes(8)


def flow_metric(outcome: str, flow: str) -> str:
    """Return the name of the counter of runs of *flow* that ended with *outcome*."""
    return f"{FLOW_PREFIXES[outcome]}:{flow}"


def is_flow_metric(metric: str) -> bool:
    """Tell whether a counter is one that `flow_metric` named; no other has its colon there."""
    return metric[1] == ":"


_OUTCOME_OF_PREFIX = {prefix: outcome for outcome, prefix in FLOW_PREFIXES.items()}


def split_flow_metric(metric: str) -> tuple[str, str]:
    """Return (outcome, flow) of a name that `flow_metric` built."""
    return _OUTCOME_OF_PREFIX[metric[0]], metric[2:]


def dispatch(types: Iterable[EventType]) -> dict[type[Data], Counting | None]:
    """Return what counts each type of data; None for what sessions and corrections consist of."""
    found: dict[type[Data], Counting | None] = {}
    for row in types:
        if row.rules is None:
            found[row.data] = None
        elif row.rules:
            found[row.data] = counting(row.rules)
        else:
            raise CatalogError(f"{row.name} counts nothing")
    return found


#: The type of an event's data to what counts it. Data of any other type is an error, never skipped.
_COUNTING = dispatch(EVENT_TYPES)
_NOTHING = 0, UNKNOWN_SECOND, UNKNOWN_SECOND  #: what is known of a session at first
_APPLICATION_INDEX = {application: index for index, application in enumerate(APPLICATIONS)}


def days_touched_by(event: Event, limits: Mapping[str, int]) -> tuple[int, ...]:
    """Return the UTC days that *event* touches: which it keeps open, and may not touch once sealed.

    The day of its time, with which it is remembered, and the days in which its deltas stand as long
    as nothing else is known of its session: whatever came before it. One day may be named twice.
    """
    second = event.time // SECOND
    day = second // DAY_SECONDS
    data = event.data
    if isinstance(data, SessionStarted):
        ends = (second + limits[data.application]) // DAY_SECONDS
        return day, (second + 1) // DAY_SECONDS, ends
    if isinstance(data, SessionStopped):
        return day, -(-event.time // SECOND) // DAY_SECONDS
    if isinstance(data, EventVoided):
        return day, data.event.time // _DAY_MICROS
    if isinstance(data, SessionCorrected) and data.start is not None:
        begin = data.start // SECOND
        end = begin + limits[data.application]
        if data.stop is not None:
            end = max(-(-data.stop // SECOND), begin + 1)
        return day, begin // DAY_SECONDS, end // DAY_SECONDS
    return (day,)


class Sums:
    """What some events of an account add up to."""

    __slots__ = (
        "_corrections", "_days", "_growth", "_identities", "_room", "_seconds", "_voids", "offsets",
    )  # fmt: skip

    def __init__(self, room: int) -> None:
        #: Of its events, by the name of their topic-partition's fence.
        self.offsets: dict[str, list[int]] = {}
        self._room = room  # for how many more events
        self._identities: dict[int, dict[int, None]] = {}  # by block of days, in their order
        self._growth: dict[int, dict[str, int]] = {}
        self._seconds: dict[bytes, tuple[int, int, int]] = {}
        self._corrections: dict[bytes, Correction] = {}
        self._voids: dict[str, EventVoid] = {}
        self._days: set[int] = set()  # but those of the events' times, which `_growth` has

    def delta(self) -> AccountDelta:
        """Return it as one delta."""
        days = self._days.union(slot // SLOTS_PER_DAY for slot in self._growth)
        return AccountDelta(
            [(fence, offsets[0], offsets[-1]) for fence, offsets in self.offsets.items()],
            sorted(days),
            {
                block: [str(n - _TWO_64 if n >= _TWO_63 else n) for n in numbers]
                for block, numbers in self._identities.items()
            },
            self._seconds,
            self._growth,
            self._corrections,
            self._voids,
        )


class Folding:
    """Adds up events of any accounts as they come.

    An account has one delta, or several in the order of its events, of as many as *most* says.
    *limits* are those of sessions, in seconds. What is in *known* was applied before and does not
    count; the fences reach over it anyway.
    """

    def __init__(
        self,
        secret: bytes,
        limits: Mapping[str, int],
        most: Callable[[str], int],
        known: frozenset[str] = frozenset(),
    ) -> None:
        self.sums: dict[str, list[Sums]] = {}  #: by account
        self._secret, self._limits, self._most, self._known = secret, limits, most, known
        self._current: dict[str, Sums] = {}

    def add(self, fence: str, offsets: Sequence[int], events: Sequence[Event]) -> None:
        """Add *events* of one topic-partition, which stand at *offsets*.

        Of several events with one identity the first of a delta counts.

        Every event comes through this loop, so what is the same as for the event before is not
        worked out again: events of a batch share their slots, and mostly their type.
        """
        secret, known, limits, current = self._secret, self._known, self._limits, self._current
        slot = last_slot = block = UNKNOWN_SECOND
        day_line = ""  # what an identity's text begins with (`identity`)
        last_type: type[Data] | None = None
        count: Counting | None = None
        for offset, event in zip(offsets, events, strict=True):
            sums = current.get(event.account)
            if sums is None or not sums._room:
                sums = self._begin(event.account)
            sums._room -= 1
            places = sums.offsets.get(fence)
            if places is None:
                places = sums.offsets[fence] = []
            places.append(offset)
            slot = event.time // _SLOT_MICROS
            if slot != last_slot:
                last_slot, day = slot, slot // SLOTS_PER_DAY
                block, day_line = day // DAYS_PER_BLOCK, f"{day}\n"
            number = siphash(secret, f"{day_line}{event.source}\n{event.id}")
            identities = sums._identities.get(block)
            if (identities and number in identities) or (known and _signed(number) in known):
                continue
            if identities is None:
                identities = sums._identities[block] = {}
            identities[number] = None
            counters = sums._growth.get(slot)
            if counters is None:
                counters = sums._growth[slot] = {}
            data = event.data
            data_type = type(data)
            if data_type is not last_type:
                last_type, count = data_type, _COUNTING[data_type]
            if count:
                count(counters, data)
            else:
                if isinstance(data, EventVoided):
                    _merge_void(sums._voids, secret, event, data)
                else:
                    _merge_session(sums._seconds, sums._corrections, secret, event, data)
                sums._days.update(days_touched_by(event, limits))

    def _begin(self, account: str) -> Sums:
        sums = self._current[account] = Sums(max(self._most(account), 1))
        self.sums.setdefault(account, []).append(sums)
        return sums


def fold(
    portions: Sequence[Portion],
    secret: bytes,
    limits: Mapping[str, int],
    known: frozenset[str] = frozenset(),
) -> AccountDelta:
    """Return the delta that *portions* of one account add up to; none of them may be empty.

    What is in *known* was applied before and does not count (`Folding`).
    """
    folding = Folding(secret, limits, lambda _: sys.maxsize, known)
    for fence, items in portions:
        folding.add(fence, [item.offset for item in items], [item.event for item in items])
    [[sums]] = folding.sums.values()
    return sums.delta()


def amounts_of(data: Data) -> dict[str, int]:
    """Return what an event with this *data* counts, by metric. Raises CatalogError."""
    count, amounts = _COUNTING[type(data)], dict[str, int]()
    if count is None:
        raise CatalogError(f"{type(data).__name__} counts nothing by itself, so no void is of it")
    count(amounts, data)
    return amounts


def _merge_void(
    voids: dict[str, EventVoid], secret: bytes, event: Event, data: EventVoided
) -> None:
    """Add a void, with what the event that it names counts."""
    original = data.event
    amounts = amounts_of(original.data)
    name = identity(secret, original.time // _DAY_MICROS, original.source, original.id)
    voids[name] = first_of(voids.get(name), EventVoid.of(event, data, amounts))


def _merge_session(
    seconds: dict[bytes, tuple[int, int, int]],
    corrections: dict[bytes, Correction],
    secret: bytes,
    event: Event,
    data: Any,
) -> None:
    """Add what an event says of a session, in whole seconds: floor of the start, ceiling of stop.

    The earliest of each counts, as `merge` says; a correction is beside what they say.
    """
    application = data.application
    key = siphash(secret, f"{application}\n{data.session}").to_bytes(8)  # session_key
    _, start, stop = seconds.get(key, _NOTHING)
    data_type = type(data)
    if data_type is SessionStarted:
        second = event.time // SECOND
        if start == UNKNOWN_SECOND or second < start:
            start = second
    elif data_type is SessionStopped:
        second = -(-event.time // SECOND)
        if stop == UNKNOWN_SECOND or second < stop:
            stop = second
    else:
        corrections[key] = latest(corrections.get(key), Correction.of(event, data))
    seconds[key] = _APPLICATION_INDEX[application], start, stop


def stretches(places: Iterable[Places], most: int = MOST_EVENTS) -> Iterator[list[Places]]:
    """Cut the *places* of an account's events into such of *most* events, in their order."""
    taken: list[Places] = []
    room = most
    for fence, offsets in places:
        begin = 0
        while len(offsets) - begin > room:
            if room:
                taken.append((fence, offsets[begin : begin + room]))
            yield taken
            taken, begin, room = [], begin + room, most
        taken.append((fence, offsets[begin:] if begin else offsets))
        room -= len(offsets) - begin
    yield taken


def halves(places: Sequence[Places]) -> list[list[Places]]:
    """Cut the *places* of two events or more into two halves, in their order."""
    size = sum(len(offsets) for _, offsets in places)
    first, *others = stretches(places, size // 2)
    return [first, [each for other in others for each in other]]
