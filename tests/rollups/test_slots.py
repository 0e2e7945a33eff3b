"""Slots, days and blocks: where each begins and ends, before 1970 as after."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollups.slots import (
    DAYS_PER_BLOCK,
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    block_of,
    day_of,
    days_touched,
    first_slot_of,
    slot_of,
    whole_days,
)


@pytest.mark.parametrize(
    ("second", "slot"),
    [
        (0, 0),
        (899, 0),
        (900, 1),
        (-1, -1),
        (-900, -1),
        (-901, -2),
        (86_399, 95),
        (86_400, 96),
        (1_798_761_599, 1_998_623),  # the last second of 2026
        (1_798_761_600, 1_998_624),
    ],
)
def test_a_slot_holds_900_seconds(second: int, slot: int) -> None:
    """Half-open, aligned to UTC."""
    # slot -1 [-900 ---- 0)  slot 0 [0 ---- 900)  slot 1 [900 ---- 1800)
    assert slot_of(second) == slot
    assert slot * SLOT_SECONDS <= second < (slot + 1) * SLOT_SECONDS


@pytest.mark.parametrize(
    ("slot", "day"), [(0, 0), (95, 0), (96, 1), (-1, -1), (-96, -1), (-97, -2)]
)
def test_a_day_holds_96_slots(slot: int, day: int) -> None:
    """A UTC day begins with its first slot."""
    assert day_of(slot) == day
    assert first_slot_of(day) <= slot < first_slot_of(day + 1)


@pytest.mark.parametrize(("day", "block"), [(0, 0), (31, 0), (32, 1), (-1, -1), (-32, -1)])
def test_a_block_holds_32_days(day: int, block: int) -> None:
    """Blocks are counted from 1970-01-01, too."""
    assert block_of(day) == block
    assert block * DAYS_PER_BLOCK <= day < (block + 1) * DAYS_PER_BLOCK


@pytest.mark.parametrize(
    ("first", "end", "whole", "touched"),
    [
        (0, 0, [], []),
        (5, 5, [], []),
        (0, 96, [0], [0]),
        (0, 95, [], [0]),
        (1, 96, [], [0]),
        (1, 97, [], [0, 1]),
        (95, 97, [], [0, 1]),
        (95, 192, [1], [0, 1]),
        (95, 193, [1], [0, 1, 2]),
        (96, 288, [1, 2], [1, 2]),
        (-96, 0, [-1], [-1]),
        (-97, 1, [-1], [-2, -1, 0]),
    ],
)
def test_whole_days_and_their_edges(
    first: int, end: int, whole: list[int], touched: list[int]
) -> None:
    """A day that lies in the range only partly is an edge."""
    # day 0 [0 ------ 96)  day 1 [96 ------ 192)  day 2 [192 ------ 288)
    assert list(whole_days(first, end)) == whole
    assert list(days_touched(first, end)) == touched


@given(st.integers(-2000, 2000), st.integers(0, 1000))
def test_days_are_what_their_slots_say(first: int, length: int) -> None:
    """Checked against the slots one by one."""
    slots = range(first, first + length)
    touched = {slot // SLOTS_PER_DAY for slot in slots}
    assert set(days_touched(first, first + length)) == touched
    assert set(whole_days(first, first + length)) == {
        day for day in touched if day * 96 in slots and day * 96 + 95 in slots
    }
