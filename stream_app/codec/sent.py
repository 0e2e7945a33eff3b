"""The data of an event as a producer sends it, where that is not what rollups take.

Minutes are sent in decimal digits, instants as RFC 3339, and a void has the event that it takes
back with the data as that was sent.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from rollups.catalog import EVENT_TYPES, VOIDABLE
from rollups.events import (
    Application,
    CallMinutes,
    EventVoided,
    OriginalEvent,
    SessionCorrected,
    Text,
)
from rollups.timestamps import parse_rfc3339
from stream_app.codec.patterns import TIME
from stream_app.codec.sentences import explain, invalid_string, shown
from stream_app.rejection import Reason, RejectedError

#: Microseconds since the epoch: 2000-01-01 UTC. An earlier time is a clock that was never set.
EARLIEST: Final = 946_684_800 * 1_000_000
MAX_MINUTES: Final = 100_000_000  #: of one call; more cannot be reported from a mistake

# A longer exponent is more than Decimal takes; no number of minutes has one.
_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?0*\d{1,17})?")

_WHY: Final = "Why, in words for whoever asks how a number came about."
_Actor = Annotated[
    Text | UnsetType,
    Meta(description="Who corrects it: a person or a program.", examples=["m.weber"]),
]


_INSTANT_OR_NULL: Final = {"type": ["string", "null"], "pattern": TIME}


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


class OriginalSent(Struct, gc=False):
    """The event that a void takes back, with its attributes and data as it was sent."""

    source: str
    id: str
    type: str
    time: str
    data: Raw


class VoidSent(Struct, gc=False):
    """The data of a `usage.event.voided` event as sent."""

    event: Annotated[
        OriginalSent,
        Meta(
            description="The event to take back, as it was sent: its source, id, type, time and "
            "data. Any event but those of sessions and corrections.",
            examples=[
                {
                    "source": "/apps/desk/eu-1",
                    "id": "01J9ZQ3Z8K",
                    "type": "usage.flow.run",
                    "time": "2026-10-05T09:12:00Z",
                    "data": {"flow": "reset-password", "application": "agent"},
                }
            ],
        ),
    ]
    reason: Annotated[Text, Meta(description=_WHY, examples=["sent twice under two ids"])]
    actor: _Actor = UNSET


class CorrectionSent(Struct, kw_only=True, gc=False):
    """The data of a `usage.session.corrected` event as sent."""

    session: Annotated[Text, Meta(description="The session's id.", examples=["s-4711"])]
    application: Annotated[
        Application, Meta(description="The application it ran in.", examples=["agent"])
    ]
    start: Annotated[
        str | None,
        Meta(
            description="When the session started: RFC 3339 with an offset; null if the session "
            "never was.",
            examples=["2026-10-05T09:00:00Z"],
            extra_json_schema=_INSTANT_OR_NULL,
        ),
    ]
    stop: Annotated[
        str | None,
        Meta(
            description="When it stopped, not before its start; null if that is not known.",
            examples=["2026-10-05T10:45:00.250Z"],
            extra_json_schema=_INSTANT_OR_NULL,
        ),
    ] = None
    reason: Annotated[Text, Meta(description=_WHY, examples=["the stop was lost"])]
    actor: _Actor = UNSET


def _call_minutes(sent: MinutesSent) -> CallMinutes:
    return CallMinutes(thousandths_in(bytes(sent.minutes)), sent.call)


def _event_voided(sent: VoidSent) -> EventVoided:
    original = sent.event
    for name in ("source", "id"):
        text = getattr(original, name)
        if wrong := invalid_string(f"data.event.{name}", text):
            raise RejectedError(Reason.INVALID_DATA, wrong)
    time = _instant("event.time", original.time)
    return EventVoided(
        OriginalEvent(original.source, original.id, time, _original_data(original)),
        sent.reason, sent.actor,
    )  # fmt: skip


def _original_data(original: OriginalSent) -> Struct:
    """Return the data of the event that a void takes back, as that event would have it."""
    decode = _VOIDABLE_DECODERS.get(original.type)
    if decode is None:
        if original.type in _NAMES:
            raise RejectedError(
                Reason.INVALID_DATA,
                f"data.event.type is {original.type}, which cannot be voided: a session is "
                "corrected by usage.session.corrected, and a correction is final",
            )
        raise RejectedError(
            Reason.INVALID_DATA,
            f"data.event.type is {shown(original.type)}, which is no type of usage event",
        )
    try:
        data = decode(bytes(original.data))
    except (msgspec.MsgspecError, RecursionError) as error:
        explain(error, within="data.event.data")
    if convert := CONVERSION_OF.get(type(data)):
        try:
            return convert(data)
        except RejectedError as refused:
            sentence = refused.sentence.replace("data.", "data.event.data.", 1)
            raise RejectedError(refused.reason, sentence) from None
    return data  # type: ignore[no-any-return]  # a struct, as its decoder says


def _session_corrected(sent: CorrectionSent) -> SessionCorrected:
    start = None if sent.start is None else _instant("start", sent.start)
    stop = None if sent.stop is None else _instant("stop", sent.stop)
    if start is not None and stop is not None and stop < start:
        raise RejectedError(
            Reason.INVALID_DATA,
            f"data.stop, {shown(sent.stop or '')}, lies before data.start, "
            f"{shown(sent.start or '')}",
        )
    return SessionCorrected(sent.session, sent.application, start, stop, sent.reason, sent.actor)


def _instant(member: str, text: str) -> int:
    """Return the instant that a *member* of the data names, in microseconds."""
    try:
        instant = parse_rfc3339(text)
    except ValueError as error:
        raise RejectedError(Reason.INVALID_DATA, f"data.{member}: {error}") from None
    if instant < EARLIEST:
        raise RejectedError(
            Reason.TOO_OLD,
            f"data.{member} lies before 2000-01-01T00:00:00Z, the earliest allowed",
        )
    return instant


#: What a producer sends where that is not what is counted: its struct, and what makes data of it.
_SENT: Final[dict[type[Struct], tuple[type[Struct], Callable[[Any], Struct]]]] = {
    CallMinutes: (MinutesSent, _call_minutes),
    EventVoided: (VoidSent, _event_voided),
    SessionCorrected: (CorrectionSent, _session_corrected),
}
#: What makes data of what was sent, by the struct that was sent.
CONVERSION_OF: Final = dict(_SENT.values())


def data_sent(data: type[Struct]) -> type[Struct]:
    """Return the struct that a producer sends for *data*."""
    return _SENT[data][0] if data in _SENT else data


_NAMES: Final = frozenset(row.name for row in EVENT_TYPES)
_VOIDABLE_DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {
    row.name: msgspec.json.Decoder(data_sent(row.data)).decode for row in VOIDABLE
}


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
