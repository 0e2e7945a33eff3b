"""The slow second look at a structured record that the typed decoder did not take.

The few that are valid nevertheless (`data_base64`, a `type` given twice) are decoded; for all
others it says what is wrong.
"""

import base64
from typing import Final

import msgspec
from msgspec import Raw

from stream_app.codec.binary import read_binary
from stream_app.codec.envelope import (
    REQUIRED,
    UNREADABLE,
    Envelope,
    checked_utf8,
    decode_envelope,
)
from stream_app.codec.sentences import (
    cause,
    explain,
    refuse_attribute,
    refuse_two_data,
    refuse_type,
)
from stream_app.rejection import Reason, RejectedError
from stream_app.topics import TOPIC_OF

_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def read_slowly(value: bytes, error: Exception) -> Envelope:
    """Return the envelope of a structured event with `data_base64`, or say what is wrong."""
    if not value:
        raise RejectedError(Reason.MALFORMED, "the record has no value")
    try:
        members = _decode_members(checked_utf8(value))
    except msgspec.ValidationError:
        raise RejectedError(Reason.MALFORMED, "the value is JSON, but no object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        sentence = f"the value is not a JSON event: {cause(broken)}"
        raise RejectedError(Reason.MALFORMED, sentence) from None
    if not _has(members, "data_base64"):
        kind = _string(members, "type")
        if kind is not None and kind not in TOPIC_OF:
            refuse_type(kind)
        return _decode_last(members, error)
    return _read_base64(members)


def _decode_last(members: dict[str, Raw], error: Exception) -> Envelope:
    """Return the envelope of *members*, of each of which the last one counts.

    The typed decoder does so itself, but for `type`. *error* is what it said. Raises RejectedError.
    """
    try:
        envelope: Envelope = decode_envelope(msgspec.json.encode(members))
    except UNREADABLE:
        explain(error)
    return envelope


def _read_base64(members: dict[str, Raw]) -> Envelope:
    """Return the envelope whose data is JSON in `data_base64`, as some SDKs send bytes."""
    if _has(members, "data"):
        refuse_two_data()
    try:
        data = base64.b64decode(
            msgspec.json.decode(members["data_base64"], type=str), validate=True
        )
    except (msgspec.MsgspecError, ValueError):
        raise RejectedError(Reason.INVALID_DATA, "data_base64 is not Base64") from None
    texts = {f"ce_{name}": _string(members, name) for name in REQUIRED}
    texts["content-type"] = _string(members, "datacontenttype")
    return read_binary(
        data, [(name, text.encode()) for name, text in texts.items() if text is not None]
    )


def _has(members: dict[str, Raw], name: str) -> bool:
    """Tell whether the member *name* is there; null is JSON's way to leave it out."""
    return name in members and bytes(members[name]) != b"null"


def _string(members: dict[str, Raw], name: str) -> str | None:
    """Return the text of the attribute *name*, None if it is not there."""
    try:
        return msgspec.json.decode(members[name], type=str) if _has(members, name) else None
    except msgspec.MsgspecError:
        refuse_attribute(f"{name} is not valid: expected a string")
