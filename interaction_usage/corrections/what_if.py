"""What a report would say after a change of the rollups. Pure.

A change is a sum: amounts of counters in slots, and deltas of curves at seconds. A slot's curve
depends on its deltas per second alone, so those of the few slots that change are all that is
needed beside the snapshot that reports are made from.
"""

from collections.abc import Mapping
from typing import NamedTuple

from rollups.catalog import SERIES_OF, STARTED, UNSTOPPED
from rollups.concurrency import Presence
from rollups.fold import is_flow_metric
from rollups.range_snapshot import Curve, RangeSnapshot
from rollups.slots import SLOT_SECONDS, slot_of


class Change(NamedTuple):
    """What a correction changes in the rollups of an account."""

    amounts: Mapping[tuple[str, int], int]  #: (metric, slot) to how much it grows by
    deltas: Mapping[tuple[str, int], int]  #: (series, second) to the change of the level there

    @property
    def seconds(self) -> list[int]:
        """The seconds at which something changes, ascending."""
        return sorted(
            {slot * SLOT_SECONDS for _, slot in self.amounts}
            | {second for _, second in self.deltas}
        )


def session_change(application: str, old: Presence, new: Presence, limit: int) -> Change:
    """Return what changes where a session is counted as *new* instead of *old*."""
    amounts: dict[tuple[str, int], int] = {}
    deltas: dict[tuple[str, int], int] = {}
    for presence, sign in ((old, -1), (new, 1)):
        if presence.start is None:
            continue
        slot = slot_of(presence.start)
        _add(amounts, (STARTED[application], slot), sign)
        if presence.stop is None:
            _add(amounts, (UNSTOPPED[application], slot), sign)
            end = presence.start + limit
        else:
            end = max(presence.stop, presence.start + 1)
        for series in SERIES_OF[application]:
            _add(deltas, (series, presence.start), sign)
            _add(deltas, (series, end), -sign)
    return Change(amounts, deltas)


def _add(sums: dict[tuple[str, int], int], place: tuple[str, int], amount: int) -> None:
    total = sums.get(place, 0) + amount
    if total:
        sums[place] = total
    else:
        sums.pop(place, None)


def changed(
    snapshot: RangeSnapshot, change: Change, known: Mapping[tuple[str, int], Mapping[int, int]]
) -> RangeSnapshot:
    """Return *snapshot* as it would be after a *change*.

    *known* has, by series and slot, the deltas that are there now: second to change of the level.
    """
    totals, flows = dict(snapshot.totals), dict(snapshot.flows)
    for (metric, slot), amount in change.amounts.items():
        if snapshot.first <= slot < snapshot.end:
            sums = flows if is_flow_metric(metric) else totals
            sums[metric] = sums.get(metric, 0) + amount
    carry = dict(snapshot.carry)
    curves = {
        series: Curve(list(curve.nets), list(curve.rises))
        for series, curve in snapshot.curves.items()
    }
    by_slot: dict[tuple[str, int], dict[int, int]] = {}
    for (series, second), amount in change.deltas.items():
        slot = slot_of(second)
        if slot < snapshot.first:
            carry[series] = carry.get(series, 0) + amount
        elif slot < snapshot.end:
            by_slot.setdefault((series, slot), {})[second] = amount
    for (series, slot), deltas in by_slot.items():
        merged = dict(known.get((series, slot), {}))
        for second, amount in deltas.items():
            merged[second] = merged.get(second, 0) + amount
        nets, rises = curves[series]
        net, rise = _summary(merged, slot * SLOT_SECONDS)
        nets[slot - snapshot.first], rises[slot - snapshot.first] = net, rise  # type: ignore[index]
    return snapshot._replace(totals=totals, flows=flows, carry=carry, curves=curves)


def _summary(deltas: Mapping[int, int], begin: int) -> tuple[int, int]:
    """Return net and rise of the slot that begins with the second *begin* (see `concurrency`)."""
    level, rise = 0, None if deltas.get(begin) else 0
    for second in sorted(deltas):
        if deltas[second]:
            level += deltas[second]
            rise = level if rise is None else max(rise, level)
    return level, rise or 0
