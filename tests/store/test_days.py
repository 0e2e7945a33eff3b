"""Days as bytes: what is open is read as it was written, what is sealed is kept for ever."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interaction_usage.store.day_encoding import Amounts, Curve, Day, open_day, seal, sealed_days
from rollups.catalog import METRICS, SERIES
from rollups.slots import DAYS_PER_BLOCK, SLOTS_PER_DAY
from tests.store.day_drawing import days, fields

blocks = st.dictionaries(st.integers(0, DAYS_PER_BLOCK - 1), days, max_size=6)


def test_a_block_as_it_was_first_written_is_read_for_ever() -> None:
    """Whoever changes how days are sealed must still read what lies in somebody's Redis."""
    assert sealed_days(bytes.fromhex(WRITTEN)) == KEPT


KEPT = {
    3: Day(
        {"agent-sessions": Curve([0, 95], [2, -1], [2, -1]), "agent": Curve([0], [2], [2])},
        {"runs.mobile-web": Amounts([40], [1]), "call.minutes": Amounts([1, 40], [300, 2**52])},
        {"c:Rückruf 🛟": Amounts([40], [1])},
    ),
    31: Day({"agent": Curve([7], [-2], [0])}, {}, {}),
}
WRITTEN = (
    "3294c4119bb430e30897022323833a833983061700c4206b62983c69a1d3112606e6490b938e3031fd87528c50"
    "611608ff1f98c7c40000c4256b5a836cc6a4490b9d8e3031324e5a58784440879101090830ac47f33058312313"
    "98640400c41e6b5c9f6c1574784f727651699ac287f9b3e74f9ab4d0e908231398640400"
)


@given(days)
def test_an_open_day_is_read_as_the_script_writes_it(day: Day) -> None:
    """Negative nets, huge amounts, names of flows in any writing; when it was touched is left."""
    assert open_day(fields(day)) == day


@given(blocks)
@settings(deadline=None)
def test_what_is_sealed_is_what_was_there(kept: dict[int, Day]) -> None:
    """Every day, slot and number, in blocks that are nearly empty and in full ones."""
    assert sealed_days(seal(kept)) == kept


@given(blocks, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_same_days_are_the_same_bytes(kept: dict[int, Day], rng: random.Random) -> None:
    """At once or one after the other, in whatever order the days and what is in them come."""
    packed = None
    for number, day in shuffled(kept, rng).items():
        known = sealed_days(packed)
        packed = seal({**known, number: Day(*(shuffled(kind, rng) for kind in day))})
    assert packed == (seal(kept) if kept else None)


def shuffled(mapping: Any, rng: random.Random) -> dict[Any, Any]:
    """Return the same in another order."""
    items = list(mapping.items())
    rng.shuffle(items)
    return dict(items)


def test_a_slot_in_which_all_cancels_out_is_not_kept() -> None:
    """A level that goes down and up again by the end of the slot changes nothing."""
    flat = Day({"agent": Curve([4], [0], [0])}, {}, {})
    beside = Day({"agent": Curve([4, 5], [0, 1], [0, 1])}, {}, {})
    assert sealed_days(seal({0: flat, 1: beside})) == {
        1: Day({"agent": Curve([5], [1], [1])}, {}, {})
    }
    assert seal({0: flat}) == seal({})
    assert sealed_days(seal({})) == sealed_days(None) == {}


def busy(rng: random.Random) -> Day:
    """Return a day in which everything happens in every slot."""
    slots = list(range(SLOTS_PER_DAY))

    def small() -> list[int]:
        return [rng.randint(1, 4) for _ in slots]

    curves = {name: Curve(slots, [rng.randint(-4, 4) for _ in slots], small()) for name in SERIES}
    return Day(curves, {name: Amounts(slots, small()) for name in METRICS}, {})


def quiet(rng: random.Random) -> Day:
    """Return a day of five short sessions and ten other events."""
    curve, counters = {}, {}
    for slot in sorted(rng.sample(range(32, 72), 10)):
        curve[slot] = (1, 1) if len(curve) % 2 == 0 else (-1, 0)
        counters.setdefault(rng.choice(METRICS), {})[slot] = 1
    amounts = {name: Amounts(list(entry), list(entry.values())) for name, entry in counters.items()}
    nets, rises = zip(*curve.values(), strict=True)
    return Day({"agent": Curve(list(curve), list(nets), list(rises))}, amounts, {})


@pytest.mark.parametrize(("day", "most"), [(busy, 1_150), (quiet, 25)])
def test_how_much_a_sealed_day_takes(day: Any, most: int) -> None:
    """Less than half a byte a number where much happens; a byte an event where little."""
    rng = random.Random(1)
    packed = seal({number: day(rng) for number in range(DAYS_PER_BLOCK)})
    assert len(packed) / DAYS_PER_BLOCK <= most


def test_a_block_of_a_version_to_come_is_refused() -> None:
    """It is not read as something else."""
    with pytest.raises(ValueError, match=r"encoding b'9'"):
        sealed_days(b"9" + seal({})[1:])
