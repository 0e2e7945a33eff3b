"""The breakdowns behind a Usage Report as tables: per day, per hour, per Interaction Flow.

What is counted in a day and who was present in it are two tables: side by side they are too wide
to be read on paper.

A spreadsheet holds a limited number of rows. A breakdown that is longer is cut, and says so: days
and hours keep the earliest; flows keep the most used, the rest summed exactly in one row.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Final, NamedTuple

from export.sections import Kind, kind_of, offset_text
from export.text import readable
from interaction_usage.reports.model import Days, FlowRuns, Report
from rollups.catalog import (
    APPLICATION_LABELS,
    METRIC_ROWS,
    SERIES,
    SERIES_ROWS,
    STARTED,
    UNSTOPPED,
    Metric,
)
from rollups.local_time import HourRun
from rollups.timestamps import DAY_SECONDS

#: What a cell of a table holds. Dates are whole days, hours are seconds, both of the local calendar
#: and counted from 1970-01-01.
Value = str | int | float

#: How many rows one sheet can have, by file format.
SHEET_ROWS: Final = {"xls": 65_536, "xlsx": 1_048_576}

#: Rows of a sheet that hold something else: title, period, notice, hint, two of headings, the sum
#: and the maximum.
RESERVED_ROWS: Final = 8

SUM: Final = "Sum"
MAXIMUM: Final = "Maximum"

_WEEKDAYS: Final = (
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)  # fmt: skip
_EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday


class Column(NamedTuple):
    """One column of a table."""

    heading: str
    kind: Kind
    values: Sequence[Value]  #: one for each row
    total: Value = ""  #: in the row of sums, of all rows also where some are cut; empty for none
    highest: Value = ""  #: in the row of maxima, likewise
    group: str = ""  #: heading above it and its neighbours of the same group


class Table(NamedTuple):
    """One breakdown, as a sheet shows it: its columns, which are equally long."""

    name: str
    columns: tuple[Column, ...]
    notice: str  #: the sentence that says what is left out; empty where nothing is

    @property
    def summaries(self) -> list[tuple[Value, ...]]:
        """The rows below the others: sums, maxima, or both; the first cell says which."""
        rows = (
            tuple(column.total for column in self.columns),
            tuple(column.highest for column in self.columns),
        )
        return [row for row in rows if row[0] != ""]

    @property
    def rows(self) -> list[tuple[Value, ...]]:
        """The same, row by row."""
        return list(zip(*(column.values for column in self.columns), strict=True))


def tables(report: Report, sheet_rows: int) -> list[Table]:
    """Return the breakdowns that *report* has, each fit for a sheet of *sheet_rows* rows."""
    room = sheet_rows - RESERVED_ROWS
    parts: list[tuple[Sequence[object], Callable[[Report, int, str], Table], str]] = [
        (report.days, _per_day, _days_left_out(report, sheet_rows)),
        (report.days, _sessions_per_day, _days_left_out(report, sheet_rows)),
        (report.flows, _per_flow, _flows_left_out(report, sheet_rows)),
        (report.hours, _per_hour, _hours_left_out(report, sheet_rows)),
    ]
    return [build(report, room, notice) for rows, build, notice in parts if rows]


def notices(report: Report, file_format: str = "xls") -> list[str]:
    """Return a sentence for each breakdown of *report* that *file_format* must cut.

    A format without breakdowns (csv, json) cuts nothing.
    """
    limit = SHEET_ROWS.get(file_format)
    if limit is None:
        return []
    cut = {
        "Per day": _days_left_out(report, limit),
        "Per hour": _hours_left_out(report, limit),
        "Interaction Flows": _flows_left_out(report, limit),
    }
    return [f"{name}: {sentence}" for name, sentence in cut.items() if sentence]


def _days_left_out(report: Report, limit: int) -> str:
    return _latest_left_out(len(report.days) - (limit - RESERVED_ROWS), "day", limit)


def _hours_left_out(report: Report, limit: int) -> str:
    return _latest_left_out(len(report.hours) - (limit - RESERVED_ROWS), "hour", limit)


def _latest_left_out(number: int, unit: str, limit: int) -> str:
    if number <= 0:
        return ""
    what = f"{unit} is" if number == 1 else f"{unit}s are"
    return f"The last {number:,} {what} left out here: a sheet holds {limit:,} rows."


def _flows_left_out(report: Report, limit: int) -> str:
    room = limit - RESERVED_ROWS
    if len(report.flows) <= room:
        return ""
    number = len(report.flows) - room + 1  # the row "other" takes the place of one flow
    return f"The {number:,} least used flows are in the row “other”: a sheet holds {limit:,} rows."


def _per_day(report: Report, room: int, notice: str) -> Table:
    columns = (*_day_columns(report.days, SUM, room), *_counter_columns(report, room))
    return Table("Per day", columns, notice)


def _sessions_per_day(report: Report, room: int, notice: str) -> Table:
    days = report.days
    peaks = {series: days.peaks[series][:room] for series in SERIES}
    counted = list(_session_columns(report, room)) if report.counts.has_sessions else []
    label = SUM if counted else ""
    columns = (*_day_columns(days, label, room), *_peak_columns(peaks, report), *counted)
    return Table("Sessions per day", columns, notice)


def _day_columns(days: Days, label: str, room: int) -> tuple[Column, Column]:
    """Return the columns of dates and weekdays; *label* is that of the row of sums, if any."""
    numbers = days.numbers[:room]
    return (
        Column("Day", Kind.DAY, numbers, label, MAXIMUM),
        Column("Weekday", Kind.WEEKDAY, weekdays(numbers)),
    )


def weekdays(days: Iterable[int]) -> list[str]:
    """Return the names of *days*, which are counted from 1970-01-01."""
    return [_WEEKDAYS[(day + _EPOCH_WEEKDAY) % 7] for day in days]


def _counter_columns(report: Report, room: int) -> list[Column]:
    """Return the columns of the counters that have one and apply to the account."""
    return [
        _counter_column(metric, report, room)
        for metric in METRIC_ROWS
        if metric.column and metric.section and report.has(metric.section)
    ]


def _counter_column(metric: Metric, report: Report, room: int) -> Column:
    values = report.days.reported(metric)[:room]
    group = metric.section.title if metric.section else ""
    return Column(
        metric.column, kind_of(metric), values, report.counts.reported(metric),
        max(values, default=0), group,
    )  # fmt: skip


def _session_columns(report: Report, room: int) -> Iterator[Column]:
    """Yield the columns of the sessions that began, then of those of them without a stop."""
    for group, metrics in (("Sessions started", STARTED), ("Sessions without a stop", UNSTOPPED)):
        for name, metric in metrics.items():
            values = report.days.column(metric)[:room]
            total = report.counts.amounts[metric]
            heading, highest = APPLICATION_LABELS[name], max(values, default=0)
            yield Column(heading, Kind.INTEGER, values, total, highest, group)


def _per_hour(report: Report, room: int, notice: str) -> Table:
    clock = _wall_clock(report.hours.runs)
    peaks = {series: report.hours.peaks[series][:room] for series in SERIES}
    columns = (
        Column("Hour begins", Kind.HOUR, clock.begins[:room], highest=MAXIMUM),
        Column("Weekday", Kind.WEEKDAY, clock.weekdays[:room]),
        Column("UTC offset", Kind.MOMENT, clock.offsets[:room]),
        *_peak_columns(peaks, report),
    )
    return Table("Per hour", columns, notice)


class _WallClock(NamedTuple):
    """What the wall clock shows as each hour begins."""

    begins: tuple[int, ...]  #: in seconds
    weekdays: tuple[str, ...]
    offsets: tuple[str, ...]  #: of UTC


@lru_cache(8)  # the reports of many accounts have the same hours
def _wall_clock(runs: tuple[HourRun, ...]) -> _WallClock:
    """Return what the wall clock shows in the hours of *runs*."""
    begins: list[int] = []
    offsets: list[str] = []
    for run in runs:
        begins += range(run.begin + run.offset, run.end + run.offset, run.seconds)
        offsets += repeat(offset_text(run.offset), run.hours)
    names = weekdays(second // DAY_SECONDS for second in begins)
    return _WallClock(tuple(begins), tuple(names), tuple(offsets))


def _peak_columns(peaks: Mapping[str, Sequence[int]], report: Report) -> list[Column]:
    return [
        Column(
            series.label,
            Kind.INTEGER,
            peaks[series.id],
            highest=report.concurrency[series.id].maximum,
            group=series.section.peaks or series.section.title,
        )
        for series in SERIES_ROWS
    ]


def _per_flow(report: Report, room: int, notice: str) -> Table:
    kept = report.flows[: room - 1] if notice else report.flows
    rows = list(kept)
    if notice:
        rows.append(_summed("other", report.flows[len(kept) :]))
    total = _summed("Total", report.flows)
    every = total.total or 1
    runs = [flow.total for flow in rows]
    columns = (
        Column("Interaction Flow", Kind.TEXT, [readable(flow.flow) for flow in rows], "Total"),
        Column("Runs", Kind.INTEGER, runs, total.total),
        Column("Completed", Kind.INTEGER, [flow.completed for flow in rows], total.completed),
        Column("Abandoned", Kind.INTEGER, [flow.abandoned for flow in rows], total.abandoned),
        Column("Share of total", Kind.SHARE, [n / every for n in runs], total.total / every),
    )
    return Table("Interaction Flows", columns, notice)


def _summed(title: str, flows: Sequence[FlowRuns]) -> FlowRuns:
    completed, abandoned = (sum(f.completed for f in flows), sum(f.abandoned for f in flows))
    return FlowRuns(title, completed, abandoned)
