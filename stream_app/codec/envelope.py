"""The shape of an event as it is sent, and the rules for what its attributes hold.

There is an envelope for each type of the catalogue, made from its row: the attributes, and the
struct of the data. One typed decoder reads all of them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, Union

import msgspec
from msgspec import Struct

from rollups.catalog import EVENT_TYPES
from rollups.events import Event
from rollups.timestamps import parse_rfc3339
from stream_app.codec.sent import CONVERSION_OF, EARLIEST, data_sent
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


class Envelope(Struct, tag_field="type", gc=False):
    """The attributes that every event has, as the JSON event format spells them."""

    specversion: Literal["1.0"]
    id: str
    source: str
    subject: str
    time: str
    datacontenttype: str | None = None
    data_base64: str | None = None


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
    KIND_OF[row.name]: CONVERSION_OF[data_sent(row.data)]
    for row in EVENT_TYPES
    if data_sent(row.data) in CONVERSION_OF
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
#: Stands for a value without an envelope; no account has this name.
UNREAD: Final[Any] = next(iter(TYPE_OF))("1.0", "", "", "", "", data=None)  # type: ignore[call-arg]

# Not `.` or `..`, which no path of the dashboard or its API would reach.
_ACCOUNT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._:-]{1,128}", re.ASCII)
PLAIN_JSON: Final = "application/json"
_JSON_MEDIA = re.compile(
    r"[ \t]*[\w.+-]+/(?:[\w.+-]+\+)?json[ \t]*(?:;[^\x00-\x1f\x7f]*)?", re.ASCII | re.IGNORECASE
)

# Account ids and sources that were found to be right. Events share them: so a batch keeps less, and
# what is looked at again for each event is in the processor's cache.
accounts_seen: dict[str, str] = {}
sources_seen: dict[str, str] = {}
ACCOUNTS_KEPT = 100_000
SOURCES_KEPT, _LONGEST_SOURCE = 10_000, 200


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
    """Tell whether *text* is an account id."""
    return text in accounts_seen or known_account(text) is not None


def known_account(text: str) -> str | None:
    """Return *text* and remember it, if it is an account id."""
    if not _ACCOUNT.fullmatch(text):
        return None
    if len(accounts_seen) >= ACCOUNTS_KEPT:
        accounts_seen.clear()
    return accounts_seen.setdefault(text, text)


def known_source(text: str) -> str | None:
    """Return *text*, if it is a source that is not to be looked at closely; mostly remember it."""
    if not (text and text.isprintable()):
        return None
    if len(text) > _LONGEST_SOURCE:
        return text
    if len(sources_seen) >= SOURCES_KEPT:
        sources_seen.clear()
    return sources_seen.setdefault(text, text)
