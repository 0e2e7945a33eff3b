"""How the periods of an account's issued reports follow each other, and which number is next. Pure.

    issued     [---- 1 ----)[---- 2 ----)
    follows                              [---- 3 ----)      2 ends where 3 begins
    gap                                     [---- 3 ----)   time between them is on no bill
    overlap                           [---- 3 ----)         time is on both
    revision                [---- 3 ----)                   3 replaces 2; what 2 says stays

Only reports that nobody has revised count: the others are history. The checks are made against all
reports before the number that is proposed, and a proposal counts only as the first with its number
(`store.issued_table`). So what was checked is so where it counts.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol, TypeVar

from interaction_usage.issued.errors import PeriodGapError, PeriodOverlapError, RevisionError

_HOUR = 3600


class IssuedPeriod(Protocol):
    """What counts here of an issued report."""

    @property
    def number(self) -> str: ...
    @property
    def ordinal(self) -> int: ...
    @property
    def period(self) -> tuple[str, str, str]: ...
    @property
    def begin(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def revises(self) -> int | None: ...


Issued = TypeVar("Issued", bound=IssuedPeriod)


class NewPeriod(NamedTuple):
    """A period that is to be issued."""

    name: tuple[str, str, str]  #: first day, last day, time zone
    begin: int  #: seconds [begin, end)
    end: int


class Terms(NamedTuple):
    """What an operator has said is meant."""

    gap: bool = False
    overlap: bool = False
    revises: int | None = None


_NOTHING_MEANT = Terms()


def active(issued: Sequence[Issued]) -> list[Issued]:
    """Return those of the reports that none of the others revises, in order."""
    revised = {each.revises for each in issued}
    return [each for each in issued if each.ordinal not in revised]


def missing(issued: Iterable[IssuedPeriod]) -> list[int]:
    """Return the numbers below the highest that no report has: there should be none."""
    there = {each.ordinal for each in issued}
    return [number for number in range(1, max(there, default=0)) if number not in there]


def next_ordinal(issued: Iterable[IssuedPeriod]) -> int:
    """Return the number that the account's next report has."""
    return max((each.ordinal for each in issued), default=0) + 1


def same_period(issued: Sequence[Issued], new: NewPeriod) -> Issued | None:
    """Return the report that is issued for this very period, if one is: nothing is to be done."""
    for each in active(issued):
        if each.period == new.name and (each.begin, each.end) == (new.begin, new.end):
            return each
    return None


def check(issued: Sequence[IssuedPeriod], new: NewPeriod, terms: Terms = _NOTHING_MEANT) -> None:
    """Raise an IssueError unless *new* may be issued on these terms."""
    current = active(issued)
    if terms.revises is not None:
        revised = _revised(issued, current, terms.revises)
        if (revised.begin, revised.end) == (new.begin, new.end):
            return  # whatever lies beside it was accepted then
        if new.end <= revised.begin or revised.end <= new.begin:
            raise RevisionError(
                f"{revised.number} is the report of {_named(revised)}; a revision has time in "
                "common with the report that it revises"
            )
        current = [each for each in current if each.ordinal != terms.revises]
        if other := same_period(current, new):
            raise RevisionError(
                f"{other.number} is the report of that very period ({_named(other)}), and a period "
                f"has one report. To replace that one, pass --revises {other.number}"
            )
    if not terms.overlap:
        _check_overlap(current, new)
    if not terms.gap:
        _check_gap(current, new)


def _revised(
    issued: Sequence[IssuedPeriod], current: Sequence[IssuedPeriod], ordinal: int
) -> IssuedPeriod:
    """Return the report that is to be revised. Raises RevisionError."""
    for each in current:
        if each.ordinal == ordinal:
            return each
    for each in issued:
        if each.revises == ordinal:
            raise RevisionError(f"it was revised already, by {each.number}; revise that one")
    raise RevisionError("the report that is to be revised was never issued")


def _check_overlap(current: Sequence[IssuedPeriod], new: NewPeriod) -> None:
    for each in current:
        begin, end = max(each.begin, new.begin), min(each.end, new.end)
        if begin < end:
            raise PeriodOverlapError(
                f"{_stretch(begin, end)} on {each.number} already ({_named(each)}). If that one is "
                f"to be replaced, pass --revises {each.number}; to bill this time twice, --overlap"
            )


def _check_gap(current: Sequence[IssuedPeriod], new: NewPeriod) -> None:
    before = max((each for each in current if each.begin < new.begin), key=_end, default=None)
    after = min((each for each in current if each.begin >= new.begin), key=_begin, default=None)
    if before and before.end < new.begin:
        raise PeriodGapError(_gap(before.end, new.begin, f"behind {before.number}", before))
    if after and new.end < after.begin:
        raise PeriodGapError(_gap(new.end, after.begin, f"before {after.number}", after))


def _gap(begin: int, end: int, where: str, beside: IssuedPeriod) -> str:
    what = f"{_stretch(begin, end)} on no report, {where} ({_named(beside)})"
    if end - begin < 24 * _HOUR:  # no report has less than a day
        return f"{what}, as a changed time zone leaves it. To leave it out, pass --gap"
    return f"{what}. Issue that time first, or pass --gap to leave it out"


def _begin(period: IssuedPeriod) -> int:
    return period.begin


def _end(period: IssuedPeriod) -> int:
    return period.end


def _named(issued: IssuedPeriod) -> str:
    first, last, timezone = issued.period
    return f"{first} to {last}, {timezone}"


def _stretch(begin: int, end: int) -> str:
    """Return how long a stretch is and where it lies: `5 h from … to … would be`."""
    seconds = end - begin
    days, rest = divmod(seconds, 24 * _HOUR)
    hours, minutes = divmod(rest // 60, 60)
    texts = [f"{days} d" * bool(days), f"{hours} h" * bool(hours), f"{minutes} min" * bool(minutes)]
    long = " ".join(filter(None, texts)) or f"{seconds} s"
    return f"{long} from {_instant(begin)} to {_instant(end)} would be"


def _instant(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
