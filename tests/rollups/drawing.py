"""What hypothesis draws: events, zones and ranges on a coarse grid, so that things coincide."""

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from rollups.events import (
    AssistClicked,
    CallMinutes,
    Event,
    EventVoided,
    FlowRun,
    NumberPurchased,
    NumberReleased,
    OriginalEvent,
    SessionCorrected,
    SessionStarted,
    SessionStopped,
    SmsSent,
)

ACCOUNTS = ("acme", "b", "c:1")
APPLICATIONS = ("agent", "ticket-guidance", "mobile-web", "web-self-service")
ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
NOON = 1_791_201_600  # 2026-10-05T12:00:00Z

#: Local days at which something happens to the clock, or in which hours do not begin on UTC's.
ODD_DAYS = (
    ("UTC", date(2000, 1, 2)),
    ("UTC", date(2026, 12, 31)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Europe/Paris", date(2026, 10, 25)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Asia/Kathmandu", date(2026, 1, 1)),
    ("Pacific/Chatham", date(2026, 4, 5)),
    ("America/St_Johns", date(2026, 3, 8)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("America/Sao_Paulo", date(2018, 11, 4)),
    ("America/Havana", date(2024, 11, 3)),
    ("Africa/Cairo", date(2026, 4, 24)),
)

#: Sessions, few enough that starts and stops meet; an account's name, one oftener than the others.
_sessions = st.one_of(
    st.tuples(st.just("s"), st.sampled_from(APPLICATIONS)),
    st.tuples(st.sampled_from("1234"), st.sampled_from(APPLICATIONS[:2])),
)
_accounts = st.sampled_from((ACCOUNTS[0],) * 4 + ACCOUNTS[1:])

_starts = _sessions.map(lambda session: SessionStarted(*session))
_stops = _sessions.map(lambda session: SessionStopped(*session))
_counted = st.one_of(
    st.builds(
        FlowRun,
        st.sampled_from(["f", "1.c:f", "Rückruf 🛟"]),
        st.sampled_from(APPLICATIONS),
        st.sampled_from(["completed", "abandoned"]),
    ),
    st.builds(AssistClicked, st.sampled_from(["call-now", "callback", "chat", "email"])),
    st.builds(CallMinutes, st.one_of(st.integers(1, 5000), st.just(100_000_000_000))),
    st.builds(SmsSent, st.booleans()),
    st.sampled_from([NumberPurchased("+4930123"), NumberReleased("+4930123")]),
)
_data = st.one_of(_starts, _stops, _counted)
_identities = st.tuples(st.sampled_from(["web", "ivr"]), st.integers(0, 10_000).map(str))


def instants(around: int, days: int = 2) -> Any:
    """Draw microseconds within *days* of the second *around*, most of them at a slot's edge."""
    return st.builds(
        lambda slot, second, micro: (around + slot * 900 + second) * 1_000_000 + micro,
        st.one_of(st.integers(-days * 96, days * 96), st.integers(-4, 4)),
        st.sampled_from([0, 0, 1, 450, 898, 899]),
        st.sampled_from([0, 0, 1, 500_000, 999_999]),
    )


def events(around: int = NOON, days: int = 2) -> Any:
    """Draw one event of any type; its identity is one of many."""
    uncorrected = _events_of(st.one_of(_data, session_corrections(around, days)), around, days)
    return st.one_of(*[uncorrected] * 3, voids(_events_of(_counted, around, days), around, days))


def _events_of(data: Any, around: int, days: int) -> Any:
    return st.builds(
        lambda identity, account, time, data: Event(*identity, account, time, data),
        _identities, _accounts, instants(around, days), data,
    )  # fmt: skip


def session_corrections(around: int, days: int) -> Any:
    """Draw a correction of a session: of both ends, of one, of one that never was."""

    def correction(session: tuple[str, Any], times: list[int], form: int) -> SessionCorrected:
        start, stop = sorted(times)
        return SessionCorrected(
            *session, None if form == 0 else start, None if form in (0, 1) else stop, "a test"
        )

    both = st.lists(instants(around, days), min_size=2, max_size=2)
    return st.builds(correction, _sessions, both, st.integers(0, 4))


def voids(originals: Any, around: int = NOON, days: int = 2) -> Any:
    """Draw a void of one of *originals*."""

    def void(original: Event, identity: tuple[str, str], time: int, reason: str) -> Event:
        named = OriginalEvent(original.source, original.id, original.time, original.data)
        return Event(*identity, original.account, time, EventVoided(named, reason))

    return st.builds(
        void, originals, _identities, instants(around, days), st.sampled_from(["twice", "wrong"])
    )


def with_voids(events: list[Event], around: int, days: int) -> Any:
    """Draw voids of some of *events*, and put them and their events anywhere in the list."""
    countable = [event for event in events if event.data.__class__ not in _NOT_VOIDABLE]
    if not countable:
        return st.just(events)
    drawn = st.lists(voids(st.sampled_from(countable), around, days), max_size=len(countable))
    return drawn.flatmap(lambda more: st.permutations([*events, *more])).map(_each_identity_once)


def _each_identity_once(events: list[Event]) -> list[Event]:
    return list({(event.source, event.id): event for event in events}.values())


_NOT_VOIDABLE = {SessionStarted, SessionStopped, SessionCorrected, EventVoided}


def sets_of_events(around: int = NOON, days: int = 2, size: int = 40) -> Any:
    """Draw events with an identity each; some share their id, from another source."""

    def at_least(number: int) -> Any:
        return st.lists(
            events(around, days),
            min_size=number,
            max_size=size,
            unique_by=lambda event: (event.source, event.id),
        )

    # Lists are mostly short unless reported otherwise.
    drawn = st.integers(0, size).flatmap(at_least)
    return drawn.flatmap(lambda events: with_voids(events, around, days))


def limits() -> Any:
    """Draw a session limit in seconds for each application."""
    of_one = st.sampled_from([86_400, 3_600, 900, 1, 61])
    return st.fixed_dictionaries(dict.fromkeys(APPLICATIONS, of_one))


class Range(NamedTuple):
    """The local days of a report, in a zone."""

    zone: str
    first: date
    last: date

    @property
    def around(self) -> int:
        """A second near its middle."""
        return round(datetime(*self.first.timetuple()[:3], 12, tzinfo=UTC).timestamp())


@st.composite
def ranges(draw: Any) -> Range:
    """Draw one to three local days in any zone, odd days more often than others."""
    if draw(st.booleans()):
        zone, first = draw(st.sampled_from(ODD_DAYS))
        first -= timedelta(draw(st.integers(0, 1)))
    else:
        zone = draw(st.sampled_from(ZONES))
        first = draw(st.dates(date(2000, 1, 2), date(2035, 12, 31)))
    return Range(zone, first, first + timedelta(draw(st.integers(0, 2))))
