"""A report's breakdown by hour, day, week or month: what one bar of a chart stands for. Pure.

A span has local days of the period only: the first and the last week or month are cut where the
period begins and ends. Weeks begin on Mondays, as ISO 8601 has them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from interaction_usage.reports.model import Counts, Report
from rollups.local_time import HourRun, by_local_day, each_hour, local_datetime

#: The longest period, in days, that is broken down by hour.
MOST_DAYS_BY_HOUR: Final = 31

_DAY: Final = 86_400
_HOUR: Final = 3_600
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


class By(StrEnum):
    """How long the spans are."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class DayHours(NamedTuple):
    """The hours of a local day that have begun: which of the report's hours they are."""

    day: date
    begin: int  #: the number of the first of them, from 0
    end: int
    clocks: Sequence[int]  #: the hour of the clock that each shows, 0 to 23
    runs: tuple[HourRun, ...]

    @property
    def begins(self) -> list[tuple[int, int]]:
        """The second in which each begins, and its UTC offset."""
        return [(hour.begin, hour.offset) for hour in each_hour(self.runs)]


class Span(NamedTuple):
    """Local days `first` to `last`, both included; with `begins`, one hour of a day."""

    first: date
    last: date
    counts: Counts
    days: tuple[DayHours, ...]  #: the hours of its days
    begins: datetime | None = None

    @property
    def hours(self) -> slice:
        """Which of the report's hours are in it."""
        return slice(self.days[0].begin, self.days[-1].end) if self.days else slice(0, 0)

    def members(self) -> dict[str, Any]:
        """Return what every list of spans says of one."""
        members: dict[str, Any] = {"day": self.first.isoformat()}
        if self.begins is not None:
            return {**members, "begins": self.begins.isoformat()}
        return members if self.first == self.last else {**members, "last": self.last.isoformat()}


def first_of(day: date, by: By) -> date:
    """Return the day that the week or month of *day* begins with, or *day* itself."""
    if by is By.MONTH:
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if by is By.WEEK else day


def spans(report: Report, by: By) -> list[Span]:
    """Return the spans of *report* that have begun, in order."""
    hours = {each.day: each for each in day_hours(report)}
    if by is By.HOUR:
        return list(_by_hour(report, hours))
    found: list[Span] = []
    begin = 0
    dates = [date.fromordinal(_EPOCH_ORDINAL + number) for number in report.days.numbers]
    for _, entry in groupby(dates, lambda day: first_of(day, by)):
        days = list(entry)
        begin, counts = begin + len(days), report.days.counts(begin, begin + len(days))
        known = tuple(hours[day] for day in days if day in hours)
        found.append(Span(days[0], days[-1], counts, known))
    return found


def _by_hour(report: Report, hours: Mapping[date, DayHours]) -> Iterator[Span]:
    for day in hours.values():
        for place, (begin, end, offset) in enumerate(each_hour(day.runs)):
            number = day.begin + place
            run = HourRun(begin, 1, end - begin, offset)
            hour = DayHours(day.day, number, number + 1, [day.clocks[place]], (run,))
            begins = local_datetime(begin, offset)
            yield Span(day.day, day.day, report.hour_counts[number], (hour,), begins)


def day_hours(report: Report) -> list[DayHours]:
    """Return the hours of each local day of *report* that has begun."""
    found: list[DayHours] = []
    number = 0
    for day, entry in groupby(by_local_day(report.hours.runs), itemgetter(0)):
        runs = tuple(run for _, run in entry)
        begin, number = number, number + sum(run.hours for run in runs)
        clocks = _clocks(runs)
        found.append(DayHours(date.fromordinal(_EPOCH_ORDINAL + day), begin, number, clocks, runs))
    return found


def _clocks(runs: Sequence[HourRun]) -> Sequence[int]:
    """Return the hour of the clock that each hour of *runs* shows."""
    if len(runs) == 1:
        first = (runs[0].begin + runs[0].offset) % _DAY // _HOUR
        return range(first, first + runs[0].hours)
    return [(hour.begin + hour.offset) % _DAY // _HOUR for hour in each_hour(runs)]
