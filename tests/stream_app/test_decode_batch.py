"""A fetched batch is decoded: events at their offsets, and dead letters of the rest."""

from typing import NamedTuple

import pytest
from aiokafka.structs import ConsumerRecord
from faust.types import TP

from rollups.fold import OffsetEvent
from stream_app import dead_letters
from stream_app.dead_letters import dead_letter
from stream_app.decode_batch import decode_batch, sealed_dead_letter
from stream_app.rejection import Reason, RejectedError
from stream_app.sealed_rejections import sealed_rejections_in
from stream_app.topics import FLOWS
from tests.stream_app.usage_events import example, read, structured

FLOW = "usage.flow.run"
GOOD = structured(example(FLOW))
EVENT = read(example(FLOW))
PARTITION = TP(FLOWS, 3)
STAMP = EVENT.time // 1000 + 1_999  #: milliseconds: the event's own second, and nearly two more


def fetched(*values: bytes | None, stamp: int = STAMP) -> list[ConsumerRecord]:
    """Return records of *values*, at every second offset from 40, published at *stamp*."""
    return [
        ConsumerRecord(FLOWS, 3, 40 + 2 * place, stamp, 0, b"acme", value, None, 4, 0, ())
        for place, value in enumerate(values)
    ]


def test_events_stand_at_the_offsets_of_their_records():
    """Gaps in the offsets and refused neighbours move nothing."""
    placed, letters = decode_batch(PARTITION, fetched(GOOD, b"{", GOOD, None, GOOD))
    assert placed == [OffsetEvent(offset, EVENT) for offset in (40, 44, 48)]
    assert [rejected.reason for rejected in letters] == [Reason.MALFORMED] * 2
    assert [dict(each.dead_letter.headers)[dead_letters.OFFSET] for each in letters] == [
        b"42",
        b"46",
    ]
    assert [each.dead_letter.value for each in letters] == [b"{", None]


@pytest.mark.parametrize("stamp", [-1, STAMP, STAMP + 10**12, 10**15])
def test_a_timestamp_changes_nothing(stamp: int):
    """None, one of its time, one of another age, microseconds taken for milliseconds."""
    placed, letters = decode_batch(PARTITION, fetched(GOOD, stamp=stamp))
    assert (placed, letters) == ([OffsetEvent(40, EVENT)], [])


def test_what_was_refused_for_a_sealed_day_stays_refused():
    """It is neither an event nor a dead letter; another record at its place is one.

    Whatever else was refused at its place.
    """
    records = fetched(GOOD, GOOD, b"{")
    letter = sealed_dead_letter(records[1]).dead_letter
    others = fetched(b"other", b"another")  # at offsets 40 and 42, in a topic that was deleted
    known = [
        Message(*letter),
        *(Message(*sealed_dead_letter(other).dead_letter) for other in others),
        Message(*dead_letter(records[2], RejectedError(Reason.MALFORMED, "no JSON"))),
        Message(b"", b"not a dead letter", []),
    ]
    placed, letters = decode_batch(PARTITION, records, sealed_rejections_in(known))
    assert placed == [OffsetEvent(40, EVENT)]
    assert [dict(each.dead_letter.headers)[dead_letters.OFFSET] for each in letters] == [b"44"]


class Message(NamedTuple):
    """A record of `usage.dead-letters`, as far as sealed rejections need it."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def test_an_event_of_the_future_of_the_record_is_refused():
    """The bound is the record's own timestamp."""
    placed, [rejected] = decode_batch(PARTITION, fetched(GOOD, stamp=0))
    assert (placed, rejected.reason) == ([], Reason.FUTURE)
