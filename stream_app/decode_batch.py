"""A fetched batch decoded: its events at their offsets, and a dead letter for each other record."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

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


class PendingDeadLetter(NamedTuple):
    """A record that is not counted, and the dead letter that is to be published for it."""

    record: ConsumerRecord
    reason: Reason
    dead_letter: DeadLetter


def decode_batch(
    tp: Place, records: list[FetchedRecord], earlier: SealedRejections = NO_REJECTIONS
) -> tuple[list[OffsetEvent], list[PendingDeadLetter]]:
    """Return the events of *records* of *tp* at their offsets, and dead letters of the rest.

    What was rejected *earlier* for a sealed day is neither: it stays rejected.
    """
    records = earlier.without_rejected(tp, records)
    events: list[OffsetEvent] = []
    rejected: list[PendingDeadLetter] = []
    for begin in range(0, len(records), _AT_A_TIME):
        some = records[begin : begin + _AT_A_TIME]
        outcomes = decode_all(tp[0], some)
        before = len(events)
        events += [
            OffsetEvent(record.offset, outcome)
            for record, outcome in zip(some, outcomes, strict=True)
            if type(outcome) is Event
        ]
        if len(events) - before < len(some):
            rejected += [
                _pending(with_place(tp, record), outcome)
                for record, outcome in zip(some, outcomes, strict=True)
                if isinstance(outcome, RejectedError)
            ]
    return events, rejected


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
    newest = max(record.timestamp for record in records)
    return newest // 1000 if newest >= 0 else None
