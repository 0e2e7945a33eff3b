"""Which periods may be issued beside those that are."""

import pytest

from interaction_usage.issued.errors import PeriodGapError, PeriodOverlapError, RevisionError
from interaction_usage.issued.succession import NewPeriod, Terms, active, check, same_period
from tests.issued.test_numbers import DAY, Report

#   [-- 1: month 1 --)[-- 2: month 2 --)          [-- 3: month 4 --)
ISSUED = [Report(1, 1, 0), Report(2, 2, 0), Report(3, 4, 0)]


def period(begin: float, end: float) -> NewPeriod:
    """Return the period from one month to another."""
    return NewPeriod(("a", "b", "UTC"), round(begin * 30 * DAY), round(end * 30 * DAY))


@pytest.mark.parametrize(
    ("begin", "end", "error"),
    [
        (3, 4, None),  # exactly between
        (5, 6, None),
        (0, 1, None),  # before the first
        (5.1, 6, PeriodGapError),
        (0, 0.9, PeriodGapError),
        (3, 3.5, PeriodGapError),
        (3.5, 4, PeriodGapError),
        (4.9, 6, PeriodOverlapError),
        (0, 1.1, PeriodOverlapError),
        (0, 9, PeriodOverlapError),
        (1.2, 1.3, PeriodOverlapError),
    ],
)
def test_a_period_follows_or_is_refused(
    begin: float, end: float, error: type[Exception] | None
) -> None:
    """A gap and an overlap each need an option, and the option of the other does not help."""
    new = period(begin, end)
    if error is None:
        check(ISSUED, new)
        return
    with pytest.raises(error):
        check(ISSUED, new)
    check(ISSUED, new, Terms(gap=True, overlap=True))
    other = Terms(gap=error is PeriodOverlapError, overlap=error is PeriodGapError)
    with pytest.raises((PeriodGapError, PeriodOverlapError)):
        check(ISSUED, new, other)


def test_the_first_report_of_an_account_may_have_any_period() -> None:
    """Nothing lies beside it."""
    check([], period(3, 4))


def test_a_revision_replaces_and_is_not_replaced_twice() -> None:
    """Of the same period it needs nothing more; of another, its neighbours are looked at again."""
    new = NewPeriod(ISSUED[1].period, ISSUED[1].begin, ISSUED[1].end)
    with pytest.raises(PeriodOverlapError):
        check(ISSUED, period(2, 3.5))
    check(ISSUED, new, Terms(revises=2))
    with pytest.raises(PeriodGapError):
        check(ISSUED, period(2, 2.5), Terms(revises=2))
    with pytest.raises(PeriodOverlapError):
        check(ISSUED, period(1.9, 3), Terms(revises=2))
    with pytest.raises(RevisionError, match="time in common"):
        check(ISSUED, period(3, 4), Terms(revises=2))
    revised = [*ISSUED, Report(4, 2, 0, revises=2)]
    assert [each.ordinal for each in active(revised)] == [1, 3, 4]
    with pytest.raises(RevisionError, match="acme-000004"):
        check(revised, new, Terms(revises=2))
    with pytest.raises(RevisionError, match="never issued"):
        check(revised, new, Terms(revises=9))
    found = same_period(revised, new)
    assert found is not None
    assert found.ordinal == 4


class TwoMonths(Report):
    """A report of a month and the one before it."""

    @property
    def begin(self) -> int:
        return super().begin - 30 * DAY

    @property
    def end(self) -> int:
        return self.begin + 60 * DAY


@pytest.mark.parametrize("terms", [Terms(revises=2), Terms(gap=True, overlap=True, revises=2)])
def test_a_period_has_one_report_whatever_is_meant(terms: Terms) -> None:
    """A revision does not move to the period of another report, which would be billed twice."""
    issued = [Report(1, 1, 0), TwoMonths(2, 2, 0)]
    new = NewPeriod(issued[0].period, issued[0].begin, issued[0].end)
    with pytest.raises(RevisionError, match=r"acme-000001 is .* --revises acme-000001"):
        check(issued, new, terms)
    check(issued, new, Terms(revises=1))
    check(issued, period(2, 3), Terms(revises=2))  # which no report has
