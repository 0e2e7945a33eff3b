"""RFC 3339 times become exact microseconds, or are refused with a sentence."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollups import timestamps
from rollups.timestamps import SECOND, parse_rfc3339, parse_rfc3339_all

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NINE = 1_791_190_800 * SECOND  # 2026-10-05T09:00:00Z


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1969-12-31T23:59:59Z", -SECOND),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2026-10-05T09:00:00Z", NINE),
        ("2026-10-05t09:00:00z", NINE),
        ("2026-10-05T09:00:00.5Z", NINE + 500_000),
        ("2026-10-05T09:00:00.000000Z", NINE),
        ("2026-10-05T09:00:00+00:00", NINE),
        ("2026-10-05T09:00:00-00:00", NINE),
        ("2026-10-05T11:00:00+02:00", NINE),
        ("2026-10-05T05:30:00-03:30", NINE),
        ("2026-10-05T14:45:00+05:45", NINE),
        ("2026-10-06T08:59:00+23:59", NINE),
        ("2026-10-04T09:01:00-23:59", NINE),
        ("2026-12-31T23:59:59.999999Z", 1_798_761_600 * SECOND - 1),
        ("2027-01-01T00:30:00+00:30", 1_798_761_600 * SECOND),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * SECOND),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * SECOND),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_800 * SECOND - 1),
    ],
)
def test_a_time_is_an_exact_number_of_microseconds(text: str, instant: int) -> None:
    """Midnight, year's end, before 1970, offsets both ways."""
    assert parse_rfc3339(text) == instant


@pytest.mark.parametrize("fraction", ["1234567", "123456999", "1234569999999999999999999999999"])
def test_digits_beyond_the_microsecond_are_cut_off(fraction: str) -> None:
    """Cut off, never rounded, so that an event never moves into the next second."""
    assert parse_rfc3339(f"2026-10-05T09:00:00.{fraction}Z") == NINE + 123_456
    assert parse_rfc3339("2026-10-05T09:00:00.99999999Z") == NINE + SECOND - 1


def test_digits_are_cut_off_before_1970_as_well() -> None:
    """The fraction counts forward from its second there, too."""
    assert parse_rfc3339("1969-12-31T23:59:58.9999999Z") == -SECOND - 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-10-05",
        "2026-10-05T09:00:00",
        "2026-10-05T09:00Z",
        "2026-10-05 09:00:00Z",
        "20261005T090000Z",
        "2026-10-05T09:00:00.Z",
        "2026-10-05T09:00:00,5Z",
        "2026-10-05T09:00:00+0200",
        "2026-10-05T09:00:00+02",
        "2026-10-05T09:00:00+24:00",
        "2026-10-05T09:00:00+02:60",
        "2026-10-05T09:00:00Z+02:00",
        "2026-10-05T24:00:00Z",
        "2026-10-05T09:60:00Z",
        "2026-10-05T09:00:61Z",
        "2026-02-29T09:00:00Z",
        "2026-13-01T09:00:00Z",
        "2026-10-00T09:00:00Z",
        "0000-01-01T00:00:00Z",
        "12026-10-05T09:00:00Z",
        "-2026-10-05T09:00:00Z",
        "2026-10-05T09:00:00Z\n",
        " 2026-10-05T09:00:00Z",
        "٢٠٢٦-10-05T09:00:00Z",
        "2026-10-05T09:00:00Ｚ",
        "1791190800",
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    """The sentence quotes what came."""
    with pytest.raises(ValueError, match=r"is not an|has no such") as refused:
        parse_rfc3339(text)
    assert repr(text) in str(refused.value) or repr(text[:19]) in str(refused.value)


@pytest.mark.parametrize("text", ["2016-12-31T23:59:60Z", "2017-01-01T00:59:60.5+01:00"])
def test_a_leap_second_is_refused(text: str) -> None:
    """It names no instant of this scale, and is called by its name."""
    with pytest.raises(ValueError, match="leap second"):
        parse_rfc3339(text)


def test_a_second_seen_before_is_read_the_same() -> None:
    """What is kept of a wall time belongs to no offset."""
    for _ in range(2):
        assert parse_rfc3339("2026-10-05T09:00:00+09:00") == NINE - 9 * 3600 * SECOND
        assert parse_rfc3339("2026-10-05T09:00:00Z") == NINE
        assert parse_rfc3339("2026-10-05T09:00:00.25Z") == NINE + 250_000


def test_more_seconds_than_are_kept_are_read_alike() -> None:
    """The kept seconds are dropped when they are many, and nothing else changes."""
    for second in range(25_000):
        text = (EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert parse_rfc3339(text) == second * SECOND


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),  # noqa: DTZ001 - made aware below
    st.integers(-1439, 1439),
)
def test_it_agrees_with_the_standard_library(wall: datetime, minutes: int) -> None:
    """Any date, any offset, any microsecond."""
    moment = wall.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_rfc3339(moment.isoformat()) == (moment - EPOCH) // timedelta(microseconds=1)


def _one(text: str) -> int | None:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


_WALLS = [
    "2026-10-05T09:00:00",
    "2026-10-05t09:00:59",
    "2026-02-30T09:00:00",
    "2016-12-31T23:59:60",
]
_FRACTIONS = [
    "", ".", ".5", ".250000", ".000001", ".9999999", ",250000", ".1_0000", ".+10000", ".25000 ",
    ".٢٥٠٠٠٠", ".²²²²²²", "250000", "..25000", ".25000Z",
]  # fmt: skip
_ZONES = [
    "Z",
    "z",
    "X",
    "",
    "+00:00",
    "-00:00",
    "+02:00",
    "-23:59",
    "+24:00",
    "+0200",
    "Z+02:00",
    "Z\n",
]


@given(
    st.lists(
        st.tuples(*map(st.sampled_from, (_WALLS, _FRACTIONS, _ZONES))).map("".join) | st.text(),
        max_size=4,
    )
)
def test_many_times_are_read_as_each_of_them_is(texts: list[str]) -> None:
    """None stands where one is refused, and no time has an influence on another."""
    assert parse_rfc3339_all(texts) == [_one(text) for text in texts]


@pytest.mark.parametrize("zone", _ZONES)
@pytest.mark.parametrize("fraction", _FRACTIONS)
@pytest.mark.parametrize("wall", _WALLS)
def test_what_was_seen_before_changes_no_answer(wall: str, fraction: str, zone: str) -> None:
    """A time is read the same when its second and its offset are known as when neither is."""
    text = f"{wall}{fraction}{zone}"
    timestamps._seen.clear()
    timestamps._offsets_seen.clear()
    timestamps._offsets_seen["Z"] = 0
    first = _one(text)
    for known in _ZONES:
        _one(f"{wall}{known}")
    assert _one(text) == first
    assert parse_rfc3339_all([text]) == [first]
