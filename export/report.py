"""The Usage Report, computed: a reading of the rollups in, the report out. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import accumulate, groupby
from operator import add
from typing import NamedTuple

from export.model import Concurrency, Counts, Day, FlowRuns, HourPeaks, Report
from rollups.fold import split_flow_metric
from rollups.instants import DAY_SECONDS
from rollups.local_time import Hour, hours, local_datetime, midnight, zone
from rollups.reading import Reading
from rollups.slots import SLOT_SECONDS, slot_of
from rollups.vocabulary import (
    ABANDONED,
    APPLICATIONS,
    CALL_THOUSANDTHS,
    COMPLETED,
    NUMBERS_PURCHASED,
    SERIES,
    SERVICES,
    SMS_WITH_LINK,
    clicks_on,
    runs_ending,
    runs_of,
)

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


class Period(NamedTuple):
    """The local days `first` to `last`, both included, and where they lie on the line of UTC."""

    first: date
    last: date
    timezone: str
    hours: tuple[Hour, ...]
    begin: int  #: second of the local midnight that `first` begins with
    end: int  #: second of the local midnight that ends `last`

    @property
    def slots(self) -> tuple[int, int]:
        """The slots [first, end) that the period consists of."""
        return slot_of(self.begin), slot_of(self.end)


class ImpossiblePeriod(ValueError):
    """Days that no report can be made for."""


def period(first: date, last: date, timezone: str, as_of: datetime) -> Period:
    """Return the period of the local days *first* to *last* in *timezone*.

    Raises ImpossiblePeriod where it is reversed, begins after *as_of* or outside the calendar,
    UnknownZone, or UnalignedZone (see `local_time`).
    """
    tz = zone(timezone)
    if last < first:
        raise ImpossiblePeriod(f"the period is reversed: {first} comes after {last}")
    today = as_of.astimezone(tz).date()
    if first > today:
        raise ImpossiblePeriod(
            f"the period lies in the future: it begins on {first}, and in {timezone} it is {today}"
        )
    if first.year < 2 or last.year > 9998:
        raise ImpossiblePeriod("a period lies within the years 0002 to 9998")
    begin, end = midnight(first, tz), midnight(date.fromordinal(last.toordinal() + 1), tz)
    return Period(first, last, timezone, tuple(hours(begin, end, tz)), begin, end)


class Account(NamedTuple):
    """What a report says of the account itself."""

    id: str
    name: str
    dnis: bool
    sms: bool


def build(
    account: Account,
    within: Period,
    reading: Reading,
    as_of: datetime,
    *,
    breakdowns: bool = True,
) -> Report:
    """Return the report of *account* over *within*.

    Its *breakdowns* by day, hour and flow are as deep as *reading* is; without them it is computed
    in a third of the time.
    """
    cutoff = as_of.timestamp()
    counted = [hour for hour in within.hours if hour.begin < cutoff]
    peaks = {series: _hourly_peaks(reading, series, counted) for series in SERIES}
    return Report(
        account=account.id,
        name=account.name,
        first=within.first,
        last=within.last,
        timezone=within.timezone,
        as_of=as_of.astimezone(UTC),
        counts=_counts(reading.totals),
        concurrency={series: _concurrency(peaks[series], counted) for series in SERIES},
        dnis=account.dnis,
        sms=account.sms,
        days=_days(within, reading, counted, peaks) if breakdowns else (),
        hours=_hours(counted, peaks) if breakdowns else (),
        flows=_flows(reading.flows) if breakdowns else (),
    )


def _hourly_peaks(reading: Reading, series: str, counted: Sequence[Hour]) -> list[int]:
    """Return the most sessions present at any second of each hour."""
    curve = reading.curves[series]
    levels = accumulate(curve.nets, initial=reading.carry[series])
    tops = list(map(add, levels, curve.rises))
    base = reading.first * SLOT_SECONDS
    return [
        max(tops[(begin - base) // SLOT_SECONDS : (end - base) // SLOT_SECONDS])
        for begin, end, _ in counted
    ]


def _concurrency(peaks: Sequence[int], counted: Sequence[Hour]) -> Concurrency:
    top = max(peaks, default=0)
    busiest = counted[peaks.index(top)] if top > 0 else None
    return Concurrency(
        maximum=top,
        peak_sum=sum(peaks),
        reported_hours=sum(map(bool, peaks)),
        busiest_hour=local_datetime(busiest.begin, busiest.offset) if busiest else None,
    )


def _counts(sums: Mapping[str, int]) -> Counts:
    return Counts(
        flow_runs={application: sums.get(runs_of(application), 0) for application in APPLICATIONS},
        completed=sums.get(runs_ending(COMPLETED), 0),
        abandoned=sums.get(runs_ending(ABANDONED), 0),
        clicks={service: sums.get(clicks_on(service), 0) for service in SERVICES},
        call_thousandths=sums.get(CALL_THOUSANDTHS, 0),
        sms_with_link=sums.get(SMS_WITH_LINK, 0),
        numbers_purchased=sums.get(NUMBERS_PURCHASED, 0),
    )


def _hours(counted: Sequence[Hour], peaks: Mapping[str, Sequence[int]]) -> tuple[HourPeaks, ...]:
    return tuple(
        HourPeaks(
            local_datetime(hour.begin, hour.offset),
            hour.end - hour.begin,
            {series: peaks[series][index] for series in SERIES},
        )
        for index, hour in enumerate(counted)
    )


def _days(
    within: Period,
    reading: Reading,
    counted: Sequence[Hour],
    peaks: Mapping[str, Sequence[int]],
) -> tuple[Day, ...]:
    """Return the local days that have begun, each with its counters and highest hourly peaks."""
    sums: dict[date, dict[str, int]] = {}
    day_of_slot = {
        slot: day
        for day, its_hours in groupby(within.hours, _local_day)
        for hour in its_hours
        for slot in range(slot_of(hour.begin), slot_of(hour.end))
    }
    for metric, slots in reading.by_slot.items():
        for slot, amount in slots.items():
            day_sums = sums.setdefault(day_of_slot[slot], {})
            day_sums[metric] = day_sums.get(metric, 0) + amount
    tops: dict[date, dict[str, int]] = {}
    for day, numbered in groupby(enumerate(counted), lambda pair: _local_day(pair[1])):
        places = [place for place, _ in numbered]
        stretch = slice(places[0], places[-1] + 1)
        tops[day] = {series: max(peaks[series][stretch]) for series in SERIES}
    return tuple(Day(day, _counts(sums.get(day, {})), tops[day]) for day in sorted(tops))


def _local_day(hour: Hour) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + (hour.begin + hour.offset) // DAY_SECONDS)


def _flows(sums: Mapping[str, int]) -> tuple[FlowRuns, ...]:
    """Return the flows that ran, most used first, those used as often by name."""
    runs: dict[str, dict[str, int]] = {}
    for metric, amount in sums.items():
        outcome, flow = split_flow_metric(metric)
        runs.setdefault(flow, {})[outcome] = amount
    flows = [
        FlowRuns(flow, ends.get(COMPLETED, 0), ends.get(ABANDONED, 0))
        for flow, ends in runs.items()
    ]
    return tuple(sorted(flows, key=lambda item: (-item.total, item.flow)))
