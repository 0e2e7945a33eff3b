"""Which periods a gap may belong to, and which gaps are the same."""

import pytest

from rollups.gaps import CLOCKS_AHEAD_S, OLDEST_EVENT_S, Acceptance, Gap, unaccepted, unknown_part

SINCE, UNTIL = 100 * 86_400, 101 * 86_400
GAP = Gap("usage.flows", 3, "abcd", 10, 20, SINCE, UNTIL, "worker")


@pytest.mark.parametrize(
    ("begin", "end", "touches"),
    [
        # [----35 days----since====until-5 min-)
        (SINCE - OLDEST_EVENT_S - 10, SINCE - OLDEST_EVENT_S, False),
        (SINCE - OLDEST_EVENT_S - 10, SINCE - OLDEST_EVENT_S + 1, True),
        (SINCE, UNTIL, True),
        (UNTIL + CLOCKS_AHEAD_S - 1, UNTIL + 10_000, True),
        (UNTIL + CLOCKS_AHEAD_S, UNTIL + 10_000, False),
        (0, 10**10, True),
    ],
)
def test_a_gap_touches_what_events_in_it_may_belong_to(begin: int, end: int, touches: bool) -> None:
    """The seconds from 35 days before it to the clocks' difference behind it."""
    assert GAP.touches(begin, end) is touches


def test_a_gap_of_unknown_begin_touches_everything_before_it() -> None:
    """Nothing is known of when its first event was published."""
    gap = GAP._replace(since=None)
    assert gap.touches(0, 1)
    assert not gap.touches(UNTIL + CLOCKS_AHEAD_S, UNTIL + CLOCKS_AHEAD_S + 1)


def test_the_id_is_that_of_the_offsets() -> None:
    """Not of when or by what they were found missing, nor of who accepted it."""
    again = GAP._replace(since=None, until=1, found_by="rebuild", accepted=Acceptance("r", "b", 1))
    assert again.id == GAP.id
    others = [{"end": 21}, {"first": 9}, {"partition": 2}, {"topic": "x"}, {"topic_id": "efgh"}]
    assert len({GAP.id, *(GAP._replace(**other).id for other in others)}) == 6  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "first"),
    [
        ([], 10),
        ([(10, 20)], None),
        ([(5, 25)], None),
        ([(10, 15)], 15),
        ([(13, 20), (8, 15)], None),
        ([(12, 20)], 10),
        ([(0, 10), (20, 30)], 10),
    ],
)
def test_a_gap_that_is_known_is_not_found_twice(
    known: list[tuple[int, int]], first: int | None
) -> None:
    """What is left of it lies behind those that cover its beginning."""
    others = [GAP._replace(first=begin, end=end, since=None, until=1) for begin, end in known]
    left = unknown_part(GAP, others)
    assert left == (None if first is None else GAP._replace(first=first))


@pytest.mark.parametrize("other", [{"topic_id": "efgh"}, {"partition": 4}, {"topic": "x"}])
def test_other_places_have_other_gaps(other: dict[str, object]) -> None:
    """A topic that was created again has other records at the same offsets."""
    assert unknown_part(GAP, [GAP._replace(**other)]) == GAP  # type: ignore[arg-type]


def test_accepted_gaps_are_left_out() -> None:
    """Reports are incomplete because of the others only."""
    accepted = GAP._replace(accepted=Acceptance("the producer was a test", "ann", 1))
    assert unaccepted([GAP, accepted]) == [GAP]
