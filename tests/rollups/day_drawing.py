"""What hypothesis draws of days as they are kept: quiet ones and busy ones, and their hashes."""

from typing import Any

from hypothesis import strategies as st

from interaction_usage.store.day_encoding import Amounts, Curve, Day
from rollups.catalog import METRICS, SERIES
from rollups.slots import SLOTS_PER_DAY

FLOWS = ("c:f", "a:f", "c:Rückruf 🛟", "c:" + "x" * 200, "a:1.c:f")

#: Slots of a day, in order: a few, nearly all, or all of them.
_few = st.sets(st.integers(0, SLOTS_PER_DAY - 1), min_size=1, max_size=4).map(sorted)
_slots = st.one_of(
    _few,
    _few,
    _few.map(lambda gone: [slot for slot in range(SLOTS_PER_DAY) if slot not in gone]),
    st.just(list(range(SLOTS_PER_DAY))),
)


def _repeated(pattern: list[Any], length: int) -> list[Any]:
    return (pattern * (length // len(pattern) + 1))[:length]


@st.composite
def _curves(draw: Any) -> Curve:
    slots = draw(_slots)
    net = st.one_of(st.integers(-3, 3), st.integers(-(2**31), 2**31 - 1))
    pairs = draw(st.lists(st.tuples(net, net).filter(any), min_size=1, max_size=5))
    nets, rises = zip(*_repeated(pairs, len(slots)), strict=True)
    return Curve(slots, list(nets), list(rises))


@st.composite
def _amounts(draw: Any) -> Amounts:
    slots = draw(_slots)
    amount = st.one_of(st.integers(1, 3), st.integers(1, 2**52), st.just(2**52))
    return Amounts(slots, _repeated(draw(st.lists(amount, min_size=1, max_size=5)), len(slots)))


days = st.builds(
    Day,
    st.dictionaries(st.sampled_from(SERIES), _curves(), max_size=3),
    st.dictionaries(st.sampled_from(METRICS), _amounts(), max_size=3),
    st.dictionaries(st.sampled_from(FLOWS), _amounts(), max_size=3),
).filter(any)


def fields(day: Day) -> dict[bytes, bytes]:
    """Return the hash of an open *day*, written number by number as the script writes it."""
    found = {b"t": b"1790000000"}
    for series, curve in day.curves.items():
        found[str(SERIES.index(series)).encode()] = b"".join(
            bytes([slot])
            + net.to_bytes(4, "big", signed=True)
            + rise.to_bytes(4, "big", signed=True)
            for slot, net, rise in zip(*curve, strict=True)
        )
    for metric, amounts in (day.counters | day.flows).items():
        found[metric.encode()] = b"".join(
            bytes([slot]) + amount.to_bytes(7, "big") for slot, amount in zip(*amounts, strict=True)
        )
    return found
