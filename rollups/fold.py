"""Folding: one account's events of one round, added up before anything goes to Redis.

The result, a `Part`, is what the Lua script applies at once: sums, not events. It is right only if
none of its events was applied before, which the script checks first and answers with what to leave
out; then the rest is folded again. Duplicates are rare, so one fold is nearly always enough.

A round takes batches of several topic-partitions at once, so a part has a fence for each of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from rollups.concurrency import Presence, merge
from rollups.events import (
    AssistClicked,
    CallMinutes,
    Event,
    FlowRun,
    NumberPurchased,
    SessionStarted,
    SessionStopped,
    SmsSent,
)
from rollups.instants import DAY_SECONDS, SECOND
from rollups.slots import SLOT_SECONDS, SLOTS_PER_DAY
from rollups.vocabulary import (
    APPLICATIONS,
    CALL_THOUSANDTHS,
    COMPLETED,
    NUMBERS_PURCHASED,
    NUMBERS_RELEASED,
    OUTCOMES,
    SERVICES,
    SMS_WITH_LINK,
    SMS_WITHOUT_LINK,
    clicks_on,
    runs_ending,
    runs_of,
)


class Placed(msgspec.Struct, frozen=True, gc=False):
    """An event as it stands in a topic-partition."""

    offset: int
    event: Event
    #: The second of the record's own timestamp: when it was published, not when it is read.
    recorded: int = 0


#: Events of one topic-partition, by the name of its fence, in the order of their offsets.
Portion = tuple[str, Sequence[Placed]]

_pack = msgspec.msgpack.Encoder().encode


class Part(NamedTuple):
    """One account's part of a round, folded."""

    #: Per topic-partition: its name, the offsets of its first and of its last event here.
    fences: list[tuple[str, int, int]]
    recorded: int  #: the second of the newest of its records
    #: The UTC days that its events touch (`days_touched_by`), and the newest record that does.
    days: dict[int, int]
    #: Per epoch (`epoch_of`): the identities, as decimal strings of signed 64-bit numbers.
    identities: dict[int, list[str]]
    #: Sessions told of, by (8-byte key, epoch): the application's index, and what is told.
    sessions: dict[tuple[bytes, int], tuple[int, Presence]]
    #: (metric or flow metric (`flow_metric`), slot) to the amount it grew by.
    counters: dict[tuple[str, int], int]

    def packed(self) -> tuple[bytes, bytes]:
        """Return the part as the script takes it: MessagePack, and the session keys end to end.

        (The MessagePack that Redis' Lua reads has no type for bytes.) Everything in it is a list
        whose length the script knows from its place, for lists of lists cost Lua a table each.
        """
        fences: list[str | int] = []
        for fence in self.fences:
            fences += fence
        sessions: list[int | None] = []
        for (_, epoch), (application, presence) in self.sessions.items():
            sessions += (application, epoch)
            sessions += (_NEVER if second is None else second for second in presence)
        counters: list[str | int] = []
        for (metric, slot), amount in sorted(self.counters.items()):
            counters += (metric, slot, amount)
        return (
            _pack(
                (
                    fences,
                    self.recorded,
                    _flat(self.days),
                    _flat(self.identities),
                    sessions,
                    counters,
                )
            ),
            b"".join([key for key, _ in self.sessions]),
        )


#: Stands for "none told" where the script reads a second: the smallest number of five bytes.
_NEVER = -549_755_813_888


def _flat(pairs: Mapping[int, object]) -> list[object]:
    flat: list[object] = []
    for pair in pairs.items():
        flat += pair
    return flat


_TWO_63, _TWO_64 = 1 << 63, 1 << 64
_SLOT_MICROS = SLOT_SECONDS * SECOND

#: An epoch and an identity published in it.
Told = tuple[int, str]

#: Seconds for which an event's identity, and its session, is remembered at least.
REMEMBERED = 35 * DAY_SECONDS

#: Seconds after which a day is sealed that no event touched, by the records' timestamps. Events of
#: a part lie less than this apart, or one of them could have sealed the day of another.
SEALED_AFTER = 35 * DAY_SECONDS

#: Events that a part may have: more would hold up everybody else in Redis for too long, and Lua
#: hands over 8,000 values to a command at most.
MOST_EVENTS = 2_500


def epoch_of(recorded: int) -> int:
    """Return the epoch in which an event published at the second *recorded* is remembered.

    An epoch is as long as identities are remembered, so an event that was published within that
    time of another is in the same epoch or a neighbouring one. Epochs follow the records' own
    timestamps and no clock: a topic read again a year later remembers and forgets the same.
    """
    return recorded // REMEMBERED


def is_near(epoch: int, name: str, told: Set[Told]) -> bool:
    """Tell whether the identity *name* is among *told* in *epoch* or one beside it."""
    return (epoch, name) in told or (epoch - 1, name) in told or (epoch + 1, name) in told


def identity(source: str, event_id: str) -> str:
    """Return the 64-bit identity of an event as a decimal string, signed as Redis' sets want it.

    Among a million events of an account, the chance that any two share one is 1 in 37 million.
    """
    return _signed(xxh3_64_intdigest(f"{source}\n{event_id}".encode()))


def _signed(number: int) -> str:
    return str(number - _TWO_64 if number >= _TWO_63 else number)


def session_key(application: str, session: str) -> bytes:
    """Return the 8-byte key of an account's session."""
    return xxh3_64_intdigest(f"{application}\n{session}".encode()).to_bytes(8)


def flow_metric(outcome: str, flow: str) -> str:
    """Return the name of the counter of runs of *flow* that ended with *outcome*."""
    return f"{outcome[0]}:{flow}"


def is_flow_metric(metric: str) -> bool:
    """Tell whether a counter is one that `flow_metric` named; no other has its colon there."""
    return metric[1] == ":"


def split_flow_metric(metric: str) -> tuple[str, str]:
    """Return (outcome, flow) of a name that `flow_metric` built."""
    outcome = COMPLETED if metric[0] == COMPLETED[0] else OUTCOMES[1]
    return outcome, metric[2:]


_RUNS = {application: runs_of(application) for application in APPLICATIONS}
_ENDINGS = {outcome: runs_ending(outcome) for outcome in OUTCOMES}
_CLICKS = {service: clicks_on(service) for service in SERVICES}
_APPLICATION_INDEX = {application: index for index, application in enumerate(APPLICATIONS)}


def days_touched_by(event: Event, limits: Mapping[str, int]) -> tuple[int, ...]:
    """Return the UTC days that *event* touches: which it keeps open, and may not touch once sealed.

    Its own day, and the days in which its deltas may stand as long as nothing else is told of its
    session: so every day with deltas was touched. One day may be named more than once.
    """
    second = event.time // SECOND
    day = second // DAY_SECONDS
    data = event.data
    if isinstance(data, SessionStarted):
        ends = (second + limits[data.application]) // DAY_SECONDS
        return day, (second + 1) // DAY_SECONDS, ends
    if isinstance(data, SessionStopped):
        return day, -(-event.time // SECOND) // DAY_SECONDS
    return (day,)


def fold(
    portions: Sequence[Portion],
    limits: Mapping[str, int],
    known: frozenset[Told] = frozenset(),
) -> Part:
    """Return the part that *portions* of one account add up to.

    Of several events with one identity in one epoch, or neighbouring ones, the first counts. What
    is in *known* was applied before and does not count; the fences reach over it all the same.
    No portion may be empty, and all their records lie less than `SEALED_AFTER` apart. *limits* are
    those of sessions, in seconds.

    Every event comes through this loop, so what is the same as for the event before is not worked
    out again: events of a batch share their seconds.
    """
    identities: dict[int, list[str]] = {}
    counted: set[int] = set()
    days: dict[int, int] = {}
    sessions: dict[tuple[bytes, int], tuple[int, Presence]] = {}
    counters: dict[tuple[str, int], int] = {}
    newest = recorded = portions[0][1][0].recorded
    names = identities.setdefault(epoch_of(recorded), [])
    epoch, day, last_day, last_slot = epoch_of(recorded), 0, None, None
    for _, items in portions:
        for item in items:
            event = item.event
            if item.recorded != recorded:
                recorded, last_day = item.recorded, None
                newest = max(newest, recorded)
                if recorded // REMEMBERED != epoch:
                    epoch = recorded // REMEMBERED
                    names = identities.setdefault(epoch, [])
            number = xxh3_64_intdigest(f"{event.source}\n{event.id}".encode())
            # Records of a part lie in one epoch or in two neighbouring ones, so a repeat is near.
            if number in counted or (known and (epoch, _signed(number)) in known):
                continue
            counted.add(number)
            names.append(str(number - _TWO_64 if number >= _TWO_63 else number))
            data, slot = event.data, event.time // _SLOT_MICROS
            if slot != last_slot:
                last_slot, day = slot, slot // SLOTS_PER_DAY
            if isinstance(data, FlowRun):
                key = _RUNS[data.application], slot
                counters[key] = counters.get(key, 0) + 1
                key = _ENDINGS[data.outcome], slot
                counters[key] = counters.get(key, 0) + 1
                key = f"{data.outcome[0]}:{data.flow}", slot  # flow_metric, without a call
                amount = 1
            elif isinstance(data, AssistClicked):
                key, amount = (_CLICKS[data.service], slot), 1
            elif isinstance(data, (SessionStarted, SessionStopped)):
                _tell(sessions, event.time, data, epoch)
                for touched in days_touched_by(event, limits):
                    if touched not in days or days[touched] < recorded:
                        days[touched] = recorded
                continue
            elif isinstance(data, CallMinutes):
                key, amount = (CALL_THOUSANDTHS, slot), data.thousandths
            elif isinstance(data, SmsSent):
                key, amount = (SMS_WITH_LINK if data.link else SMS_WITHOUT_LINK, slot), 1
            else:
                purchased = isinstance(data, NumberPurchased)
                key, amount = (NUMBERS_PURCHASED if purchased else NUMBERS_RELEASED, slot), 1
            counters[key] = counters.get(key, 0) + amount
            if day != last_day:
                last_day = day
                if days.get(day, recorded) <= recorded:
                    days[day] = recorded
    return Part(
        [(fence, items[0].offset, items[-1].offset) for fence, items in portions],
        newest,
        days,
        {epoch: names for epoch, names in identities.items() if names},
        sessions,
        counters,
    )


def _tell(
    sessions: dict[tuple[bytes, int], tuple[int, Presence]],
    time: int,
    data: SessionStarted | SessionStopped,
    epoch: int,
) -> None:
    """Add what a session event says, in whole seconds: floor of the start, ceiling of the stop."""
    if isinstance(data, SessionStarted):
        told = Presence(time // SECOND, None)
    else:
        told = Presence(None, -(-time // SECOND))
    key = (session_key(data.application, data.session), epoch)
    known = sessions.get(key)
    if known is not None:
        told = merge(known[1], told)
    sessions[key] = _APPLICATION_INDEX[data.application], told


def stretches(portions: Sequence[Portion], *, close: bool = False) -> Iterator[list[Portion]]:
    """Cut *portions* of one account into such as can be folded, keeping the order in each.

    A cut is made where records would lie `SEALED_AFTER` or more apart, or be too many for a part.
    That they are *close* spares a look at each.
    """
    for piece in [list(portions)] if close else _close_ones(portions):
        taken: list[Portion] = []
        room = MOST_EVENTS
        for fence, items in piece:
            begin = 0
            while len(items) - begin > room:
                if room:
                    taken.append((fence, items[begin : begin + room]))
                yield taken
                taken, begin, room = [], begin + room, MOST_EVENTS
            taken.append((fence, items[begin:] if begin else items))
            room -= len(items) - begin
        yield taken


def _close_ones(portions: Sequence[Portion]) -> Iterator[list[Portion]]:
    """Cut *portions* where records would lie `SEALED_AFTER` or more apart."""
    taken: list[Portion] = []
    low = high = portions[0][1][0].recorded
    for fence, items in portions:
        begin = 0
        for index, item in enumerate(items):
            low, high = min(low, item.recorded), max(high, item.recorded)
            if high - low >= SEALED_AFTER:
                if index > begin:
                    taken.append((fence, items[begin:index]))
                yield taken
                taken, begin = [], index
                low = high = item.recorded
        taken.append((fence, items[begin:]))
    yield taken


def span_of(placed: Sequence[Placed]) -> tuple[int, int]:
    """Return the seconds of the oldest and of the newest record of *placed*, which has some."""
    seconds = [item.recorded for item in placed]
    return min(seconds), max(seconds)


def by_account(portions: Iterable[Portion]) -> dict[str, list[Portion]]:
    """Divide *portions* by account, keeping the order of each topic-partition's events."""
    accounts: dict[str, list[Portion]] = {}
    for fence, placed in portions:
        for account, items in accounts_of(placed).items():
            if account in accounts:
                accounts[account].append((fence, items))
            else:
                accounts[account] = [(fence, items)]
    return accounts


def accounts_of(placed: Iterable[Placed]) -> dict[str, list[Placed]]:
    """Group *placed* by account, keeping their order."""
    accounts: dict[str, list[Placed]] = {}
    for item in placed:
        account = item.event.account
        if account in accounts:
            accounts[account].append(item)
        else:
            accounts[account] = [item]
    return accounts
