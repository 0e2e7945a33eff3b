"""Intervals, and the algebra that adds them up, against second-by-second sweeps."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollups.concurrency import FLAT, Presence, Summary, merge
from rollups.slots import SLOT_SECONDS
from tests.support.reference_model import combine, interval, summarize

LIMIT = 86_400


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        # A [10------)20
        (10, 20, (10, 20)),
        # A [10)11  begins and ends in one second
        (10, 11, (10, 11)),
        # A [10)11  start equals stop
        (10, 10, (10, 11)),
        # stop 5    A [10)11  the stop came before the start
        (10, 5, (10, 11)),
        # A [10------ ... ------)10 + limit: inferred
        (10, None, (10, 10 + LIMIT)),
        # a stop after the limit replaces the inferred end as well
        (10, 10 + 2 * LIMIT, (10, 10 + 2 * LIMIT)),
        # before 1970
        (-20, -10, (-20, -10)),
        (-1, None, (-1, LIMIT - 1)),
        # no start: nowhere
        (None, 20, None),
        (None, None, None),
        # second 0 is a second like any other
        (0, 0, (0, 1)),
        (0, None, (0, LIMIT)),
    ],
)
def test_where_a_session_is_present(
    start: int | None, stop: int | None, expected: tuple[int, int] | None
) -> None:
    """Half-open whole seconds, at least one of them, inferred without a stop."""
    assert interval(Presence(start, stop), LIMIT) == expected


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Presence(10, 20), Presence(11, 19), Presence(10, 19)),
        (Presence(10, 20), Presence(9, 21), Presence(9, 20)),
        (Presence(10), Presence(None, 5), Presence(10, 5)),
        (Presence(0, 0), Presence(1, 1), Presence(0, 0)),
        (Presence(-1), Presence(0), Presence(-1)),
        (Presence(), Presence(), Presence()),
    ],
)
def test_the_earliest_start_and_the_earliest_stop_count(
    one: Presence, other: Presence, both: Presence
) -> None:
    """Whichever was reported first."""
    assert merge(one, other) == merge(other, one) == both


@pytest.mark.parametrize(
    ("deltas", "summary"),
    [
        ({}, FLAT),
        ({10: 1}, Summary(1, 1)),
        ({10: -1}, Summary(-1, 0)),  # the level before still holds at second 0
        ({0: -1}, Summary(-1, -1)),  # no second of the slot has the level before
        ({0: 1}, Summary(1, 1)),
        ({0: -1, 1: 1}, Summary(0, 0)),
        ({0: -3, 899: 2}, Summary(-1, -1)),
        ({10: 1, 20: -1}, Summary(0, 1)),
        ({10: -1, 20: 1}, Summary(0, 0)),
        ({899: 5}, Summary(5, 5)),
        ({20: -1, 10: 1}, Summary(0, 1)),  # in whatever order they were kept
    ],
)
def test_the_summary_of_one_slot(deltas: dict[int, int], summary: Summary) -> None:
    """The net change, and the highest level at any second, relative to the one before."""
    assert summarize(deltas) == summary


@pytest.mark.parametrize("second", [-1, 900])
def test_a_second_outside_the_slot_is_refused(second: int) -> None:
    """A delta in the wrong slot would be counted in silence."""
    with pytest.raises(ValueError, match="0 to 899"):
        summarize({second: 1})


def test_the_worked_example() -> None:
    """A is present 09:50-10:20, B 10:10-10:12: hour 9 peaks at 1, hour 10 at 2."""
    #     09:45    10:00    10:15
    # A      [------------------)10:20
    # B               [--)
    nine = summarize({300: 1})
    ten, quarter_past = summarize({600: 1, 720: -1}), summarize({300: -1})
    assert (nine, ten, quarter_past) == (Summary(1, 1), Summary(0, 1), Summary(-1, 0))
    assert nine.rise == 1
    assert nine.net + combine(ten, quarter_past).rise == 2


summaries = st.builds(Summary, st.integers(-9, 9), st.integers(-9, 9))


@given(summaries, summaries, summaries)
def test_combine_is_associative(a: Summary, b: Summary, c: Summary) -> None:
    """So hours, days and any range fold from slots, however they are grouped."""
    assert combine(combine(a, b), c) == combine(a, combine(b, c))


@given(
    st.lists(st.tuples(st.integers(0, 2699), st.integers(1, 2000)), max_size=8),
    st.integers(0, 2),
)
def test_slots_fold_to_the_sweep(stretches: list[tuple[int, int]], carried: int) -> None:
    """Slots summarized and combined peak as the same intervals counted second by second."""
    levels = [carried] * 3 * SLOT_SECONDS
    slots: list[dict[int, int]] = [{}, {}, {}]
    for begin, length in stretches:
        for second in range(begin, min(begin + length, len(levels))):
            levels[second] += 1
        for second, delta in ((begin, 1), (begin + length, -1)):
            if second < len(levels):
                deltas = slots[second // SLOT_SECONDS]
                deltas[second % SLOT_SECONDS] = deltas.get(second % SLOT_SECONDS, 0) + delta
    folded = reduce(combine, map(summarize, slots))
    assert carried + folded.rise == max(levels)
    assert carried + folded.net == levels[-1]


@given(st.lists(st.dictionaries(st.integers(0, 899), st.integers(-3, 3)), min_size=1, max_size=4))
def test_any_deltas_fold_to_the_sweep(slots: list[dict[int, int]]) -> None:
    """Also deltas that take the level below where it was."""
    level, levels = 0, []
    for deltas in slots:
        for second in range(SLOT_SECONDS):
            level += deltas.get(second, 0)
            levels.append(level)
    assert reduce(combine, map(summarize, slots)) == Summary(level, max(levels))
