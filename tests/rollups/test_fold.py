"""Folding a batch: what one account's events add up to before anything is stored."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from siphashc import siphash

from rollups.catalog import APPLICATIONS
from rollups.concurrency import Presence
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
from rollups.fold import (
    AccountDelta,
    Folding,
    OffsetEvent,
    flow_metric,
    fold,
    identity,
    session_key,
    split_flow_metric,
)
from rollups.timestamps import SECOND, parse_rfc3339
from tests.rollups.drawing import events
from tests.support.reference import LIMITS

SECRET = bytes(range(16))
DAY = 20_731  # 2026-10-05
SLOT = DAY * 96 + 36
NINE = "2026-10-05T09:00:00Z"  # slot 36 of its day


def one(items: list[OffsetEvent]) -> AccountDelta:
    """Fold *items* as the only portion of a part."""
    return fold([("t/0", items)], SECRET, LIMITS)


def placed(*items: tuple[str, Any], first: int = 0) -> list[OffsetEvent]:
    """Return events at these times, each at an offset and with an id of its own."""
    return [
        OffsetEvent(first + i, Event("test", str(first + i), "acme", parse_rfc3339(time), data))
        for i, (time, data) in enumerate(items)
    ]


@pytest.mark.parametrize(
    ("data", "grown"),
    [
        (FlowRun("f", "mobile-web"), {"runs.mobile-web": 1, "outcome.completed": 1}),
        (FlowRun("f", "agent", "abandoned"), {"runs.agent": 1, "outcome.abandoned": 1}),
        (AssistClicked("call-now"), {"clicks.call-now": 1}),
        (AssistClicked("chat", "agent", "f"), {"clicks.chat": 1}),
        (CallMinutes(12_500), {"call.minutes": 12_500}),
        (SmsSent(), {"sms.link": 1}),
        (SmsSent(link=False), {"sms.plain": 1}),
        (NumberPurchased("+4930123"), {"numbers.purchased": 1}),
        (NumberReleased("+4930123"), {"numbers.released": 1}),
    ],
)
def test_the_counters_an_event_moves(data: Any, grown: dict[str, int]) -> None:
    """In the slot of its time, and nowhere else."""
    part = one(placed((NINE, data)))
    if isinstance(data, FlowRun):
        grown = grown | {flow_metric(data.outcome, "f"): 1}
    assert part.counters == {(metric, SLOT): amount for metric, amount in grown.items()}
    assert (part.sessions, part.days) == ({}, [DAY])


@pytest.mark.parametrize(
    ("time", "day", "slot"),
    [
        ("2026-10-05T00:00:00Z", DAY, 0),
        ("2026-10-04T23:59:59.999999Z", DAY - 1, 95),
        ("2026-10-05T09:14:59.999999Z", DAY, 36),
        ("2026-10-05T09:15:00Z", DAY, 37),
        ("2026-10-05T01:30:00+02:00", DAY - 1, 94),
        ("1969-12-31T23:59:59.999999Z", -1, 95),
        ("1970-01-01T00:00:00Z", 0, 0),
    ],
)
def test_the_day_and_slot_of_an_event(time: str, day: int, slot: int) -> None:
    """UTC midnight, slot edges, offsets, before 1970."""
    part = one(placed((time, SmsSent())))
    assert part.counters == {("sms.link", day * 96 + slot): 1}
    assert part.days == [day]


@pytest.mark.parametrize(
    ("fraction", "start", "stop"), [("", 0, 0), (".000001", 0, 1), (".999999", 0, 1)]
)
def test_a_start_is_cut_off_and_a_stop_rounded_up(fraction: str, start: int, stop: int) -> None:
    """So that a session of a microsecond is present for a second."""
    time = f"2026-10-05T09:00:00{fraction}Z"
    nine = parse_rfc3339(NINE) // SECOND
    key = session_key(SECRET, "agent", "s")
    part = one(placed((time, SessionStarted("s", "agent"))))
    assert part.sessions == {key: (0, Presence(start=nine + start))}
    part = one(placed((time, SessionStopped("s", "agent"))))
    assert part.sessions == {key: (0, Presence(stop=nine + stop))}


def test_a_stop_before_1970_is_rounded_up_as_well() -> None:
    """Ceiling means later, on either side of the epoch."""
    part = one(placed(("1969-12-31T23:59:58.5Z", SessionStopped("s", "agent"))))
    assert list(part.sessions.values()) == [(0, Presence(stop=-1))]


def test_a_session_reported_of_often_is_one_entry() -> None:
    """The earliest start and the earliest stop of the batch."""
    part = one(
        placed(
            ("2026-10-05T09:00:10Z", SessionStarted("s", "agent")),
            ("2026-10-05T09:00:30Z", SessionStopped("s", "agent")),
            ("2026-10-05T09:00:05Z", SessionStarted("s", "agent")),
            ("2026-10-05T09:00:40Z", SessionStopped("s", "agent")),
        )
    )
    nine = parse_rfc3339(NINE) // SECOND
    presence = Presence(nine + 5, nine + 30)
    assert part.sessions == {session_key(SECRET, "agent", "s"): (0, presence)}


def test_the_same_name_in_two_applications_is_two_sessions() -> None:
    """A session is identified by account, application and name."""
    answer = [(NINE, SessionStarted("s", application)) for application in APPLICATIONS]
    part = one(placed(*answer))
    assert len(part.sessions) == 4
    assert [index for index, _ in part.sessions.values()] == [0, 1, 2, 3]
    assert all(len(key) == 8 for key in part.sessions)


def test_an_event_counts_once_in_a_batch() -> None:
    """Of several with one identity the first counts; its offset is covered anyway."""
    [first] = placed((NINE, CallMinutes(1)))
    again = OffsetEvent(7, first.event)
    part = one([first, again])
    assert part.counters == {("call.minutes", SLOT): 1}
    assert part.fences == [("t/0", 0, 7)]
    assert part.identities == {DAY // 32: [identity(SECRET, DAY, "test", "0")]}


def test_an_event_counts_once_in_a_micro_batch() -> None:
    """Also where its copies came by several topic-partitions; each has its fence."""
    [first] = placed((NINE, CallMinutes(1)))
    part = fold([("t/0", [first]), ("t/1", [OffsetEvent(9, first.event)])], SECRET, LIMITS)
    assert part.counters == {("call.minutes", SLOT): 1}
    assert part.fences == [("t/0", 0, 0), ("t/1", 9, 9)]
    assert part.identities == {DAY // 32: [identity(SECRET, DAY, "test", "0")]}


def test_what_is_known_does_not_count() -> None:
    """An event applied before leaves only its offset."""
    items = placed((NINE, SmsSent()), (NINE, SmsSent()), first=41)
    known = frozenset(identity(SECRET, DAY, "test", name) for name in ("41", "42"))
    part = fold([("t/3", items)], SECRET, LIMITS, known)
    assert (part.fences, part.days, part.identities) == ([("t/3", 41, 42)], [], {})
    assert (part.sessions, part.counters) == ({}, {})


def test_identity_is_day_source_and_id() -> None:
    """A signed 64-bit number in decimal, as Redis keeps it in small sets."""
    names = [
        *(
            identity(SECRET, DAY, *pair)
            for pair in (("a", "1"), ("a", "2"), ("b", "1"), ("a1", ""))
        ),
        identity(SECRET, DAY + 1, "a", "1"),
        identity(bytes(16), DAY, "a", "1"),
    ]
    assert len(set(names)) == 6
    assert all(-(2**63) <= int(name) < 2**63 and str(int(name)) == name for name in names)
    assert identity(SECRET, DAY, "a", "1") == names[0]


def test_keys_are_siphash_of_the_published_test_vector() -> None:
    """SipHash-2-4 of the bytes 0 to 14 under the key 0 to 15, from the paper's appendix."""
    assert siphash(SECRET, bytes(range(15))) == 0xA129CA6149BE45E5


@pytest.mark.parametrize("outcome", ["completed", "abandoned"])
@pytest.mark.parametrize("flow", ["f", "c:f", "a:b", "20731.c:f", " ", "Rückruf 🛟", "x" * 200])
def test_a_flow_metric_can_be_taken_apart(outcome: str, flow: str) -> None:
    """Whatever characters the flow's name has."""
    assert split_flow_metric(flow_metric(outcome, flow)) == (outcome, flow)


@given(st.lists(events(), min_size=1, max_size=30), st.integers(1, 9), st.integers(1, 9))
def test_events_are_added_up_as_they_come_as_if_each_delta_were_folded_alone(
    drawn: list[Event], chunk: int, most: int
) -> None:
    """Whatever accounts they are of, and however many come at a time."""
    half = len(drawn) // 2
    portions = {"t/0": drawn[: half + 1], "t/1": drawn[half:]}  # one of them is in both
    folding = Folding(SECRET, LIMITS, lambda _: most)
    for fence, found in portions.items():
        for at in range(0, len(found), chunk):
            some = found[at : at + chunk]
            folding.add(fence, range(at, at + len(some)), some)
    placed_of: dict[str, list[tuple[str, OffsetEvent]]] = {}
    for fence, found in portions.items():
        for offset, event in enumerate(found):
            placed_of.setdefault(event.account, []).append((fence, OffsetEvent(offset, event)))
    assert folding.sums.keys() == placed_of.keys()
    for account, items in placed_of.items():
        pieces = [items[at : at + most] for at in range(0, len(items), most)]
        assert [sums.delta() for sums in folding.sums[account]] == [
            fold(
                [
                    (fence, [item for name, item in piece if name == fence])
                    for fence in dict.fromkeys(name for name, _ in piece)
                ],
                SECRET,
                LIMITS,
            )
            for piece in pieces
        ]
        assert [
            (fence, offset)
            for sums in folding.sums[account]
            for fence, offsets in sums.offsets.items()
            for offset in offsets
        ] == [(fence, item.offset) for fence, item in items]


#: Events of one account, some of which may be of one identity.
events_of_one = st.lists(events(), min_size=1, max_size=12).map(
    lambda drawn: [msgspec.structs.replace(event, account="acme") for event in drawn]
)


@given(events_of_one)
def test_packing_keeps_everything(drawn: list[Event]) -> None:
    """What the script unpacks is the part, with the session keys end to end."""
    items = [OffsetEvent(i, event) for i, event in enumerate(drawn)]
    part = fold([("t/0", items), ("t/1", items[:1])], SECRET, LIMITS)
    packed, session_keys = part.packed()
    fences, days, identities, sessions, counters, *_ = msgspec.msgpack.decode(packed)
    assert fences == ["t/0", 0, len(drawn) - 1, "t/1", 0, 0]
    assert days == part.days
    assert unflat(identities) == part.identities
    assert session_keys == b"".join(part.sessions)
    never = -(2**39)
    assert sessions == [
        number
        for application, presence in part.sessions.values()
        for number in (application, *(never if at is None else at for at in presence))
    ]
    assert cells_of(counters) == part.counters


@given(events_of_one)
def test_corrections_are_packed_where_there_are_some(drawn: list[Event]) -> None:
    """A correction goes by the place of its session, a void by its event; without any, nothing."""
    part = fold([("t/0", [OffsetEvent(i, event) for i, event in enumerate(drawn)])], SECRET, LIMITS)
    _, _, _, _, _, *more = msgspec.msgpack.decode(part.packed()[0])
    if not part.corrections and not part.voids:
        assert more == []
        return
    corrections, voids = more
    places = {name: place for place, name in enumerate(part.sessions, 1)}
    assert {
        corrections[at]: tuple(corrections[at + 1 : at + 7]) for at in range(0, len(corrections), 7)
    } == {places[name]: correction.rank for name, correction in part.corrections.items()}
    assert {void[1]: void[2:] for void in voids} == {
        name: void.stored() for name, void in part.voids.items()
    }
    assert all(void[0] == void[6] // 96 // 32 for void in voids)


def cells_of(counters: list[Any]) -> dict[tuple[str, int], int]:
    """Return (metric, slot) to amount of counters as they are packed, each day and metric once."""
    cells: dict[tuple[str, int], int] = {}
    days = counters[::3]
    assert len(set(days)) == len(days)
    for day, metrics, growth in zip(days, counters[1::3], counters[2::3], strict=True):
        assert len(set(metrics)) == len(metrics)
        numbers = iter(growth)
        for metric in metrics:
            for _ in range(next(numbers)):
                slot = next(numbers)
                assert 0 <= slot < 96
                cells[metric, 96 * day + slot] = next(numbers)
        assert list(numbers) == []
    return cells


def unflat(flat: list[Any]) -> dict[Any, Any]:
    """Return what was laid end to end as pairs again."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
