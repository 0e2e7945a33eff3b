"""What a correction would change in the account's reports: cells before and after."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from export.json_renderer import document
from interaction_usage.corrections.what_if import Change, changed
from interaction_usage.issued import cells
from interaction_usage.reports.build import Account, Period, build, period
from interaction_usage.reports.model import ChangedCell
from interaction_usage.store import account_settings
from interaction_usage.store.issued_table import entries
from interaction_usage.store.reads import Rollups
from rollups.local_time import local_date, zone
from rollups.slots import slot_of

#: Months that a preview covers at most; a session that is longer changes more of them.
MOST_MONTHS = 3


class ChangedReport(NamedTuple):
    """A month's report, and what of it would change."""

    first: date
    last: date
    timezone: str
    cells: tuple[ChangedCell, ...]


class Preview(NamedTuple):
    """What a correction would change."""

    reports: tuple[ChangedReport, ...]  #: by month, in the account's time zone
    issued: tuple[
        str, ...
    ]  #: numbers of issued reports whose periods it touches; they never change


def preview(redis: Any, rollups: Rollups, account: str, change: Change, now: datetime) -> Preview:
    """Return what *change* would do to the reports of *account*. Raises PeriodError and others."""
    seconds = change.seconds
    if not seconds:
        return Preview((), ())
    settings = account_settings.get(redis, account)
    subject = Account(account, settings.name, settings.dnis, settings.sms)
    months = _months(seconds[0], seconds[-1], settings.timezone)[:MOST_MONTHS]
    known = _known(rollups, account, change)
    reports = []
    for first, last in months:
        as_of = max(now, datetime(first.year, first.month, first.day, tzinfo=UTC))
        within = period(first, last, settings.timezone, as_of)
        differing = _cells(rollups, subject, within, change, known, as_of)
        reports.append(ChangedReport(first, last, settings.timezone, differing))
    issued = tuple(
        entry.number
        for entry in entries(redis, account)
        if entry.begin <= seconds[-1] and seconds[0] < entry.end
    )
    return Preview(tuple(reports), issued)


def _cells(
    rollups: Rollups, subject: Account, within: Period, change: Change,
    known: Mapping[tuple[str, int], Mapping[int, int]], as_of: datetime,
) -> tuple[ChangedCell, ...]:  # fmt: skip
    snapshot = rollups.read(subject.id, *within.slots)
    before, after = (
        cells.cells_of(document(build(subject, within, each, as_of, breakdowns=False)))
        for each in (snapshot, changed(snapshot, change, known))
    )
    return cells.changed(before, after)


def _known(rollups: Rollups, account: str, change: Change) -> dict[tuple[str, int], dict[int, int]]:
    """Return the deltas that are in the slots in which the change has some."""
    found: dict[tuple[str, int], dict[int, int]] = {}
    for series, second in change.deltas:
        slot = slot_of(second)
        if (series, slot) not in found:
            there = rollups.changes(account, slot, slot + 1, [series])[series]
            found[series, slot] = dict(there)
    return found


def _months(begin: int, end: int, timezone: str) -> Sequence[tuple[date, date]]:
    """Return the first and last day of each local month from the second *begin* to *end*."""
    first, last = (local_date(second, zone(timezone)).replace(day=1) for second in (begin, end))
    months = []
    while first <= last:
        following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        months.append((first, date.fromordinal(following.toordinal() - 1)))
        first = following
    return months
