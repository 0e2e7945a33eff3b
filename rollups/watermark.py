"""How far everything is counted: up to which offsets, and up to when."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rollups.reads import Position

#: Before every record.
_NEVER = -(1 << 40)


class Reach(NamedTuple):
    """How far a topic-partition is counted, and how far it goes; offsets."""

    counted: int  #: everything before this is counted or refused
    stable: int  #: where a producer's open transaction begins, or the end
    end: int  #: behind the last record that is acknowledged

    @property
    def behind(self) -> int:
        """How many offsets are not counted yet."""
        return self.end - self.counted

    @property
    def held(self) -> int:
        """How many of these nobody can read before a transaction is committed or aborted."""
        return self.end - max(self.counted, self.stable)


def complete(
    positions: Mapping[str, Position], ends: Iterable[tuple[str, int, int]], now: int
) -> int:
    """Return the second up to which every published record is counted or refused.

    *positions* are how far each topic-partition is counted, *ends* are (name, first offset, offset
    after the last) of each. A partition that is behind has everything up to the newest of its
    counted records; where none is behind, the time is that of the newest record anywhere: time
    passes by records, and a clock only keeps one with a wrong timestamp from running ahead of
    *now*.
    """
    behind = []
    for name, first, end in ends:
        reached = positions.get(name, Position(0))
        if max(reached.offset, first) < end:
            behind.append(_NEVER if reached.second is None else reached.second)
    newest = max((at.second for at in positions.values() if at.second is not None), default=_NEVER)
    return min(behind) if behind else min(newest, now)
