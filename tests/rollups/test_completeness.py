"""What a report may say of itself, from what Redis says of the stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollups.completeness import PATIENCE_S, Known, Progress, Status, judge
from rollups.gaps import Acceptance, Gap
from rollups.watermark import CaughtUp, Position

BEGIN, END = 1_790_812_800, 1_793_491_200  # October 2026
NOW = END + 3_600
SEEN = Progress(NOW, NOW, {"usage.clicks/0@a": 7}, 0)
GAP = Gap("usage.clicks", 0, "a", 3, 5, BEGIN, BEGIN + 60, "worker")


def known(progress: Progress | None = SEEN, **changes: object) -> Known:
    """Return what Redis says where all is well, with *changes*."""
    positions = {"usage.clicks/0@a": Position(7)}
    return Known(progress, is_current=True, positions=positions)._replace(**changes)  # type: ignore[arg-type]


def test_a_period_that_has_ended_and_is_counted_is_provisional() -> None:
    """Late events may come; nothing is known to be missing."""
    said = judge(known(), (BEGIN, END), NOW, 3)
    assert said == (Status.PROVISIONAL, NOW, 0, 3, (), ())


def test_a_period_that_has_not_ended_is_open() -> None:
    """By the as-of instant, or because the workers' clock has not reached its end."""
    assert judge(known(), (BEGIN, END), END - 1).status is Status.OPEN
    seen = SEEN._replace(looked_at=END, complete_to=END - 1)
    assert judge(known(seen), (BEGIN, END), END).status is Status.OPEN
    assert judge(known(), (BEGIN, NOW + 9), NOW + 10**6).status is Status.OPEN


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (known(None), "No worker has reported yet"),
        (known(is_current=False), "No worker has reported since 2026-11-01 01:00:00 UTC"),
        (known(positions={}), "7 published events are to be counted again"),
        (known(positions={"usage.clicks/0@a": Position(6)}), "1 published event is to be"),
        (known(SEEN._replace(problem="Kafka does not answer")), "Kafka does not answer"),
        (known(SEEN._replace(complete_to=None, pending=9)), "9 published events are not counted"),
        (
            known(SEEN._replace(complete_to=NOW - PATIENCE_S - 1, pending=1)),
            "1 published event is not counted yet; what was published before 2026-11-01 00:59:49",
        ),
        (
            known(SEEN._replace(complete_to=NOW - 99, pending=1, blocked=1)),
            "behind an open transaction of a producer",
        ),
        (known(has_refused=False), "How many events were refused is unknown"),
        (known(gaps=[GAP]), "Kafka deleted up to 2 events uncounted, published between 2026-10-01"),
    ],
)
def test_what_may_be_missing_is_said(of: Known, reason: str) -> None:
    """Incomplete comes before open: it is so whether the period has ended or not."""
    for as_of in (NOW, BEGIN + 1):
        said = judge(of, (BEGIN, END), as_of)
        assert said.status is Status.INCOMPLETE
        [sentence] = said.reasons
        assert reason in sentence


def test_events_may_wait_for_some_seconds() -> None:
    """A live stream always has some."""
    seen = SEEN._replace(complete_to=NOW - PATIENCE_S, pending=200)
    said = judge(known(seen), (BEGIN, END), NOW)
    assert (said.status, said.complete_to, said.pending) == (
        Status.PROVISIONAL, NOW - PATIENCE_S, 200,
    )  # fmt: skip


def test_an_accepted_gap_is_reported_and_no_reason() -> None:
    """The report says what is missing and why that was accepted."""
    accepted = GAP._replace(accepted=Acceptance("a test load", "operator", NOW))
    said = judge(known(gaps=[accepted]), (BEGIN, END), NOW)
    assert said.status is Status.PROVISIONAL
    [sentence] = said.accepted
    assert sentence.endswith("accepted: a test load")
    assert accepted.id in sentence


def test_a_gap_of_other_days_says_nothing() -> None:
    """Not after all it can have, and not 35 days before it."""
    assert judge(known(gaps=[GAP]), (END, END + 86_400), NOW + 10**6).reasons == ()
    later = GAP._replace(since=END + 40 * 86_400, until=END + 41 * 86_400)
    assert judge(known(gaps=[later]), (BEGIN, END), NOW).reasons == ()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=30))
def test_what_is_caught_up_with_was_counted(steps: list[tuple[int, int, bool]]) -> None:
    """Whatever is published and counted between looks: all that was published before is counted."""
    caught_up = CaughtUp()
    published: list[int] = []  # the second of each record of one partition
    counted = 0
    for second, (new, done, is_looked_at) in enumerate(steps, 1):
        published += [second] * new
        counted = min(len(published), counted + done)
        if is_looked_at:
            caught_up.observe(second, {"a": Position(counted)}, {"a": (0, len(published))})
        if caught_up.second is not None:
            assert counted >= sum(when < caught_up.second for when in published)
            assert all(counted >= end for end in caught_up.ends.values())
