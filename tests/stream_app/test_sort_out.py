"""A fetched batch is sorted out: events at their offsets, and dead letters of the rest."""

from aiokafka.structs import ConsumerRecord
from faust.types import TP
from usage_events import example, read, structured

from rollups.fold import Placed
from rollups.instants import SECOND
from stream_app import dead_letters
from stream_app.agents import sort_out
from stream_app.refusals import Reason
from stream_app.topics import FLOWS
from stream_app.transport import Batch, Generation

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
    seconds = STAMP // 1000
    assert placed == [Placed(offset, EVENT, seconds) for offset in (40, 44, 48)]
    assert [why.reason for _, why in letters] == [Reason.MALFORMED] * 2
    assert [dict(letter.headers)[dead_letters.OFFSET] for letter, _ in letters] == [b"42", b"46"]
    assert [letter.value for letter, _ in letters] == [b"{", None]


def test_a_record_without_a_timestamp_was_published_when_it_happened():
    """The event's own second stands for it."""
    placed, _ = sort_out(fetched(GOOD, stamp=-1))
    assert placed == [Placed(40, EVENT, EVENT.time // SECOND)]


def test_an_event_of_the_future_of_its_record_is_refused():
    """The bound is the record's own timestamp."""
    placed, [(_, why)] = sort_out(fetched(GOOD, stamp=0))
    assert (placed, why.reason) == ([], Reason.FUTURE)
