"""Why a record is rejected: the closed list of reasons, and the error that carries one."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from stream_app.errors import StreamError


class Reason(StrEnum):
    """The reason codes of `usage.dead-letters`."""

    TOO_LARGE = "too-large"  #: larger than 64 KiB; or a batch that decompresses to too much
    MALFORMED = "malformed"  #: not a CloudEvents 1.0 event in JSON at all; or no sound batch
    UNKNOWN_TYPE = "unknown-type"  #: the attribute `type` names no usage event
    WRONG_TOPIC = "wrong-topic"  #: a usage event on the topic of another type
    INVALID_ATTRIBUTE = "invalid-attribute"  #: an attribute is missing or breaks its rule
    INVALID_DATA = "invalid-data"  #: `data` is missing or a member breaks its rule
    SEALED = "sealed"  #: it would change a UTC day that nothing had changed for 35 days
    TOO_OLD = "too-old"  #: `time` lies before 2000
    FUTURE = "future"  #: `time` lies more than 5 minutes after the record's timestamp


class RejectedError(StreamError):
    """A record that is not counted, with the code and the sentence that its dead letter carries."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(f"{reason}: {sentence}")
        self.reason = reason
        self.sentence = sentence


class Advice(NamedTuple):
    """What a reason means and what to do about it, as docs/events.md has it, in Markdown."""

    means: str
    to_do: str

    def plain(self) -> "Advice":
        """Return the same without Markdown, for terminals and pages."""
        return Advice(_plain(self.means), _plain(self.to_do))


def _plain(text: str) -> str:
    # The last link says where they all are.
    text = re.sub(r"\[([^\]]*)\]\(#[^)]*\)(?!.*\]\(#)", r"\1 in docs/events.md", text)
    text = re.sub(r"\[([^\]]*)\]\(#[^)]*\)", r"\1", text)
    return text.replace("`", "")


ADVICE: Final[Mapping[Reason, Advice]] = {
    Reason.TOO_LARGE: Advice(
        "The event is larger than 64 KiB, or its batch unpacks to too much.",
        "Send what is listed here and leave the rest out.",
    ),
    Reason.MALFORMED: Advice(
        "The value is no JSON object in UTF-8, or several events; or a batch of records cannot be "
        "read.",
        "Look at the serializer; in binary mode, at whether the `ce_` headers arrived.",
    ),
    Reason.UNKNOWN_TYPE: Advice(
        "`type` names no usage event.",
        "Compare it with [Types](#types): spelling, capitals.",
    ),
    Reason.WRONG_TOPIC: Advice(
        "A usage event on the topic of another type.",
        "Publish it on the topic that the sentence names.",
    ),
    Reason.INVALID_ATTRIBUTE: Advice(
        "An attribute is missing or breaks its rule.",
        "The sentence names it; see [Attributes](#attributes) and [Time](#time).",
    ),
    Reason.INVALID_DATA: Advice(
        "`data` is missing, twice there, or a member breaks its rule.",
        "The sentence names the member; see [Types](#types).",
    ),
    Reason.TOO_OLD: Advice(
        "`time` lies before 2000-01-01T00:00:00Z.",
        "Look at the clock, which was probably never set.",
    ),
    Reason.FUTURE: Advice(
        "`time` lies more than 5 minutes after the record's timestamp.",
        "Look at the time zone: a local time marked `Z` is the usual cause.",
    ),
    Reason.SEALED: Advice(
        "The account's UTC day was sealed before the event came: nothing had changed it for 35 "
        "days. It may be a repeat.",
        "The operator decides; the bill for that day is closed.",
    ),
}
