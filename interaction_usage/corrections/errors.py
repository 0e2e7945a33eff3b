"""What stands in the way of a correction.

CorrectionError
├── EventNotFoundError        there is no such event of the account
├── AmbiguousEventError       several, of other types or days
├── SessionNotFoundError      nothing is known of the session
├── NothingToCorrectError     it is so already
├── DaySealedError            what would change is final
├── CorrectionRefusedError    published, and then refused by the worker
└── CorrectionSourceError     Kafka, the archive or the rollups cannot be read
"""

from collections.abc import Sequence


class CorrectionError(Exception):
    """A correction cannot be made; the message is a sentence for whoever asked for it."""


class EventNotFoundError(CorrectionError):
    """There is no such event of the account; `near` are some of its ids that look alike."""

    def __init__(self, sentence: str, near: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.near = near


class AmbiguousEventError(CorrectionError):
    """Several events have this source and id."""


class SessionNotFoundError(CorrectionError):
    """Nothing is known of the session; `near` are some that look alike."""

    def __init__(self, sentence: str, near: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.near = near


class NothingToCorrectError(CorrectionError):
    """It is already as the correction would make it."""


class DaySealedError(CorrectionError):
    """A day that would change is sealed."""


class CorrectionRefusedError(CorrectionError):
    """The correction was published, and is not counted."""


class CorrectionSourceError(CorrectionError):
    """Kafka or the archive cannot be read."""
