"""Binary mode: the attributes are `ce_` headers, the value is `data`."""

from typing import Any, Final

import msgspec

from stream_app.codec.envelope import (
    DATA_DECODERS,
    KIND_OF,
    REQUIRED,
    Envelope,
    Headers,
    checked_utf8,
)
from stream_app.codec.sentences import (
    MAX_EVENT_BYTES,
    cause,
    explain,
    refuse_attribute,
    refuse_size,
    refuse_type,
    shown,
)
from stream_app.rejection import Reason, RejectedError

_CLOUDEVENTS: Final = b"application/cloudevents"
_ATTRIBUTE_HEADERS: Final = frozenset(f"ce_{name}" for name in REQUIRED)


def is_binary(headers: Headers) -> bool:
    """Tell whether *headers* say binary mode: `ce_` attributes, and no CloudEvents media type."""
    binary = False
    media = b""
    for name, content in headers:
        if name == "content-type" and content:
            media = content.lower()
        binary = binary or name.startswith("ce_")
    if media.startswith(b"application/cloudevents-batch"):
        raise RejectedError(
            Reason.MALFORMED, "a record holds one event; batches are not read from Kafka"
        )
    return binary and not media.startswith(_CLOUDEVENTS)


def with_cause(refused: RejectedError, headers: Headers) -> RejectedError:
    """Return *refused*; where a header with a misspelled name is behind it, with that name.

    Names of headers are case-sensitive in Kafka, and other protocols spell these differently.
    """
    names = {name for name, _ in headers}
    for name, content in headers:
        right = name.lower().replace("-", "_")
        if right == "content_type" and (content or b"").lower().startswith(_CLOUDEVENTS):
            right = "content-type"
        elif right not in _ATTRIBUTE_HEADERS:
            continue
        if right not in names:
            return RejectedError(
                refused.reason,
                f"the header {shown(name)} is not read, for its name is not “{right}”; so "
                f"{refused.sentence}",
            )
    return refused


def read_binary(value: bytes, headers: Headers) -> Envelope:
    """Return the envelope whose attributes are *headers* and whose data is the JSON *value*."""
    attributes: dict[str, str] = {}
    media_type = None
    size = len(value)
    for name, content in headers:
        if name == "content-type" and content is not None:
            media_type = _header_text(name, content)
        elif name.startswith("ce_"):
            attributes[name[3:]] = _header_text(name, content or b"")
        else:  # a header that is not the event's
            continue
        size += len(name) + len(content or b"")
    if size > MAX_EVENT_BYTES:
        refuse_size(size)
    for name in REQUIRED:
        if name not in attributes:
            refuse_attribute(f"{name} is missing")
    if attributes["specversion"] != "1.0":
        refuse_attribute(f"specversion is {shown(attributes['specversion'])}, not “1.0”")
    kind = KIND_OF.get(attributes["type"])
    if kind is None:
        refuse_type(attributes["type"])
    given = {name: attributes[name] for name in REQUIRED if name != "type"}
    data = _read_data(kind, value)
    return kind(**given, datacontenttype=media_type, data=data)  # type: ignore[call-arg, arg-type]


def _read_data(kind: type[Envelope], value: bytes) -> Any:
    """Return the data of an event of *kind* in the JSON *value*."""
    if not value:
        raise RejectedError(Reason.INVALID_DATA, "data is missing")
    try:
        return DATA_DECODERS[kind](checked_utf8(value))
    except msgspec.ValidationError as error:
        explain(error, within="data")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RejectedError(
            Reason.INVALID_DATA, f"data is not valid JSON: {cause(error)}"
        ) from None


def _header_text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        refuse_attribute(f"the header {shown(name)} is not UTF-8")
