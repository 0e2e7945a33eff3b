"""What another time zone does to the edges between months."""

from datetime import UTC, datetime

import pytest

from rollups.local_time import zone
from rollups.zone_change import ZoneChange, duration, zone_change

NOW = int(datetime(2026, 11, 26, 20, tzinfo=UTC).timestamp())


def changed(old: str, new: str, second: int = NOW) -> ZoneChange:
    """Return the change of *old* to *new*."""
    return zone_change(second, zone(old), zone(new))


def utc(second: int) -> str:
    """Return *second* as people write it."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("old", "new", "ended", "begins"),
    [
        # The two ends of the world, both ways: 26 hours.
        ("Etc/GMT+12", "Pacific/Kiritimati", "2026-12-01 12:00", "2026-11-30 10:00"),
        ("Pacific/Kiritimati", "Etc/GMT+12", "2026-11-30 10:00", "2026-12-01 12:00"),
        ("UTC", "Asia/Kathmandu", "2026-12-01 00:00", "2026-11-30 18:15"),
        ("Asia/Kathmandu", "UTC", "2026-11-30 18:15", "2026-12-01 00:00"),
        ("Europe/Paris", "Asia/Kolkata", "2026-11-30 23:00", "2026-11-30 18:30"),
        ("Asia/Kolkata", "Australia/Lord_Howe", "2026-11-30 18:30", "2026-11-30 13:00"),
        ("Europe/Paris", "Europe/Berlin", "2026-11-30 23:00", "2026-11-30 23:00"),
    ],
)
def test_where_a_month_ends_and_the_next_one_begins(
    old: str, new: str, ended: str, begins: str
) -> None:
    """November ends in the old zone, December begins in the new one."""
    edge = changed(old, new).edges[1]
    assert (utc(edge.ended), utc(edge.begins)) == (ended, begins)
    assert (f"{edge.before}", f"{edge.month}") == ("2026-11-01", "2026-12-01")


def test_hours_on_no_bill_and_on_both() -> None:
    """Both directions, with each edge's own offset: summer time ended between the two."""
    # new [---Oct---)[---Nov---        26 hours
    # old     [---Oct---)[---Nov---
    earlier = changed("Etc/GMT+12", "Pacific/Kiritimati").sentences()
    assert earlier == [
        "The days of all reports, past ones included, will follow Pacific/Kiritimati and begin 26 "
        "hours earlier than in Etc/GMT+12: 2026-12-01 begins at 2026-11-30 10:00 UTC instead of "
        "2026-12-01 12:00 UTC.",
        "If October 2026 is billed in Etc/GMT+12 and November 2026 in Pacific/Kiritimati, the 26 "
        "hours from 2026-10-31 10:00 UTC to 2026-11-01 12:00 UTC are on both bills.",
        "If November 2026 is billed in Etc/GMT+12 and December 2026 in Pacific/Kiritimati, the 26 "
        "hours from 2026-11-30 10:00 UTC to 2026-12-01 12:00 UTC are on both bills.",
    ]
    later = changed("Europe/Paris", "America/New_York").sentences()
    assert later[1:] == [
        "If October 2026 is billed in Europe/Paris and November 2026 in America/New_York, the 5 "
        "hours from 2026-10-31 23:00 UTC to 2026-11-01 04:00 UTC are on no bill.",
        "If November 2026 is billed in Europe/Paris and December 2026 in America/New_York, the 6 "
        "hours from 2026-11-30 23:00 UTC to 2026-12-01 05:00 UTC are on no bill.",
    ]


def test_offsets_of_30_and_45_minutes_are_said_exactly() -> None:
    """Never rounded to hours."""
    assert (
        "5 hours 45 minutes from 2026-11-30 18:15 UTC to 2026-12-01 00:00 UTC are on no bill"
        in (changed("Asia/Kathmandu", "UTC").sentences()[2])
    )
    assert "begin 15 minutes later" in changed("Asia/Kathmandu", "Asia/Kolkata").sentences()[0]
    assert duration(3600) == "1 hour"
    assert duration(26 * 3600 + 61) == "26 hours 1 minute 1 second"


def test_a_zone_that_moves_nothing_says_so() -> None:
    """The same instants at these edges; and nothing at all where the zone stays."""
    answer = changed("Europe/Paris", "Europe/Berlin").sentences()
    assert all(sentence.endswith("on exactly one bill.") for sentence in answer[1:])
    assert changed("UTC", "UTC").sentences() == []


def test_this_month_is_the_old_zones() -> None:
    """At New Year it is December still in New York, and the year turns in both edges."""
    new_year = int(datetime(2027, 1, 1, 3, tzinfo=UTC).timestamp())
    edges = changed("America/New_York", "UTC", new_year).edges
    assert [f"{edge.before:%Y-%m}" for edge in edges] == ["2026-11", "2026-12"]
    edges = changed("UTC", "America/New_York", new_year).edges
    assert [f"{edge.before:%Y-%m}" for edge in edges] == ["2026-12", "2027-01"]


def test_what_is_on_both_bills_is_as_long_as_the_zones_are_apart() -> None:
    """For any two zones of the parametrised kinds, later one way is earlier the other way."""
    names = ("UTC", "Asia/Kathmandu", "Pacific/Chatham", "America/St_Johns", "Pacific/Niue")
    for old in names:
        for new in names:
            there, back = changed(old, new).edges[1], changed(new, old).edges[1]
            if there.month == back.month:
                assert there.seconds == -back.seconds


def test_one_hour_is_one() -> None:
    """What moves by a single hour is said in the singular."""
    sentences = changed("UTC", "Etc/GMT-1").sentences()
    assert "the hour from " in sentences[1]
    assert sentences[1].endswith(" is on both bills.")
