"""Folding: one account's events of one batch, added up before anything goes to Redis.

The result, a `Part`, is what the Lua script applies at once: sums, not events. It is right only if
none of its events was applied before, which the script checks first and answers with what to leave
out; then the rest is folded again. Duplicates are rare, so one fold is nearly always enough.
"""

from collections.abc import Iterable, Sequence, Set
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
from rollups.slots import SLOTS_PER_DAY, slot_of
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


class Part(NamedTuple):
    """One account's part of one batch of one topic-partition, folded."""

    fence: str  #: the topic-partition, "topic/partition"
    first: int  #: the offset of its first event
    last: int  #: the offset of its last event
    #: Per epoch (`epoch_of`): the identities, as decimal strings of signed 64-bit numbers.
    identities: list[tuple[int, list[str]]]
    #: Sessions told of: (8-byte key, application's index, earliest start, earliest stop).
    sessions: list[tuple[bytes, int, int | None, int | None]]
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
            _pack((*self[:4], told, self.counters, self.flows)),
            b"".join(key for key, *_ in self.sessions),
        )


#: An epoch and an identity published in it.
Told = tuple[int, str]

#: Seconds for which an event's identity is remembered at least.
REMEMBERED = 35 * DAY_SECONDS


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


def fold(fence: str, placed: Sequence[Placed], known: frozenset[Told] = frozenset()) -> Part:
    """Return the part that *placed*, one account's events in the order of their offsets, add up to.

    Of several events with one identity in one epoch, or neighbouring ones, the first counts. What
    is in *known* was applied before and does not count; the offsets reach over it all the same.
    *placed* must not be empty.
    """
    identities: dict[int, list[str]] = {}
    counted: set[Told] = set()
    sessions: dict[tuple[bytes, int], Presence] = {}
    counters: dict[tuple[str, int], int] = {}
    flows: dict[tuple[str, int], int] = {}
    for _, event, recorded in placed:
        name, epoch = identity(event.source, event.id), epoch_of(recorded)
        if (epoch, name) in known or is_near(epoch, name, counted):
            continue
        counted.add((epoch, name))
        identities.setdefault(epoch, []).append(name)
        data = event.data
        if isinstance(data, SessionStarted | SessionStopped):
            _tell(sessions, event.time, data)
            continue
        slot = slot_of(event.time // SECOND)
        if isinstance(data, FlowRun):
            _add(counters, (_RUNS[data.application], slot), 1)
            _add(counters, (_ENDINGS[data.outcome], slot), 1)
            _add(flows, (flow_metric(data.outcome, data.flow), slot), 1)
        else:
            metric, amount = _growth(data)
            _add(counters, (metric, slot), amount)
    return Part(
        fence,
        placed[0].offset,
        placed[-1].offset,
        list(identities.items()),
        [(key, app, *presence) for (key, app), presence in sessions.items()],
        _by_day(counters),
        _by_day(flows),
    )


def _tell(
    sessions: dict[tuple[bytes, int], Presence], time: int, data: SessionStarted | SessionStopped
) -> None:
    """Add what a session event says, in whole seconds: floor of the start, ceiling of the stop."""
    if isinstance(data, SessionStarted):
        told = Presence(start=time // SECOND)
    else:
        told = Presence(stop=-(-time // SECOND))
    key = (session_key(data.application, data.session), _APPLICATION_INDEX[data.application])
    known = sessions.get(key)
    sessions[key] = told if known is None else merge(known, told)


def _growth(data: object) -> tuple[str, int]:
    """Return the one counter that *data* moves and by how much."""
    match data:
        case AssistClicked(service=service):
            return _CLICKS[service], 1
        case CallMinutes(thousandths=thousandths):
            return CALL_THOUSANDTHS, thousandths
        case SmsSent(link=link):
            return (SMS_WITH_LINK if link else SMS_WITHOUT_LINK), 1
        case NumberPurchased():
            return NUMBERS_PURCHASED, 1
        case NumberReleased():
            return NUMBERS_RELEASED, 1
    raise TypeError(f"{type(data).__name__} is no counted event")


def _add(sums: dict[tuple[str, int], int], place: tuple[str, int], amount: int) -> None:
    sums[place] = sums.get(place, 0) + amount


def _by_day(sums: dict[tuple[str, int], int]) -> list[tuple[int, list[Growth]]]:
    """Group sums per (metric, slot) by UTC day, then by metric, slots in order."""
    days: dict[int, dict[str, list[tuple[int, int]]]] = {}
    for (metric, slot), amount in sorted(sums.items()):
        day, place = divmod(slot, SLOTS_PER_DAY)
        days.setdefault(day, {}).setdefault(metric, []).append((place, amount))
    return [(day, list(metrics.items())) for day, metrics in days.items()]


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
