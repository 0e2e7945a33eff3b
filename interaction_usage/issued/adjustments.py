"""Adjustments: what a report bills of an earlier one of its account, which stays as it is. Pure.

    number       period     bills    adjusts         October is billed, in all
    acme-000001  October    30                       30
                                                          two runs arrive late
    acme-000002  November   25       October +2      30 + 2
                                                          a run is voided
    acme-000003  December   28       October -1      30 + 2 - 1

What a period is billed, in all, is what its report bills, and what every report bills of it that
nobody has revised. The next report bills the difference between that and what is counted now. So
nothing is billed twice, and all of them add up to what is counted, in the order of their numbers:
the difference is taken against all reports with lower numbers (`issuing`).

A report that others adjust is not revised any more, or its difference would be billed twice; what
differs later is adjusted again. The revision of a report that adjusts others takes its place, so it
adjusts the same ones, against what all reports but that one bill.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from interaction_usage.issued.errors import RevisionError
from interaction_usage.issued.succession import active
from interaction_usage.reports.bill import LINES, Numbers
from interaction_usage.reports.model import AdjustedCell
from interaction_usage.store.issued_table import Adjusted, Entry

#: Seconds within which a day that was changed is open still: a day is sealed after 35 days.
_OPEN_S: Final = 34 * 86_400


def adjusted_by(known: Sequence[Entry], ordinal: int) -> list[tuple[Entry, Adjusted]]:
    """Return the reports that adjust the one with a number, in order, and what each bills of it."""
    return [
        (each, adjusted)
        for each in active(known)
        for adjusted in each.adjusts
        if adjusted.ordinal == ordinal
    ]


def billed(entry: Entry, known: Sequence[Entry], besides: int | None = None) -> Numbers:
    """Return what the period of a report is billed in all, by that and by its adjustments.

    Those of the report with the number *besides* are left out, which is to be revised.
    """
    numbers: Numbers = entry.numbers
    for each, adjusted in adjusted_by(known, entry.ordinal):
        if each.ordinal != besides:
            numbers = plus(numbers, adjusted)
    return numbers


def plus(numbers: Numbers, adjusted: Adjusted) -> Numbers:
    """Return what is billed with an adjustment."""
    differing = {
        name: _sum(numbers.get(name, 0), amount) for name, amount in adjusted.numbers.items()
    }
    return {**numbers, **differing}


def _sum(before: int | str, amount: int | str) -> int | str:
    """Return a number plus an amount; of instants, the later one."""
    return amount if isinstance(before, str) or isinstance(amount, str) else before + amount


def to_compare(known: Sequence[Entry], revises: int | None, *, every: bool) -> list[Entry]:
    """Return the reports that a new one may have to adjust: those in effect with lower numbers.

    Where the account's setting is not to adjust (*every*), these are the ones that are adjusted
    already. A revision has the place of the report that it *revises*.
    """
    place = {each.ordinal: each.ordinal for each in known}
    for each in known:
        if each.revises is not None:
            place[each.ordinal] = place[each.revises]
    return [
        each
        for each in active(known)
        if (revises is None or place[each.ordinal] < place[revises])
        and (every or adjusted_by(known, each.ordinal))
    ]


def changed_since(entry: Entry, known: Sequence[Entry], now: int) -> int | None:
    """Return the second since which a report may differ from what is billed; None: since ever.

    A change can be seen on the days of the account as long as they are open.
    """
    since = entry.issued_at
    for each in known:
        if each.compared and each.ordinal > entry.ordinal:
            since = max(since, each.issued_at)
    return since if now - since < _OPEN_S else None


def check_revision(known: Sequence[Entry], revises: int | None) -> None:
    """Raise RevisionError where a report is to be revised that others adjust."""
    if revises is not None and (found := adjusted_by(known, revises)):
        raise RevisionError(
            f"{found[-1][0].number} bills what differs from it already, as an adjustment; what "
            "differs since is adjusted in the account's next report"
        )


def difference(before: Numbers, now: Numbers) -> dict[str, int | str]:
    """Return by how much the numbers that were billed *before* differ; of instants, the new one."""
    found: dict[str, int | str] = {}
    for name, amount in before.items():
        after = now.get(name, amount)
        if isinstance(amount, int) and isinstance(after, int):
            if after != amount:
                found[name] = after - amount
        elif isinstance(after, str) and after != amount:
            found[name] = after
    return found


def cell_again(cell: AdjustedCell, now: Numbers) -> AdjustedCell:
    """Return a line with what is counted *now*; the rest of it stays unless that is another."""
    value = LINES[cell.path].value(now)
    if value == cell.now:
        return cell
    difference = None
    if isinstance(value, int | float) and isinstance(cell.billed, int | float):
        difference = value - cell.billed
    return cell._replace(now=value, difference=difference)


def cells(
    before: Numbers, now: Numbers, events: Mapping[str, int] | None
) -> tuple[AdjustedCell, ...]:
    """Return the lines of a bill that differ from what was billed *before*, in their order.

    *events* are by path how many changed the number since; None: it is not known.
    """
    return tuple(
        AdjustedCell(
            path,
            line.difference(before, now),
            line.value(before),
            line.value(now),
            None if events is None else events.get(path, 0),
        )
        for path, line in LINES.items()
        if all(name in before for name in line.names) and line.value(before) != line.value(now)
    )
