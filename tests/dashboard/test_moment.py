"""The live curve, pure: against a session list, second by second."""

import random
from collections import defaultdict
from datetime import UTC, datetime

import pytest

from interaction_usage.dashboard.health import Health
from interaction_usage.dashboard.live import Live, first_difference, hour_of, members
from interaction_usage.dashboard.live_curve import (
    AHEAD,
    CURVE_SECONDS,
    LONG,
    moment,
    slots_ahead,
    slots_of_curve,
)
from rollups.catalog import APPLICATIONS, SERIES, SERIES_OF
from rollups.local_time import zone
from rollups.slots import SLOT_SECONDS

NOW = int(datetime(2026, 10, 1, 10, 20, 30, tzinfo=UTC).timestamp())
HOUR = NOW - 20 * 60 - 30
DAY = 86_400

#: (application, begin, end): end is None for a session without a stop.
Session = tuple[str, int, int | None]


def seen(sessions: list[Session], limits: dict[str, int], second: int = NOW, hour: int = HOUR):
    """Return the moment at *second*, from the deltas that the rollups would hold."""
    first, end = slots_of_curve(second)
    begin = first * SLOT_SECONDS
    carry = dict.fromkeys(SERIES, 0)
    deltas: dict[str, dict[int, int]] = {series: defaultdict(int) for series in SERIES}
    for application, start, stop in sessions:
        until = start + limits[application] if stop is None else stop
        for series in SERIES_OF[application]:
            for when, change in ((start, 1), (until, -1)):
                if when < begin:
                    carry[series] += change
                deltas[series][when] += change
    ahead = slots_ahead(second, limits)

    def within(series: str, slots: tuple[int, int]) -> list[tuple[int, int]]:
        low, high = (slot * SLOT_SECONDS for slot in slots)
        return sorted((when, n) for when, n in deltas[series].items() if low <= when < high)

    past = {series: within(series, (first, end)) for series in SERIES}
    future = {name: within(name, ahead) for name in APPLICATIONS}
    return moment(second, hour, carry, past, future, limits)


def limits(seconds: int = DAY) -> dict[str, int]:
    """Return the same limit for all applications."""
    return dict.fromkeys(APPLICATIONS, seconds)


def test_a_worked_example() -> None:
    """A is present 09:50-10:20, B 10:10-10:12, C since 10:15; it is 10:20:30."""
    # A    [50---------20)
    # B        [10-12)
    # C           [15----      agent-sessions: 1 2 1 2 1
    answer = seen(
        [
            ("agent", HOUR - 600, HOUR + 1200),
            ("agent", HOUR + 600, HOUR + 720),
            ("ticket-guidance", HOUR + 900, None),
        ],
        limits(),
    )
    assert (answer["agent"].now, answer["agent"].peak, answer["agent"].peak_second) == (
        0,
        2,
        HOUR + 600,
    )
    both = answer["agent-sessions"]
    assert (both.now, both.peak, both.peak_second) == (1, 2, HOUR + 600)
    assert answer["ticket-guidance"].peak_second == HOUR + 900
    levels = both.levels
    at = {
        minute: levels[HOUR + 60 * minute - (NOW - CURVE_SECONDS + 1)] for minute in range(-10, 21)
    }
    assert [at[m] for m in (-10, 9, 10, 11, 12, 14, 15, 19, 20)] == [1, 1, 2, 2, 1, 1, 2, 2, 1]


@pytest.mark.parametrize("seed", range(6))
def test_every_second_is_the_number_of_sessions_present(seed: int) -> None:
    """Some hundred sessions, counted one by one at each of the 3,600 seconds."""
    rng = random.Random(seed)
    limit = rng.choice([600, 5400, DAY])
    sessions: list[Session] = []
    for _ in range(300):
        start = NOW - rng.randrange(2 * limit)
        stop = None if rng.random() < 0.3 else min(NOW, start + rng.randrange(1, 4000))
        sessions.append((rng.choice(APPLICATIONS), start, stop))
    answer = seen(sessions, limits(limit))
    for series in SERIES:
        mine = [s for s in sessions if series in SERIES_OF[s[0]]]
        spans = [(begin, begin + limit if end is None else end) for _, begin, end in mine]
        curve = [
            sum(begin <= second < end for begin, end in spans)
            for second in range(NOW - CURVE_SECONDS + 1, NOW + 1)
        ]
        assert answer[series].levels == curve
        hour = curve[HOUR - NOW - 1 :]
        assert answer[series].peak == max(hour)
        assert answer[series].now == curve[-1]
        after = min(LONG, limit // 2)
        guard = min(AHEAD, limit // 10)
        ages = [NOW - begin for _, begin, end in mine if end is None]
        long = [age for age in ages if after <= age < limit - guard]
        assert answer[series].long == len(long)
        assert answer[series].oldest == (NOW - max(long) if long else None)


def test_a_stop_of_this_very_second_is_no_old_session() -> None:
    """Its end is the ceiling of its time, so the -1 stands a second ahead."""
    answer = seen([("agent", NOW - 30, NOW + 1), ("agent", NOW - 5 * 3600, None)], limits())[
        "agent"
    ]
    assert (answer.now, answer.long, answer.oldest) == (2, 1, NOW - 5 * 3600)


@pytest.mark.parametrize(
    ("age", "long"), [(LONG - 1, 0), (LONG, 1), (DAY - AHEAD - 1, 1), (DAY - AHEAD, 0)]
)
def test_where_being_open_for_long_begins_and_ends(age: int, long: int) -> None:
    """From four hours on; in the last minute before the limit it cannot be reported."""
    assert seen([("agent", NOW - age, None)], limits())["agent"].long == long


def test_nothing_at_all() -> None:
    """No session: zeros, and no time of a peak."""
    answer = seen([], limits())["mobile-web"]
    assert (answer.now, answer.peak, answer.peak_second, answer.long, answer.oldest) == (
        0,
        0,
        None,
        0,
        None,
    )


@pytest.mark.parametrize(
    ("instant", "tz", "begin", "length"),
    [
        ("2026-10-01T10:20:30+00:00", "UTC", "10:00", 3600),
        ("2026-10-01T10:20:30+00:00", "Asia/Kathmandu", "16:00", 3600),
        ("2026-10-25T00:59:59+00:00", "Europe/Paris", "02:00", 3600),
        ("2026-10-25T01:00:00+00:00", "Europe/Paris", "02:00", 3600),
        ("2026-03-29T01:00:00+00:00", "Europe/Paris", "03:00", 3600),
        # Lord Howe moves its clocks by half an hour: 01:30 comes twice, 02:00 begins at 02:30.
        ("2026-04-04T15:10:00+00:00", "Australia/Lord_Howe", "01:30", 1800),
        ("2026-10-03T15:40:00+00:00", "Australia/Lord_Howe", "02:30", 1800),
    ],
)
def test_the_hour_of_the_wall_clock(instant: str, tz: str, begin: str, length: int) -> None:
    """The same hours as those of a report, clock changes included."""
    second = int(datetime.fromisoformat(instant).timestamp())
    first, end = hour_of(second, zone(tz))
    assert first <= second < end
    assert f"{datetime.fromtimestamp(first, zone(tz)):%H:%M}" == begin
    assert end - first == length


def live(sessions: list[Session], second: int) -> Live:
    """Return the account at *second*."""
    answer = seen(sessions, limits(), second)
    return Live("acme", second, "UTC", (HOUR, HOUR + 3600), limits(), answer)


def test_what_follows_begins_where_something_changed() -> None:
    """The next second; or the second of a late event; or all, after a long pause."""
    old: list[Session] = [("agent", NOW - 900, None)]
    before = live(old, NOW)
    assert first_difference(before, live(old, NOW + 3)) == NOW + 1
    late = [*old, ("mobile-web", NOW - 700, NOW - 600)]
    assert first_difference(before, live(late, NOW + 3)) == NOW - 700
    assert first_difference(before, live(late, NOW)) == NOW - 700
    assert first_difference(before, live(old, NOW + 5000)) == NOW + 5000 - CURVE_SECONDS + 1


def test_a_viewer_that_puts_the_pieces_together_has_the_whole() -> None:
    """Whatever happens between two events: what was sent since replaces the end of the curve."""
    rng = random.Random(5)
    sessions: list[Session] = []
    before = live(sessions, NOW)
    whole = members(before, Health())["curve"]
    known = {whole["from"] + n: level for n, level in enumerate(whole["levels"]["agent"])}
    for _ in range(30):
        second = before.second + rng.choice([0, 1, 1, 2])
        if rng.random() < 0.5:
            start = second - rng.randrange(3000)
            sessions.append(("agent", start, start + rng.randrange(1, 500)))
        after = live(sessions, second)
        curve = members(after, Health(), first_difference(before, after))["curve"]
        known |= {curve["from"] + n: level for n, level in enumerate(curve["levels"]["agent"])}
        before = after
    first = before.second - CURVE_SECONDS + 1
    assert [known[first + n] for n in range(CURVE_SECONDS)] == before.series["agent"].levels
