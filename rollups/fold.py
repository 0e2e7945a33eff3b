"""Folding: one account's events of one micro-batch, added up before anything goes to Redis.

The result, an `AccountDelta`, is what the Lua script applies at once: sums, not events. It is right
only if none of its events was applied before. The script checks that first, and answers with what
to leave out; then the rest is folded again. Duplicates are rare: one fold is nearly always enough.

A micro-batch takes batches of several topic-partitions, so a delta has a fence for each of them.

Identities and session keys are 64 bits of SipHash-2-4 under a secret of the rollups. Whoever
publishes events chooses ids and session names; without the secret he cannot make two of them meet.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def fold(
    portions: Sequence[Portion],
    secret: bytes,
    limits: Mapping[str, int],
    known: frozenset[str] = frozenset(),
) -> AccountDelta:
    """Return the delta that *portions* of one account add up to; none of them may be empty.

    Of several events with one identity the first counts. What is in *known* was applied before and
    does not count; the fences reach over it anyway. *limits* are those of sessions, in
    seconds.

    Every event comes through this loop, so what is the same as for the event before is not worked
    out again: events of a batch share their slots, and mostly their type.
    """
    identities: dict[int, list[str]] = {}
    counted: set[int] = set()
    days: set[int] = set()
    seconds: dict[bytes, tuple[int, int, int]] = {}
    corrections: dict[bytes, Correction] = {}
    voids: dict[str, EventVoid] = {}
    growth: dict[int, dict[str, int]] = {}
    counters: dict[str, int] = {}
    day = last_slot = last_day = UNKNOWN_SECOND
    day_line = ""  # what an identity's text begins with (`identity`)
    last_type: type[Data] | None = None
    count: Counting | None = None
    names: list[str] = []
    for _, items in portions:
        for item in items:
            event = item.event
            slot = event.time // _SLOT_MICROS
            if slot != last_slot:
                last_slot, day = slot, slot // SLOTS_PER_DAY
                counters, day_line = growth.setdefault(slot, {}), f"{day}\n"
            number = siphash(secret, f"{day_line}{event.source}\n{event.id}")
            if number in counted or (known and _signed(number) in known):
                continue
            counted.add(number)
            if day != last_day:
                last_day = day
                days.add(day)
                names = identities.setdefault(day // DAYS_PER_BLOCK, [])
            names.append(str(number - _TWO_64 if number >= _TWO_63 else number))
            data = event.data
            data_type = type(data)
            if data_type is not last_type:
                last_type, count = data_type, _COUNTING[data_type]
            if count:
                count(counters, data)
            else:
                if isinstance(data, EventVoided):
                    _merge_void(voids, secret, event, data)
                else:
                    _merge_session(seconds, corrections, secret, event, data)
                days.update(days_touched_by(event, limits))
    fences = [(fence, items[0].offset, items[-1].offset) for fence, items in portions]
    return AccountDelta(fences, sorted(days), identities, seconds, growth, corrections, voids)


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


def stretches(portions: Sequence[Portion], most: int = MOST_EVENTS) -> Iterator[list[Portion]]:
    """Cut *portions* of one account into such of *most* events, keeping the order in each."""
    taken: list[Portion] = []
    room = most
    for fence, items in portions:
        begin = 0
        while len(items) - begin > room:
            if room:
                taken.append((fence, items[begin : begin + room]))
            yield taken
            taken, begin, room = [], begin + room, most
        taken.append((fence, items[begin:] if begin else items))
        room -= len(items) - begin
    yield taken


def halves(portions: Sequence[Portion]) -> list[list[Portion]]:
    """Cut *portions*, which have two events or more, into two halves, keeping the order in each."""
    room = sum(len(items) for _, items in portions) // 2
    first: list[Portion] = []
    second: list[Portion] = []
    for fence, items in portions:
        if items[:room]:
            first.append((fence, items[:room]))
        if items[room:]:
            second.append((fence, items[room:]))
        room = max(room - len(items), 0)
    return [first, second]


def by_account(portions: Iterable[Portion]) -> dict[str, list[Portion]]:
    """Divide *portions* by account, keeping the order of each topic-partition's events."""
    accounts: dict[str, list[Portion]] = {}
    for fence, placed in portions:
        for account, items in accounts_of(placed).items():
            accounts.setdefault(account, []).append((fence, items))
    return accounts


def accounts_of(placed: Iterable[OffsetEvent]) -> dict[str, list[OffsetEvent]]:
    """Group *placed* by account, keeping their order."""
    accounts: dict[str, list[OffsetEvent]] = {}
    for item in placed:
        account = item.event.account
        if account in accounts:
            accounts[account].append(item)
        else:
            accounts[account] = [item]
    return accounts
