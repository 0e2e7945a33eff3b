"""The report as data: what is worked out only when it is asked for."""

from datetime import UTC, datetime

import pytest

from interaction_usage.reports.model import Days, HourPeaks, Hours
from rollups.catalog import CALL_THOUSANDTHS, METRIC_ROWS, SERIES
from rollups.local_time import HourRun
from tests.export import samples

#: 25 October 2026 in Paris, from 01:00: two hours are called 02:00.
HOURS = Hours(
    (HourRun(1_792_882_800, 2, 3600, 7200), HourRun(1_792_890_000, 1, 3600, 3600)),
    {series: [index, index + 10, index + 20] for index, series in enumerate(SERIES)},
)


def test_hours_are_a_sequence() -> None:
    """Each has its local time with the offset, its length and its peaks, wherever it is found."""
    every = list(HOURS)

    begins = [hour.begins.isoformat(" ", "minutes") for hour in every]
    assert begins == ["2026-10-25 01:00+02:00", "2026-10-25 02:00+02:00", "2026-10-25 02:00+01:00"]
    assert every[1] == HourPeaks(
        datetime(2026, 10, 25, 0, tzinfo=UTC), 3600, dict(zip(SERIES, range(10, 15), strict=True))
    )
    assert [HOURS[0], HOURS[1], HOURS[-1]] == every
    assert HOURS[1:] == every[1:]
    assert len(HOURS) == 3
    for beyond in (3, -4):
        with pytest.raises(IndexError):
            HOURS[beyond]


def test_hours_are_equal_if_all_of_them_are() -> None:
    """One other peak makes them others."""
    assert Hours(HOURS.runs, dict(HOURS.peaks)) == HOURS
    assert Hours(HOURS.runs, {**HOURS.peaks, SERIES[0]: [0, 10, 21]}) != HOURS
    assert not Hours()


def test_days_are_a_sequence_and_columns() -> None:
    """A day has what the columns have at its place, and one without an amount has 0."""
    days = samples.days(9)
    every = list(days)

    assert [day.day.day for day in every] == list(range(1, 10))
    assert [days[0], days[-1]] == [every[0], every[-1]]
    assert days[2:4] == every[2:4]
    assert Days.of(every) == days
    assert Days.of(every[1:]) != days
    for metric in METRIC_ROWS:
        assert list(days.reported(metric)) == [day.counts.reported(metric) for day in every]
    assert days.counts(1, 3).call_thousandths == sum(
        day.counts.call_thousandths for day in every[1:3]
    )
    assert list(Days([1, 2]).column(CALL_THOUSANDTHS)) == [0, 0]
    assert not Days()


def test_an_average_is_unrounded_and_zero_where_nothing_is_reported() -> None:
    """As a float for people, as a fraction for sums."""
    curve = samples.curve(3, 10, 3)
    assert (curve.average, curve.exact_average * 3) == (10 / 3, 10)
    assert (samples.nothing_reported().average, samples.nothing_reported().exact_average) == (0, 0)
