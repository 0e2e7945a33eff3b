"""The Usage Report as data: what every renderer gets, and nothing that it must compute."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rollups.catalog import (
    ABANDONED,
    CALL_THOUSANDTHS,
    CLICKS,
    COMPLETED,
    ENDINGS,
    METRICS,
    NUMBERS_PURCHASED,
    RUNS,
    SMS_WITH_LINK,
    STARTED,
    UNSTOPPED,
    Metric,
    Section,
)
from rollups.completeness import UNKNOWN, Completeness
from rollups.local_time import HourRun, each_hour, local_datetime

if TYPE_CHECKING:
    from fractions import Fraction


_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
#: Every counter without an amount.
_NONE = dict.fromkeys(METRICS, 0)


class Concurrency(NamedTuple):
    """One series over the whole period."""

    maximum: int  #: the largest hourly peak, in sessions
    peak_sum: int  #: the sum of the hourly peaks
    reported_hours: int  #: how many hours had a peak above 0
    busiest_hour: datetime | None  #: start of the earliest hour with the maximum, local time

    @property
    def average(self) -> float:
        """The mean hourly peak over the reported hours, unrounded; 0 where none is reported."""
        return self.peak_sum / self.reported_hours if self.reported_hours else 0

    @property
    def exact_average(self) -> "Fraction":
        """The same mean as a fraction, for sums that must not round."""
        from fractions import Fraction

        return Fraction(self.peak_sum, self.reported_hours or 1)


class HourPeaks(NamedTuple):
    """One hour of the wall clock: the most sessions present at any second of it."""

    begins: datetime  #: local time, with its UTC offset
    seconds: int  #: how long the hour is: 3600, less where a clock change cuts it
    peaks: dict[str, int]  #: by series


class Hours(Sequence[HourPeaks]):
    """The hours of a period and their peaks, in order: columns, which a table is made of.

    As a sequence it makes each `HourPeaks` when it is asked for; a year has 8,760 of them.
    """

    __slots__ = ("peaks", "runs")

    def __init__(
        self, runs: Iterable[HourRun] = (), peaks: Mapping[str, Sequence[int]] | None = None
    ) -> None:
        self.runs = tuple(runs)
        self.peaks = peaks or {}  #: by series, one peak for each hour

    def __len__(self) -> int:
        return sum(run.hours for run in self.runs)

    def __iter__(self) -> Iterator[HourPeaks]:
        for index, (begin, end, offset) in enumerate(each_hour(self.runs)):
            yield self._reported(index, begin, end - begin, offset)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(self)[index]
        number = range(len(self))[index]  # counts from the end, or raises IndexError
        begin, seconds, offset = hour_of(self.runs, number)
        return self._reported(number, begin, seconds, offset)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hours) and (self.runs, self.peaks) == (other.runs, other.peaks)

    def __hash__(self) -> int:
        return hash(self.runs)

    def __repr__(self) -> str:
        return f"Hours({self.runs!r}, {self.peaks!r})"

    def _reported(self, index: int, begin: int, seconds: int, offset: int) -> HourPeaks:
        peaks = {series: peaks[index] for series, peaks in self.peaks.items()}
        return HourPeaks(local_datetime(begin, offset), seconds, peaks)


def hour_of(runs: Iterable[HourRun], index: int) -> tuple[int, int, int]:
    """Return (begin, seconds, UTC offset) of the hour that is number *index* of *runs*, from 0."""
    for run in runs:
        if index < run.hours:
            return run.begin + index * run.seconds, run.seconds, run.offset
        index -= run.hours
    raise IndexError("there are fewer hours")


class Sessions(NamedTuple):
    """The sessions of an application that start in a period; None where nobody counted them.

    They were not while the rollups had a layout without these counters, until these are rebuilt.
    """

    started: int | None
    without_stop: int | None  #: of the started ones: their end is inferred


class Counts(NamedTuple):
    """The counters of one period, all exact."""

    amounts: Mapping[str, int]  #: of every stored counter of the catalogue, by id
    has_sessions: bool = True  #: whether the amounts of sessions are known

    @classmethod
    def of(cls, sums: Mapping[str, int], *, has_sessions: bool = True) -> "Counts":
        """Return the counters with these *sums*; those that have none are 0."""
        if sums.keys() <= _NONE.keys():  # as nearly always, and two years have 730 days
            return cls({**_NONE, **sums}, has_sessions)
        return cls({metric: sums.get(metric, 0) for metric in METRICS}, has_sessions)

    def amount(self, metric: Metric) -> int:
        """Return the amount of *metric* as it is stored; for a sum, of its parts together."""
        if metric.sum_of:
            return sum(self.amounts[part] for part in metric.sum_of)
        return self.amounts[metric.id]

    def reported(self, metric: Metric) -> int | float:
        """Return the amount of *metric* in the unit in which reports have it."""
        return metric.unit.reported(self.amount(metric))

    def _each(self, metrics: Mapping[str, str]) -> dict[str, int]:
        return {name: self.amounts[metric] for name, metric in metrics.items()}

    @property
    def flow_runs(self) -> dict[str, int]:
        """Flow runs by application."""
        return self._each(RUNS)

    @property
    def flow_runs_total(self) -> int:
        """All flow runs, whatever their application or outcome."""
        return sum(self.flow_runs.values())

    @property
    def completed(self) -> int:
        """Flow runs that ended completed."""
        return self.amounts[ENDINGS[COMPLETED]]

    @property
    def abandoned(self) -> int:
        """Flow runs that ended abandoned."""
        return self.amounts[ENDINGS[ABANDONED]]

    @property
    def clicks(self) -> dict[str, int]:
        """Clicks by service."""
        return self._each(CLICKS)

    @property
    def sessions(self) -> dict[str, Sessions]:
        """Sessions by application."""
        if not self.has_sessions:
            return dict.fromkeys(STARTED, Sessions(None, None))
        return {
            name: Sessions(self.amounts[metric], self.amounts[UNSTOPPED[name]])
            for name, metric in STARTED.items()
        }

    @property
    def call_thousandths(self) -> int:
        """Call Now minutes, in thousandths of a minute."""
        return self.amounts[CALL_THOUSANDTHS]

    @property
    def sms_with_link(self) -> int:
        """Messages with a campaign link."""
        return self.amounts[SMS_WITH_LINK]

    @property
    def numbers_purchased(self) -> int:
        """Phone numbers purchased."""
        return self.amounts[NUMBERS_PURCHASED]


class Day(NamedTuple):
    """One local day: its counters and each series' highest hourly peak."""

    day: date
    counts: Counts
    peaks: dict[str, int]  #: by series


class Days(Sequence[Day]):
    """The local days of a period that have begun, in order: columns, which a table is made of.

    As a sequence it makes each `Day` when it is asked for.
    """

    __slots__ = ("has_sessions", "numbers", "peaks", "sums")

    def __init__(
        self,
        numbers: Sequence[int] = (),
        sums: Mapping[str, Sequence[int]] | None = None,
        peaks: Mapping[str, Sequence[int]] | None = None,
        *,
        has_sessions: bool = True,
    ) -> None:
        self.numbers = numbers  #: of the days, from 1970-01-01
        self.sums = sums or {}  #: by counter, one sum for each day; those that have any
        self.peaks = peaks or {}  #: by series, one highest hourly peak for each day
        self.has_sessions = has_sessions  #: whether the amounts of sessions are known

    @classmethod
    def of(cls, days: Sequence[Day]) -> "Days":
        """Return the same *days* as columns."""
        return cls(
            [day.day.toordinal() - _EPOCH_ORDINAL for day in days],
            _columns([day.counts.amounts for day in days]),
            _columns([day.peaks for day in days]),
            has_sessions=all(day.counts.has_sessions for day in days),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(map(self._day, range(len(self))[index]))
        return self._day(range(len(self))[index])  # counts from the end, or raises IndexError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Days) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self.numbers))

    def __repr__(self) -> str:
        return f"Days({list(self)!r})"

    def counts(self, begin: int, end: int) -> Counts:
        """Return the counters of the days numbered [begin, end) in the period, together."""
        sums = {metric: sum(column[begin:end]) for metric, column in self.sums.items()}
        return Counts.of(sums, has_sessions=self.has_sessions)

    def reported(self, metric: Metric) -> Sequence[int | float]:
        """Return the amount of *metric* on each day in the unit in which reports have it."""
        columns = [self.column(part) for part in metric.sum_of or (metric.id,)]
        amounts = list(map(sum, zip(*columns, strict=True))) if len(columns) > 1 else columns[0]
        return amounts if metric.unit.per == 1 else list(map(metric.unit.reported, amounts))

    def column(self, counter: str) -> Sequence[int]:
        """Return the sums of a *counter*, one for each day."""
        return self.sums.get(counter) or [0] * len(self)

    def _day(self, number: int) -> Day:
        day = date.fromordinal(_EPOCH_ORDINAL + self.numbers[number])
        peaks = {series: column[number] for series, column in self.peaks.items()}
        return Day(day, self.counts(number, number + 1), peaks)


def _columns(rows: Sequence[Mapping[str, int]]) -> dict[str, list[int]]:
    """Return the numbers of *rows* by name, one for each row; those that a row has not are 0."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, 0) for row in rows] for name in names}


class FlowRuns(NamedTuple):
    """How often one Interaction Flow ran."""

    flow: str
    completed: int
    abandoned: int

    @property
    def total(self) -> int:
        """All runs of this flow."""
        return self.completed + self.abandoned


class ChangedCell(NamedTuple):
    """A value of the report that is another than in the one that it revises."""

    path: str  #: of the member in the JSON document: `flow_runs.total`
    before: str | int | float | bool | None
    after: str | int | float | bool | None


class LateEvent(NamedTuple):
    """An event that was published after a report was issued, and changes what it bills."""

    source: str
    id: str
    type: str
    time: str  #: RFC 3339, UTC
    place: str  #: in Kafka: `topic/partition at offset`
    changes: tuple[ChangedCell, ...]  #: what it changed, after all events before it


class Revision(NamedTuple):
    """What a report changes of the one that it revises."""

    number: str  #: of the revised report
    cells: tuple[ChangedCell, ...]
    events: tuple[LateEvent, ...]
    missing: str = ""  #: why some events may not be among these; empty if all are


class AdjustedCell(NamedTuple):
    """A number of an earlier report that has changed since it was billed."""

    path: str  #: of the member in the JSON document: `flow_runs.total`
    difference: int | float | None  #: what is added to the bill; None for an instant
    billed: str | int | float | None  #: by the earlier report, and all adjustments of it so far
    now: str | int | float | None
    events: int | None = None  #: how many changed it since it was billed; None: not known


class Adjustment(NamedTuple):
    """What a report bills of an earlier one, which stays as it is."""

    number: str  #: of the earlier report
    first: date
    last: date
    timezone: str
    cells: tuple[AdjustedCell, ...]
    notes: tuple[str, ...] = ()  #: what else is to be known of the differences, a clause each


class Report(NamedTuple):
    """An account's Usage Report for the local days `first` to `last`, both included."""

    account: str
    name: str
    first: date
    last: date
    timezone: str  #: IANA name
    as_of: datetime  #: hours that begin at or after this instant are not part of the report
    counts: Counts
    concurrency: dict[str, Concurrency]  #: by series
    dnis: bool  #: whether the DNIS section applies to the account
    sms: bool  #: whether the Outgoing SMS section applies to the account
    days: Days = Days()  #: breakdown, in order; empty unless it was asked for
    hours: Hours = Hours()  #: breakdown, in order; empty unless it was asked for
    hour_counts: tuple[Counts, ...] = ()  #: the counters of each of `hours`, if asked for
    flows: tuple[FlowRuns, ...] = ()  #: breakdown, most used first; empty unless asked for
    completeness: Completeness = UNKNOWN  #: whether it has everything that was published
    number: str = ""  #: of the issued report that it is, or equals; empty if there is none
    revision: Revision | None = None  #: what it changes, where it revises an issued report
    pending_voids: int = 0  #: voids of the account whose event has not arrived, whatever their days
    adjustments: tuple[Adjustment, ...] = ()  #: of earlier reports, where it is an issued one

    def has(self, section: Section) -> bool:
        """Tell whether *section* applies to the account."""
        return not section.applies or bool(getattr(self, section.applies))
