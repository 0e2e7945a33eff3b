"""Sessions that were open for long: how each ended, and who still is."""

from datetime import UTC, date, datetime, timedelta
from functools import cache

import pytest

from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.evidence.preparation import Events, Period
from interaction_usage.evidence.questions import STATES, long_sessions
from tests.evidence.rows import table
from tests.evidence.test_vectors import LIMITS
from tests.support.event_lines import event

#     12 h   10-11 0 h       12 h      10-12 0 h     10 h  <- now
# A   [-----------------------------------)                     ended by the limit, after a day
# B            [-------------------------------------- …        open
# C                 [---)                                       stopped
# D                                            [)               stopped, after a second
# E   (a stop without a start: it was never present)
# F                                               [-- …         a correction without a stop: open
NOON = datetime(2026, 10, 10, 12, tzinfo=UTC)
NOW = NOON + timedelta(hours=46)


def at(hours: float) -> str:
    """Return an instant so many hours after noon of the first day."""
    return (NOON + timedelta(hours=hours)).isoformat()


def session(what: str, name: str, hours: float) -> bytes:
    """Return a session's start or stop."""
    data = {"session": name, "application": "agent"}
    return event(f"{name}/{what}", f"session.{what}", data, time=at(hours))


@cache
def events() -> Events:
    """Return the events of the picture."""
    corrected = {"session": "F", "application": "agent", "reason": "lost", "start": at(44)}
    lines = [
        session("started", "A", 0),
        session("started", "B", 23), session("started", "C", 14), session("stopped", "C", 18),
        session("started", "D", 40), session("stopped", "D", 40),
        session("stopped", "E", 41),
        event("F/corrected", "session.corrected", corrected, time=at(45)),
    ]  # fmt: skip
    return Events(ArrowSource(table(lines)), LIMITS)


def found(first: int, last: int, longer: float, *states: str, most: int = 100) -> list[str]:
    """Return the names of the sessions of some days of October, open for at least so many hours."""
    period = Period(date(2026, 10, first), date(2026, 10, last), "UTC", NOW)
    total, rows = long_sessions(
        events(), "acme", period, round(longer * 3600), states or STATES, most
    )
    assert total >= len(rows)
    return [f"{row['session']} {row['state']} {row['seconds'] / 3600:g}" for row in rows]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ((10, 12, 0.001), ["A limit 24", "B open 23", "C stopped 4", "F open 2"]),
        ((10, 12, 24), ["A limit 24"]),
        ((10, 12, 24.001), []),
        ((10, 12, 0, "open"), ["B open 23", "F open 2"]),
        ((10, 12, 0, "limit"), ["A limit 24"]),
        ((10, 12, 0, "stopped"), ["C stopped 4", f"D stopped {1 / 3600:g}"]),
        # Only those that were present in the period, however long before it they began.
        ((10, 10, 0), ["A limit 24"]),
        ((12, 12, 1), ["B open 23", "F open 2"]),
        ((9, 9, 0), []),
    ],
)  # fmt: skip
def test_how_long_each_was_open(asked: tuple[int, int, float], answer: list[str]) -> None:
    """The longest first; of an open one up to now."""
    assert found(*asked) == answer


def test_of_many_the_longest_are_listed() -> None:
    """And all are counted."""
    period = Period(date(2026, 10, 10), date(2026, 10, 12), "America/New_York", NOW)
    total, [row] = long_sessions(events(), "acme", period, 3600, STATES, 1)
    assert total == 4
    assert (row["start"], row["stop"]) == ("2026-10-10T08:00:00-04:00", "2026-10-11T08:00:00-04:00")
    assert long_sessions(events(), "nobody", period, 0, STATES, 1) == (0, [])


def test_an_open_session_has_no_stop_and_a_corrected_one_says_so() -> None:
    """Its limit may pass later."""
    period = Period(date(2026, 10, 12), date(2026, 10, 12), "UTC", NOW)
    _, rows = long_sessions(events(), "acme", period, 3600, ("open",), 10)
    assert [(row["stop"], row["corrected"]) for row in rows] == [(None, False), (None, True)]
