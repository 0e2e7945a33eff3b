"""A Kafka record in, a valid usage event out, or the reason why not.

Both modes of the CloudEvents Kafka protocol binding are read: *structured* (the value is the whole
event in the JSON format) and *binary* (the attributes are `ce_` headers, the value is `data`). A
record without any CloudEvents header is taken as structured, so that plain tools are producers too.

Two ways lead to the same answer:

- `decode` reads one record. The common case is one pass of a typed JSON decoder over the value;
  only if that fails is the record looked at again, slowly, to say in a sentence what is wrong.
- `decode_all` reads the records of a batch, which is what a worker does. It knows the shape that
  nearly all events have, and has one test for it; a record that does not pass goes to `decode`. So
  it accepts nothing that `decode` refuses, and never says why: every rule's sentence, and the order
  of the rules, are `decode`'s alone.

Why `decode_all` is as it is. Nearly half of what an event costs is the typed decoder, which makes
the objects that are kept; the rest is Python around it, where steps count. So what a batch can
answer at once is asked once (is it all ASCII, is the largest small enough), times are parsed in a
column, and what is left is one `if` for each event, which calls nothing written in Python. Each
value is decoded by itself. To join them into one JSON array is no faster once there is a separator
between them that no producer can forge; and without one, two broken values could make an event.
All use one decoder of all types: one for the only type of a topic would not ask for `type`.

Source: CloudEvents 1.0.2, "JSON Event Format" and "Kafka Protocol Binding".
"""

import base64
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Literal, NoReturn, Protocol

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from rollups.events import (
    AssistClicked,
    CallMinutes,
    Event,
    FlowRun,
    NumberPurchased,
    NumberReleased,
    SessionStarted,
    SessionStopped,
    SmsSent,
    Text,
)
from rollups.timestamps import parse_rfc3339, parse_rfc3339_all
from stream_app.rejected_batch import RejectedBatch
from stream_app.rejection import Reason
from stream_app.rejection import RejectedError as Refused
from stream_app.topics import TOPIC_OF

MAX_EVENT_BYTES: Final = 64 * 1024
MAX_AHEAD_MICROS: Final = 5 * 60 * 1_000_000
#: Microseconds since the epoch: 2000-01-01 UTC. An earlier time is a clock that was never set.
EARLIEST: Final = 946_684_800 * 1_000_000
MAX_MINUTES: Final = 100_000_000  #: of one call; more cannot be told from a mistake

Headers = Sequence[tuple[str, bytes | None]]


class Record(Protocol):
    """What is read of a record of Kafka; aiokafka's have it."""

    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch; negative if it has none."""


class _Minutes(Struct, gc=False):
    """The data of a `usage.call.minutes` event as sent: the number's own digits, unparsed."""

    minutes: Raw = Raw(b"1")
    call: Text | UnsetType = UNSET


class _Envelope(Struct, tag_field="type", gc=False):
    """The attributes that every event has, as the JSON event format spells them."""

    specversion: Literal["1.0"]
    id: str
    source: str
    subject: str
    time: str
    datacontenttype: str | None = None
    data_base64: str | None = None


class _Started(_Envelope, tag="usage.session.started", kw_only=True, gc=False):
    data: SessionStarted


class _Stopped(_Envelope, tag="usage.session.stopped", kw_only=True, gc=False):
    data: SessionStopped


class _Flow(_Envelope, tag="usage.flow.run", kw_only=True, gc=False):
    data: FlowRun


class _Click(_Envelope, tag="usage.assist.clicked", kw_only=True, gc=False):
    data: AssistClicked


class _Call(_Envelope, tag="usage.call.minutes", kw_only=True, gc=False):
    data: _Minutes


class _Sms(_Envelope, tag="usage.sms.sent", kw_only=True, gc=False):
    data: SmsSent


class _Purchased(_Envelope, tag="usage.number.purchased", kw_only=True, gc=False):
    data: NumberPurchased


class _Released(_Envelope, tag="usage.number.released", kw_only=True, gc=False):
    data: NumberReleased


_AnyEnvelope = _Started | _Stopped | _Flow | _Click | _Call | _Sms | _Purchased | _Released
_ENVELOPES: Final[tuple[type[_Envelope], ...]] = (
    _Started, _Stopped, _Flow, _Click, _Call, _Sms, _Purchased, _Released,
)  # fmt: skip
_TYPE_OF: Final = {kind: str(kind.__struct_config__.tag) for kind in _ENVELOPES}
_TOPIC_OF_KIND: Final = {kind: TOPIC_OF[name] for kind, name in _TYPE_OF.items()}
_KIND_OF: Final = {name: kind for kind, name in _TYPE_OF.items()}
_REQUIRED: Final = ("specversion", "id", "source", "type", "subject", "time")
_DATA_DECODERS: Final = {
    kind: msgspec.json.Decoder(kind.__annotations__["data"]).decode for kind in _ENVELOPES
}
_decode: Final = msgspec.json.Decoder(_AnyEnvelope).decode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
#: Stands for a value without an envelope; no account is called like that.
_UNREAD: Final = _Flow("1.0", "", "", "", "", data=FlowRun("", "agent"))
_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode

# Not `.` or `..`, which no path of the dashboard or its API would reach.
_ACCOUNT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,128}", re.ASCII)
# What turns the direction of a line, or ends it, for whoever shows a sentence.
_BAD_LAYOUT = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# CloudEvents' String type: no control characters, no surrogates, no Unicode noncharacters.
_BAD_CHARACTER = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + 0xFFFE) + chr(plane * 0x10000 + 0xFFFF) for plane in range(17))
    + "]"
)
_CLOUDEVENTS: Final = b"application/cloudevents"
_ATTRIBUTE_HEADERS: Final = frozenset(f"ce_{name}" for name in _REQUIRED)
_INSTEAD: Final = "\N{REPLACEMENT CHARACTER}"
_PLAIN_JSON: Final = "application/json"
# A longer exponent is more than Decimal takes; no number of minutes has one.
_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?0*\d{1,17})?")
_JSON_MEDIA = re.compile(
    r"[ \t]*[\w.+-]+/(?:[\w.+-]+\+)?json[ \t]*(?:;[^\x00-\x1f\x7f]*)?", re.ASCII | re.IGNORECASE
)
_SPEC_ERROR = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")

_accounts_seen: set[str] = set()  # account ids that were found to be right
_ACCOUNTS_KEPT = 100_000


def decode(
    topic: str, value: bytes | None, headers: Headers = (), timestamp_ms: int | None = None
) -> Event:
    """Return the event that a record of *topic* carries.

    *timestamp_ms* is the record's own timestamp in milliseconds since the epoch; an event may lie
    at most 5 minutes after it. None or a negative one (no timestamp) sets no such bound.
    Raises Refused for every record that is not a valid event.
    """
    value = value or b""
    if len(value) > MAX_EVENT_BYTES:
        _refuse_size(len(value))
    try:
        envelope: Any = _read(value, headers)
    except Refused as refused:
        raise _with_its_cause(refused, headers) from None
    return _event(topic, envelope, timestamp_ms)


def _read(value: bytes, headers: Headers) -> Any:
    """Return the envelope of a record. Raises Refused."""
    try:
        return _read_binary(value, headers) if _is_binary(headers) else _decode(_text(value))
    except _UNREADABLE as error:
        return _read_slowly(value, error)


def _event(topic: str, envelope: Any, timestamp_ms: int | None) -> Event:
    """Return the event in *envelope*, whose shape is right, once its values are, too."""
    account: str = envelope.subject
    if not _is_account(account):
        _refuse_account(account)
    event_id, source = envelope.id, envelope.source
    if not (event_id and event_id.isprintable()):
        _check_string("id", event_id)
    if not (source and source.isprintable()):
        _check_string("source", source)
    if envelope.datacontenttype is not None and not _JSON_MEDIA.fullmatch(envelope.datacontenttype):
        _refuse_attribute(f"datacontenttype is {_shown(envelope.datacontenttype)}, not JSON")
    if envelope.data_base64 is not None:
        _refuse_two_data()
    try:
        time = parse_rfc3339(envelope.time)
    except ValueError as error:
        raise Refused(Reason.INVALID_ATTRIBUTE, f"time: {error}") from None
    data = envelope.data
    if type(data) is _Minutes:
        data = CallMinutes(_thousandths(bytes(data.minutes)), data.call)
    if _TOPIC_OF_KIND[type(envelope)] != topic:
        _refuse_topic(topic, type(envelope))
    if time < EARLIEST:
        raise Refused(Reason.TOO_OLD, "time lies before 2000-01-01T00:00:00Z, the earliest allowed")
    if timestamp_ms is not None and _lies_ahead(time, timestamp_ms):
        _refuse_future(time, timestamp_ms)
    return Event(source, event_id, account, time, data)


def _text(value: bytes) -> bytes:
    """Return *value*, the bytes of JSON; the typed decoder does not look at text that it skips."""
    if not value.isascii():
        value.decode()
    return value


def _lies_ahead(time: int, timestamp_ms: int) -> bool:
    """Tell whether *time* lies too far after the record's timestamp; without one nothing does."""
    return 0 <= timestamp_ms * 1000 < time - MAX_AHEAD_MICROS


def _is_account(text: str) -> bool:
    """Tell whether *text* is an account id, and remember it if so."""
    if text not in _accounts_seen:
        if not _ACCOUNT.fullmatch(text):
            return False
        if len(_accounts_seen) >= _ACCOUNTS_KEPT:
            _accounts_seen.clear()
        _accounts_seen.add(text)
    return True


def _check_string(attribute: str, text: str) -> None:
    if not text:
        _refuse_attribute(f"{attribute} is empty")
    if bad := _BAD_CHARACTER.search(text):
        _refuse_attribute(f"{attribute} contains the character U+{ord(bad[0]):04X}")


def _thousandths(number: bytes) -> int:
    """Return the minutes written in the JSON *number* in thousandths, exactly."""
    whole, _, decimals = number.partition(b".")
    if len(whole) <= 8 and len(decimals) <= 3 and (whole + decimals).isdigit():
        thousandths = int(whole + decimals.ljust(3, b"0"))  # as nearly all are written
        if thousandths:
            return thousandths
    if not _NUMBER.fullmatch(number):
        raise Refused(
            Reason.INVALID_DATA, f"data.minutes must be a number, not {_shown(number.decode())}"
        )
    # The bound comes first, so that an exponent never makes an integer of thousands of digits.
    minutes = Decimal(number.decode())
    if not 0 < minutes <= MAX_MINUTES:
        raise Refused(
            Reason.INVALID_DATA,
            f"data.minutes must be above 0 and at most {MAX_MINUTES}, not {_shown(str(minutes))}",
        )
    if minutes != round(minutes, 3):
        raise Refused(
            Reason.INVALID_DATA,
            f"data.minutes has at most 3 decimals, not {_shown(number.decode())}",
        )
    return int(minutes.scaleb(3))


# ---------------------------------------------------------------------- a whole batch


def decode_all(topic: str, records: Sequence[Record]) -> list[Event | Refused]:
    """Return for each of *records* of *topic* its event, or why it is refused: what `decode` says.

    Nothing is raised for a record, whatever it holds, and none has an influence on another.
    """
    values = [
        _structured_value(record) if record.headers else record.value or b"" for record in records
    ]
    envelopes = _envelopes(values)
    times = parse_rfc3339_all([envelope.time for envelope in envelopes])
    # Up to here no time lies too far ahead, whichever record it belongs to; beyond, it may.
    certain = min([record.timestamp for record in records], default=0) * 1000 + MAX_AHEAD_MICROS
    outcomes: list[Event | Refused] = []
    add, accounts = outcomes.append, _accounts_seen
    kinds = {kind for kind, where in _TOPIC_OF_KIND.items() if where == topic}
    for record, envelope, time in zip(records, envelopes, times, strict=True):
        source, event_id, account = envelope.source, envelope.id, envelope.subject
        kind, data = type(envelope), envelope.data
        if kind is _Call:
            data = _call_minutes(data)
        if (
            kind in kinds
            and (account in accounts or _is_account(account))
            and time is not None
            and time >= EARLIEST
            and data is not None
            and event_id
            and event_id.isprintable()
            and source
            and source.isprintable()
            and envelope.data_base64 is None
            and (envelope.datacontenttype is None or envelope.datacontenttype == _PLAIN_JSON)
            and (time <= certain or not _lies_ahead(time, record.timestamp))
        ):
            add(Event(source, event_id, account, time, data))
        else:
            add(_decode_alone(topic, record))
    return outcomes


def _decode_alone(topic: str, record: Record) -> Event | Refused:
    if isinstance(record, RejectedBatch):
        return record.rejection
    try:
        return decode(topic, record.value, record.headers, record.timestamp)
    except Refused as refused:
        return refused


def _structured_value(record: Record) -> bytes:
    """Return the value of *record*; nothing if that is missing or not the whole event."""
    try:
        whole = not _is_binary(record.headers)
    except Refused:
        whole = False
    return (whole and record.value) or b""


def _envelopes(values: list[bytes]) -> list[Any]:
    """Return the envelope in each of *values*; `_UNREAD` where there is none without `decode`."""
    if b"".join(values).isascii() and max(map(len, values), default=0) <= MAX_EVENT_BYTES:
        try:
            return list(map(_decode, values))
        except _UNREADABLE:
            pass  # one of them at least
    return [_envelope(value) for value in values]


def _envelope(value: bytes) -> Any:
    try:
        return _decode(_text(value)) if len(value) <= MAX_EVENT_BYTES else _UNREAD
    except _UNREADABLE:
        return _UNREAD


def _call_minutes(data: _Minutes) -> CallMinutes | None:
    """Return *data* as rollups take it; None if `decode` refuses its number."""
    try:
        return CallMinutes(_thousandths(bytes(data.minutes)), data.call)
    except Refused:
        return None


# ---------------------------------------------------------------------- binary mode


def _is_binary(headers: Headers) -> bool:
    """Tell whether *headers* say binary mode: `ce_` attributes, and no CloudEvents media type."""
    binary = False
    media = b""
    for name, content in headers:
        if name == "content-type" and content:
            media = content.lower()
        binary = binary or name.startswith("ce_")
    if media.startswith(b"application/cloudevents-batch"):
        raise Refused(Reason.MALFORMED, "a record holds one event; batches are not read from Kafka")
    return binary and not media.startswith(_CLOUDEVENTS)


def _with_its_cause(refused: Refused, headers: Headers) -> Refused:
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
            return Refused(
                refused.reason,
                f"the header {_shown(name)} is not read, for its name is not “{right}”; so "
                f"{refused.sentence}",
            )
    return refused


def _read_binary(value: bytes, headers: Headers) -> _Envelope:
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
        _refuse_size(size)
    for name in _REQUIRED:
        if name not in attributes:
            _refuse_attribute(f"{name} is missing")
    if attributes["specversion"] != "1.0":
        _refuse_attribute(f"specversion is {_shown(attributes['specversion'])}, not “1.0”")
    kind = _KIND_OF.get(attributes["type"])
    if kind is None:
        _refuse_type(attributes["type"])
    given = {name: attributes[name] for name in _REQUIRED if name != "type"}
    data = _read_data(kind, value)
    return kind(**given, datacontenttype=media_type, data=data)  # type: ignore[call-arg, arg-type]


def _read_data(kind: type[_Envelope], value: bytes) -> Any:
    """Return the data of an event of *kind* in the JSON *value*."""
    if not value:
        raise Refused(Reason.INVALID_DATA, "data is missing")
    try:
        return _DATA_DECODERS[kind](_text(value))
    except msgspec.ValidationError as error:
        _explain(error, within="data")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Reason.INVALID_DATA, f"data is not valid JSON: {_cause(error)}") from None


def _header_text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        _refuse_attribute(f"the header {_shown(name)} is not UTF-8")


# ------------------------------------------------------- the slow second look at a record


def _read_slowly(value: bytes, error: Exception) -> _Envelope:
    """Return the envelope of a structured event with `data_base64`, or say what is wrong."""
    if not value:
        raise Refused(Reason.MALFORMED, "the record has no value")
    try:
        members = _decode_members(_text(value))
    except msgspec.ValidationError:
        raise Refused(Reason.MALFORMED, "the value is JSON, but no object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        sentence = f"the value is not a JSON event: {_cause(broken)}"
        raise Refused(Reason.MALFORMED, sentence) from None
    if not _has(members, "data_base64"):
        kind = _string(members, "type")
        if kind is not None and kind not in TOPIC_OF:
            _refuse_type(kind)
        return _decode_last(members, error)
    return _read_base64(members)


def _decode_last(members: dict[str, Raw], error: Exception) -> _Envelope:
    """Return the envelope of *members*, of each of which the last one counts.

    The typed decoder does so itself, but for `type`. *error* is what it said. Raises Refused.
    """
    try:
        envelope: _Envelope = _decode(msgspec.json.encode(members))
    except _UNREADABLE:
        _explain(error)
    return envelope


def _read_base64(members: dict[str, Raw]) -> _Envelope:
    """Return the envelope whose data is JSON in `data_base64`, as some SDKs send bytes."""
    if _has(members, "data"):
        _refuse_two_data()
    try:
        data = base64.b64decode(
            msgspec.json.decode(members["data_base64"], type=str), validate=True
        )
    except (msgspec.MsgspecError, ValueError):
        raise Refused(Reason.INVALID_DATA, "data_base64 is not Base64") from None
    texts = {f"ce_{name}": _string(members, name) for name in _REQUIRED}
    texts["content-type"] = _string(members, "datacontenttype")
    return _read_binary(
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
        _refuse_attribute(f"{name} is not valid: expected a string")


def _explain(error: Exception, within: str = "") -> NoReturn:
    """Raise Refused in an event's own terms for *error*, which a typed decoder raised."""
    match = _SPEC_ERROR.fullmatch(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    path = ".".join(filter(None, (within, path)))
    if missing := _MISSING.match(what):
        path, what = ".".join(filter(None, (path, missing[1]))), "is missing"
    else:
        what = f"is not valid: {what[:1].lower()}{what[1:]}"
    reason = Reason.INVALID_DATA if path.startswith("data") else Reason.INVALID_ATTRIBUTE
    if path.startswith("datacontenttype"):
        reason = Reason.INVALID_ATTRIBUTE
    raise Refused(reason, _plain(f"{path or 'the event'} {what}")[:500])


def _cause(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    text = str(error).removeprefix("JSON is malformed: ")
    return text[:200] if text else type(error).__name__


def _shown(text: str) -> str:
    text = _plain(text)
    return f"“{text}”" if len(text) <= 60 else f"“{text[:57]}…”"


def _plain(text: str) -> str:
    """Return *text* without characters that a header or a terminal cannot hold."""
    return _BAD_LAYOUT.sub(_INSTEAD, _BAD_CHARACTER.sub(_INSTEAD, text))


def _refuse_size(size: int) -> NoReturn:
    raise Refused(
        Reason.TOO_LARGE, f"the event has {size} bytes; {MAX_EVENT_BYTES} are the most it may have"
    )


def _refuse_type(name: str) -> NoReturn:
    raise Refused(Reason.UNKNOWN_TYPE, f"type is {_shown(name)}, which is no type of usage event")


def _refuse_attribute(sentence: str) -> NoReturn:
    raise Refused(Reason.INVALID_ATTRIBUTE, sentence)


def _refuse_account(account: str) -> NoReturn:
    if account in (".", ".."):
        _refuse_attribute(f"subject: {_shown(account)} cannot be an account id")
    _refuse_attribute(
        "subject: an account id has 1 to 128 of the characters A-Z a-z 0-9 . _ : -, "
        f"not {_shown(account)}"
    )


def _refuse_two_data() -> NoReturn:
    raise Refused(Reason.INVALID_DATA, "data and data_base64 must not both be present")


def _refuse_topic(topic: str, kind: type[_Envelope]) -> NoReturn:
    name = _TYPE_OF[kind]
    raise Refused(
        Reason.WRONG_TOPIC, f"{name} belongs on the topic {TOPIC_OF[name]}, not on {topic}"
    )


def _refuse_future(time: int, timestamp_ms: int) -> NoReturn:
    ahead = -(-(time - timestamp_ms * 1000) // 1_000_000)
    raise Refused(
        Reason.FUTURE,
        f"time lies {ahead} seconds after the record's own timestamp; 300 are allowed",
    )
