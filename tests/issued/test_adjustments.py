"""Adjustments: a period's report and all adjustments of it add up to what is counted, once."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interaction_usage.issued.adjustments import (
    adjusted_by,
    billed,
    cells,
    changed_since,
    check_revision,
    difference,
    to_compare,
)
from interaction_usage.issued.errors import RevisionError
from interaction_usage.issued.succession import active, next_ordinal
from interaction_usage.reports.bill import LINES, Numbers, name_at, value_text
from interaction_usage.store.issued_table import Adjusted, Entry

DAY = 86_400


def entry(
    ordinal: int, numbers: Numbers, *, revises: int | None = None,
    adjusts: tuple[Adjusted, ...] = (),
    issued_at: int = 0, compared: bool = True, month: int = 0,
) -> Entry:  # fmt: skip
    """Return an issued report."""
    return Entry(
        "acme", ordinal, f"{month}", f"{month}", "UTC", month, month + 1, issued_at, "ann", revises,
        f"{ordinal}", dict(numbers), list(adjusts), compared,
    )  # fmt: skip


class Account:
    """An account whose months change, and the topic of its reports."""

    def __init__(self) -> None:
        self.counted: dict[int, int] = {}
        self.topic: list[Entry] = []

    def read(self) -> list[Entry]:
        """Return the reports: the first with each number."""
        found: dict[int, Entry] = {}
        for each in self.topic:
            found.setdefault(each.ordinal, each)
        return [*found.values()]

    def operator(self, every: bool, wish: int) -> Iterator[None]:
        """Issue the next month, or revise a report; others act between any two steps."""
        while True:
            known = self.read()
            yield
            current = active(known)
            revised = current[wish] if wish < len(current) else None
            revises = revised.ordinal if revised else None
            try:
                check_revision(known, revises)
            except RevisionError:
                return
            counted = dict(self.counted)
            month = int(revised.first) if revised else 1 + max([0, *(int(e.first) for e in known)])
            adjusts = [
                Adjusted(each.ordinal, numbers)
                for each in to_compare(known, revises, every=every)
                if (
                    numbers := difference(
                        billed(each, known, revises), {"runs": self.counted.get(each.begin, 0)}
                    )
                )
            ]
            made = entry(
                next_ordinal(known), {"runs": self.counted.get(month, 0)}, revises=revises,
                adjusts=tuple(adjusts), month=month,
            )  # fmt: skip
            yield
            self.topic.append(made)
            if next(each for each in self.read() if each.ordinal == made.ordinal) is made:
                compared = to_compare(known, revises, every=every)
                self.must_add_up([each.ordinal for each in compared], counted)
                return

    def must_add_up(self, ordinals: list[int], counted: dict[int, int]) -> None:
        """Fail unless these reports and all adjustments of them bill what was counted."""
        known = self.read()
        revised = {each.revises for each in known}
        current = {each.ordinal: each for each in known if each.ordinal not in revised}
        lines = [line for report in current.values() for line in report.adjusts]
        for ordinal in ordinals:
            added = [int(line.numbers["runs"]) for line in lines if line.ordinal == ordinal]
            report = current[ordinal]
            assert int(report.numbers["runs"]) + sum(added) == counted.get(report.begin, 0)
        assert {line.ordinal for line in lines} <= current.keys()


Step = st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(-3, 3), st.booleans())


@settings(max_examples=80)
@given(st.lists(Step, min_size=20, max_size=60), st.booleans())
def test_nothing_is_billed_twice_and_all_adds_up(
    schedule: list[tuple[int, int, int, bool]], every: bool
) -> None:
    """Two operators issue and revise, usage arrives between any two steps, and one ends it all."""
    account = Account()
    running: dict[int, Iterator[None]] = {}
    for who, number, amount, acts in schedule:
        if not acts:
            account.counted[number] = account.counted.get(number, 0) + amount
            continue
        step = running.setdefault(who, account.operator(every, number))
        if next(step, step) is step:
            del running[who]
    for each in running.values():
        list(each)
    list(account.operator(True, 99))
    known = account.read()
    assert [each.ordinal for each in known] == list(range(1, len(known) + 1))


def test_a_second_adjustment_bills_what_changed_since_the_first() -> None:
    """30, then 32, then 31: +2 and -1; and the revision of the first of them bills the +2 again."""
    first, second = (
        entry(1, {"runs": 30}),
        entry(2, {"runs": 9}, adjusts=(Adjusted(1, {"runs": 2}),)),
    )
    known = [first, second]
    assert billed(first, known) == {"runs": 32}
    assert difference(billed(first, known), {"runs": 31}) == {"runs": -1}
    known.append(entry(3, {"runs": 8}, adjusts=(Adjusted(1, {"runs": -1}),)))
    assert [each.ordinal for each, _ in adjusted_by(known, 1)] == [2, 3]
    assert billed(first, known) == {"runs": 31}
    assert billed(first, known, besides=2) == {"runs": 29}
    assert to_compare(known, 2, every=True) == [first]
    assert to_compare(known, None, every=False) == [first]
    with pytest.raises(RevisionError, match="acme-000003 bills what differs from it already"):
        check_revision(known, 1)
    check_revision(known, 2)


def test_a_maximum_and_an_average_are_adjusted_by_their_difference() -> None:
    """3 becomes 4; (3 + 1) / 2 becomes (4 + 1) / 2; minutes are thousandths."""
    before: Numbers = {
        "agent.max": 3, "agent.peak_sum": 4, "agent.reported_hours": 2, "call.minutes": 1_500,
        "agent.busiest_hour": "2026-10-02T09:00:00+02:00", "runs": 1,
    }  # fmt: skip
    now = {
        **before, "agent.max": 4, "agent.peak_sum": 5, "call.minutes": 1_250,
        "agent.busiest_hour": "2026-10-03T09:00:00+02:00",
    }  # fmt: skip
    found = {each.path: each[1:] for each in cells(before, now, {"concurrency.agent.max": 2})}
    assert found == {
        "concurrency.agent.max": (1, 3, 4, 2),
        "concurrency.agent.average": (0.5, 2.0, 2.5, 0),
        "concurrency.agent.busiest_hour": (
            None, "2026-10-02T09:00:00+02:00", "2026-10-03T09:00:00+02:00", 0,
        ),
        "dnis.call_minutes": (-0.25, 1.5, 1.25, 0),
    }  # fmt: skip
    assert (
        billed(entry(1, before), [entry(2, {}, adjusts=(Adjusted(1, difference(before, now)),))])
        == now
    )
    assert [each.events for each in cells(before, now, None)] == [None] * 4


def test_a_section_that_did_not_apply_is_not_billed_later() -> None:
    """What the report did not have is no difference of it."""
    assert difference({"runs": 1}, {"runs": 1, "sms.link": 7}) == {}
    assert cells({"runs": 1}, {"runs": 1, "sms.link": 7}, None) == ()
    assert "sms.messages_with_link" in LINES


@pytest.mark.parametrize(
    ("compared", "age", "since"),
    [
        (False, 10, 1_000),  # its account did not adjust: since it was issued
        (True, 10, 2_000),  # acme-000002 compared it
        (True, 40, None),  # so long ago that days may have been sealed since: compare it
    ],
)
def test_a_report_is_compared_where_it_may_have_changed(
    compared: bool, age: int, since: int | None
) -> None:
    """By the days of the account, as far back as they are open."""
    first = entry(1, {}, issued_at=1_000)
    known = [first, entry(2, {}, issued_at=2_000, compared=compared)]
    assert changed_since(first, known, age * DAY) == since


def test_numbers_as_a_terminal_shows_them() -> None:
    """Names instead of paths; no difference is rounded away."""
    assert name_at("dnis.call_minutes") == "DNIS Service: Call Now minutes"
    assert name_at("flow_runs.by_flow.x") == "flow_runs.by_flow.x"
    assert value_text(1 / (3_660 * 24)) == "0.000011"
    shown = [value_text(each) for each in (None, 0, 1234, 2.0, 5 / 3, "2026-10-12T10:00:00Z")]
    assert shown == ["none", "0", "1,234", "2", "1.666667", "2026-10-12T10:00:00Z"]
    assert [value_text(each, sign="+") for each in (2, -0.5, 0.25)] == ["+2", "-0.5", "+0.25"]
