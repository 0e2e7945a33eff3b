"""Refused events as the dashboard has them read: by whoever starts it, since they are in Kafka."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class RefusedRecord(NamedTuple):
    """A refused record, without its bytes."""

    origin: str  #: topic/partition/offset, which names it
    reason: str
    sentence: str
    to_do: str
    refused_at: str
    account: str | None
    id: str | None
    source: str | None
    type: str | None
    time: str | None
    is_open: bool
    refusals: int
    replays: int
    left_out: str | None  #: a sentence about what was too large to keep; None: nothing was


class RefusedGroup(NamedTuple):
    """Records that were refused for one cause."""

    reason: str
    cause: str
    means: str
    to_do: str
    records: int
    accounts: Sequence[str]  #: some of them
    first_at: str
    last_at: str
    sample: RefusedRecord


class Overview(NamedTuple):
    """What is open, and where an event was asked for, the records with that id."""

    total: int
    groups: Sequence[RefusedGroup]
    replayed: int  #: records that were replayed and not refused since
    is_complete: bool  #: whether all dead letters were looked at
    found: Sequence[RefusedRecord]


class Content(NamedTuple):
    """The bytes of a record as text, as far as they are shown."""

    record: RefusedRecord
    key: str | None
    headers: Sequence[tuple[str, str | None]]
    value: str | None
    is_cut: bool


class Replayed(NamedTuple):
    """What was published again, and what was not."""

    replayed: int
    problems: Sequence[str]


class Scope(NamedTuple):
    """Whose refused events are looked at."""

    account: str | None = None  #: of one account; None: of all, and of nobody
    #: Only records that were decoded as far as the account: what its own token may see.
    is_strict: bool = False


class RefusedEvents(Protocol):
    """Reads refused events. Its methods raise RequestError."""

    def overview(self, scope: Scope, event_id: str | None) -> Overview:
        """Return what is refused, by cause."""

    def content(self, scope: Scope, origin: str) -> Content:
        """Return a record with its bytes."""

    def replay(self, reason: str, cause: str, account: str | None) -> Replayed:
        """Publish the open records of a cause again; with *account* only those of it."""
