"""Corrections as the dashboard has them made: by whoever starts it, since they need Kafka."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class EventToVoid(NamedTuple):
    """An event to take back."""

    account: str
    source: str
    id: str
    day: str | None  #: the UTC day of its time, where several events have this source and id


class SessionToCorrect(NamedTuple):
    """A session, and what it shall be."""

    account: str
    application: str
    session: str
    start: int | None  #: microseconds since 1970-01-01T00:00:00Z; None: it never was
    stop: int | None
    is_new: bool  #: no event of it is expected


class Why(NamedTuple):
    """What is kept with a correction."""

    reason: str
    actor: str


class ChangedValues(NamedTuple):
    """What changes in the report of a month."""

    first: str
    last: str
    timezone: str
    cells: Sequence[tuple[str, Any, Any]]  #: path, before, after


class Correction(NamedTuple):
    """A correction: what it changes, and where it is if it was published."""

    what: str
    reports: Sequence[ChangedValues]
    issued: Sequence[str]  #: numbers of issued reports that it touches; they stay as they are
    remarks: Sequence[str]
    published: tuple[str, int, int] | None  #: topic, partition, offset
    is_counted: bool


class Corrections(Protocol):
    """Makes corrections. Its methods raise RequestError where one cannot be made."""

    def void(self, wanted: EventToVoid, why: Why, *, publish: bool) -> Correction:
        """Take an event back, or only say what that would change."""

    def correct(self, wanted: SessionToCorrect, why: Why, *, publish: bool) -> Correction:
        """Correct a session, or only say what that would change."""
