"""A fetched batch decoded: its events at their offsets, and a dead letter for each other record."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple, cast

from aiokafka.structs import ConsumerRecord

from rollups.events import Event
from rollups.fold import SEALED_AFTER, OffsetEvent
from rollups.timestamps import DAY_SECONDS
from stream_app.codec import decode_all
from stream_app.dead_letters import DeadLetter, dead_letter
from stream_app.fetched_record import FetchedRecord, with_place
from stream_app.rejection import Reason, RejectedError
from stream_app.sealed_rejections import NO_REJECTIONS, Place, SealedRejections

_SEALED = (
    "it would change a day that is sealed: when it was read, nothing had been counted for that day "
    f"for {SEALED_AFTER // DAY_SECONDS} days"
)

#: Records that are decoded at a time: all that is made of them fits into the processor's cache.
_AT_A_TIME: Final = 128

_OFFSET: Final = attrgetter("offset")
_TIMESTAMP: Final = attrgetter("timestamp")


class PendingDeadLetter(NamedTuple):
    """A record that is not counted, and the dead letter that is to be published for it."""

    record: ConsumerRecord
    reason: Reason
    dead_letter: DeadLetter


class DecodedRecords:
    """The events of fetched records of a topic-partition, decoded as they are wanted.

    They are decoded each time: mostly they are wanted once, and to keep them costs more than that.
    What was rejected *earlier* for a sealed day is neither an event nor a dead letter: it stays
    rejected.
    """

    def __init__(
        self, tp: Place, records: list[FetchedRecord], earlier: SealedRejections = NO_REJECTIONS
    ) -> None:
        self._tp, self._records = tp, earlier.without_rejected(tp, records)
        #: The dead letters of those that are no valid events, once all chunks were read.
        self.rejected: list[PendingDeadLetter] = []

    def chunks(self) -> Iterator[tuple[list[int], list[Event]]]:
        """Yield offsets, and the events at them."""
        rejected: list[PendingDeadLetter] = []
        for begin in range(0, len(self._records), _AT_A_TIME):
            some = self._records[begin : begin + _AT_A_TIME]
            outcomes = decode_all(self._tp[0], some)
            offsets = list(map(_OFFSET, some))
            if set(map(type, outcomes)) == {Event}:  # as nearly always
                yield offsets, cast(list[Event], outcomes)
                continue
            rejected += [
                _pending(with_place(self._tp, record), outcome)
                for record, outcome in zip(some, outcomes, strict=True)
                if isinstance(outcome, RejectedError)
            ]
            placed = [
                (offset, outcome)
                for offset, outcome in zip(offsets, outcomes, strict=True)
                if isinstance(outcome, Event)
            ]
            yield [offset for offset, _ in placed], [event for _, event in placed]
        self.rejected = rejected

    def at(self, offsets: Sequence[int]) -> list[Event]:
        """Return the events at *offsets*, at which there are some."""
        places = (bisect_left(self._records, offset, key=_OFFSET) for offset in offsets)
        outcomes = decode_all(self._tp[0], [self._records[place] for place in places])
        return [outcome for outcome in outcomes if isinstance(outcome, Event)]


def decode_batch(
    tp: Place, records: list[FetchedRecord], earlier: SealedRejections = NO_REJECTIONS
) -> tuple[list[OffsetEvent], list[PendingDeadLetter]]:
    """Return the events of *records* of *tp* at their offsets, and dead letters of the rest."""
    decoded = DecodedRecords(tp, records, earlier)
    events = [
        OffsetEvent(offset, event)
        for chunk in decoded.chunks()
        for offset, event in zip(*chunk, strict=True)
    ]
    return events, decoded.rejected


def accepted_events(
    topic: str, partition: int, records: list[ConsumerRecord], earlier: SealedRejections
) -> Iterator[tuple[ConsumerRecord, Event]]:
    """Yield those of *records* that hold a valid event and were not rejected *earlier*."""
    records = earlier.without_rejected((topic, partition), records)
    for record, outcome in zip(records, decode_all(topic, records), strict=True):
        if isinstance(outcome, Event):
            yield record, outcome


def sealed_dead_letter(record: ConsumerRecord) -> PendingDeadLetter:
    """Return the dead letter of a *record* whose event would change a sealed day."""
    return _pending(record, RejectedError(Reason.SEALED, _SEALED))


def _pending(record: ConsumerRecord, rejection: RejectedError) -> PendingDeadLetter:
    return PendingDeadLetter(record, rejection.reason, dead_letter(record, rejection))


def newest_second(records: Sequence[FetchedRecord]) -> int | None:
    """Return the newest timestamp of *records*, in seconds; None if none has one."""
    newest: int = max(map(_TIMESTAMP, records))
    return newest // 1000 if newest >= 0 else None
