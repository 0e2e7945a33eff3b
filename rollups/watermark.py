"""How far everything is counted: up to which offsets, and up to when."""

from collections.abc import Mapping
from typing import NamedTuple


class Position(NamedTuple):
    """How far a topic-partition is counted."""

    offset: int  #: every record before it is counted or refused
    second: int | None = None  #: the timestamp of the newest of them; None if there is none


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


class CaughtUp:
    """Knows a time on the clock before which everything that was published is counted or refused.

    It is the time of a look at where the topics ended, once all of that is counted. No record's
    timestamp is asked: whoever produces one may set it to anything.
    """

    def __init__(self) -> None:
        self.second: int | None = None  #: None while nothing is known
        self._looked: tuple[int, dict[str, int]] | None = None

    def look(
        self, now: int, positions: Mapping[str, Position], ends: Mapping[str, tuple[int, int]]
    ) -> None:
        """Take note of how far each topic-partition is counted, and from where to where it goes.

        *positions* were read before *ends*, (first offset, offset after the last); *now* is the
        second before both.
        """
        if self._looked:
            second, wanted = self._looked
            if all(
                max(positions.get(name, Position(0)).offset, ends[name][0]) >= end
                for name, end in wanted.items()
                if name in ends  # else its topic is no more
            ):
                self.second, self._looked = second, None
        if not self._looked:
            self._looked = now, {name: end for name, (_, end) in ends.items()}
