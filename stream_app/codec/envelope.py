"""The shape of an event as it is sent, and the rules for what its attributes hold.

There is an envelope for each type of the catalogue, made from its row: the attributes, and the
struct of the data. One typed decoder reads all of them.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Protocol, Union

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from rollups.catalog import EVENT_TYPES
from rollups.events import CallMinutes, Event, Text
from rollups.timestamps import parse_rfc3339
from stream_app.codec.sentences import (
    check_string,
    refuse_account,
    refuse_attribute,
    refuse_future,
    refuse_topic,
    refuse_two_data,
    shown,
)
from stream_app.rejection import Reason, RejectedError
from stream_app.topics import TOPIC_OF

MAX_AHEAD_MICROS: Final = 5 * 60 * 1_000_000
#: Microseconds since the epoch: 2000-01-01 UTC. An earlier time is a clock that was never set.
EARLIEST: Final = 946_684_800 * 1_000_000
MAX_MINUTES: Final = 100_000_000  #: of one call; more cannot be reported from a mistake

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


class MinutesSent(Struct, gc=False):
    """The data of a `usage.call.minutes` event as sent: the number's own digits, unparsed."""

    minutes: Annotated[
        Raw,
        Meta(
            description="Minutes, exact to a thousandth. They are kept as a decimal number; do not "
            "validate them as binary floating point.",
            examples=[12.5],
            extra_json_schema={
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": MAX_MINUTES,
                "multipleOf": 0.001,
                "default": 1,
            },
        ),
    ] = field(default_factory=lambda: Raw(b"1"))
    call: Annotated[Text | UnsetType, Meta(description="The call's id.", examples=["c-88"])] = UNSET


class Envelope(Struct, tag_field="type", gc=False):
    """The attributes that every event has, as the JSON event format spells them."""

    specversion: Literal["1.0"]
    id: str
    source: str
    subject: str
    time: str
    datacontenttype: str | None = None
    data_base64: str | None = None


def _call_minutes(data: MinutesSent) -> CallMinutes:
    """Return *data* as rollups take it. Raises RejectedError."""
    return CallMinutes(thousandths_in(bytes(data.minutes)), data.call)


#: What a producer sends where that is not what is counted: its struct, and what makes data of it.
_SENT: Final[dict[type[Struct], tuple[type[Struct], Callable[[Any], Struct]]]] = {
    CallMinutes: (MinutesSent, _call_minutes)
}


def data_sent(data: type[Struct]) -> type[Struct]:
    """Return the struct that a producer sends for *data*."""
    return _SENT[data][0] if data in _SENT else data


#: The envelope of each type, by its name, in the order of the catalogue.
KIND_OF: Final[dict[str, type[Envelope]]] = {
    row.name: msgspec.defstruct(  # type: ignore[misc]  # it is one: its base says so
        f"{row.data.__name__}Envelope", [("data", data_sent(row.data))], bases=(Envelope,),
        tag=row.name, kw_only=True, gc=False,
    )
    for row in EVENT_TYPES
}  # fmt: skip
TYPE_OF: Final = {kind: name for name, kind in KIND_OF.items()}
TOPIC_OF_KIND: Final = {kind: TOPIC_OF[name] for name, kind in KIND_OF.items()}
#: The envelopes that belong on each topic.
KINDS_ON: Final = {
    topic: frozenset(kind for kind, where in TOPIC_OF_KIND.items() if where == topic)
    for topic in TOPIC_OF.values()
}
#: What makes data of what was sent, for the envelopes where these differ.
CONVERSIONS: Final = {
    KIND_OF[row.name]: _SENT[row.data][1] for row in EVENT_TYPES if row.data in _SENT
}

REQUIRED: Final = ("specversion", "id", "source", "type", "subject", "time")
DATA_DECODERS: Final[dict[type[Envelope], Callable[[bytes], Any]]] = {
    KIND_OF[row.name]: msgspec.json.Decoder(data_sent(row.data)).decode for row in EVENT_TYPES
}
#: Reads the envelope of any type.
decode_envelope: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(
    Union[tuple(TYPE_OF)]  # noqa: UP007 - made from the catalogue
).decode
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
#: Stands for a value without an envelope; no account is called like that.
UNREAD: Final[Any] = next(iter(TYPE_OF))("1.0", "", "", "", "", data=None)  # type: ignore[call-arg]

# Not `.` or `..`, which no path of the dashboard or its API would reach.
_ACCOUNT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,128}", re.ASCII)
PLAIN_JSON: Final = "application/json"
# A longer exponent is more than Decimal takes; no number of minutes has one.
_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?0*\d{1,17})?")
_JSON_MEDIA = re.compile(
    r"[ \t]*[\w.+-]+/(?:[\w.+-]+\+)?json[ \t]*(?:;[^\x00-\x1f\x7f]*)?", re.ASCII | re.IGNORECASE
)

accounts_seen: set[str] = set()  # account ids that were found to be right
ACCOUNTS_KEPT = 100_000


def event_of(topic: str, envelope: Any, timestamp_ms: int | None) -> Event:
    """Return the event in *envelope*, whose shape is right, once its values are, too."""
    account: str = envelope.subject
    if not is_account(account):
        refuse_account(account)
    event_id, source = envelope.id, envelope.source
    if not (event_id and event_id.isprintable()):
        check_string("id", event_id)
    if not (source and source.isprintable()):
        check_string("source", source)
    if envelope.datacontenttype is not None and not _JSON_MEDIA.fullmatch(envelope.datacontenttype):
        refuse_attribute(f"datacontenttype is {shown(envelope.datacontenttype)}, not JSON")
    if envelope.data_base64 is not None:
        refuse_two_data()
    try:
        time = parse_rfc3339(envelope.time)
    except ValueError as error:
        raise RejectedError(Reason.INVALID_ATTRIBUTE, f"time: {error}") from None
    data = envelope.data
    if convert := CONVERSIONS.get(type(envelope)):
        data = convert(data)
    if TOPIC_OF_KIND[type(envelope)] != topic:
        refuse_topic(topic, TYPE_OF[type(envelope)])
    if time < EARLIEST:
        raise RejectedError(
            Reason.TOO_OLD, "time lies before 2000-01-01T00:00:00Z, the earliest allowed"
        )
    if timestamp_ms is not None and lies_ahead(time, timestamp_ms):
        refuse_future(time, timestamp_ms)
    return Event(source, event_id, account, time, data)


def checked_utf8(value: bytes) -> bytes:
    """Return *value*, the bytes of JSON; the typed decoder does not look at text that it skips."""
    if not value.isascii():
        value.decode()
    return value


def lies_ahead(time: int, timestamp_ms: int) -> bool:
    """Tell whether *time* lies too far after the record's timestamp; without one nothing does."""
    return 0 <= timestamp_ms * 1000 < time - MAX_AHEAD_MICROS


def is_account(text: str) -> bool:
    """Tell whether *text* is an account id, and remember it if so."""
    if text not in accounts_seen:
        if not _ACCOUNT.fullmatch(text):
            return False
        if len(accounts_seen) >= ACCOUNTS_KEPT:
            accounts_seen.clear()
        accounts_seen.add(text)
    return True


def thousandths_in(number: bytes) -> int:
    """Return the minutes written in the JSON *number* in thousandths, exactly."""
    whole, _, decimals = number.partition(b".")
    if len(whole) <= 8 and len(decimals) <= 3 and (whole + decimals).isdigit():
        thousandths = int(whole + decimals.ljust(3, b"0"))  # as nearly all are written
        if thousandths:
            return thousandths
    if not _NUMBER.fullmatch(number):
        raise RejectedError(
            Reason.INVALID_DATA, f"data.minutes must be a number, not {shown(number.decode())}"
        )
    # The bound comes first, so that an exponent never makes an integer of thousands of digits.
    minutes = Decimal(number.decode())
    if not 0 < minutes <= MAX_MINUTES:
        raise RejectedError(
            Reason.INVALID_DATA,
            f"data.minutes must be above 0 and at most {MAX_MINUTES}, not {shown(str(minutes))}",
        )
    if minutes != round(minutes, 3):
        raise RejectedError(
            Reason.INVALID_DATA,
            f"data.minutes has at most 3 decimals, not {shown(number.decode())}",
        )
    return int(minutes.scaleb(3))
