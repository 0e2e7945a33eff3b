"""Concurrency: how many sessions are present at once, from numbers that are only ever added up.

The problem. A bill needs the largest number of sessions present at any second of each hour, in any
time zone, while starts and stops arrive late, twice, swapped, or never. Keeping a running count
would make the result depend on the order of arrival, and keeping every session would make a
report's cost depend on how many there were.

The argument. A session is present in the half-open interval [begin, end) of whole seconds. It adds
+1 at `begin` and -1 at `end`, so the level at a second is the sum of all deltas up to and including
it. Sums do not depend on order; so nothing that is a function of those deltas does either. A
session without a stop gets its -1 at once, at begin + limit, and a real stop moves it: two more
deltas (+1 at the old end, -1 at the new one). Nothing is ever swept, and nothing waits for a clock.

Cut into slots, the deltas of a slot determine two numbers, whatever came before it:

    net   the sum of its deltas: how much the level changes over it
    rise  the largest running sum at any second of it, relative to the level before it
          (0 for no deltas; -1 if the only delta is a -1 in its first second)

The level carried into a slot is the sum of `net` over all slots before it, and the slot's peak is
carry + rise. An hour's peak is the largest of its slots' peaks. A late or corrected event changes
the slots of its own deltas and nothing else, though it may change every peak between them.

A worked example. A is present 09:50-10:20, B 10:10-10:12.

    slot    deltas                       net  rise   carry  peak
    09:45   +1 at 09:50                   +1     1       0     1
    10:00   +1 at 10:10, -1 at 10:12       0     1       1     2
    10:15   -1 at 10:20                   -1     0       1     1

Hour 9 peaks at 1; hour 10 at max(2, 1) = 2.

Where each step runs:

    1. the earliest start and stop of a session in a micro-batch       `fold`, as `merge` here
    2. the same over all time, the interval, and which deltas move     section 3 of apply.lua
    3. net and rise of each slot that changes                          section 7 of apply.lua
    4. a range's levels and curves, from the days that Redis stores    store/range_assembly.py
    5. the peak of each hour                                           `hourly_peaks` here
    6. maximum, average and busiest hour                               reports/build.py

Steps 2 and 3 once more in Python, for tests: tests/support/reference_model.py.
"""

from collections.abc import Sequence
from itertools import accumulate, islice
from operator import add
from typing import Final, NamedTuple

from rollups.local_time import HourRun
from rollups.range_snapshot import Curve
from rollups.slots import SLOT_SECONDS

#: A start or a stop that has not arrived, where a number is needed: the smallest one of five bytes.
UNKNOWN_SECOND: Final = -(1 << 39)


class Summary(NamedTuple):
    """What a slot does to the level: its `net` change and its highest `rise`."""

    net: int
    rise: int


#: A slot without deltas.
FLAT: Final = Summary(0, 0)


class Presence(NamedTuple):
    """What is known of one session: its earliest start and earliest stop, in whole seconds.

    `start` is the floor of the start, `stop` the ceiling of the stop; None if none arrived.
    """

    start: int | None = None
    stop: int | None = None


def merge(one: Presence, other: Presence) -> Presence:
    """Return what is known from both: the earliest start and the earliest stop."""
    return Presence(_earliest(one.start, other.start), _earliest(one.stop, other.stop))


def _earliest(one: int | None, other: int | None) -> int | None:
    if one is None or (other is not None and other < one):
        return other
    return one


def hourly_peaks(curve: Curve, carry: int, hours: Sequence[HourRun]) -> list[int]:
    """Return the most sessions present at any second of each hour.

    *curve* begins with the first of *hours*, and *carry* is the level before it.
    """
    if not any(curve.rises) and not any(curve.nets):
        return [carry] * sum(run.hours for run in hours)
    levels = accumulate(curve.nets, initial=carry)
    slot_peaks = map(add, levels, curve.rises)
    peaks: list[int] = []
    for run in hours:
        slots = run.seconds // SLOT_SECONDS
        of_run = islice(slot_peaks, run.hours * slots)
        # An hour takes its slots one after the other from the same iterator.
        peaks += map(max, *[of_run] * slots) if slots > 1 else of_run
    return peaks
