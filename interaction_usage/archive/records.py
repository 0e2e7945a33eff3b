"""The archive's tables, and the pure functions that make rows from records of Kafka.

`EVENTS` has a row for each record of the event topics, refused ones too: where it was, the record
itself untouched, what the codec made of it (`outcome`), and what the event says. `outcome` is what
a worker of this version decides from the record alone. A refusal as `sealed` depends on what was
counted before, so it is not known here: `DEAD_LETTERS` has it, by the place of the refused record.

Members that an event does not have are null. A record that is refused has those attributes of the
event that can be read, and none of its data. A batch that could not be read as records is one row,
at the offset of the batch's last record, with neither key nor value.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from rollups.catalog import EVENT_TYPES
from rollups.events import Event
from rollups.timestamps import DAY_SECONDS, SECOND, parse_rfc3339
from stream_app.codec import decode_all
from stream_app.codec.binary import is_binary
from stream_app.codec.envelope import is_account
from stream_app.dead_letters import Place, read_dead_letter, read_marker
from stream_app.event_names import attributes_of
from stream_app.rejection import RejectedError

#: The outcome of a record that holds a valid event; any other outcome is a refusal's reason code.
ACCEPTED: Final = "accepted"

_INSTANT: Final = pa.timestamp("us", tz="UTC")
_HEADERS: Final = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))

#: Where a record was in Kafka, and the record itself: the first columns of both tables.
_RECORD: Final = (
    ("topic", pa.string()),
    ("topic_id", pa.string()),  # a topic that was deleted and created again has another one
    ("partition", pa.int32()),
    ("offset", pa.int64()),
    ("timestamp", _INSTANT),  # the record's own; null if it has none
    ("key", pa.binary()),
    ("value", pa.binary()),
    ("headers", _HEADERS),
)

#: What the data of an event says: a column for each member, whatever the type.
_MEMBERS: Final = (
    ("session", pa.string()),
    ("application", pa.string()),
    ("flow", pa.string()),
    ("flow_outcome", pa.string()),
    ("service", pa.string()),
    ("minutes_thousandths", pa.int64()),
    ("call", pa.string()),
    ("link", pa.bool_()),
    ("campaign", pa.string()),
    ("number", pa.string()),
    ("void_source", pa.string()),  # of a void: the event that it takes back
    ("void_id", pa.string()),
    ("void_type", pa.string()),
    ("void_time", _INSTANT),
    ("void_data", pa.string()),  # JSON
    ("corrected_start", _INSTANT),  # of a session's correction; null where it says null
    ("corrected_stop", _INSTANT),
    ("reason", pa.string()),
    ("actor", pa.string()),
)

#: A row for each record of the event topics.
EVENTS: Final = pa.schema(
    [
        *_RECORD,
        ("outcome", pa.string()),
        ("account", pa.string()),
        ("type", pa.string()),
        ("time", _INSTANT),
        ("source", pa.string()),
        ("id", pa.string()),
        *_MEMBERS,
        ("day", pa.date32()),  # the UTC day of `time`
    ]
)

#: A row for each record of `usage.dead-letters`.
DEAD_LETTERS: Final = pa.schema(
    [
        *_RECORD,
        ("kind", pa.string()),  # `dead-letter`, `marker` of a replay, or `other`
        ("refused_topic", pa.string()),  # where the refused record was
        ("refused_partition", pa.int32()),
        ("refused_offset", pa.int64()),  # of a batch: that of its first record
        ("reason", pa.string()),
        ("sentence", pa.string()),
        ("account", pa.string()),
        ("time", _INSTANT),
        ("replayed_topic", pa.string()),  # of a marker: where the record was published again
        ("replayed_partition", pa.int32()),
        ("replayed_offset", pa.int64()),
    ]
)

#: A row for each stretch of offsets that Kafka deleted before it was copied.
GAPS: Final = pa.schema(
    [
        ("topic", pa.string()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first", pa.int64()),
        ("end", pa.int64()),  # the offset after the last one
        ("noticed", _INSTANT),
    ]
)

_TYPE_OF: Final = {row.data: row.name for row in EVENT_TYPES}
#: Members whose column is called otherwise.
_COLUMN_OF: Final = {"outcome": "flow_outcome", "thousandths": "minutes_thousandths"}
_MEMBER_COLUMNS: Final = tuple(name for name, _ in _MEMBERS)
#: Where each member of an event's data is among the columns of `_MEMBERS`.
_PLACES: Final = {
    row.data: [
        (_MEMBER_COLUMNS.index(column), name)
        for name in row.data.__struct_fields__
        if (column := _COLUMN_OF.get(name, name)) in _MEMBER_COLUMNS
    ]
    for row in EVENT_TYPES
}
_NO_MEMBERS: Final = (None,) * len(_MEMBERS)
_VOIDED: Final = "usage.event.voided"
_SESSION_CORRECTED: Final = "usage.session.corrected"
#: Milliseconds of the last instant that a date can have; a timestamp beyond is no time of day.
_LATEST_MS: Final = 253_402_300_799_999

_NULL: Final = msgspec.Raw(b"null")

Row = tuple[Any, ...]


def events_batch(topic: str, topic_id: str, records: Sequence[Any]) -> pa.RecordBatch:
    """Return the rows of `EVENTS` for *records* of *topic*, in their order."""
    outcomes = decode_all(topic, records)
    rows = (
        (*_place(topic_id, record), *_meaning(record, outcome))
        for record, outcome in zip(records, outcomes, strict=True)
    )
    return _batch(EVENTS, rows)


def dead_letters_batch(topic_id: str, records: Sequence[Any]) -> pa.RecordBatch:
    """Return the rows of `DEAD_LETTERS` for *records* of that topic, in their order."""
    rows = ((*_place(topic_id, record), *_refusal(record)) for record in records)
    return _batch(DEAD_LETTERS, rows)


def _batch(schema: pa.Schema, rows: Iterable[Row]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _place(topic_id: str, record: Any) -> Row:
    """Return the columns of `_RECORD`."""
    return (
        record.topic,
        topic_id,
        record.partition,
        record.offset,
        record.timestamp * 1000 if 0 <= record.timestamp <= _LATEST_MS else None,
        record.key,
        record.value,
        [{"name": name, "value": value} for name, value in record.headers],
    )


# -------------------------------------------------------------------- what an event says


def _meaning(record: Any, outcome: Event | RejectedError) -> Row:
    """Return the columns of `EVENTS` from `outcome` on."""
    if isinstance(outcome, RejectedError):
        return _rejected(record, outcome)
    event, kind = outcome, _TYPE_OF[type(outcome.data)]
    read = _READERS.get(kind)
    members = _sent_members(read(_data_sent(record))) if read else _plain_members(event.data)
    return (
        ACCEPTED,
        event.account,
        kind,
        event.time,
        event.source,
        event.id,
        *members,
        _day(event.time),
    )


def _rejected(record: Any, rejection: RejectedError) -> Row:
    """Return the columns from `outcome` on: those attributes that can be read."""
    account, kind, source, event_id, time_sent = attributes_of(
        ("subject", "type", "source", "id", "time"), record.headers, record.value
    )
    time = _instant(time_sent)
    return (
        str(rejection.reason),
        account if account is not None and is_account(account) else None,
        kind,
        time,
        source,
        event_id,
        *_NO_MEMBERS,
        None if time is None else _day(time),
    )


def _plain_members(data: msgspec.Struct) -> list[Any]:
    """Return the columns of `_MEMBERS`: the members that *data* has."""
    cells: list[Any] = [None] * len(_MEMBERS)
    for place, name in _PLACES[type(data)]:
        value = getattr(data, name)
        if value is not msgspec.UNSET:
            cells[place] = value
    return cells


def _sent_members(members: dict[str, Any]) -> list[Any]:
    """Return the columns of `_MEMBERS`, given those that are not null."""
    return [members.get(name) for name in _MEMBER_COLUMNS]


def _data_sent(record: Any) -> dict[str, msgspec.Raw]:
    """Return the members of `data` of an accepted record as they were sent, each as JSON."""
    if is_binary(record.headers):
        data = record.value
    else:
        whole = msgspec.json.decode(record.value, type=dict[str, msgspec.Raw])
        data = whole.get("data", _NULL)
        if bytes(data) == b"null":
            data = msgspec.json.decode(whole["data_base64"], type=bytes)
    return msgspec.json.decode(data, type=dict[str, msgspec.Raw])


def _voided(data: dict[str, msgspec.Raw]) -> dict[str, Any]:
    """Return the columns of a void."""
    original = msgspec.json.decode(data["event"], type=dict[str, msgspec.Raw])
    return {
        "void_source": _text(original.get("source")),
        "void_id": _text(original.get("id")),
        "void_type": _text(original.get("type")),
        "void_time": _instant(_text(original.get("time"))),
        "void_data": bytes(original["data"]).decode() if "data" in original else None,
        "reason": _text(data.get("reason")),
        "actor": _text(data.get("actor")),
    }


def _session_corrected(data: dict[str, msgspec.Raw]) -> dict[str, Any]:
    """Return the columns of a session's correction."""
    return {
        **{name: _text(data.get(name)) for name in ("session", "application", "reason", "actor")},
        "corrected_start": _instant(_text(data.get("start"))),
        "corrected_stop": _instant(_text(data.get("stop"))),
    }


#: What reads the data of the types that are not read member by member.
_READERS: Final[dict[str, Callable[[dict[str, msgspec.Raw]], dict[str, Any]]]] = {
    _VOIDED: _voided,
    _SESSION_CORRECTED: _session_corrected,
}


def _text(member: msgspec.Raw | None) -> str | None:
    return None if member is None else msgspec.json.decode(member, type=str | None)


def _instant(text: str | None) -> int | None:
    """Return the instant that *text* names; None if it names none."""
    try:
        return parse_rfc3339(text or "")
    except ValueError:
        return None


def _day(time: int) -> int:
    """Return the UTC day of *time* as Arrow counts days."""
    return time // SECOND // DAY_SECONDS


# ----------------------------------------------------------------- what a refusal says


def _refusal(record: Any) -> Row:
    """Return the columns of `DEAD_LETTERS` from `kind` on."""
    if headers := read_dead_letter(record.headers):
        account, time_sent = attributes_of(("subject", "time"), headers.own, record.value)
        time = _instant(time_sent)
        known = account if account is not None and is_account(account) else None
        return (
            "dead-letter", *headers.place, headers.reason, headers.sentence, known, time,
            *_NOWHERE,
        )  # fmt: skip
    if marker := read_marker(record.headers):
        return ("marker", *marker.rejected, None, None, None, None, *marker.again)
    return ("other", *_NOWHERE, None, None, None, None, *_NOWHERE)


_NOWHERE: Final = (None,) * len(Place._fields)
