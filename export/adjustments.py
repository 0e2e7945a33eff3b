"""What a report bills of earlier ones: a section for each of them, its rows signed differences."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from export.sections import Cell, Kind, Row, Section, moment
from interaction_usage.reports.bill import LINES, Line
from interaction_usage.reports.model import AdjustedCell, Adjustment, Report

TITLE: Final = "Adjustments"
HEADINGS: Final = ("Difference", "Billed before", "Now", "Events")

_UNKNOWN: Final = "not known"


def sections(report: Report) -> Iterator[Section]:
    """Yield a section for each earlier report that is adjusted, by number."""
    for adjustment in report.adjustments:
        rows = tuple(_row(cell) for cell in adjustment.cells)
        yield Section(title(adjustment), rows, HEADINGS)


def title(adjustment: Adjustment) -> str:
    """Return which report is adjusted: `Adjustment of acme-000001, 2026-10-01 to 2026-10-31`."""
    period = f"{adjustment.first.isoformat()} to {adjustment.last.isoformat()}"
    return f"Adjustment of {adjustment.number}, {period}"


def summary(report: Report) -> str:
    """Return what the adjustments are, in a sentence."""
    several = len(report.adjustments) > 1
    return (
        f"Differences of {'earlier reports' if several else 'an earlier report'}, from events that "
        "were published after that was billed. They are billed with this report."
    )


def _row(cell: AdjustedCell) -> Row:
    line = LINES[cell.path]
    kind, changed = _kinds(line)
    difference = "" if cell.difference is None else cell.difference
    return Row(
        f"{line.section}: {line.label}",
        (
            Cell(difference, changed),
            _cell(cell.billed, kind),
            _cell(cell.now, kind),
            Cell(_UNKNOWN if cell.events is None else cell.events, Kind.INTEGER),
        ),
    )


def _kinds(line: Line) -> tuple[Kind, Kind]:
    """Return what a number is, and what its difference is."""
    if line.is_average:
        return Kind.AVERAGE, Kind.AVERAGE_CHANGE
    return (Kind.MINUTES, Kind.MINUTES_CHANGE) if line.is_minutes else (Kind.INTEGER, Kind.CHANGE)


def _cell(value: str | int | float | None, kind: Kind) -> Cell:
    if value is None:
        return Cell("", Kind.MOMENT)
    if isinstance(value, str):
        return Cell(moment(datetime.fromisoformat(value)), Kind.MOMENT)
    return Cell(value, kind)
