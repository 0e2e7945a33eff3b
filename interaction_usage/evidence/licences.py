"""Who a licence of so many sessions would have admitted: the one step that SQL does not do.

Whether a session is admitted depends on every decision before it, so this is a loop over the
arrivals in order, which `sql/arrivals.sql` returns.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import NamedTuple


class Arrival(NamedTuple):
    """A session that asks for a place; what was carried into the period has one already."""

    starts: bool  #: in the period; False: carried in
    begins: int
    ends: int


def refused(arrivals: Iterable[Arrival], licence: int) -> int:
    """Return how many sessions find *licence* admitted ones present when they start.

    Those carried in are admitted, however many they are. A refused session is never present.
    """
    present: list[int] = []  # the ends of the admitted sessions, the earliest first
    count = 0
    for starts, begins, ends in arrivals:
        while present and present[0] <= begins:
            heappop(present)
        if starts and len(present) >= licence:
            count += 1
        else:
            heappush(present, ends)
    return count
