"""Corrections by hand: which one is in effect, and what is counted then."""

from itertools import permutations
from typing import Any

import pytest

from rollups.corrections import Correction
from rollups.events import (
    AssistClicked,
    CallMinutes,
    Event,
    EventVoided,
    FlowRun,
    OriginalEvent,
    SessionCorrected,
    SessionStarted,
    SessionStopped,
)
from rollups.fold import SEALED_AFTER, OffsetEvent, days_touched_by
from rollups.slots import SLOT_SECONDS
from rollups.timestamps import parse_rfc3339
from tests.support import reference_model
from tests.support.reference import LIMITS

Account = reference_model.Account
DAY = 20_731  # 2026-10-05


def at(time: str) -> int:
    """Return an instant of 5 October 2026."""
    return parse_rfc3339(time if "T" in time else f"2026-10-05T{time}Z")


def event(name: str, time: str, data: Any) -> Event:
    """Return an event of one account."""
    return Event("test", name, "acme", at(time), data)


def void_of(name: str, original: Event, time: str = "12:00:00", source: str = "ops") -> Event:
    """Return a void of *original*."""
    named = OriginalEvent(original.source, original.id, original.time, original.data)
    return Event(source, name, "acme", at(time), EventVoided(named, "a test"))


def correction(
    name: str, time: str, start: str | None, stop: str | None, session: str = "s"
) -> Event:
    """Return a correction of a session."""
    start_at, stop_at = (None if each is None else at(each) for each in (start, stop))
    return event(name, time, SessionCorrected(session, "agent", start_at, stop_at, "a test"))


def applied(*events: Event) -> Account:
    """Return the account after *events*, one after the other."""
    accounts: dict[str, Account] = {}
    placed = [OffsetEvent(number, each) for number, each in enumerate(events)]
    assert reference_model.apply_events(accounts, "t/0", placed, LIMITS) == []
    return accounts["acme"]


def stretch(account: Account) -> list[tuple[str, int]]:
    """Return when the agent level changes, and by how much, as times of the day."""
    return [
        (f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}", amount)
        for slot, seconds in sorted(account.deltas["agent"].items())
        for second, amount in sorted(
            (slot * SLOT_SECONDS + offset - DAY * 86_400, amount)
            for offset, amount in seconds.items()
        )
    ]


CALL = event("call", "09:30:00", CallMinutes(12_345))
CHAT = event("chat", "09:30:00", AssistClicked("chat"))
RUN = event("run", "09:30:00", FlowRun("f", "agent", "abandoned"))
START, STOP = SessionStarted("s", "agent"), SessionStopped("s", "agent")


@pytest.mark.parametrize("original", [CALL, CHAT, RUN], ids=["call", "chat", "run"])
def test_a_voided_event_counts_nothing_in_any_order(original: Event) -> None:
    """[event][void][void again]: whichever comes first, nothing of it is left."""
    events = [original, void_of("1", original), void_of("2", original, "13:00:00")]
    for order in permutations(events):
        account = applied(*order)
        assert (account.counters, account.flows) == ({}, {})
        assert account.pending_voids() == []


def test_a_void_without_an_event_is_pending_and_shows_in_the_sums() -> None:
    """Minus what the event would count; once, however many voids there are."""
    account = applied(void_of("1", CALL), void_of("2", CALL), void_of("3", CHAT))
    slot = DAY * 96 + 38
    assert account.counters == {"call.minutes": {slot: -12_345}, "clicks.chat": {slot: -1}}
    assert sorted(void.original.id for void in account.pending_voids()) == ["call", "chat"]


def test_of_voids_that_contradict_each_other_the_earliest_is_in_effect() -> None:
    """By time, then source, then id; and all it takes back is what it says."""
    wrong = CALL.__class__("test", "call", "acme", CALL.time, CallMinutes(1))
    voids = [
        void_of("b", wrong, "12:00:00", "ops"),
        void_of("a", CALL, "12:00:00", "ops"),
        void_of("a", wrong, "12:00:01", "a"),
    ]
    for order in permutations([*voids, CALL]):
        assert applied(*order).counters == {}
    for order in permutations([*voids[::2], CALL]):
        assert applied(*order).counters == {"call.minutes": {DAY * 96 + 38: 12_344}}


def test_the_same_identity_on_another_day_is_another_event() -> None:
    """A void is of the event of its own UTC day."""
    tomorrow = CALL.__class__("test", "call", "acme", at("2026-10-06T09:30:00Z"), CALL.data)
    account = applied(CALL, void_of("1", tomorrow))
    assert account.counters["call.minutes"] == {DAY * 96 + 38: 12_345, DAY * 96 + 134: -12_345}
    assert len(account.pending_voids()) == 1


@pytest.mark.parametrize(
    ("corrections", "expected"),
    [
        # s [09:00 -- 09:01)  as its events say; corrected:
        ([], [("09:00:00", 1), ("09:01:00", -1)]),
        ([("15:00:00", "09:00:00", "11:30:00.25")], [("09:00:00", 1), ("11:30:01", -1)]),
        ([("15:00:00", "08:00:00.9", None)], [("08:00:00", 1), ("32:00:00", -1)]),
        ([("15:00:00", None, None)], []),
        ([("15:00:00", None, "10:00:00")], []),
        ([("15:00:00", "10:00:00", "10:00:00")], [("10:00:00", 1), ("10:00:01", -1)]),
        # of several the latest, null before any instant
        ([("15:00:01", None, None), ("15:00:00", "08:00:00", "09:00:00")], []),
        (
            [("15:00:00", "08:00:00", "09:00:00"), ("15:00:00", None, None)],
            [("08:00:00", 1), ("09:00:00", -1)],
        ),
        (
            [("15:00:00", "08:00:00", "09:00:00"), ("15:00:00", "08:00:00", None)],
            [("08:00:00", 1), ("09:00:00", -1)],
        ),
        (
            [("15:00:00", "08:00:00.1", "08:30:00"), ("15:00:00", "08:00:00", "09:00:00")],
            [("08:00:00", 1), ("08:30:00", -1)],
        ),
    ],
)
def test_a_correction_replaces_all_that_is_known_of_a_session(
    corrections: list[tuple[str, str | None, str | None]], expected: list[tuple[str, int]]
) -> None:
    """In any order, with the session's own start and stop in between."""
    events = [
        event("start", "09:00:00", START),
        event("stop", "09:01:00", STOP),
        *(correction(f"c{number}", *each) for number, each in enumerate(corrections)),
    ]
    for order in permutations(events):
        account = applied(*order)
        assert stretch(account) == expected
        open_ended = bool(expected) and expected[-1][0] == "32:00:00"
        counted = {metric: sum(slots.values()) for metric, slots in account.counters.items()}
        assert counted == {
            **({"sessions.agent": 1} if expected else {}),
            **({"unstopped.agent": 1} if open_ended else {}),
        }


def test_a_session_that_nobody_started_is_corrected() -> None:
    """Only known from a log file."""
    assert stretch(applied(correction("c", "15:00:00", "20:00:00", "20:10:00"))) == [
        ("20:00:00", 1),
        ("20:10:00", -1),
    ]


@pytest.mark.parametrize(
    ("start", "stop", "days"),
    [
        (None, None, {0}),
        (None, "2026-10-01T00:00:00Z", {0}),
        ("2026-10-02T23:00:00Z", "2026-10-03T00:00:00Z", {0, -3, -2}),
        ("2026-10-02T23:59:59.5Z", "2026-10-02T23:59:59.6Z", {0, -3, -2}),
        ("2026-10-02T10:00:00Z", "2026-10-02T11:00:00Z", {0, -3}),
        ("2026-10-02T10:00:00Z", None, {0, -3, -2}),
    ],
)
def test_the_days_a_correction_touches(start: str | None, stop: str | None, days: set[int]) -> None:
    """That of its time, and those in which the session begins and ends by it."""
    touched = days_touched_by(correction("c", "15:00:00", start, stop), LIMITS)
    assert {day - DAY for day in touched} == days


def test_a_void_touches_two_days() -> None:
    """So both stay open with it."""
    void = void_of("1", CALL, "2026-10-07T00:00:00Z")
    assert set(days_touched_by(void, LIMITS)) == {DAY, DAY + 2}


def test_nothing_of_a_sealed_day_is_corrected() -> None:
    """Neither a void, nor a correction that would move a session out of it, or into it."""
    accounts: dict[str, Account] = {}
    happened = [event("start", "09:00:00", START), event("stop", "09:01:00", STOP), CALL]
    later = "2026-10-08T00:00:00Z"
    open_day = event("open", later, CallMinutes(1))
    now = at(later) // 1_000_000
    placed = [OffsetEvent(number, each) for number, each in enumerate(happened)]
    reference_model.apply_events(accounts, "t/0", placed, LIMITS, now)
    reference_model.apply_events(
        accounts, "t/0", [OffsetEvent(9, open_day)], LIMITS, now + SEALED_AFTER
    )
    accounts["acme"].seal(now, LIMITS)
    before = dict(accounts["acme"].counters)
    late = [
        void_of("v", CALL, later),
        correction("c", later, "09:00:00", "09:02:00"),
        correction("d", later, "2026-10-04T23:00:00Z", "01:00:00", session="other"),
    ]
    placed = [OffsetEvent(10 + number, each) for number, each in enumerate(late)]
    refused = reference_model.apply_events(accounts, "t/0", placed, LIMITS, now + SEALED_AFTER)
    assert [item.event for item in refused] == late
    assert accounts["acme"].counters == before


def test_a_correction_ranks_by_time_then_start_then_stop() -> None:
    """Null before any instant, to the microsecond."""
    ascending = [
        Correction(1, None, None),
        Correction(1, None, 5),
        Correction(1, 0, None),
        Correction(1, 1, None),
        Correction(1, 1, 1),
        Correction(1, 1, 1_000_000),
        Correction(1, 1, 1_000_001),
        Correction(2, None, None),
    ]
    assert [*map(ascending.index, sorted(ascending, key=lambda each: each.rank))] == [*range(8)]
