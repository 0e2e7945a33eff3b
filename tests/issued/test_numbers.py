"""Numbers of reports without a gap or a double, whoever issues at once and crashes where."""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from interaction_usage.issued import succession
from interaction_usage.issued.succession import NewPeriod

DAY = 86_400
_proposals = count()


class Report(NamedTuple):
    """A report, or a proposal of one."""

    ordinal: int
    month: int
    proposal: int
    revises: int | None = None

    @property
    def number(self) -> str:
        return f"acme-{self.ordinal:06}"

    @property
    def period(self) -> tuple[str, str, str]:
        return f"{self.month}", f"{self.month}", "UTC"

    @property
    def begin(self) -> int:
        return self.month * 30 * DAY

    @property
    def end(self) -> int:
        return self.begin + 30 * DAY


class Topic:
    """The topic: an order of proposals, of which the first with a number is the report."""

    def __init__(self) -> None:
        self.proposals: list[Report] = []

    def read(self) -> list[Report]:
        """Return the reports, as whoever reads the topic finds them."""
        found: dict[int, Report] = {}
        for each in self.proposals:
            found.setdefault(each.ordinal, each)
        return list(found.values())


def operator(topic: Topic, month: int, confirmed: list[tuple[int, int]]) -> Iterator[None]:
    """Issue a month, as `issuing.issue` does; between two steps others act, or this one crashes."""
    while True:
        known = topic.read()
        yield
        new = NewPeriod((f"{month}", f"{month}", "UTC"), month * 30 * DAY, (month + 1) * 30 * DAY)
        if issued := succession.same_period(known, new):
            confirmed.append((month, issued.ordinal))
            return
        proposal = Report(succession.next_ordinal(known), month, next(_proposals))
        yield
        topic.proposals.append(proposal)
        yield
        [first] = [each for each in topic.read() if each.ordinal == proposal.ordinal]
        if first.proposal == proposal.proposal:
            confirmed.append((month, first.ordinal))
            return
        yield


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=80),
)
def test_numbers_have_no_gap_and_no_double_and_a_period_has_one_report(
    months: list[int], schedule: list[tuple[int, int]]
) -> None:
    """Operators act in any order; one in ten steps is a crash, after which they begin again."""
    topic, confirmed = Topic(), list[tuple[int, int]]()
    running = {who: operator(topic, month, confirmed) for who, month in enumerate(months)}
    for who, chance in schedule:
        if who in running and chance == 0:
            running[who] = operator(topic, months[who], confirmed)
        elif who in running and next(running[who], running) is running:
            del running[who]
    for each in running.values():  # those that are left come to their end
        list(each)
    reports = topic.read()
    assert [each.ordinal for each in reports] == list(range(1, len(reports) + 1))
    assert sorted(each.month for each in reports) == sorted(set(months))
    by_month = {each.month: each.ordinal for each in reports}
    assert all(by_month[month] == ordinal for month, ordinal in confirmed)
    assert {month for month, _ in confirmed} == set(months)
