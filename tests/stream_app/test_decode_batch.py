"""A fetched batch is sorted out: events at their offsets, and dead letters of the rest."""

from typing import NamedTuple

import pytest
from aiokafka.structs import ConsumerRecord
from faust.types import TP

from rollups.fold import Placed
from stream_app import dead_letters
from stream_app.agents import sealed_letter, sort_out
from stream_app.dead_letters import dead_letter
from stream_app.rejection import Reason, Refused
from stream_app.topics import FLOWS
from stream_app.transport import Batch, Generation
from stream_app.sealed_rejections import verdicts_of
from tests.stream_app.usage_events import example, read, structured

FLOW = "usage.flow.run"
GOOD = structured(example(FLOW))
EVENT = read(example(FLOW))
STAMP = EVENT.time // 1000 + 1_999  #: milliseconds: the event's own second, and nearly two more


def fetched(*values: bytes | None, stamp: int = STAMP) -> Batch:
    """Return a batch of *values*, at every second offset from 40, published at *stamp*."""
    records = [
        ConsumerRecord(FLOWS, 3, 40 + 2 * place, stamp, 0, b"acme", value, None, 4, 0, ())
        for place, value in enumerate(values)
    ]
    return Batch(TP(FLOWS, 3), records, 40, 40 + 2 * len(values), Generation(1, 1))


def test_events_stand_at_the_offsets_of_their_records():
    """Gaps in the offsets and refused neighbours move nothing."""
    placed, letters = sort_out(fetched(GOOD, b"{", GOOD, None, GOOD))
    assert placed == [Placed(offset, EVENT) for offset in (40, 44, 48)]
    assert [why.reason for _, why in letters] == [Reason.MALFORMED] * 2
    assert [dict(letter.headers)[dead_letters.OFFSET] for letter, _ in letters] == [b"42", b"46"]
    assert [letter.value for letter, _ in letters] == [b"{", None]


@pytest.mark.parametrize("stamp", [-1, STAMP, STAMP + 10**12, 10**15])
def test_a_timestamp_changes_nothing(stamp: int):
    """None, one of its time, one of another age, microseconds taken for milliseconds."""
    placed, letters = sort_out(fetched(GOOD, stamp=stamp))
    assert (placed, letters) == ([Placed(40, EVENT)], [])


def test_what_was_refused_for_a_sealed_day_stays_refused():
    """It is neither an event nor a dead letter; another record at its place is one."""
    batch = fetched(GOOD, GOOD, b"{")
    letter, _ = sealed_letter(batch.records[1])
    [other] = fetched(b"other").records  # at offset 40, in a topic that was deleted since
    known = [
        Message(*letter),
        Message(*sealed_letter(other)[0]),
        Message(*dead_letter(batch.records[2], Refused(Reason.MALFORMED, "no JSON"))),
        Message(b"", b"not a dead letter", []),
    ]
    placed, letters = sort_out(batch, verdicts_of(known))
    assert placed == [Placed(40, EVENT)]
    assert [dict(found.headers)[dead_letters.OFFSET] for found, _ in letters] == [b"44"]


class Message(NamedTuple):
    """A record of `usage.dead-letters`, as far as verdicts ask it."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def test_an_event_of_the_future_of_its_record_is_refused():
    """The bound is the record's own timestamp."""
    placed, [(_, why)] = sort_out(fetched(GOOD, stamp=0))
    assert (placed, why.reason) == ([], Reason.FUTURE)
