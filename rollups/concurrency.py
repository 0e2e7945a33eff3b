"""Concurrency: how many sessions are present at once, from numbers that only ever add up.

The problem. A bill needs the highest number of sessions present at any second of each hour, in any
time zone, while starts and stops arrive late, twice, swapped, or never. Keeping a running count
would make the result depend on the order of arrival, and keeping every session would make a
report's cost depend on how many there were.

The argument. A session is present in the half-open interval [begin, end) of whole seconds. It adds
+1 at `begin` and -1 at `end`, so the level at a second is the sum of all deltas up to and including
it. Sums do not care about order; so whatever is a function of those deltas does not either. A
session without a stop gets its -1 at once, at begin + limit, and a real stop moves it: two more
deltas (+1 where the end was, -1 where it is now). Nothing is ever swept and nothing waits for a
clock.

Cut into slots, the deltas of a slot say two things, whatever came before it:

    net   the sum of its deltas: what it hands on
    rise  the largest running sum at any second of it, relative to the level before it
          (0 for no deltas; -1 if the only delta is a -1 in its first second)

The level carried into a slot is the sum of `net` over all slots before it, and the slot's peak is
carry + rise. Two neighbouring stretches combine as

    (n1, r1) . (n2, r2) = (n1 + n2, max(r1, n1 + r2))

which is associative, so hours, days and any range fold from slots. A late or corrected event
changes the slots of its own deltas and nothing else, though it changes every peak between them.

A worked example. A is present 09:50-10:20, B 10:10-10:12.

    slot    deltas                       net  rise   carry  peak
    09:45   +1 at 09:50                   +1     1       0     1
    10:00   +1 at 10:10, -1 at 10:12       0     1       1     2
    10:15   -1 at 10:20                   -1     0       1     1

Hour 9 peaks at 1; hour 10 at max(2, 1) = 2.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from rollups.slots import SLOT_SECONDS


class Summary(NamedTuple):
    """What a stretch of time does to the level: its `net` change and its highest `rise`."""

    net: int
    rise: int


#: A stretch without deltas; the neutral element of `combine` for stretches that peak at 0 or more.
FLAT: Final = Summary(0, 0)


class Presence(NamedTuple):
    """What is known of one session: its earliest start and earliest stop, in whole seconds.

    `start` is the floor of the start, `stop` the ceiling of the stop; None where none arrived.
    """

    start: int | None = None
    stop: int | None = None


def merge(known: Presence, told: Presence) -> Presence:
    """Return what is known after both were told: the earliest start and the earliest stop."""
    return Presence(_earliest(known.start, told.start), _earliest(known.stop, told.stop))


def _earliest(one: int | None, other: int | None) -> int | None:
    if one is None or (other is not None and other < one):
        return other
    return one


def interval(session: Presence, limit: int) -> tuple[int, int] | None:
    """Return the half-open interval of seconds [begin, end) in which *session* is present.

    Without a stop it lasts *limit* seconds (the session is inferred); with one it lasts until the
    stop, and for at least one second. A session whose start has not arrived is nowhere: None.
    """
    if session.start is None:
        return None
    if session.stop is None:
        return session.start, session.start + limit
    return session.start, max(session.stop, session.start + 1)


def summarize(deltas: Mapping[int, int]) -> Summary:
    """Return (net, rise) of one slot from its *deltas*: second of the slot (0 to 899) to change."""
    level = 0
    rise: int | None = None if 0 in deltas else 0
    for second in sorted(deltas):
        if not 0 <= second < SLOT_SECONDS:
            raise ValueError(f"a slot has the seconds 0 to {SLOT_SECONDS - 1}, not {second}")
        level += deltas[second]
        rise = level if rise is None else max(rise, level)
    return Summary(level, rise or 0) if rise is not None else FLAT


def combine(earlier: Summary, later: Summary) -> Summary:
    """Return the summary of two neighbouring stretches, *earlier* directly before *later*."""
    return Summary(earlier.net + later.net, max(earlier.rise, earlier.net + later.rise))
