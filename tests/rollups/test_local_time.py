"""Local days and hours, in zones that make them difficult, against zoneinfo asked on its own."""

import os
import re
import struct
import subprocess
import sys
import zoneinfo
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from itertools import groupby, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rollups.local_time import (
    Hour,
    HourRun,
    UnalignedZone,
    UnknownZone,
    hour_runs,
    hours,
    local_date,
    local_datetime,
    midnight,
    offset_at,
    zone,
    zone_names,
)
from tests.rollups.drawing import ODD_DAYS, ZONES
from tests.support.examples import examples


def second(text: str) -> int:
    """Return the second that an ISO time with an offset names."""
    return round(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("name", "day", "begins"),
    [
        ("UTC", "2026-10-05", "2026-10-05T00:00+00:00"),
        ("UTC", "1970-01-01", "1970-01-01T00:00+00:00"),
        ("UTC", "1969-12-31", "1969-12-31T00:00+00:00"),
        ("Asia/Kathmandu", "2026-01-01", "2026-01-01T00:00+05:45"),
        ("Pacific/Chatham", "2026-01-01", "2026-01-01T00:00+13:45"),
        ("America/St_Johns", "2026-07-01", "2026-07-01T00:00-02:30"),
        ("Pacific/Kiritimati", "2026-01-01", "2026-01-01T00:00+14:00"),
        # the clocks change during the day, after its midnight
        ("America/New_York", "2026-03-08", "2026-03-08T00:00-05:00"),
        ("America/New_York", "2026-03-09", "2026-03-09T00:00-04:00"),
        # they jump over midnight: the day begins at one o'clock
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00-02:00"),
        ("Africa/Cairo", "2026-04-24", "2026-04-24T01:00+03:00"),
        # they are set back at midnight to 23:00: the day begins once, an hour later
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T00:00-03:00"),
        ("Africa/Cairo", "2026-10-30", "2026-10-30T00:00+02:00"),
        # they are set back to midnight: the day begins at the first of the two
        ("America/Havana", "2024-11-03", "2024-11-03T00:00-04:00"),
        # the whole day is left out: it begins where the next one does
        ("Pacific/Apia", "2011-12-30", "2011-12-31T00:00+14:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-31T00:00+14:00"),
        ("Pacific/Apia", "2011-12-29", "2011-12-29T00:00-10:00"),
        ("Pacific/Kwajalein", "1993-08-21", "1993-08-22T00:00+12:00"),
    ],
)
def test_where_a_local_day_begins(name: str, day: str, begins: str) -> None:
    """At its midnight, or when the clocks have jumped over it."""
    assert midnight(date.fromisoformat(day), ZoneInfo(name)) == second(begins)


@pytest.mark.parametrize(
    ("name", "day", "count", "short"),
    [
        ("UTC", "2026-10-05", 24, 0),
        ("America/New_York", "2026-03-08", 23, 0),
        ("America/New_York", "2026-11-01", 25, 0),
        ("America/New_York", "2026-11-02", 24, 0),
        ("Europe/Paris", "2026-10-25", 25, 0),
        ("Australia/Lord_Howe", "2026-04-05", 25, 1),  # 01:30 to 02:00 comes twice
        ("Australia/Lord_Howe", "2026-10-04", 24, 1),  # 02:00 to 02:30 never comes
        ("Asia/Kathmandu", "2026-01-01", 24, 0),
        ("Asia/Kathmandu", "1986-01-01", 24, 1),  # from +05:30 to +05:45 at midnight
        ("Pacific/Chatham", "2026-04-05", 26, 2),  # 03:45 becomes 02:45
        ("Pacific/Chatham", "2026-09-27", 24, 2),  # 02:45 becomes 03:45
        ("America/St_Johns", "2026-03-08", 23, 0),
        ("America/St_Johns", "2026-11-01", 25, 0),
        ("America/Sao_Paulo", "2018-11-04", 23, 0),
        ("America/Sao_Paulo", "2018-02-17", 25, 0),
        ("America/Havana", "2024-11-03", 25, 0),
        ("Africa/Cairo", "2026-04-24", 23, 0),
        ("Pacific/Apia", "2011-12-29", 24, 0),
        ("Pacific/Apia", "2011-12-30", 0, 0),
        ("Pacific/Apia", "2011-12-31", 24, 0),
    ],
)
def test_how_many_hours_a_day_has(name: str, day: str, count: int, short: int) -> None:
    """A clock change adds or takes hours, or makes them short; a short hour is an hour."""
    tz, begin = ZoneInfo(name), date.fromisoformat(day)
    found = hours(midnight(begin, tz), midnight(begin + timedelta(1), tz), tz)
    assert len(found) == count
    assert sum(hour.end - hour.begin < 3600 for hour in found) == short


def test_the_hour_that_comes_twice() -> None:
    """Same date, same hour, two offsets: two hours."""
    # 01:00 EDT [----------)  01:00 EST            [----------)
    tz = ZoneInfo("America/New_York")
    begin, end = second("2026-11-01T01:00-04:00"), second("2026-11-01T02:00-05:00")
    assert hours(begin, end, tz) == [
        Hour(begin, begin + 3600, -4 * 3600),
        Hour(begin + 3600, end, -5 * 3600),
    ]


def test_a_change_of_30_minutes_makes_a_short_hour() -> None:
    """Lord Howe sets its clocks back from 02:00 to 01:30."""
    # 01:00 +11 [----------)  01:30 +10:30          [-----)
    tz = ZoneInfo("Australia/Lord_Howe")
    begin, end = second("2026-04-05T01:00+11:00"), second("2026-04-05T02:00+10:30")
    assert [hour.end - hour.begin for hour in hours(begin, end, tz)] == [3600, 1800]


def test_the_hours_of_a_year_are_few_runs() -> None:
    """A clock change begins another; what is cut short stands alone."""
    tz = ZoneInfo("Australia/Lord_Howe")
    begin, end = (midnight(date(year, 1, 1), tz) for year in (2026, 2027))
    # +11:00 [----------)[--)  +10:30 [----------)[--)  +11:00 [----------)
    april, october = second("2026-04-05T02:00+11:00"), second("2026-10-04T02:00+10:30")
    assert hour_runs(begin, end, tz) == [
        HourRun(begin, (april - begin) // 3600, 3600, 39_600),
        HourRun(april, 1, 1800, 37_800),
        HourRun(april + 1800, (october - april) // 3600, 3600, 37_800),
        HourRun(october, 1, 1800, 39_600),
        HourRun(october + 1800, (end - october) // 3600, 3600, 39_600),
    ]


@pytest.mark.parametrize(
    ("bound", "left"), [(-1, 0), (0, 0), (1, 1), (1800, 1), (1801, 2), (5400, 3), (10**9, 3)]
)
def test_the_hours_before_a_second(bound: int, left: int) -> None:
    """Those that begin before it, whole."""
    # [----)[----)[----)   of 30 minutes each
    assert HourRun(0, 3, 1800, 0).before(bound) == HourRun(0, left, 1800, 0)


def _changes(data: bytes) -> list[int]:
    """Return the seconds of all changes of a TZif file (RFC 8536): its second, 64-bit block."""
    counts = struct.unpack(">6l", data[20:44])
    utc, standard, leaps, times, types, letters = counts
    at = 44 + times * 5 + types * 6 + letters + leaps * 8 + standard + utc
    times = struct.unpack(">6l", data[at + 20 : at + 44])[3]
    return list(struct.unpack(f">{times}q", data[at + 44 : at + 44 + 8 * times]))


@pytest.mark.parametrize("name", ZONES)
def test_no_clock_changes_twice_within_a_day(name: str) -> None:
    """So that looking at it once a day misses no change: in every zone that there is here."""
    places = [Path(folder, name) for folder in zoneinfo.TZPATH]
    packaged = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    files = [place.read_bytes() for place in (*places, packaged) if place.is_file()]
    assert files
    for data in files:
        assert all(later - earlier > 86_400 for earlier, later in pairwise(_changes(data)))


@pytest.mark.parametrize("length", [0, -900])
def test_nothing_has_no_hours(length: int) -> None:
    """An empty stretch and one that is backwards."""
    assert hours(0, length, ZoneInfo("UTC")) == []


@pytest.mark.parametrize(
    ("name", "year", "offset"),
    [
        ("Africa/Monrovia", 1970, "-00:44:30"),
        ("Pacific/Kiritimati", 1978, "-10:40"),
        ("Asia/Kolkata", 1900, "+05:21:10"),
    ],
)
def test_an_unaligned_offset_is_refused(name: str, year: int, offset: str) -> None:
    """Hours that are not made of whole slots cannot be reported exactly, and so are refused."""
    begin = midnight(date(year, 1, 5), ZoneInfo(name))
    with pytest.raises(UnalignedZone, match=name) as refused:
        hours(begin, begin + 86_400, ZoneInfo(name))
    assert f"offset by {offset} in {year}" in str(refused.value)


@pytest.mark.parametrize("day", ["2011-03-13", "2010-11-07"])
def test_a_change_at_one_past_midnight_is_refused_with_the_truth(day: str) -> None:
    """Newfoundland did so until 2011; its offsets are aligned, only the change is not."""
    tz, begin = ZoneInfo("America/St_Johns"), date.fromisoformat(day)
    with pytest.raises(UnalignedZone) as refused:
        hours(midnight(begin, tz), midnight(begin + timedelta(1), tz), tz)
    assert "was offset by" not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        *("", "Europe", "Europe/Atlantis", "../etc/passwd", "a\x00b", "/etc/localtime", "x" * 999),
        *("\ud800", "leapseconds", "tzdata.zi", "zone.tab", "__init__.py", "Europe/__init__.py"),
    ],
)
def test_a_name_that_is_no_zone_is_refused(name: str) -> None:
    """The sentence shows what a name is like."""
    with pytest.raises(UnknownZone, match="Europe/Paris"):
        zone(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("localtime", "UTC"),
        ("posixrules", "UTC"),
        ("Factory", "UTC"),
        ("posix/Europe/Paris", "Europe/Paris"),
        ("right/Asia/Tokyo", "Asia/Tokyo"),
        ("right/UTC", "UTC"),
        ("europe/paris", "Europe/Paris"),
        ("Paris", "Europe/Paris"),
        ("new york", "America/New_York"),
        ("Europe/Pariss", "Europe/Paris"),
        ("utc", "UTC"),
        ("india", "Asia/Kolkata"),
        ("kiev", "Europe/Kyiv"),
        ("UK", "Europe/London"),
        ("germany", "Europe/Berlin or Europe/Busingen"),
    ],
)
def test_what_a_system_may_load_and_is_no_zone_is_refused(name: str, meant: str) -> None:
    """Two machines would cut days differently, or count leap seconds; the hint names a zone."""
    with pytest.raises(UnknownZone, match=rf"Did you mean {meant}\?"):
        zone(name)
    assert name not in zone_names()


@pytest.mark.servers
def test_two_machines_with_other_files_agree(tmp_path: Path) -> None:
    """A system whose Paris is Tokyo does not change a bill."""
    tokyo = resources.files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").read_bytes()
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Paris").write_bytes(tokyo)
    code = (
        "from rollups.local_time import offset_at, zone, zone_names\n"
        "print(offset_at(0, zone('Europe/Paris')), len(zone_names()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONTZPATH": str(tmp_path)},
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.decode().split() == ["3600", str(len(zone_names()))]


def test_the_days_that_cannot_be_cut_are_those_documented() -> None:
    """Since 2000, seven zones changed their clocks off the quarter of an hour, and nobody does now.

    In autumn the clocks of Newfoundland went back at one past midnight: that day begins with its
    first midnight, and so it is the one that is refused.
    """
    refused: dict[str, set[str]] = {}
    for name in zone_names():
        data = resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
        tz = zone(name)
        for change in _changes(data):
            if change < second("2000-01-01T00:00+00:00") or change % 900 == 0:
                continue
            day = local_date(change, tz)
            for each in (day - timedelta(1), day, day + timedelta(1)):
                try:
                    hours(midnight(each, tz), midnight(each + timedelta(1), tz), tz)
                except UnalignedZone:
                    refused.setdefault(name, set()).add(each.isoformat())
    text = Path(__file__).parents[2].joinpath("docs", "time-zones.md").read_text("utf-8")
    rows = re.findall(r"^\| ((?:`[A-Za-z_/]+`(?:, )?)+) \| (.+) \|$", text, re.MULTILINE)
    documented = {
        name: set(re.findall(r"\d{4}-\d\d-\d\d", days))
        for names, days in rows
        for name in re.findall(r"`(.+?)`", names)
    }
    assert documented == refused
    assert len(refused) == 7


@pytest.mark.parametrize(
    ("text", "name", "shown"),
    [
        ("2026-10-05T23:59:59+00:00", "Asia/Kathmandu", "2026-10-06T05:44:59+05:45"),
        ("1969-12-31T23:59:59+00:00", "UTC", "1969-12-31T23:59:59+00:00"),
        ("2011-12-30T09:59:59+00:00", "Pacific/Apia", "2011-12-29T23:59:59-10:00"),
        ("2011-12-30T10:00:00+00:00", "Pacific/Apia", "2011-12-31T00:00:00+14:00"),
        ("1970-01-01T00:00:00+00:00", "Africa/Monrovia", "1969-12-31T23:15:30-00:44:30"),
    ],
)
def test_what_the_wall_clock_shows(text: str, name: str, shown: str) -> None:
    """Date, time and offset, to the second."""
    tz = ZoneInfo(name)
    local = local_datetime(second(text), offset_at(second(text), tz))
    assert local.isoformat() == shown
    assert local_date(second(text), tz) == local.date()


# ------------------------------------------------------------------------- in any zone


def _odd_day(zone_name: str, year: int) -> date:
    """Return the first day of *year* after which the UTC offset differs, else its first."""
    tz, day = ZoneInfo(zone_name), datetime(year, 1, 1, 12, tzinfo=UTC)
    first = day.astimezone(tz).utcoffset()
    while day.year == year and day.astimezone(tz).utcoffset() == first:
        day += timedelta(1)
    return day.date() if day.year == year else date(year, 1, 1)


odd_days = st.builds(
    lambda name, year, shift: (name, _odd_day(name, year) + timedelta(shift)),
    st.sampled_from(ZONES),
    st.integers(1975, 2035),
    st.integers(-2, 1),
)
any_days = st.tuples(st.sampled_from(ZONES), st.dates(date(1975, 1, 1), date(2035, 12, 31)))


@given(st.one_of(st.sampled_from(ODD_DAYS), odd_days, any_days), st.integers(1, 3))
@settings(deadline=None, max_examples=examples(120))
def test_hours_partition_the_days(place: tuple[str, date], days: int) -> None:
    """No gap, no overlap, and each is one (date, hour, offset) of the wall clock, wholly."""
    name, first = place
    tz = ZoneInfo(name)
    begin, end = midnight(first, tz), midnight(first + timedelta(days), tz)
    try:
        found = hours(begin, end, tz)
    except UnalignedZone:
        assume(False)
    expected = []
    for shown, seconds in groupby(range(begin, end, 900), lambda s: _shown(s, tz)):
        stretch = list(seconds)
        assert _shown(stretch[-1] + 899, tz) == shown
        expected.append((stretch[0], stretch[-1] + 900, shown[2]))
    assert found == expected


def _shown(moment: int, tz: ZoneInfo) -> tuple[date, int, int]:
    local = datetime.fromtimestamp(moment, tz)
    offset = local.utcoffset()
    assert offset is not None
    return local.date(), local.hour, round(offset.total_seconds())


@given(st.one_of(st.sampled_from(ODD_DAYS), odd_days, any_days))
@settings(deadline=None, max_examples=examples(120))
def test_a_day_begins_with_first_second(place: tuple[str, date]) -> None:
    """The second before shows an earlier day; this one does not."""
    name, day = place
    tz = ZoneInfo(name)
    begin = midnight(day, tz)
    assert datetime.fromtimestamp(begin - 1, tz).date() < day
    assert datetime.fromtimestamp(begin, tz).date() >= day
    assert midnight(day + timedelta(1), tz) >= begin


def test_zones_are_loaded_in_one_place() -> None:
    """`ZoneInfo(name)` would ask the system's files first."""
    root = Path(__file__).parents[2]
    packages = ("export", "interaction_usage", "rollups", "stream_app")
    for path in (path for package in packages for path in (root / package).rglob("*.py")):
        assert not re.search(r"\bZoneInfo\(|available_timezones", path.read_text("utf-8")), path
