"""The breakdowns behind a Usage Report as tables: per day, per hour, per Interaction Flow.

A spreadsheet holds a limited number of rows. A breakdown that is longer is cut, and says so: days
and hours keep the earliest; flows keep the most used, the rest summed exactly in one row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from export.layout import Kind, offset
from export.model import AGENT_SECTION, FLOW_SECTION, LABELS, Counts, FlowRuns, Report
from export.text import readable
from rollups.vocabulary import SERIES, SERVICES

Value = str | int | float | date | datetime

#: How many rows one sheet can have, by file format.
SHEET_ROWS: Final = {"xls": 65_536, "xlsx": 1_048_576}

#: Rows of a sheet that hold something else: title, period, notice, two of headings, the total.
RESERVED_ROWS: Final = 6

_WHOLE_PERIOD: Final = "Whole period"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    heading: str
    kind: Kind
    group: str = ""  #: heading above it and its neighbours of the same group


@dataclass(frozen=True, slots=True)
class Table:
    """One breakdown, as a sheet shows it."""

    name: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Value, ...]]
    total: tuple[Value, ...]  #: sums of counters, highest of peaks, of all rows also where cut
    notice: str  #: the sentence that says what is left out; empty where nothing is


def tables(report: Report, sheet_rows: int) -> list[Table]:
    """Return the breakdowns that *report* has, each fit for a sheet of *sheet_rows* rows."""
    room = sheet_rows - RESERVED_ROWS
    parts: list[tuple[Sequence[object], Callable[[Report, int, str], Table], str]] = [
        (report.days, _per_day, _days_left_out(report, sheet_rows)),
        (report.hours, _per_hour, _hours_left_out(report, sheet_rows)),
        (report.flows, _per_flow, _flows_left_out(report, sheet_rows)),
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
    dnis, sms = report.dnis, report.sms
    rows = [
        (day.day, *_counters(day.counts, dnis, sms), *(day.peaks.get(name, 0) for name in SERIES))
        for day in report.days[:room]
    ]
    total = (_WHOLE_PERIOD, *_counters(report.counts, dnis, sms), *_maxima(report))
    columns = (Column("Day", Kind.DAY), *_counter_columns(dnis, sms), *_peak_columns())
    return Table("Per day", columns, rows, total, notice)


def _counter_columns(dnis: bool, sms: bool) -> list[Column]:
    flows, clicks = "Interaction Flows Run", "Assistance Services"
    columns = [Column(text, Kind.INTEGER, flows) for text in ("Total", "Completed", "Abandoned")]
    columns += [Column(LABELS[name], Kind.INTEGER, clicks) for name in SERVICES]
    if dnis:
        columns.append(Column("Phone numbers purchased", Kind.INTEGER, "DNIS Service"))
        columns.append(Column("Call Now minutes", Kind.MINUTES, "DNIS Service"))
    if sms:
        columns.append(Column("SMS with a campaign link", Kind.INTEGER, "Outgoing SMS"))
    return columns


def _counters(counts: Counts, dnis: bool, sms: bool) -> tuple[int | float, ...]:
    """Return the values of `_counter_columns`, in the same order."""
    flows = (counts.flow_runs_total, counts.completed, counts.abandoned)
    clicks = (counts.clicks.get(name, 0) for name in SERVICES)
    calls = (counts.numbers_purchased, counts.call_thousandths / 1000) if dnis else ()
    messages = (counts.sms_with_link,) if sms else ()
    return (*flows, *clicks, *calls, *messages)


def _per_hour(report: Report, room: int, notice: str) -> Table:
    rows: list[tuple[Value, ...]] = []
    for hour in report.hours[:room]:
        peak = hour.peaks.get
        rows.append((hour.begins, offset(hour.begins), *[peak(name, 0) for name in SERIES]))
    columns = (
        Column("Hour begins", Kind.HOUR),
        Column("UTC offset", Kind.MOMENT),
        *_peak_columns(),
    )
    return Table("Per hour", columns, rows, (_WHOLE_PERIOD, "", *_maxima(report)), notice)


def _peak_columns() -> list[Column]:
    agents, flows = "Peak agent sessions", "Peak Interaction Flows"
    columns = [Column(LABELS[name], Kind.INTEGER, agents) for name in AGENT_SECTION]
    return columns + [Column(LABELS[name], Kind.INTEGER, flows) for name in FLOW_SECTION]


def _maxima(report: Report) -> tuple[int, ...]:
    return tuple(report.concurrency[name].maximum for name in SERIES)


def _per_flow(report: Report, room: int, notice: str) -> Table:
    every = sum(flow.total for flow in report.flows)
    kept = report.flows[: room - 1] if notice else report.flows
    rows = [_flow_row(flow, every) for flow in kept]
    if notice:
        rows.append(_flow_row(_summed("other", report.flows[len(kept) :]), every))
    columns = (
        Column("Interaction Flow", Kind.TEXT),
        Column("Runs", Kind.INTEGER),
        Column("Completed", Kind.INTEGER),
        Column("Abandoned", Kind.INTEGER),
        Column("Share of total", Kind.SHARE),
    )
    total = _flow_row(_summed("Total", report.flows), every)
    return Table("Interaction Flows", columns, rows, total, notice)


def _summed(title: str, flows: Sequence[FlowRuns]) -> FlowRuns:
    completed, abandoned = (sum(f.completed for f in flows), sum(f.abandoned for f in flows))
    return FlowRuns(title, completed, abandoned)


def _flow_row(flow: FlowRuns, every: int) -> tuple[Value, ...]:
    runs = flow.total
    return (readable(flow.flow), runs, flow.completed, flow.abandoned, runs / (every or 1))
