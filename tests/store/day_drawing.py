"""What hypothesis draws of days as they are kept: quiet ones and busy ones, and their hashes."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from hypothesis import strategies as st

from interaction_usage.store.day_encoding import Amounts, Curve, Day
from rollups.catalog import METRICS, SERIES
from rollups.slots import SLOTS_PER_DAY

T = TypeVar("T")

FLOWS = ("c:f", "a:f", "c:Rückruf 🛟", "c:" + "x" * 200, "a:1.c:f")


def _slots(rng: Random) -> list[int]:
    """Return slots of a day, in order: a few, nearly all, or all of them."""
    few = sorted(rng.sample(range(SLOTS_PER_DAY), rng.randint(1, 4)))
    if rng.random() < 0.5:
        return few
    gone = few if rng.random() < 0.5 else []
    return [slot for slot in range(SLOTS_PER_DAY) if slot not in gone]


def _repeated(draw: Callable[[], T], count: int, length: int) -> list[T]:
    """Return *count* drawn values again and again."""
    pattern = [draw() for _ in range(count)]
    return (pattern * (length // len(pattern) + 1))[:length]


def _curve(rng: Random) -> Curve:
    slots = _slots(rng)

    def net() -> int:
        most = rng.choice((3, 3, 2**31 - 1))
        return rng.choice((rng.randint(-most, most), -most - (most > 3), most))

    def pair() -> tuple[int, int]:
        while not any(drawn := (net(), net())):
            pass
        return drawn

    nets, rises = zip(*_repeated(pair, rng.randint(1, 5), len(slots)), strict=True)
    return Curve(slots, list(nets), list(rises))


def _amounts(rng: Random) -> Amounts:
    slots = _slots(rng)

    def amount() -> int:
        return rng.choice((rng.randint(1, 3), rng.randint(1, 2**52), 2**52))

    return Amounts(slots, _repeated(amount, rng.randint(1, 5), len(slots)))


def _some(rng: Random, names: Sequence[str], draw: Callable[[Random], T]) -> dict[str, T]:
    """Return up to three of *names*, each with what is drawn for it."""
    return {name: draw(rng) for name in rng.sample(names, rng.randint(0, 3))}


def _day(rng: Random) -> Day:
    return Day(
        _some(rng, SERIES, _curve), _some(rng, METRICS, _amounts), _some(rng, FLOWS, _amounts)
    )


#: Hypothesis draws the seed alone: hundreds of numbers a day would take it most of a test's time.
days = st.randoms(use_true_random=True).map(_day).filter(any)


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
