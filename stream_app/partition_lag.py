"""How far each topic-partition is behind what was published to it, in offsets and in seconds.

The second of a look stands for the end that it saw: once that is reached, everything published
before that second is counted. It is the rule of `rollups.watermark.CaughtUp`, for one partition.
"""

from collections.abc import Mapping
from typing import NamedTuple

from rollups.watermark import Position
from stream_app.broker import Span


class PartitionLag(NamedTuple):
    """How far a topic-partition is behind."""

    records: int  #: offsets published and not counted
    blocked: int  #: of these, behind an open transaction
    seconds: int  #: everything published so long ago is counted


class PartitionLags:
    """The lags of all topic-partitions, look by look.

    *since* is a second before which everything published was counted, if one is known when the
    first look is taken.
    """

    def __init__(self, since: int | None = None) -> None:
        self._since = since
        self._reached: dict[str, int] = {}
        #: Of what is not counted: the second of a look, and the end that it saw.
        self._noted: dict[str, tuple[int, int]] = {}

    def observe(
        self, now: int, positions: Mapping[str, Position], spans: Mapping[str, Span]
    ) -> dict[str, PartitionLag]:
        """Return the lags at the second *now*; *positions* were read before *spans*."""
        since, self._since = self._since, None
        reached = {name: self._reached.get(name, now if since is None else since) for name in spans}
        noted: dict[str, tuple[int, int]] = {}
        lags = {}
        for name, (begin, stable, end) in spans.items():
            counted = max(positions[name].offset if name in positions else 0, begin)
            mark = self._noted.get(name, (now, end))
            if counted >= mark[1]:
                reached[name], mark = mark[0], (now, end)
            if counted >= end:
                reached[name] = now
            else:
                noted[name] = mark
            lags[name] = PartitionLag(
                max(0, end - counted), max(0, end - max(counted, stable)), now - reached[name]
            )
        self._reached, self._noted = reached, noted
        return lags
