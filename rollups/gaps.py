"""Gaps: what Kafka deleted before it was counted, and which periods it may belong to. Pure.

Nobody knows what events a gap had. Each was published before the gap was found, and after
everything that was counted before. How far an event's own time may lie from that:

    |<-- 35 days -->|                            |<-- 5 min -->|
    [............since======================until.............)
                     published in here, by a known clock

An older event belongs to a load of history, of which an operator knows; a newer one would be
refused, for it lies ahead of its record. Producers set timestamps, so these say nothing.
"""

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

#: Seconds by which an event may be older than its publication, and newer.
OLDEST_EVENT_S: Final = 35 * 86_400
CLOCKS_AHEAD_S: Final = 300

_ID_DIGITS: Final = 10


class Acceptance(NamedTuple):
    """That an operator knows of a gap: reports are not incomplete because of it any more."""

    reason: str
    by: str  #: who accepted it
    second: int


class Gap(NamedTuple):
    """The offsets [first, end) of a topic-partition, which were deleted uncounted."""

    topic: str
    partition: int
    topic_id: str  #: the id that Kafka gave the topic, as in fences; empty if it gives none
    first: int
    end: int
    since: int | None  #: everything published before this second is counted; None if unknown
    until: int  #: the second at which it was found: everything in it was published before
    found_by: str  #: worker or rebuild
    accepted: Acceptance | None = None

    @property
    def id(self) -> str:
        """The same for the same offsets of the same topic, whoever finds them missing."""
        place = f"{self.topic}/{self.partition}@{self.topic_id}:{self.first}-{self.end}"
        return hashlib.sha256(place.encode()).hexdigest()[:_ID_DIGITS]

    @property
    def place(self) -> str:
        """What people call it: `usage.flows/3, offsets 10 to 19`."""
        last = self.end - 1
        offsets = f"offsets {self.first:,} to {last:,}" if self.first < last else f"offset {last:,}"
        return f"{self.topic}/{self.partition}, {offsets}"

    def touches(self, begin: int, end: int) -> bool:
        """Tell whether an event in it may belong to the seconds [begin, end)."""
        is_after = self.since is not None and end <= self.since - OLDEST_EVENT_S
        return begin < self.until + CLOCKS_AHEAD_S and not is_after


def unknown_part(gap: Gap, known: Iterable[Gap]) -> Gap | None:
    """Return what of *gap* lies behind the *known* gaps that cover its beginning; None for nothing.

    known   [------)
    gap        [----------)
    answer         [------)
    """
    for other in sorted(known, key=lambda each: each.first):
        if _is_same_place(gap, other) and other.first <= gap.first < other.end:
            gap = gap._replace(first=other.end)
    return gap if gap.first < gap.end else None


def _is_same_place(one: Gap, other: Gap) -> bool:
    return one[:3] == other[:3]  # topic, partition, and the topic's id


def unaccepted(gaps: Iterable[Gap]) -> list[Gap]:
    """Return those of *gaps* that no operator has accepted."""
    return [gap for gap in gaps if gap.accepted is None]
