"""What a read of the rollups gives: everything a report over some slots needs, and nothing else."""

from collections.abc import Mapping
from typing import NamedTuple

from rollups.concurrency import Summary


class Reading(NamedTuple):
    """An account's rollups over the slots [first, end)."""

    first: int
    end: int
    #: Series to the level carried into `first`, in sessions.
    carry: Mapping[str, int]
    #: Series to the slots with deltas; a slot that is missing is flat.
    summaries: Mapping[str, Mapping[int, Summary]]
    #: Metric to its sum over the range.
    totals: Mapping[str, int]
    #: Metric to its amounts by slot; empty unless asked for.
    by_slot: Mapping[str, Mapping[int, int]]
    #: Flow metric (see `fold.flow_metric`) to its sum over the range; empty unless asked for.
    flows: Mapping[str, int]
