"""Whether a report has everything that was published: judged from what workers last saw. Pure.

A worker looks once a second at how far each topic-partition is counted and where it ends, and
leaves what it saw in Redis. A report is judged by that and by the positions that are read with it,
so it needs no Kafka; and by no clock but the worker's own, so clocks need not agree.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from rollups.gaps import Gap
from rollups.quantity import quantity
from rollups.watermark import Position

#: Seconds for which published events may wait before reports are incomplete: a live stream always
#: has some that were published a moment ago.
PATIENCE_S: Final = 10


class Status(StrEnum):
    """What can be said of the numbers of a report."""

    ISSUED = "issued"  #: they are those of an issued report
    OPEN = "open"  #: the period has not ended
    PROVISIONAL = "provisional"  #: everything published is counted; late events may still come
    INCOMPLETE = "incomplete"  #: something published may be missing, or whether is unknown


class Progress(NamedTuple):
    """What a worker saw when it last looked; seconds are those of its clock."""

    looked_at: int
    complete_to: int | None  #: everything published before it is counted or rejected; or unknown
    rests_on: Mapping[str, int]  #: the positions that this is so with, by topic-partition
    pending: int | None  #: how many events were waiting; None if unknown
    blocked: int = 0  #: of these, behind an open transaction of a producer
    problem: str = ""  #: why it could not see how far topics reach: a clause, or empty


class Known(NamedTuple):
    """What Redis says of the stream at one moment."""

    progress: Progress | None = None  #: what was reported last, however long ago
    is_current: bool = False  #: whether that was within the last seconds
    positions: Mapping[str, Position] = {}
    has_refused: bool = True  #: whether all dead letters are in the counts of refused events
    gaps: Sequence[Gap] = ()


class Completeness(NamedTuple):
    """What a report says of itself."""

    status: Status
    complete_to: int | None  #: everything published before this second is counted or refused
    pending: int | None  #: events that were waiting at the last look; None if unknown
    refused: int  #: events of the account in these days that lie in dead letters
    reasons: tuple[str, ...] = ()  #: why something may be missing, a sentence each
    accepted: tuple[str, ...] = ()  #: what is missing and was accepted, a sentence each

    def members(self) -> dict[str, object]:
        """Return the same as members of a JSON document."""
        members = self._asdict() | {"reasons": [*self.reasons], "accepted": [*self.accepted]}
        if self.complete_to is not None:
            instant = datetime.fromtimestamp(self.complete_to, UTC)
            members["complete_to"] = instant.isoformat().replace("+00:00", "Z")
        return members


#: Of a report about whose completeness nothing was asked.
UNKNOWN: Final = Completeness(
    Status.INCOMPLETE, None, None, 0, ("How far events are counted is unknown",)
)


def judge(known: Known, period: tuple[int, int], as_of: int, refused: int = 0) -> Completeness:
    """Return what a report over the seconds [begin, end) of *period* may say of itself."""
    touching = [gap for gap in known.gaps if gap.touches(*period)]
    reasons = [*reasons_of_stream(known), *(_missing(gap) for gap in touching if not gap.accepted)]
    progress = known.progress
    complete_to = progress.complete_to if progress and not _lost(known) else None
    # Also by the clock of the worker: what ends within these seconds may not be there yet.
    has_ended = period[1] <= as_of and complete_to is not None and period[1] <= complete_to
    ended = Status.PROVISIONAL if has_ended else Status.OPEN
    return Completeness(
        Status.INCOMPLETE if reasons else ended,
        complete_to,
        progress.pending if progress and known.is_current else None,
        refused,
        tuple(reasons),
        tuple(_accepted(gap) for gap in touching if gap.accepted),
    )


def shown(second: int) -> str:
    """Return *second* in words: `2026-11-01 08:59:58 UTC`."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def reasons_of_stream(known: Known) -> list[str]:
    """Return why events may be missing that Kafka still has, whatever the report: a clause each."""
    progress = known.progress
    if progress is None:
        return ["No worker has reported yet how far events are counted"]
    if not known.is_current:
        return [f"No worker has reported since {shown(progress.looked_at)}; events may be waiting"]
    if lost := _lost(known):
        return [f"Redis lost what was counted last: {_events(lost)} to be counted again"]
    if progress.problem:
        return [f"How many events are waiting is unknown: {progress.problem}"]
    reasons = []
    counted = progress.complete_to
    if counted is None or progress.looked_at - counted > PATIENCE_S:
        behind = ", behind an open transaction of a producer" if progress.blocked else ""
        since = f"; what was published before {shown(counted)} is counted" if counted else ""
        reasons.append(f"{_events(progress.pending or 0)} not counted yet{behind}{since}")
    if not known.has_refused:
        reasons.append("How many events were refused is unknown: dead letters are being read")
    return reasons


def _lost(known: Known) -> int:
    """Return how many events are no longer counted that were when a worker last looked."""
    rests_on = known.progress.rests_on if known.progress else {}
    nowhere = Position(0)
    return sum(
        max(0, end - known.positions.get(name, nowhere).offset) for name, end in rests_on.items()
    )


def _events(number: int) -> str:
    return quantity(number, "published event", "is")


def _missing(gap: Gap) -> str:
    """Return what a gap means for the reports that it touches."""
    number = gap.end - gap.first
    events = f"up to {quantity(number, 'event')}"
    between = f"between {shown(gap.since)} and " if gap.since is not None else "before "
    return f"Kafka deleted {events} uncounted, published {between}{shown(gap.until)} ({gap.id})"


def _accepted(gap: Gap) -> str:
    reason = gap.accepted.reason if gap.accepted else ""
    return f"{_missing(gap)}; accepted: {reason}"
