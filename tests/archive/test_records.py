"""Rows of the archive: what is copied, what is read from it, and what refused records have."""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from interaction_usage.archive.records import (
    ACCEPTED,
    DEAD_LETTERS,
    EVENTS,
    dead_letters_batch,
    events_batch,
)
from rollups.catalog import EVENT_TYPES
from stream_app.codec import MAX_EVENT_BYTES
from stream_app.dead_letters import Marker, Place, dead_letter, marker_headers
from stream_app.rejected_batch import RejectedBatch
from stream_app.rejection import Reason, RejectedError
from stream_app.topics import TOPIC_OF
from tests.support.event_lines import event, flow, traffic

OCTOBER = datetime(2026, 10, 1, 10, tzinfo=UTC)
NEW_YEAR_2027_MS = 1_798_761_600_000


@dataclass
class Record:
    """A record of Kafka, as far as the archive looks at it."""

    value: bytes | None
    topic: str = "usage.flows"
    partition: int = 3
    offset: int = 7
    timestamp: int = NEW_YEAR_2027_MS
    key: bytes | None = b"acme"
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


def row(record: Any) -> dict[str, Any]:
    """Return the one row of a record."""
    (one,) = events_batch(record.topic, "the-id", [record]).to_pylist()
    return dict(one)


def members(record: Any) -> dict[str, Any]:
    """Return what the row has of the event's data."""
    names = EVENTS.names[EVENTS.get_field_index("session") : EVENTS.get_field_index("day")]
    return {
        name: value for name, value in row(record).items() if name in names and value is not None
    }


def test_a_row_has_the_place_and_the_record_itself() -> None:
    """Byte for byte, with headers of the same name twice and without a value."""
    headers = [("a", b"\xff\x00"), ("a", None), ("", b"")]
    got = row(Record(flow(1), headers=headers, key=b"\x00"))
    assert (got["topic"], got["topic_id"], got["partition"], got["offset"]) == (
        "usage.flows", "the-id", 3, 7,
    )  # fmt: skip
    assert got["value"] == flow(1)
    assert got["key"] == b"\x00"
    assert [(one["name"], one["value"]) for one in got["headers"]] == headers
    assert got["timestamp"] == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("timestamp", [-1, 2**62])
def test_a_timestamp_that_is_no_time_is_null(timestamp: int) -> None:
    """A producer may write any number there."""
    assert row(Record(flow(1), timestamp=timestamp))["timestamp"] is None


@pytest.mark.parametrize(
    ("kind", "data", "wanted"),
    [
        ("session.started", {"session": "s", "application": "agent"}, None),
        ("session.stopped", {"session": "s", "application": "mobile-web"}, None),
        ("flow.run", {"flow": "f", "application": "agent", "outcome": "abandoned"},
         {"flow": "f", "application": "agent", "flow_outcome": "abandoned"}),
        ("flow.run", {"flow": "f", "application": "agent"},
         {"flow": "f", "application": "agent", "flow_outcome": "completed"}),
        ("assist.clicked", {"service": "chat"}, None),
        ("assist.clicked", {"service": "chat", "application": "agent", "flow": "x"}, None),
        ("call.minutes", {"minutes": 12.5, "call": "c"},
         {"minutes_thousandths": 12500, "call": "c"}),
        ("call.minutes", {}, {"minutes_thousandths": 1000}),
        ("sms.sent", {"link": False, "campaign": "spring"}, None),
        ("sms.sent", {}, {"link": True}),
        ("number.purchased", {"number": "+331234"}, None),
        ("number.released", {"number": "+331234"}, None),
    ],
)  # fmt: skip
def test_members_of_an_event_are_columns(
    kind: str, data: dict[str, Any], wanted: dict[str, Any] | None
) -> None:
    """Defaults are written out, for SQL does not know them."""
    record = Record(event("e1", kind, data), topic=TOPIC_OF[f"usage.{kind}"])
    got = row(record)
    assert (got["outcome"], got["account"], got["type"], got["source"], got["id"]) == (
        ACCEPTED, "acme", f"usage.{kind}", "tests", "e1",
    )  # fmt: skip
    assert (got["time"], got["day"]) == (OCTOBER, date(2026, 10, 1))
    assert members(record) == (wanted or data)


def test_every_type_of_the_catalogue_has_a_row() -> None:
    """A member without a column would be missing from what is explained."""
    known = {*EVENTS.names, "outcome", "thousandths", "event", "start", "stop"}
    for kind in EVENT_TYPES:
        assert set(kind.data.__struct_fields__) <= known


def test_binary_mode_is_read_like_structured_mode() -> None:
    """The attributes are headers."""
    attributes = {
        "specversion": "1.0", "id": "b", "source": "s", "type": "usage.flow.run",
        "subject": "acme", "time": "2026-10-01T12:00:00.000001+02:00",
    }  # fmt: skip
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    record = Record(b'{"flow":"f","application":"agent"}', headers=headers)
    got = row(record)
    assert got["outcome"] == ACCEPTED
    assert got["time"] == OCTOBER.replace(microsecond=1)
    assert got["flow"] == "f"


@pytest.mark.parametrize(
    ("value", "reason", "account"),
    [
        (b"", "malformed", None),
        (None, "malformed", None),
        (b"\xff", "malformed", None),
        (b"[]", "malformed", None),
        (b"1" * (MAX_EVENT_BYTES + 1), "too-large", None),
        (flow(1, type="usage.x"), "unknown-type", "acme"),
        (event(1, "sms.sent", {}), "wrong-topic", "acme"),
        (flow(1, subject="a b"), "invalid-attribute", None),
        (flow(1, time="soon"), "invalid-attribute", "acme"),
        (event(1, "flow.run", {"flow": ""}), "invalid-data", "acme"),
        (flow(1, time="1999-12-31T23:59:59Z"), "too-old", "acme"),
        (flow(1, time="2999-01-01T00:00:00Z"), "future", "acme"),
        (flow(1, time="9999-12-31T23:59:59Z"), "future", "acme"),
    ],
)  # fmt: skip
def test_a_refused_record_is_kept_with_the_reason(
    value: bytes | None, reason: str, account: str | None
) -> None:
    """Whole, and with the attributes that can be read."""
    got = row(Record(value))
    assert (got["outcome"], got["account"], got["value"]) == (reason, account, value)
    assert got["flow"] is None


def test_a_refused_record_has_the_time_that_it_names() -> None:
    """So that those of a period can be counted."""
    got = row(Record(event(1, "flow.run", {})))
    assert (got["time"], got["day"]) == (OCTOBER, date(2026, 10, 1))
    assert row(Record(flow(1, time="soon")))["day"] is None


def test_a_batch_that_is_refused_whole_is_one_row() -> None:
    """There is nothing to copy but that it was there."""
    batch = RejectedBatch(
        topic="usage.flows", partition=0, offset=9, timestamp=-1, timestamp_type=0, key=None,
        value=None, checksum=None, serialized_key_size=-1, serialized_value_size=-1, headers=(),
        rejection=RejectedError(Reason.TOO_LARGE, "it is"), base_offset=5, batch_bytes=100,
        fingerprint="f",
    )  # fmt: skip
    got = row(batch)
    assert (got["offset"], got["outcome"], got["value"]) == (9, "too-large", None)


def test_rows_come_in_the_order_of_the_records() -> None:
    """Of a mixed batch, and none is left out."""
    values = [flow(1), b"", flow(2), b"{", *traffic(50, seed=1)]
    records = [Record(value, offset=number) for number, value in enumerate(values)]
    batch = events_batch("usage.flows", "id", records)
    assert batch["offset"].to_pylist() == list(range(len(values)))
    assert batch["value"].to_pylist() == values
    assert events_batch("usage.flows", "id", []).num_rows == 0


def test_the_vectors_have_rows() -> None:
    """Every event of theirs is accepted or has a reason, and ids are as sent."""
    for place in sorted((Path(__file__).parents[1] / "vectors").glob("*.ndjson")):
        for line in place.read_bytes().splitlines():
            sent = json.loads(line)
            topic = TOPIC_OF.get(sent.get("type"), "usage.flows")
            assert row(Record(line, topic=topic))["id"] == sent.get("id")


# ----------------------------------------------------------------------- dead letters


def test_a_dead_letter_names_the_refused_record() -> None:
    """And the account and the day that it belongs to."""
    refused = Record(flow(1), offset=12, headers=[("own", b"1")])
    letter = dead_letter(refused, RejectedError(Reason.SEALED, "it is sealed"))
    record = Record(letter.value, topic="usage.dead-letters", headers=letter.headers)
    (got,) = dead_letters_batch("id", [record]).to_pylist()
    assert got["kind"] == "dead-letter"
    assert (got["refused_topic"], got["refused_partition"], got["refused_offset"]) == (
        "usage.flows", 3, 12,
    )  # fmt: skip
    assert (got["reason"], got["sentence"]) == ("sealed", "it is sealed")
    assert (got["account"], got["time"]) == ("acme", OCTOBER)
    assert got["replayed_topic"] is None


def test_a_marker_names_both_places() -> None:
    """Where it was refused, and where it was published again; anything else is `other`."""
    marker = Marker(Place("usage.flows", 1, 2), Place("usage.flows", 3, 4))
    records = [
        Record(None, topic="usage.dead-letters", headers=marker_headers(marker)),
        Record(b"what?", topic="usage.dead-letters"),
    ]
    batch = dead_letters_batch("id", records)
    assert batch.schema == DEAD_LETTERS
    assert batch["kind"].to_pylist() == ["marker", "other"]
    assert batch["refused_offset"].to_pylist() == [2, None]
    assert batch["replayed_partition"].to_pylist() == [3, None]
