"""A batch of records at once, as a worker reads them; what is unusual goes to `decode`."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final, TypeVar

from rollups.events import Event
from rollups.timestamps import parse_rfc3339_all
from stream_app.codec.binary import is_binary
from stream_app.codec.envelope import (
    CONVERSIONS,
    KINDS_ON,
    MAX_AHEAD_MICROS,
    PLAIN_JSON,
    UNREAD,
    UNREADABLE,
    Envelope,
    Record,
    accounts_seen,
    checked_utf8,
    decode_envelope,
    known_account,
    known_source,
    lies_ahead,
    sources_seen,
)
from stream_app.codec.record import decode
from stream_app.codec.sent import EARLIEST
from stream_app.codec.sentences import MAX_EVENT_BYTES
from stream_app.rejected_batch import RejectedBatch
from stream_app.rejection import RejectedError

_TIMESTAMP = attrgetter("timestamp")
_ALL_KINDS: Final = frozenset().union(*KINDS_ON.values())

_R = TypeVar("_R", bound=Record)
_O = TypeVar("_O")


def decode_all(topic: str, records: Sequence[Record]) -> list[Event | RejectedError]:
    """Return for each of *records* of *topic* its event, or why it is refused: what `decode` says.

    Nothing is raised for a record, whatever it holds, and none has an influence on another.
    """
    return _decode(KINDS_ON.get(topic, frozenset()), records, partial(_decode_alone, topic))


def decode_any(records: Sequence[_R], alone: Callable[[_R], _O]) -> list[Event | _O]:
    """Return for each of *records*, of whatever topic, its event, or what *alone* says of it."""
    return _decode(_ALL_KINDS, records, alone)


def _decode(
    kinds: frozenset[type[Envelope]], records: Sequence[_R], alone: Callable[[_R], _O]
) -> list[Event | _O]:
    values = [
        _structured_value(record) if record.headers else record.value or b"" for record in records
    ]
    envelopes = _envelopes(values)
    times = parse_rfc3339_all([envelope.time for envelope in envelopes])
    # Up to here no time lies too far ahead, whichever record it belongs to; beyond, it may.
    certain = min(map(_TIMESTAMP, records), default=0) * 1000 + MAX_AHEAD_MICROS
    outcomes: list[Event | _O] = []
    add, accounts, sources = outcomes.append, accounts_seen.get, sources_seen.get
    converted = kinds & CONVERSIONS.keys()
    for record, envelope, time in zip(records, envelopes, times, strict=True):
        kind, event_id, data = type(envelope), envelope.id, envelope.data
        if (account := accounts(envelope.subject)) is None:
            account = known_account(envelope.subject)
        if (source := sources(envelope.source)) is None:
            source = known_source(envelope.source)
        if converted and kind in converted:
            data = _converted(kind, data)
        if (
            kind in kinds
            and account is not None
            and source is not None
            and time is not None
            and time >= EARLIEST
            and data is not None
            and event_id
            and event_id.isprintable()
            and envelope.data_base64 is None
            and (envelope.datacontenttype is None or envelope.datacontenttype == PLAIN_JSON)
            and (time <= certain or not lies_ahead(time, record.timestamp))
        ):
            add(Event(source, event_id, account, time, data))
        else:
            add(alone(record))
    return outcomes


def _decode_alone(topic: str, record: Record) -> Event | RejectedError:
    if isinstance(record, RejectedBatch):
        return record.rejection
    try:
        return decode(topic, record.value, record.headers, record.timestamp)
    except RejectedError as refused:
        return refused


def _structured_value(record: Record) -> bytes:
    """Return the value of *record*; nothing if that is missing or not the whole event."""
    try:
        whole = not is_binary(record.headers)
    except RejectedError:
        whole = False
    return (whole and record.value) or b""


def _envelopes(values: list[bytes]) -> list[Any]:
    """Return the envelope in each of *values*; `UNREAD` where there is none without `decode`."""
    if b"".join(values).isascii() and max(map(len, values), default=0) <= MAX_EVENT_BYTES:
        try:
            return list(map(decode_envelope, values))
        except UNREADABLE:
            pass  # one of them at least
    return [_envelope(value) for value in values]


def _envelope(value: bytes) -> Any:
    try:
        return decode_envelope(checked_utf8(value)) if len(value) <= MAX_EVENT_BYTES else UNREAD
    except UNREADABLE:
        return UNREAD


def _converted(kind: type[Envelope], data: Any) -> Any:
    """Return *data* as rollups take it; None if `decode` refuses it."""
    try:
        return CONVERSIONS[kind](data)
    except RejectedError:
        return None
