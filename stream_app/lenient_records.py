"""Records whose header names are not UTF-8, which aiokafka cannot read and would ask for for ever.

The name of a record's header is a string by protocol, but no broker checks it. aiokafka raises
UnicodeDecodeError in the middle of the fetched batch and stays there, so one such record would stop
its partition. Here the batch is read again from where it stopped, by aiokafka's decoder in plain
Python, with the bytes of such names replaced. It costs nothing until it happens.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class _LenientBytes(bytearray):
    """Bytes whose parts can always be decoded."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _LenientBytes(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return bytes(self).decode(encoding, "replace")


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A record batch of which every header name can be read."""

    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """Fetched records, in lenient batches (message format 2, the only one with headers)."""

    def next_batch(self) -> Any:
        current = self._next_slice
        batch = super().next_batch()
        if current is not None and current[self.MAGIC_OFFSET] >= 2:
            return _LenientBatch(current)
        return batch


class _KeptRecords:
    """Fetched records as aiokafka's fast decoder reads them, and the bytes to read them again."""

    __slots__ = ("has_next", "next_batch", "raw", "size_in_bytes")

    def __init__(self, raw: bytes) -> None:
        fast = MemoryRecords(raw)
        self.raw = raw
        self.has_next = fast.has_next
        self.next_batch = fast.next_batch
        self.size_in_bytes = fast.size_in_bytes


class _ReadablePartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """A partition's fetched records; what the fast decoder cannot read, the lenient one does."""

    _records: Any
    _aborted_transactions: list[Any]
    _aborted_producers: set[int]

    def __init__(self, tp: Any, records: Any, aborted: Any, *rest: Any) -> None:
        super().__init__(tp, records, aborted, *rest)
        self._aborted_at_first = list(self._aborted_transactions)

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            self._records = _LenientRecords(self._records.raw)
            self._aborted_transactions = list(self._aborted_at_first)
            self._aborted_producers = set()
            # What was read already lies below `next_fetch_offset` and is left out.
            yield from super()._unpack_records()


def install() -> None:
    """Have aiokafka's fetcher read records this way; again and again is as good as once."""
    fetcher.PartitionRecords = _ReadablePartitionRecords
    fetcher.MemoryRecords = _KeptRecords
