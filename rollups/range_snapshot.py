"""A snapshot of an account's rollups over a range of slots: all that a report needs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Curve(NamedTuple):
    """A series over some slots: net and rise of each, in order; both 0 if nothing changed."""

    nets: Sequence[int]
    rises: Sequence[int]


class RangeSnapshot(NamedTuple):
    """An account's rollups over the slots [first, end), as of one moment."""

    first: int
    end: int
    #: Series to the level carried into `first`, in sessions.
    carry: Mapping[str, int]
    #: Series to its curve.
    curves: Mapping[str, Curve]
    #: Metric to its sum over the range.
    totals: Mapping[str, int]
    #: Metric to its amount in each slot of [first, end), in order; only metrics that have any, and
    #: empty unless asked for.
    by_slot: Mapping[str, Sequence[int]]
    #: Flow metric (see `fold.flow_metric`) to its sum over the range; empty unless asked for.
    flows: Mapping[str, int]
    #: Whether sessions are counted in all of it; else their counters say nothing.
    has_sessions: bool = True
    #: Topic-partition (`keys.fence`) to the offset of the last event of the account that is
    #: counted; empty unless asked for.
    fences: Mapping[str, int] = {}
    #: How many voids of the account have no event yet, whatever their days.
    pending_voids: int = 0
    #: Metric to its sum in each of the spans that were asked for; only metrics that have any.
    by_span: Mapping[str, Sequence[int]] = {}
