"""How far everything is counted: up to which offset, and up to which second."""

from collections.abc import Mapping
from typing import NamedTuple


class Position(NamedTuple):
    """How far a topic-partition is counted."""

    offset: int  #: every record before it is counted or rejected
    second: int | None = None  #: the timestamp of the newest of them; None if there is none


class OffsetRange(NamedTuple):
    """The offsets [first, end) of a topic-partition."""

    first: int
    end: int


class Reach(NamedTuple):
    """How far a topic-partition is counted, and where it ends; offsets."""

    counted: int  #: everything before this is counted or rejected
    stable: int  #: the last stable offset: where an open transaction begins, or the end
    end: int  #: the high watermark: after the last acknowledged record

    @property
    def behind(self) -> int:
        """How many offsets are not counted yet."""
        return self.end - self.counted

    @property
    def blocked(self) -> int:
        """How many of these nobody can read until a transaction is committed or aborted."""
        return self.end - max(self.counted, self.stable)


class CaughtUp:
    """The time on the clock before which everything that was published is counted or rejected.

    The ends of the topics are noted with the time; once everything before them is counted, that
    time is reached. No record's timestamp is used: its producer may set it to anything.
    """

    def __init__(self) -> None:
        self.second: int | None = None  #: None until the first ends are reached
        #: The ends that were reached then, of topic-partitions that are counted up to them.
        self.ends: Mapping[str, int] = {}
        self._noted: tuple[int, Mapping[str, tuple[int, int]]] | None = None

    def observe(
        self, now: int, positions: Mapping[str, Position], ends: Mapping[str, tuple[int, int]]
    ) -> None:
        """Take in how far each topic-partition is counted, and where it begins and ends.

        *positions* were read before *ends*, (first offset, offset after the last); *now* is the
        second before both.
        """
        counted = {name: positions.get(name, Position(0)).offset for name in ends}
        noted = [self._noted] if self._noted else []
        for second, spans in (*noted, (now, ends)):
            if not all(
                max(counted[name], ends[name][0]) >= end
                for name, (_, end) in spans.items()
                if name in ends  # else its topic was deleted
            ):
                self._noted = second, spans
                return
            self.second, self._noted = second, None
            self.ends = {
                name: end for name, (_, end) in spans.items() if 0 < end <= counted.get(name, 0)
            }
