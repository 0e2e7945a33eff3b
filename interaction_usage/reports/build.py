"""The Usage Report, computed: a reading of the rollups in, the report out. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from interaction_usage.reports.errors import PeriodError
from interaction_usage.reports.model import (
    Concurrency,
    Counts,
    Days,
    FlowRuns,
    Hours,
    Report,
    hour_of,
)
from interaction_usage.reports.periods import EARLIEST_ZONE, check_period
from rollups.catalog import ABANDONED, COMPLETED, SERIES
from rollups.completeness import UNKNOWN, Completeness
from rollups.concurrency import hourly_peaks
from rollups.fold import split_flow_metric
from rollups.local_time import (
    Hour,
    HourRun,
    by_local_day,
    each_hour,
    hour_runs,
    local_datetime,
    midnight,
    zone,
)
from rollups.range_snapshot import RangeSnapshot
from rollups.slots import SLOT_SECONDS, slot_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Period(NamedTuple):
    """The local days `first` to `last`, both included, and where they lie on the line of UTC."""

    first: date
    last: date
    timezone: str
    runs: tuple[HourRun, ...]  #: its hours
    begin: int  #: second of the local midnight that `first` begins with
    end: int  #: second of the local midnight that ends `last`

    @property
    def slots(self) -> tuple[int, int]:
        """The slots [first, end) that the period consists of."""
        return slot_of(self.begin), slot_of(self.end)

    @property
    def hours(self) -> tuple[Hour, ...]:
        """Every hour of the wall clock in the period, in order."""
        return tuple(each_hour(self.runs))


def period(first: date, last: date, timezone: str, as_of: datetime) -> Period:
    """Return the period of the local days *first* to *last* in *timezone*.

    Raises PeriodError where `check_period` does and where the period begins after *as_of*,
    UnknownZone, or UnalignedZone (see `local_time`).
    """
    tz = zone(timezone)
    check_period(first, last)
    try:
        today = as_of.astimezone(tz).date()
    except OverflowError:
        raise PeriodError(f"in {timezone} the as-of instant lies outside the calendar") from None
    if first > today:
        now = f"in {timezone} it is {today}"
        if timezone == EARLIEST_ZONE:
            now = f"nowhere is it later than {today}"
        raise PeriodError(f"the period lies in the future: it begins on {first}, and {now}")
    begin, end = midnight(first, tz), midnight(date.fromordinal(last.toordinal() + 1), tz)
    return period_of_seconds(first, last, timezone, begin, end)


def period_of_seconds(first: date, last: date, timezone: str, begin: int, end: int) -> Period:
    """Return the period that was [begin, end) when its report was issued, in today's hours.

    The rules of *timezone* may have changed since, and with them where its days begin.
    """
    return Period(first, last, timezone, tuple(hour_runs(begin, end, zone(timezone))), begin, end)


class Account(NamedTuple):
    """What a report says of the account itself."""

    id: str
    name: str
    dnis: bool
    sms: bool


def build(
    account: Account,
    within: Period,
    reading: RangeSnapshot,
    as_of: datetime,
    *,
    breakdowns: bool = True,
    hour_counts: bool = False,
    completeness: Completeness = UNKNOWN,
) -> Report:
    """Return the report of *account* over *within*.

    Its *breakdowns* by day, hour and flow are as deep as *reading* is; without them it is computed
    in a third of the time.
    """
    cutoff = -((_EPOCH - as_of) // timedelta(seconds=1))  # the first whole second not before it
    counted = tuple(run.before(cutoff) for run in within.runs)
    peaks = {
        series: hourly_peaks(reading.curves[series], reading.carry[series], counted)
        for series in SERIES
    }
    return Report(
        account=account.id,
        name=account.name,
        first=within.first,
        last=within.last,
        timezone=within.timezone,
        as_of=as_of.astimezone(UTC),
        counts=Counts.of(reading.totals, has_sessions=reading.has_sessions),
        concurrency={series: _concurrency(peaks[series], counted) for series in SERIES},
        dnis=account.dnis,
        sms=account.sms,
        days=_days(within, reading, counted, peaks) if breakdowns else Days(),
        hours=Hours(filter(_holds_any, counted), peaks) if breakdowns else Hours(),
        hour_counts=tuple(_hour_counts(within, reading, counted)) if hour_counts else (),
        flows=_flows(reading.flows) if breakdowns else (),
        completeness=completeness,
        pending_voids=reading.pending_voids,
    )


def _holds_any(run: HourRun) -> bool:
    return run.hours > 0


def _concurrency(peaks: Sequence[int], counted: Sequence[HourRun]) -> Concurrency:
    top = max(peaks, default=0)
    busiest = None
    if top > 0:
        begin, _, offset = hour_of(counted, peaks.index(top))
        busiest = local_datetime(begin, offset)
    return Concurrency(
        maximum=top,
        peak_sum=sum(peaks),
        reported_hours=len(peaks) - peaks.count(0),
        busiest_hour=busiest,
    )


class _Piece(NamedTuple):
    """Hours of one local day, one after the other: all, unless clocks go back over midnight."""

    day: int  #: counted from 1970-01-01
    hour: int  #: the number of its first hour in the period
    end_hour: int
    slot: int  #: its first slot, counted from the beginning of the period
    end_slot: int


@lru_cache(8)  # the same period is read and built, and of many accounts
def _pieces(runs: tuple[HourRun, ...]) -> tuple[_Piece, ...]:
    """Return the hours of each local day of a period that consists of *runs*, in order."""
    number, found = 0, list[_Piece]()
    for day, run in by_local_day(runs):
        slot, end_slot = ((edge - runs[0].begin) // SLOT_SECONDS for edge in (run.begin, run.end))
        end_hour = number + run.hours
        if found and found[-1].day == day:  # the clocks change in it
            found[-1] = found[-1]._replace(end_hour=end_hour, end_slot=end_slot)
        else:
            found.append(_Piece(day, number, end_hour, slot, end_slot))
        number = end_hour
    return tuple(found)


def day_edges(within: Period) -> list[int]:
    """Return the slots between which the counters of each local day are summed."""
    first, end = within.slots
    return [*(first + piece.slot for piece in _pieces(within.runs)), end]


def _days(
    within: Period,
    reading: RangeSnapshot,
    counted: Sequence[HourRun],
    peaks: Mapping[str, Sequence[int]],
) -> Days:
    """Return the local days that have begun, each with its counters and highest hourly peaks."""
    begun = sum(run.hours for run in counted)
    pieces = _pieces(within.runs)
    has_begun = sum(piece.hour < begun for piece in pieces)
    days = [piece.day for piece in pieces[:has_begun]]
    sums = {metric: amounts[:has_begun] for metric, amounts in _sums(reading, pieces).items()}
    tops = {
        series: [max(hourly[piece.hour : piece.end_hour]) for piece in pieces[:has_begun]]
        for series, hourly in peaks.items()
    }
    if len(set(days)) < len(days):  # where the clocks go back over midnight, a day begins twice
        sums = {metric: _of_days(days, amounts, sum) for metric, amounts in sums.items()}
        tops = {series: _of_days(days, entry, max) for series, entry in tops.items()}
        days = sorted(set(days))
    return Days(days, sums, tops, has_sessions=reading.has_sessions)


def _sums(reading: RangeSnapshot, pieces: Sequence[_Piece]) -> Mapping[str, Sequence[int]]:
    """Return the sums of each counter in *pieces*; those of slots, where it has these."""
    return reading.by_span or {
        metric: [sum(amounts[piece.slot : piece.end_slot]) for piece in pieces]
        for metric, amounts in reading.by_slot.items()
    }


def _of_days(
    days: Sequence[int], numbers: Sequence[int], together: Callable[[Iterable[int]], int]
) -> list[int]:
    """Return one number for each different day, in order: those of its pieces *together*."""
    pairs = sorted(zip(days, numbers, strict=True), key=itemgetter(0))
    return [together(n for _, n in of_day) for _, of_day in groupby(pairs, key=itemgetter(0))]


def _hour_counts(
    within: Period, reading: RangeSnapshot, counted: Sequence[HourRun]
) -> Iterator[Counts]:
    """Yield the counters of each hour that has begun."""
    origin = slot_of(within.begin)
    for hour in each_hour(counted):
        slots = slice(slot_of(hour.begin) - origin, slot_of(hour.end) - origin)
        sums = {metric: sum(amounts[slots]) for metric, amounts in reading.by_slot.items()}
        yield Counts.of(sums, has_sessions=reading.has_sessions)


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
