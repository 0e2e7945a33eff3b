"""Folding: one account's events of one batch, added up before anything goes to Redis.

The result, a `Part`, is what the Lua script applies at once: sums, not events. It is right only if
none of its events was applied before, which the script checks first and answers with what to leave
out; then the rest is folded again. Duplicates are rare, so one fold is nearly always enough.
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
    NumberReleased,
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


class Placed(NamedTuple):
    """An event as it stands in a topic-partition."""

    offset: int
    event: Event
    #: The second of the record's own timestamp: when it was published, not when it is read.
    recorded: int = 0


_pack = msgspec.msgpack.Encoder().encode

#: How much one counter grew: (metric, [(slot of the day, amount), ...]).
Growth = tuple[str, list[tuple[int, int]]]

#: UTC day to metric to slot of the day to amount.
_Counters = dict[int, dict[str, dict[int, int]]]


class Part(NamedTuple):
    """One account's part of one batch of one topic-partition, folded."""

    fence: str  #: the topic-partition, "topic/partition"
    first: int  #: the offset of its first event
    last: int  #: the offset of its last event
    recorded: int  #: the second of the newest of its records
    #: The UTC days that its events touch (`days_touched_by`), and the newest record that does.
    days: list[tuple[int, int]]
    #: Per epoch (`epoch_of`): the identities, as decimal strings of signed 64-bit numbers.
    identities: list[tuple[int, list[str]]]
    #: Sessions told of: (8-byte key, application's index, earliest start, earliest stop, epoch).
    sessions: list[tuple[bytes, int, int | None, int | None, int]]
    #: Per UTC day: the counters that grew.
    counters: list[tuple[int, list[Growth]]]
    #: Per UTC day: flow runs by outcome and flow, named by `flow_metric`.
    flows: list[tuple[int, list[Growth]]]

    def packed(self) -> tuple[bytes, bytes]:
        """Return the part as the script takes it: MessagePack, and the session keys end to end.

        (The MessagePack that Redis' Lua reads has no type for bytes.)
        """
        told = [told[1:] for told in self.sessions]
        return (
            _pack((*self[:6], told, self.counters, self.flows)),
            b"".join(key for key, *_ in self.sessions),
        )


#: An epoch and an identity published in it.
Told = tuple[int, str]

#: Seconds for which an event's identity, and its session, is remembered at least.
REMEMBERED = 35 * DAY_SECONDS

#: Seconds after which a day is sealed that no event touched, by the records' timestamps. Events of
#: a part lie less than this apart, or one of them could have sealed the day of another.
SEALED_AFTER = 35 * DAY_SECONDS


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
    fence: str,
    placed: Sequence[Placed],
    limits: Mapping[str, int],
    known: frozenset[Told] = frozenset(),
) -> Part:
    """Return the part that *placed*, one account's events in the order of their offsets, add up to.

    Of several events with one identity in one epoch, or neighbouring ones, the first counts. What
    is in *known* was applied before and does not count; the offsets reach over it all the same.
    *placed* must not be empty, and its records lie less than `SEALED_AFTER` apart. *limits* are
    those of sessions, in seconds.
    """
    identities: dict[int, list[str]] = {}
    counted: set[str] = set()
    days: dict[int, int] = {}
    sessions: dict[tuple[bytes, int, int], Presence] = {}
    counters: _Counters = {}
    flows: _Counters = {}
    newest = placed[0].recorded
    for _, event, recorded in placed:
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
        today = second // DAY_SECONDS
        touched: tuple[int, ...] = (today,)
        place = second // SLOT_SECONDS - today * SLOTS_PER_DAY
        if isinstance(data, FlowRun):
            _add(counters, today, _RUNS[data.application], place, 1)
            _add(counters, today, _ENDINGS[data.outcome], place, 1)
            _add(flows, today, flow_metric(data.outcome, data.flow), place, 1)
        elif isinstance(data, (SessionStarted, SessionStopped)):
            _tell(sessions, event.time, data, epoch)
            touched = days_touched_by(event, limits)
        else:
            metric, amount = _growth(data)
            _add(counters, today, metric, place, amount)
        for day in touched:
            if days.get(day, recorded) <= recorded:
                days[day] = recorded
    return Part(
        fence,
        placed[0].offset,
        placed[-1].offset,
        newest,
        list(days.items()),
        list(identities.items()),
        [(key, app, *presence, epoch) for (key, app, epoch), presence in sessions.items()],
        _grown(counters),
        _grown(flows),
    )


def stretches(placed: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    """Cut *placed* where its records would lie `SEALED_AFTER` or more apart, keeping the order."""
    begin, low, high = 0, placed[0].recorded, placed[0].recorded
    for index, (_, _, recorded) in enumerate(placed):
        low, high = min(low, recorded), max(high, recorded)
        if high - low >= SEALED_AFTER:
            yield placed[begin:index]
            begin, low, high = index, recorded, recorded
    yield placed[begin:]


def _tell(
    sessions: dict[tuple[bytes, int, int], Presence],
    time: int,
    data: SessionStarted | SessionStopped,
    epoch: int,
) -> None:
    """Add what a session event says, in whole seconds: floor of the start, ceiling of the stop."""
    if isinstance(data, SessionStarted):
        told = Presence(start=time // SECOND)
    else:
        told = Presence(stop=-(-time // SECOND))
    key = (session_key(data.application, data.session), _APPLICATION_INDEX[data.application], epoch)
    known = sessions.get(key)
    sessions[key] = told if known is None else merge(known, told)


def _growth(
    data: AssistClicked | CallMinutes | SmsSent | NumberPurchased | NumberReleased,
) -> tuple[str, int]:
    """Return the one counter that *data* moves and by how much."""
    if isinstance(data, AssistClicked):
        return _CLICKS[data.service], 1
    if isinstance(data, CallMinutes):
        return CALL_THOUSANDTHS, data.thousandths
    if isinstance(data, SmsSent):
        return (SMS_WITH_LINK if data.link else SMS_WITHOUT_LINK), 1
    return (NUMBERS_PURCHASED if isinstance(data, NumberPurchased) else NUMBERS_RELEASED), 1


def _add(sums: _Counters, day: int, metric: str, place: int, amount: int) -> None:
    try:
        slots = sums[day][metric]
    except KeyError:
        slots = sums.setdefault(day, {}).setdefault(metric, {})
    slots[place] = slots.get(place, 0) + amount


def _grown(sums: _Counters) -> list[tuple[int, list[Growth]]]:
    """Return what *sums* hold, as a part has it."""
    return [
        (day, [(metric, list(slots.items())) for metric, slots in metrics.items()])
        for day, metrics in sums.items()
    ]


def split_flow_metric(metric: str) -> tuple[str, str]:
    """Return (outcome, flow) of a name that `flow_metric` built."""
    outcome = COMPLETED if metric[0] == COMPLETED[0] else OUTCOMES[1]
    return outcome, metric[2:]


def accounts_of(placed: Iterable[Placed]) -> dict[str, list[Placed]]:
    """Group *placed* by account, keeping their order."""
    accounts: dict[str, list[Placed]] = {}
    for item in placed:
        accounts.setdefault(item.event.account, []).append(item)
    return accounts
