"""What a revision changes of the report that it revises: its cells, and the events behind them."""

from collections.abc import Iterator, Sequence
from typing import Final

from interaction_usage.reports.bill import name_at
from interaction_usage.reports.model import LateEvent, Report, Revision

#: Events that are listed one by one; a sheet of the older format has 65,536 rows.
_MOST_EVENTS: Final = 10_000
#: Characters that one cell has at most.
_LONGEST: Final = 1_000

_NONE: Final = "none"
_VALUE: Final = "Value"
_EVENT: Final = "Event published since"

#: What a row with headings begins with.
HEADINGS: Final = (_VALUE, _EVENT)


def title(report: Report) -> str:
    """Return the name of the sheet: `Changes since revision 1`, of the report acme-000001."""
    assert report.revision is not None
    return f"Changes since revision {int(report.revision.number.rpartition('-')[2])}"


def summary(report: Report) -> str:
    """Return what the report revises, in a sentence."""
    assert report.revision is not None
    return f"This report revises {report.revision.number}, which stays as it was issued."


def rows(report: Report) -> Iterator[Sequence[str]]:
    """Yield the rows of the sheet below the title."""
    revision = report.revision
    assert revision is not None
    yield _VALUE, f"In {revision.number}", "In this report"
    if not revision.cells:
        yield "", "Nothing differs."
    for cell in revision.cells:
        yield name_at(cell.path), _shown(cell.before), _shown(cell.after)
    yield "", ""
    yield from _events(revision)


def _events(revision: Revision) -> Iterator[Sequence[str]]:
    yield _EVENT, "Time", "Type", "Place in Kafka", "What it changed"
    if not revision.events:
        yield "", "There is none."
    for event in revision.events[:_MOST_EVENTS]:
        yield _event(event)
    if len(revision.events) > _MOST_EVENTS:
        yield "", f"and {len(revision.events) - _MOST_EVENTS:,} more"
    if revision.missing:
        yield "", f"Some events may not be listed: {revision.missing}."


def _event(event: LateEvent) -> Sequence[str]:
    changes = "; ".join(
        f"{name_at(cell.path)} {_shown(cell.before)} to {_shown(cell.after)}"
        for cell in event.changes
    )
    return (
        f"{event.id} of {event.source}", event.time, event.type, event.place,
        changes if len(changes) <= _LONGEST else f"{changes[:_LONGEST]}…",
    )  # fmt: skip


def _shown(value: str | int | float | bool | None) -> str:
    return _NONE if value is None else str(value)
