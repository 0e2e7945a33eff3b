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
from rollups.slots import SLOT_SECONDS
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
    #: Metrics and flow metrics (`flow_metric`) to slot to the amount they grew by.
    counters: dict[str, dict[int, int]]

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
        return (
            _pack(
                (
                    fences,
                    self.recorded,
                    _flat(self.days),
                    _flat(self.identities),
                    sessions,
                    list(self.counters),
                    [_flat(slots) for slots in self.counters.values()],
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

    Among a million events of an account, the chance that any two share one is 1 to 37 million.
    """
    number = xxh3_64_intdigest(f"{source}\n{event_id}".encode())
    return str(number - (1 << 64) if number >> 63 else number)


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
    """
    identities: dict[int, list[str]] = {}
    counted: set[str] = set()
    days: dict[int, int] = {}
    sessions: dict[tuple[bytes, int], tuple[int, Presence]] = {}
    counters: dict[str, dict[int, int]] = {}
    newest = portions[0][1][0].recorded
    for _, items in portions:
        for item in items:
            event, recorded = item.event, item.recorded
            if recorded > newest:
                newest = recorded
            name, epoch = identity(event.source, event.id), recorded // REMEMBERED
            # Records of a part lie in one epoch or in two neighbouring ones, so a repeat is near.
            if name in counted or (known and (epoch, name) in known):
                continue
            counted.add(name)
            if epoch in identities:
                identities[epoch].append(name)
            else:
                identities[epoch] = [name]
            data, second = event.data, event.time // SECOND
            slot = second // SLOT_SECONDS
            if isinstance(data, FlowRun):
                _add(counters, _RUNS[data.application], slot, 1)
                _add(counters, _ENDINGS[data.outcome], slot, 1)
                _add(counters, f"{data.outcome[0]}:{data.flow}", slot, 1)
            elif isinstance(data, AssistClicked):
                _add(counters, _CLICKS[data.service], slot, 1)
            elif isinstance(data, (SessionStarted, SessionStopped)):
                _tell(sessions, event.time, data, epoch)
                for day in days_touched_by(event, limits):
                    if days.get(day, recorded) <= recorded:
                        days[day] = recorded
                continue
            elif isinstance(data, CallMinutes):
                _add(counters, CALL_THOUSANDTHS, slot, data.thousandths)
            elif isinstance(data, SmsSent):
                _add(counters, SMS_WITH_LINK if data.link else SMS_WITHOUT_LINK, slot, 1)
            else:
                purchased = isinstance(data, NumberPurchased)
                _add(counters, NUMBERS_PURCHASED if purchased else NUMBERS_RELEASED, slot, 1)
            day = second // DAY_SECONDS
            if days.get(day, recorded) <= recorded:
                days[day] = recorded
    return Part(
        [(fence, items[0].offset, items[-1].offset) for fence, items in portions],
        newest,
        days,
        identities,
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
        told = Presence(start=time // SECOND)
    else:
        told = Presence(stop=-(-time // SECOND))
    key = (session_key(data.application, data.session), epoch)
    known = sessions.get(key)
    if known is not None:
        told = merge(known[1], told)
    sessions[key] = _APPLICATION_INDEX[data.application], told


def _add(counters: dict[str, dict[int, int]], metric: str, slot: int, amount: int) -> None:
    slots = counters.get(metric)
    if slots is None:
        counters[metric] = {slot: amount}
    else:
        slots[slot] = slots.get(slot, 0) + amount


def stretches(portions: Sequence[Portion]) -> Iterator[list[Portion]]:
    """Cut *portions* of one account into such as can be folded, keeping the order in each.

    A cut is made where records would lie `SEALED_AFTER` or more apart, or be too many for a part.
    """
    taken: list[Portion] = []
    room, low, high = MOST_EVENTS, portions[0][1][0].recorded, portions[0][1][0].recorded
    for fence, items in portions:
        begin = 0
        for index, item in enumerate(items):
            recorded = item.recorded
            low, high = min(low, recorded), max(high, recorded)
            if high - low >= SEALED_AFTER or not room:
                if index > begin:
                    taken.append((fence, items[begin:index]))
                yield taken
                taken, begin = [], index
                room, low, high = MOST_EVENTS, recorded, recorded
            room -= 1
        taken.append((fence, items[begin:] if begin else items))
    yield taken


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
