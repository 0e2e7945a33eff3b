"""The first sheet of a Usage Report, laid out once: what xls, xlsx and csv show alike.

Labels and their order are a contract: people's spreadsheets look them up.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple

from export.text import isolated, readable
from interaction_usage.reports.model import AGENT_SECTION, FLOW_SECTION, LABELS, Concurrency, Report
from rollups.catalog import APPLICATIONS, SERVICES
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
    HOUR = auto()  #: the local wall time at which an hour begins, without its UTC offset


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
    counts = report.counts
    flow_rows = (
        _count("Total", counts.flow_runs_total),
        *(_count(LABELS[name], counts.flow_runs.get(name, 0)) for name in APPLICATIONS),
    )
    click_rows = tuple(_count(LABELS[name], counts.clicks.get(name, 0)) for name in SERVICES)
    parts = [
        Section("Usage Report", _heading_rows(report)),
        Section("Interaction Flows Run", flow_rows),
        _concurrency("Concurrent Agent Sessions", AGENT_SECTION, report),
        _concurrency("Concurrent Interaction Flows", FLOW_SECTION, report),
        Section("Assistance Services", click_rows),
    ]
    if report.dnis:
        purchased = _count("Phone numbers purchased", counts.numbers_purchased)
        minutes = Cell(counts.call_thousandths / 1000, Kind.MINUTES)
        parts.append(Section("DNIS Service", (purchased, Row("Call Now minutes", (minutes,)))))
    if report.sms:
        sent = _count("SMS messages sent with a campaign link", counts.sms_with_link)
        parts.append(Section("Outgoing SMS", (sent,)))
    return tuple(parts)


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
    )


def _count(label: str, number: int) -> Row:
    return Row(label, (Cell(number, Kind.INTEGER),))


def _concurrency(title: str, series: Iterable[str], report: Report) -> Section:
    rows = tuple(Row(LABELS[name], _curve(report.concurrency[name])) for name in series)
    return Section(title, rows, ("Maximum", "Average", "Busiest hour"))


def _curve(curve: Concurrency) -> tuple[Cell, ...]:
    busiest = moment(curve.busiest_hour) if curve.busiest_hour else ""
    return (
        Cell(curve.maximum, Kind.INTEGER),
        Cell(curve.average, Kind.AVERAGE),
        Cell(busiest, Kind.MOMENT),
    )
