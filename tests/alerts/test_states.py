"""One notification for each change of state, whatever is repeated, late or lost."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interaction_usage.alerts import states
from interaction_usage.alerts.states import Reading, State, Stretch, step
from interaction_usage.alerts.stretches import Window, of_level

CREATED = 1_000


def looks(readings: Sequence[tuple[int, Reading]], state: State | None = None) -> State:
    """Return the state after looks at some seconds; each state passes through its record."""
    state = state or states.first(CREATED)
    looked = CREATED
    for now, reading in readings:
        state = states.decode(states.encode(step("r", state, reading, now, looked)))
        looked = now
    return state


def changes(state: State) -> list[str]:
    """Return the changes that were notified, a late one with a star."""
    return [f"{each.change}{'*' if each.late else ''}@{each.since}" for each in state.unsent]


OPEN = Reading(5, (Stretch(1010, None, 5),))
ENDED = Reading(2, (Stretch(1010, 1025, 5),))


def test_a_change_is_notified_once() -> None:
    """However many looks find the same."""
    # looks    1005    1012  1013       1030  1031
    # over           [1010-----------1025)
    state = looks([(1005, Reading(1)), (1012, OPEN), (1013, OPEN), (1030, ENDED), (1031, ENDED)])
    assert changes(state) == ["triggered@1010", "resolved@1025"]
    assert not state.triggered


def test_a_stretch_between_two_looks_is_notified() -> None:
    """The threshold was exceeded, though nobody looked at that second; it is not late."""
    assert changes(looks([(1005, Reading(1)), (1030, ENDED)])) == [
        "triggered@1010", "resolved@1025",
    ]  # fmt: skip


def test_a_late_event_triggers_for_the_past_and_says_so() -> None:
    """The rule is ok all the time; both changes are marked."""
    state = looks([(1005, Reading(1)), (2000, Reading(1)), (2001, ENDED), (2002, ENDED)])
    assert changes(state) == ["triggered*@1010", "resolved*@1025"]
    assert not state.triggered
    assert not any(each.over for each in state.unsent)


def test_a_late_event_may_move_the_ends_of_what_was_notified() -> None:
    """A stretch that overlaps a notified one is that one."""
    moved = Reading(2, (Stretch(1008, 1040, 6),))
    state = looks([(1012, OPEN), (1030, ENDED), (1100, moved)])
    assert changes(state) == ["triggered@1010", "resolved@1025"]


def test_a_dip_that_comes_late_changes_nothing() -> None:
    """It was over at each look, and still is."""
    dip = Reading(5, (Stretch(1010, 1015, 5), Stretch(1020, None, 5)))
    assert changes(looks([(1030, OPEN), (1060, dip)])) == ["triggered@1010"]


def test_a_new_stretch_after_a_pause_is_another_change() -> None:
    """Where it ended and began after the last look, each is notified in its order."""
    again = Reading(5, (Stretch(1010, 1025, 5), Stretch(1028, None, 5)))
    state = looks([(1012, OPEN), (1030, again)])
    assert changes(state) == ["triggered@1010", "resolved@1025", "triggered@1028"]


def test_a_new_month_is_another_matter() -> None:
    """The old one's stretch ends with it, even if the next one is over at the first look."""
    november = Reading(9, (Stretch(1000, None, 9, 1010),), separate=True)
    december = Reading(
        9, (Stretch(1000, 2000, 9, 1010), Stretch(2000, None, 9, 2001)), separate=True
    )
    state = looks([(1012, november), (5000, december), (5001, december)])
    assert changes(state) == ["triggered@1010", "resolved@2000", "triggered@2001"]


def test_what_a_void_takes_back_is_resolved() -> None:
    """There is no stretch any more, so it ends now."""
    assert changes(looks([(1012, OPEN), (1050, Reading(0))])) == ["triggered@1010", "resolved@1050"]


def test_what_ended_before_the_rule_is_no_concern() -> None:
    """What is over when a rule is set triggers at once."""
    before = Reading(5, (Stretch(900, 990, 5), Stretch(995, None, 5)))
    assert changes(looks([(1001, before)])) == ["triggered@995"]


def test_ids_are_stable_and_never_used_twice() -> None:
    """A second process that makes the same change gives it the same id."""
    readings = [
        (1012, OPEN),
        (1030, ENDED),
        (1050, Reading(5, (Stretch(1010, 1025), Stretch(1045, None)))),
    ]
    one, other = looks(readings), looks(readings)
    assert [each.id for each in one.unsent] == [each.id for each in other.unsent]
    assert len({each.id for each in one.unsent}) == 3


def test_more_stretches_than_are_remembered_are_not_repeated() -> None:
    """Before those that are forgotten nothing is notified."""
    many = tuple(Stretch(1000 + 10 * i, 1005 + 10 * i, 3) for i in range(1, 120))
    state = looks([(3000, Reading(0, many))])
    assert len(state.unsent) == 2 * len(many)
    assert len(state.notified) <= 51
    assert looks([(3001, Reading(0, many))], state) == state


def test_deliveries_leave_the_state() -> None:
    """What was delivered or given up is no longer unsent; the latter is counted."""
    state = looks([(1012, OPEN), (1030, ENDED)])
    first, second = state.unsent
    state = states.given_up(states.delivered(state, [first.id]), [second.id], 2000)
    assert (state.unsent, state.failed, state.failed_at) == ((), 1, 2000)


# ------------------------------------------------------------------------------ properties

sessions = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 60), st.integers(0, 120)), max_size=12
)


def level(intervals: Sequence[tuple[int, int]], now: int, threshold: int) -> Reading:
    """Return the reading of sessions [begin, end)."""
    deltas = sorted([(a, 1) for a, _ in intervals] + [(b, -1) for _, b in intervals])
    return of_level(Window(CREATED, now, CREATED + 1000), 0, deltas, threshold)


def without_pairs(changes: Sequence[tuple[str, int]]) -> list[str]:
    """Return changes without what was notified as a whole: late, or between two looks."""
    kept: list[tuple[str, int]] = []
    for change in changes:
        if kept and kept[-1] == ("triggered", change[1]) and change[0] == "resolved":
            kept.pop()
        else:
            kept.append(change)
    return [kind for kind, _ in kept]


@given(sessions, st.integers(1, 3), st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_every_change_is_notified_and_none_twice(
    drawn: list[tuple[int, int, int]], threshold: int, steps: list[int]
) -> None:
    """Sessions become known late and in any order; every look is repeated, as after a restart."""
    arrivals = [(CREATED + a + delay, (CREATED + a, CREATED + a + n)) for a, n, delay in drawn]
    state, looked, now = states.first(CREATED), CREATED, CREATED
    for pause in [*steps, 400]:
        now += pause
        known = [interval for arrived, interval in arrivals if arrived <= now]
        reading = level(known, now, threshold)
        after = step("r", state, reading, now, looked)
        assert step("r", after, reading, now, looked) is after
        assert step("r", after, reading, now + 1, now) is after
        over = sum(a <= now < b for a, b in known) >= threshold
        assert after.triggered == over
        state, looked = msgspec.json.decode(states.encode(after), type=State), now
    kinds = without_pairs([(each.change, each.at) for each in state.unsent])
    assert all(one != other for one, other in pairwise(kinds))
    assert kinds[:1] in ([], ["triggered"])
    assert len({each.id for each in state.unsent}) == len(state.unsent)
    every = level([interval for _, interval in arrivals], now, threshold).stretches
    for stretch in every:  # nothing that was over went without a word
        end = stretch.end or now + 1
        assert any(
            begin < end and stretch.begin < (until or now + 1) for begin, until in state.notified
        )


@given(sessions, st.integers(1, 4), st.integers(0, 260))
def test_a_level_is_that_of_each_second(
    drawn: list[tuple[int, int, int]], threshold: int, at: int
) -> None:
    """Compared with counting who is there, second by second."""
    intervals = [(CREATED + a, CREATED + a + n) for a, n, _ in drawn]
    now = CREATED + at
    reading = level(intervals, now, threshold)
    counts = [sum(a <= s < b for a, b in intervals) for s in range(CREATED, CREATED + 1000)]
    over = [count >= threshold for count in counts]
    seen = [False] * 1000
    for begin, end, *_ in reading.stretches:
        for second in range(begin, now + 1 if end is None else end):
            seen[second - CREATED] = True
    assert seen[: at + 1] == over[: at + 1]
    assert reading.value == counts[at]
    flips = [s for s in range(at + 1, 1000) if over[s] != over[at]]
    if flips:  # whatever changes without an event is looked at in time
        assert reading.due is not None
        assert reading.due <= CREATED + flips[0]


@pytest.mark.parametrize(("seconds", "is_over"), [(59, False), (60, True), (61, True)])
def test_a_level_must_last(seconds: int, is_over: bool) -> None:
    """Reaching the time is being over it."""
    deltas = [(CREATED, 3), (CREATED + seconds, -3)]
    reading = of_level(Window(CREATED, CREATED + 500, CREATED + 900), 0, deltas, 3, 1)
    assert bool(reading.stretches) == is_over
