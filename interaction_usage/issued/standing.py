"""How issued reports stand now: which of them still bill what would be billed today."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from interaction_usage.issued.adjustments import adjusted_by, billed
from interaction_usage.issued.succession import active
from interaction_usage.reports.errors import ReportError
from interaction_usage.reports.numbers import numbers_of
from interaction_usage.reports.service import Detail, ReportRequest, make_report
from interaction_usage.store.issued_table import Entry, entries

if TYPE_CHECKING:
    from interaction_usage.store.client import Client

#: Reports of an account that are compared; those before them are too old to change.
_MOST_COMPARED: Final = 36


class Standing(NamedTuple):
    """An issued report, and what became of it."""

    entry: Entry
    revised_by: str | None  #: the number of the report that revises it
    changed: int | None  #: how many of its numbers differ from what is billed; None: not compared
    adjusted_by: list[str]  #: the numbers of the reports that adjust it


def standings(redis: "Client", account: str, as_of: datetime) -> list[Standing]:
    """Return how the issued reports of *account* stand, by number. Raises RedisError."""
    known = entries(redis, account)
    revised = {each.revises: each.number for each in known}
    compared = {each.ordinal for each in active(known)[-_MOST_COMPARED:]}
    return [
        Standing(
            each,
            revised.get(each.ordinal),
            changed_numbers(redis, each, known, as_of) if each.ordinal in compared else None,
            [other.number for other, _ in adjusted_by(known, each.ordinal)],
        )
        for each in known
    ]


def changed_numbers(
    redis: "Client", entry: Entry, known: Sequence[Entry], as_of: datetime
) -> int | None:
    """Return how many numbers of an issued report would be others now; None if it cannot be made.

    Others than what is billed, by the report and by those of all *known* that adjust it.
    Its zone may have become another one since, or may not be there any more.
    """
    first, last = date.fromisoformat(entry.first), date.fromisoformat(entry.last)
    request = ReportRequest(entry.account, first, last, entry.timezone, as_of)
    try:
        report = make_report(redis, request, Detail.TOTALS)
    except ReportError:
        return None
    now = numbers_of(report)
    return sum(now.get(name) != amount for name, amount in billed(entry, known).items())


def changed_reports(
    redis: "Client", late: Iterable[tuple[Entry, Sequence[Entry]]], as_of: datetime
) -> int:
    """Return how many of these issued reports, each among all of its account, differ now."""
    return sum(bool(changed_numbers(redis, entry, known, as_of)) for entry, known in late)
