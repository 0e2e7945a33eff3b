"""What a read of the rollups gives: everything a report over some slots needs, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rollups.concurrency import Summary


class Curve(NamedTuple):
    """A series over some slots: net and rise of each, in order; both 0 where nothing changed."""

    nets: Sequence[int]
    rises: Sequence[int]

    def summaries(self, first: int) -> dict[int, Summary]:
        """Return (net, rise) by slot, without flat ones, of a curve that begins at *first*."""
        pairs = enumerate(zip(self.nets, self.rises, strict=True), first)
        return {slot: Summary(*pair) for slot, pair in pairs if pair != (0, 0)}


def dense(slots: Mapping[int, int], first: int, end: int) -> list[int]:
    """Return the amount of each slot of [first, end), in order, from those that have one."""
    amounts = [0] * (end - first)
    for slot, amount in slots.items():
        if first <= slot < end:
            amounts[slot - first] = amount
    return amounts


class Reading(NamedTuple):
    """An account's rollups over the slots [first, end)."""

    first: int
    end: int
    #: Series to the level carried into `first`, in sessions.
    carry: Mapping[str, int]
    #: Series to what it does from slot to slot.
    curves: Mapping[str, Curve]
    #: Metric to its sum over the range.
    totals: Mapping[str, int]
    #: Metric to its amount in each slot of [first, end), in order; only metrics that have any, and
    #: empty unless asked for.
    by_slot: Mapping[str, Sequence[int]]
    #: Flow metric (see `fold.flow_metric`) to its sum over the range; empty unless asked for.
    flows: Mapping[str, int]
