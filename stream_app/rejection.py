"""Why a record is rejected: the closed list of reasons, and the error that carries one."""

from enum import StrEnum

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
