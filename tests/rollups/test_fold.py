"""Folding a batch: what one account's events add up to before anything is stored."""

from typing import Any

import msgspec
import pytest
from drawing import events
from hypothesis import given
from hypothesis import strategies as st
from reference import LIMITS

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
    Part,
    Placed,
    accounts_of,
    flow_metric,
    fold,
    identity,
    session_key,
    split_flow_metric,
)
from rollups.instants import SECOND, parse_rfc3339
from rollups.vocabulary import APPLICATIONS

DAY = 20_731  # 2026-10-05
NINE = "2026-10-05T09:00:00Z"  # slot 36 of its day


def placed(*items: tuple[str, Any], first: int = 0) -> list[Placed]:
    """Return events at these times, each at an offset and with an id of its own."""
    return [
        Placed(first + i, Event("test", str(first + i), "acme", parse_rfc3339(time), data))
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
    part = fold("t/0", placed((NINE, data)), LIMITS)
    [(day, growth)] = part.counters
    assert day == DAY
    assert dict(growth) == {metric: [(36, amount)] for metric, amount in grown.items()}
    assert part.sessions == []


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
    part = fold("t/0", placed((time, SmsSent())), LIMITS)
    assert part.counters == [(day, [("sms.link", [(slot, 1)])])]


@pytest.mark.parametrize(
    ("fraction", "start", "stop"), [("", 0, 0), (".000001", 0, 1), (".999999", 0, 1)]
)
def test_a_start_is_cut_off_and_a_stop_rounded_up(fraction: str, start: int, stop: int) -> None:
    """So that a session of a microsecond is present for a second."""
    time = f"2026-10-05T09:00:00{fraction}Z"
    nine = parse_rfc3339(NINE) // SECOND
    part = fold("t/0", placed((time, SessionStarted("s", "agent"))), LIMITS)
    assert part.sessions == [(session_key("agent", "s"), 0, nine + start, None, 0)]
    part = fold("t/0", placed((time, SessionStopped("s", "agent"))), LIMITS)
    assert part.sessions == [(session_key("agent", "s"), 0, None, nine + stop, 0)]


def test_a_stop_before_1970_is_rounded_up_as_well() -> None:
    """Ceiling means later, on either side of the epoch."""
    part = fold("t/0", placed(("1969-12-31T23:59:58.5Z", SessionStopped("s", "agent"))), LIMITS)
    assert part.sessions[0][2:4] == (None, -1)


def test_a_session_told_of_often_is_one_entry() -> None:
    """The earliest start and the earliest stop of the batch."""
    part = fold(
        "t/0",
        placed(
            ("2026-10-05T09:00:10Z", SessionStarted("s", "agent")),
            ("2026-10-05T09:00:30Z", SessionStopped("s", "agent")),
            ("2026-10-05T09:00:05Z", SessionStarted("s", "agent")),
            ("2026-10-05T09:00:40Z", SessionStopped("s", "agent")),
        ),
        LIMITS,
    )
    nine = parse_rfc3339(NINE) // SECOND
    assert part.sessions == [(session_key("agent", "s"), 0, nine + 5, nine + 30, 0)]


def test_the_same_name_in_two_applications_is_two_sessions() -> None:
    """A session is identified by account, application and name."""
    told = [(NINE, SessionStarted("s", application)) for application in APPLICATIONS]
    part = fold("t/0", placed(*told), LIMITS)
    assert len({key for key, *_ in part.sessions}) == 4
    assert [index for _, index, *_ in part.sessions] == [0, 1, 2, 3]
    assert all(len(key) == 8 for key, *_ in part.sessions)


def test_an_event_counts_once_in_a_batch() -> None:
    """Of several with one identity the first counts; its offset is covered all the same."""
    [first] = placed((NINE, CallMinutes(1)))
    again = Placed(7, first.event)
    part = fold("t/0", [first, again], LIMITS)
    assert part.counters == [(DAY, [("call.minutes", [(36, 1)])])]
    assert (part.first, part.last) == (0, 7)
    assert part.identities == [(0, [identity("test", "0")])]


def test_what_is_known_does_not_count() -> None:
    """An event applied before leaves only its offset."""
    items = placed((NINE, SmsSent()), (NINE, SmsSent()), first=41)
    known = frozenset((0, identity("test", name)) for name in ("41", "42"))
    assert fold("t/3", items, LIMITS, known) == Part("t/3", 41, 42, 0, [], [], [], [], [])


def test_identity_is_source_and_id() -> None:
    """A signed 64-bit number in decimal, as Redis keeps it in small sets."""
    names = [identity("a", "1"), identity("a", "2"), identity("b", "1"), identity("a1", "")]
    assert len(set(names)) == 4
    assert all(-(2**63) <= int(name) < 2**63 and str(int(name)) == name for name in names)
    assert identity("a", "1") == names[0]


@pytest.mark.parametrize("outcome", ["completed", "abandoned"])
@pytest.mark.parametrize("flow", ["f", "c:f", "a:b", "20731.c:f", " ", "Rückruf 🛟", "x" * 200])
def test_a_flow_metric_can_be_taken_apart(outcome: str, flow: str) -> None:
    """Whatever characters the flow's name has."""
    assert split_flow_metric(flow_metric(outcome, flow)) == (outcome, flow)


def test_accounts_keep_the_order_of_their_events() -> None:
    """One account's events stay in the order of their offsets."""
    items = [Placed(i, Event("test", str(i), "ab"[i % 2], 0, SmsSent())) for i in range(6)]
    split = accounts_of(items)
    assert {name: [item.offset for item in its] for name, its in split.items()} == {
        "a": [0, 2, 4],
        "b": [1, 3, 5],
    }


@given(st.lists(events(), min_size=1, max_size=12))
def test_packing_keeps_everything(drawn: list[Event]) -> None:
    """What the script unpacks is the part, with the session keys end to end."""
    part = fold("t/0", [Placed(i, event) for i, event in enumerate(drawn)], LIMITS)
    packed, session_keys = part.packed()
    fence, first, last, *rest = msgspec.msgpack.decode(packed)
    _, _, identities, told, counters, flows = rest
    assert (fence, first, last) == ("t/0", 0, len(drawn) - 1)
    assert session_keys == b"".join(key for key, *_ in part.sessions)
    assert told == [list(rest) for _, *rest in part.sessions]
    assert msgspec.convert(identities, list[tuple[int, list[str]]]) == part.identities
    assert msgspec.convert(counters, type_of_growth) == part.counters
    assert msgspec.convert(flows, type_of_growth) == part.flows


type_of_growth = list[tuple[int, list[tuple[str, list[tuple[int, int]]]]]]
