"""The first sheet of a Usage Report, laid out once: what xls, xlsx and csv show alike.

Labels and their order are a contract: people's spreadsheets look them up.
"""

from datetime import datetime
from enum import Enum, auto
from typing import Final, NamedTuple

from export.notes import status
from export.text import isolated, readable
from interaction_usage.reports.model import Concurrency, Counts, Report
from rollups import catalog
from rollups.catalog import MINUTES, Metric, Series
from rollups.local_time import local_datetime, zone


class Kind(Enum):
    """What a value is, which decides how each format shows it."""

    TEXT = auto()  #: words, left-aligned
    MOMENT = auto()  #: an hour with its UTC offset, as text
    INTEGER = auto()  #: a count, or sessions
    AVERAGE = auto()  #: sessions, unrounded
    MINUTES = auto()  #: minutes, at most three decimals
    SHARE = auto()  #: a part of 1
    DAY = auto()  #: a local date
    WEEKDAY = auto()  #: the name of a day of the week
    HOUR = auto()  #: the local wall time at which an hour begins, without its UTC offset
    CHANGE = auto()  #: by how much a count or sessions differ, with a sign
    AVERAGE_CHANGE = auto()
    MINUTES_CHANGE = auto()

    # A member is equal to itself alone; Enum's own hash is that of a name, by a method in Python.
    __hash__ = object.__hash__


#: The label of the row with the report's status.
STATUS: Final = "Status"


class Cell(NamedTuple):
    """One value and what it is."""

    value: str | int | float
    kind: Kind


class Row(NamedTuple):
    """A label for column A and the values from column B on."""

    label: str
    cells: tuple[Cell, ...]


class Section(NamedTuple):
    """A bold row with its column headings from column B on, and the rows below it."""

    title: str
    rows: tuple[Row, ...]
    headings: tuple[str, ...] = ()


def sections(report: Report) -> tuple[Section, ...]:
    """Return the sections of *report* that apply to its account, in their order."""
    return (
        Section("Usage Report", _heading_rows(report)),
        *(_section(section, report) for section in catalog.SECTIONS if report.has(section)),
    )


def basis(report: Report) -> tuple[Section, ...]:
    """Return what the averages are made of, and the sessions that the curves are made of."""
    curves = tuple(
        Row(row.label, _basis_of(report.concurrency[row.id])) for row in catalog.SERIES_ROWS
    )
    headings = ("Sum of hourly peaks", "Reported hours", "Average")
    found = [Section("Concurrency", curves, headings)]
    if report.counts.has_sessions:
        rows = tuple(
            Row(
                catalog.APPLICATION_LABELS[name],
                (Cell(each.started or 0, Kind.INTEGER), Cell(each.without_stop or 0, Kind.INTEGER)),
            )
            for name, each in report.counts.sessions.items()
        )
        found.append(Section("Sessions", rows, ("Started", "Without a stop")))
    return tuple(found)


def kind_of(metric: Metric) -> Kind:
    """Return what the values of *metric* are."""
    return Kind.MINUTES if metric.unit is MINUTES else Kind.INTEGER


def account_title(report: Report) -> str:
    """Return the account as people know it: its name, and its id where that is another."""
    name = readable(report.name)
    if report.name == report.account:
        return name
    return f"{isolated(name)} ({readable(report.account)})"


def period(report: Report) -> str:
    """Return the first and the last day, both included."""
    return f"{report.first.isoformat()} to {report.last.isoformat()}"


def moment(instant: datetime) -> str:
    """Return local time *instant* to the minute with its offset: `2026-10-25 02:00 +01:00`.

    The offset tells the two hours apart that have one name when clocks are put back.
    """
    text = instant.isoformat(" ", "minutes")
    return f"{text[:16]} {text[16:]}"


def offset_text(offset: int) -> str:
    """Return a UTC offset of *offset* seconds: `+01:00`."""
    return local_datetime(0, offset).isoformat(" ", "minutes")[16:]


def _heading_rows(report: Report) -> tuple[Row, ...]:
    generated = moment(report.as_of.astimezone(zone(report.timezone)))
    return (
        Row("Account", (Cell(account_title(report), Kind.TEXT),)),
        Row("Period", (Cell(period(report), Kind.TEXT),)),
        Row("Time zone", (Cell(report.timezone, Kind.TEXT),)),
        Row("Generated", (Cell(generated, Kind.TEXT),)),
        Row(STATUS, (Cell(status(report), Kind.TEXT),)),
        *([Row("Report number", (Cell(report.number, Kind.TEXT),))] if report.number else []),
    )


def _section(section: catalog.Section, report: Report) -> Section:
    """Return a section of the catalogue: its counters, then its curves."""
    counters = [_count(metric, report.counts) for metric in catalog.metrics_of(section)]
    curves = [_peaks(series, report) for series in catalog.series_of(section)]
    headings = ("Maximum", "Average", "Busiest hour") if curves else ()
    return Section(section.title, (*counters, *curves), headings)


def _count(metric: Metric, counts: Counts) -> Row:
    return Row(metric.label, (Cell(counts.reported(metric), kind_of(metric)),))


def _peaks(series: Series, report: Report) -> Row:
    return Row(series.label, _curve(report.concurrency[series.id]))


def _curve(curve: Concurrency) -> tuple[Cell, ...]:
    busiest = moment(curve.busiest_hour) if curve.busiest_hour else ""
    return (
        Cell(curve.maximum, Kind.INTEGER),
        Cell(curve.average, Kind.AVERAGE),
        Cell(busiest, Kind.MOMENT),
    )


def _basis_of(curve: Concurrency) -> tuple[Cell, ...]:
    return (
        Cell(curve.peak_sum, Kind.INTEGER),
        Cell(curve.reported_hours, Kind.INTEGER),
        Cell(curve.average, Kind.AVERAGE),
    )
