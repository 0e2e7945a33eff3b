"""One record: the common case in one pass of a typed decoder, anything else looked at again."""

from typing import Any

from rollups.events import Event
from stream_app.codec.binary import is_binary, read_binary, with_cause
from stream_app.codec.diagnose import read_slowly
from stream_app.codec.envelope import (
    UNREADABLE,
    Headers,
    checked_utf8,
    decode_envelope,
    event_of,
)
from stream_app.codec.sentences import MAX_EVENT_BYTES, refuse_size
from stream_app.rejection import RejectedError


def decode(
    topic: str, value: bytes | None, headers: Headers = (), timestamp_ms: int | None = None
) -> Event:
    """Return the event that a record of *topic* carries.

    *timestamp_ms* is the record's own timestamp in milliseconds since the epoch; an event may lie
    at most 5 minutes after it. None or a negative one (no timestamp) sets no such bound.
    Raises RejectedError for every record that is not a valid event.
    """
    value = value or b""
    if len(value) > MAX_EVENT_BYTES:
        refuse_size(len(value))
    try:
        envelope: Any = _read(value, headers)
    except RejectedError as refused:
        raise with_cause(refused, headers) from None
    return event_of(topic, envelope, timestamp_ms)


def _read(value: bytes, headers: Headers) -> Any:
    """Return the envelope of a record. Raises RejectedError."""
    try:
        return (
            read_binary(value, headers)
            if is_binary(headers)
            else decode_envelope(checked_utf8(value))
        )
    except UNREADABLE as error:
        return read_slowly(value, error)
