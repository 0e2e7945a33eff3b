"""A record as it comes out of a fetch, and with its place where that is wanted.

aiokafka's decoder in C makes an object for each record. A worker reads that as it is; to copy it
into a `ConsumerRecord`, as aiokafka does for its users, costs more than to make it.
"""

from collections.abc import Iterable
from typing import Protocol

from aiokafka.structs import ConsumerRecord

from stream_app.codec.envelope import Headers


class FetchedRecord(Protocol):
    """What every record has, but not of which topic-partition it is."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch; negative if it has none."""

    @property
    def timestamp_type(self) -> int | None: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def checksum(self) -> int | None: ...


def with_place(tp: tuple[str, int], record: FetchedRecord) -> ConsumerRecord:
    """Return *record* of *tp*, with its place; as it is if it has that."""
    if isinstance(record, ConsumerRecord):
        return record
    key, value = record.key, record.value
    return ConsumerRecord(
        *tp, record.offset, record.timestamp, record.timestamp_type, key, value, record.checksum,
        -1 if key is None else len(key), -1 if value is None else len(value),
        tuple(record.headers),
    )  # fmt: skip


def with_places(tp: tuple[str, int], records: Iterable[FetchedRecord]) -> list[ConsumerRecord]:
    """Return *records* of *tp*, each with its place."""
    return [with_place(tp, record) for record in records]
