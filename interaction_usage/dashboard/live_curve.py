"""An account's hour as it happens: the last 60 minutes of each series, second by second. Pure.

The level at a second is what was carried into a slot plus all changes up to and including that
second (see `rollups.concurrency`), so the curve is exact, and events that come late correct it.

Sessions that are open need no list of sessions. One without a stop ends `limit` seconds after its
start, as a -1 that stands in the future already, and a stop that comes takes that -1 away. So the
-1 after this second are the open sessions, and each tells its age:

    age = limit - (end - this second)

A real stop can stand shortly after this second, too: it is the ceiling of its time, and a
producer's clock may be ahead. So ends within `AHEAD` seconds are not taken for old sessions; a
session in the last minute before its limit is therefore not among them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from rollups.catalog import APPLICATIONS, SERIES, SERIES_OF
from rollups.slots import SLOT_SECONDS, slot_of

#: How long the curve is, in seconds; an hour of the wall clock is never longer.
CURVE_SECONDS: Final = 3600

#: A session without a stop is one for long after this time, in seconds, or half of its limit.
LONG: Final = 4 * 3600

#: Ends so near ahead may be real stops.
AHEAD: Final = 60

#: (second, change of the level), ordered by second.
Changes = Sequence[tuple[int, int]]


class Now(NamedTuple):
    """One series at this second."""

    now: int  #: sessions present at this second; all of them are open
    peak: int  #: the most at any second of the hour so far
    peak_second: int | None  #: the first second with that peak; None where it is 0
    long: int  #: of the open ones, those without a stop for long
    oldest: int | None  #: the second at which the oldest of these began
    levels: Sequence[int]  #: at each of the last `CURVE_SECONDS` seconds, this one included


def slots_of_curve(second: int) -> tuple[int, int]:
    """Return the slots [first, end) that the curve up to *second* lies in."""
    return slot_of(second - CURVE_SECONDS + 1), slot_of(second) + 1


def slots_ahead(second: int, limits: Mapping[str, int]) -> tuple[int, int]:
    """Return the slots [first, end) in which sessions open at *second* may end."""
    return slot_of(second), slot_of(second + max(limits.values())) + 1


def long_after(limit: int) -> int:
    """Return the age in seconds from which a session without a stop is one for long."""
    return min(LONG, max(limit // 2, 1))


def moment(
    second: int,
    hour_began: int,
    carry: Mapping[str, int],
    past: Mapping[str, Changes],
    ahead: Mapping[str, Changes],
    limits: Mapping[str, int],
) -> dict[str, Now]:
    """Return each series at *second*, of an hour of the wall clock that began at *hour_began*.

    *carry* is the level before the first of `slots_of_curve`, *past* the changes in those slots, by
    series; *ahead* those in `slots_ahead`, by application.
    """
    olds = {name: _old(second, ahead[name], limits[name]) for name in APPLICATIONS}
    found = {}
    for series in SERIES:
        levels = _levels(second, carry[series], past[series])
        hour = levels[max(0, hour_began - (second - CURVE_SECONDS + 1)) :]
        peak = max(hour)
        mine = [olds[name] for name in APPLICATIONS if series in SERIES_OF[name]]
        begun = [old[1] for old in mine if old[1] is not None]
        found[series] = Now(
            levels[-1],
            peak,
            second - len(hour) + 1 + hour.index(peak) if peak > 0 else None,
            sum(count for count, _ in mine),
            min(begun, default=None),
            levels,
        )
    return found


def _levels(second: int, carry: int, changes: Changes) -> list[int]:
    """Return the level at each second of the curve up to *second*."""
    begin = slots_of_curve(second)[0] * SLOT_SECONDS
    deltas = [0] * (second + 1 - begin)
    for when, change in changes:
        if when <= second:
            deltas[when - begin] += change
    return list(accumulate(deltas, initial=carry))[-CURVE_SECONDS:]


def _old(second: int, changes: Changes, limit: int) -> tuple[int, int | None]:
    """Return how many sessions have had no stop for long, and the start of the oldest of them."""
    guard = min(AHEAD, limit // 10)
    first = bisect_right(changes, second + guard, key=lambda change: change[0])
    end = bisect_left(changes, second + limit - long_after(limit) + 1, key=lambda change: change[0])
    ends = [(when, -change) for when, change in changes[first:end] if change < 0]
    return sum(count for _, count in ends), ends[0][0] - limit if ends else None
