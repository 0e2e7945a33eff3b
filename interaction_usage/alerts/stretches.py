"""From curves and counters to the stretches in which a rule is over its threshold. Pure.

Reaching a threshold is being over it. A level is looked at second by second, a month's maximum and
counters slot by slot, as the rollups have them.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import add
from typing import NamedTuple

from interaction_usage.alerts.states import Reading, Stretch
from rollups.slots import SLOT_SECONDS

#: (second, change of the level), ordered by second.
Changes = Sequence[tuple[int, int]]


class Month(NamedTuple):
    """A month of an account's zone, as seconds [begin, end) and as it is called: 2026-10."""

    name: str
    begin: int
    end: int


class Window(NamedTuple):
    """The seconds [begin, end) that a curve is known for; *now* lies in it."""

    begin: int
    now: int
    end: int


def of_level(
    window: Window, carry: int, changes: Changes, threshold: int, minutes: int = 0
) -> Reading:
    """Return when a level was *threshold* or more, for some *minutes* if any.

    *carry* is the level before the window. With minutes a stretch begins in the second that
    completes them, counted from when the level reached the threshold:

        level      2  3  3  3  3  2      threshold 3, for 3 seconds
        seconds   [0  1  2  3  4  5)     [1---5) is long enough: over in [3--5)
    """
    needed = max(60 * minutes - 1, 0)
    level, peak, began = carry, carry, window.begin if carry >= threshold else None
    value, found, due = carry, list[Stretch](), list[int]()
    for second, change in _summed(changes):
        before, level = level, level + change
        if second <= window.now:
            value = level
        if before < threshold <= level:
            began, peak = second, level
            if second > window.now:
                due.append(second + needed)
        elif before >= threshold > level:
            if began is not None and began + needed < second:
                due += [began + needed, second]
                found.append(Stretch(began + needed, second, peak))
            began = None
        peak = max(peak, level)
    if began is not None:
        found.append(Stretch(began + needed, None, peak))
        due.append(began + needed)
    if level > 0 or value > 0:
        due.append(window.end)  # sessions without a stop end behind what is known
    over = tuple(_until(found, window.now))
    return Reading(value, over, min((at for at in due if at > window.now), default=None))


def _summed(changes: Changes) -> Iterable[tuple[int, int]]:
    """Return the changes with those of one second together."""
    sums: dict[int, int] = {}
    for second, change in changes:
        sums[second] = sums.get(second, 0) + change
    return sorted(sums.items())


def _until(found: Iterable[Stretch], now: int) -> Iterable[Stretch]:
    """Return what of stretches is so at *now*: what begins later is not there yet."""
    for stretch in found:
        if stretch.begin <= now:
            yield (
                stretch._replace(end=None) if stretch.end is None or stretch.end > now else stretch
            )


class Before(NamedTuple):
    """What a month has before some slot: the maximum or the sum, and when it was over if it was."""

    month: int  #: the second that the month begins at
    slot: int  #: the slot before which it is
    value: int = 0
    crossed: int | None = None


def maximum(
    before: Before, carry: int, nets: Sequence[int], rises: Sequence[int], threshold: int
) -> Before:
    """Return *before* with the maximum of the slots that follow it; *carry* is the level there."""
    peaks = list(map(add, accumulate(nets, initial=carry), rises))
    value = max(before.value, max(peaks, default=carry))
    crossed = before.crossed
    if crossed is None and value >= threshold:
        crossed = next(i for i, peak in enumerate(peaks) if peak >= threshold) + before.slot
        crossed *= SLOT_SECONDS
    return before._replace(slot=before.slot + len(nets), value=value, crossed=crossed)


def counted(before: Before, columns: Sequence[Sequence[int]], threshold: int) -> Before:
    """Return *before* with the sum of the slots that follow it, each counter in a column."""
    value = before.value + sum(map(sum, columns))
    crossed = before.crossed
    if crossed is None and value >= threshold:
        sums = accumulate(map(sum, zip(*columns, strict=True)), initial=before.value)
        crossed = next(i for i, amount in enumerate(sums) if amount >= threshold) + before.slot - 1
        crossed *= SLOT_SECONDS
    # A void may take it below again.
    crossed = crossed if value >= threshold else None
    return before._replace(slot=before.slot + len(columns[0]), value=value, crossed=crossed)


def of_month(month: Month, now: int, known: Before) -> Reading:
    """Return the reading of a month that has *known* by now: over from then to the month's end."""
    has_ended = month.end <= now
    due = None if has_ended else month.end
    if known.crossed is None:
        return Reading(known.value, (), due)
    crossed = max(min(known.crossed, now), month.begin)
    end = month.end if has_ended else None
    return Reading(
        known.value, (Stretch(month.begin, end, known.value, crossed, SLOT_SECONDS),), due
    )


def of_silence(now: int, last: int | None, created: int, minutes: int) -> Reading:
    """Return since when nothing has come for *minutes*; *last* is when something did.

    Nothing: events of an account, or current numbers.
    """
    since = max(last if last is not None else created, created)
    quiet, over_at = max(now - since, 0), since + 60 * minutes
    if over_at <= now:
        return Reading(quiet // 60, (Stretch(over_at, None, quiet // 60),))
    return Reading(quiet // 60, (), over_at)


def of_number(now: int, value: int, threshold: int, *, over: bool = False) -> Reading:
    """Return whether a number is *threshold* or more now, or *over* for another reason."""
    if over or value >= threshold:
        return Reading(value, (Stretch(now, None, value),))
    return Reading(value)


def joined(readings: Iterable[Reading]) -> Reading:
    """Return what the readings of some months say together, the newest last."""
    every = list(readings)
    ends = [reading.due for reading in every if reading.due is not None]
    return Reading(
        every[-1].value,
        tuple(stretch for reading in every for stretch in reading.stretches),
        min(ends, default=None),
        separate=True,
    )
