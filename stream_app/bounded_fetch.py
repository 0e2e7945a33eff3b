"""Patches aiokafka so that fetched batches are read within bounds, whatever a producer sent.

aiokafka trusts every batch to come from an honest client. Here each is checked first:

- It is decompressed up to a bound and no further (`stream_app.decompression`): one that holds more
  is rejected as a whole, one record (`RejectedBatch`) stands for it, and reading goes on behind it.
- So is one that cannot be read: corrupt, or with offsets that are not those the broker assigned. A
  broker checks an uncompressed batch's number of records, but not their offsets; one whose offsets
  are 1,000,000 too high would have the next million events skipped as duplicates.
- Where the name of a header is not UTF-8, which no broker checks, the batch is read by aiokafka's
  decoder in plain Python, with the bytes of such names replaced.
- What is decompressed at a time is bounded, too, however many batches were fetched. A partition
  that has more waits until the others had their turn.

Uncompressed batches, and those that were decompressed here, are read by aiokafka's decoder in C;
its records are handed over as they are (`stream_app.fetched_record`).
"""

import hashlib
import logging
import struct
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import islice, pairwise
from typing import Any

from aiokafka.consumer import consumer, fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from stream_app.decompression import NAMES, decompress
from stream_app.errors import BatchTooLargeError, CorruptBatchError
from stream_app.fetch_protocol import FetchRequest
from stream_app.fetched_record import FetchedRecord
from stream_app.paced_fetch import PacedFetcher
from stream_app.rejected_batch import RejectedBatch
from stream_app.rejection import Reason, RejectedError

log = logging.getLogger(__name__)

#: Bytes that a batch may decompress to, unless `install` sets another bound.
MAX_BATCH_BYTES = 64 * 1024 * 1024

#: Bytes of records that are returned at a time: of all partitions together, and of one. A batch
#: that holds more is returned in pieces.
_AT_A_TIME, _PIECE = 16 * 1024 * 1024, 8 * 1024 * 1024
#: Bytes that the object for a record takes, whatever the record holds.
_RECORD_BYTES = 256
#: Bytes of a batch that is one piece, however small its records are; the smallest takes 7 bytes.
_SMALL = _PIECE // (_RECORD_BYTES // 7 + 2)
#: How often a batch that does not match its checksum is fetched before it is rejected.
_TRIES = 3

#: Places in a batch: its length, its format, and what the checksum of format 2 covers.
_LENGTH, _MAGIC, _COVERED = 8, 16, 21
#: In format 2 alone: the codec's byte, the last offset, the number of records, the first record.
_CODEC, _LAST, _COUNT, _RECORDS = 22, 23, 57, 61
#: In formats 0 and 1: the codec's byte; the message's key, which its value follows.
_LEGACY_CODEC, _LEGACY_KEY = 17, {0: 18, 1: 26}

_max_batch_bytes = MAX_BATCH_BYTES
#: Of a partition, the batch that did not match its checksum, and how often.
_mismatches: dict[Any, tuple[int, int]] = {}


class _Allowance:
    """Bytes that may still be returned by one call."""

    def __init__(self) -> None:
        self.left = _AT_A_TIME


_allowance: ContextVar[_Allowance] = ContextVar("_allowance")


class _LenientBytes(bytearray):
    """Bytes whose parts can always be decoded."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _LenientBytes(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return bytes(self).decode(encoding, "replace")


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """An uncompressed record batch of which every header name can be read."""

    def __init__(self, raw: memoryview) -> None:
        super().__init__(raw)
        self._buffer: Any = _LenientBytes(self._buffer)


class _RecordsWithBytes:
    """Fetched batches as aiokafka's decoder reads them, and the bytes of the last one."""

    __slots__ = ("_end", "_next", "_raw", "has_next", "last_raw", "size_in_bytes")

    def __init__(self, raw: bytes) -> None:
        fast = MemoryRecords(raw)
        self._raw, self._end = memoryview(raw), 0
        self.last_raw = self._raw[:0]  #: the bytes of the batch that was read last
        self._next = fast.next_batch
        self.has_next, self.size_in_bytes = fast.has_next, fast.size_in_bytes

    def next_batch(self) -> Any:
        """Return the next batch."""
        begin = self._end
        (length,) = struct.unpack_from(">i", self._raw, begin + _LENGTH)
        self._end = begin + _LENGTH + 4 + length
        self.last_raw = self._raw[begin : self._end]
        return self._next()


class _BoundedPartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """What was fetched of a partition, to be returned in pieces."""

    _records: _RecordsWithBytes
    next_fetch_offset: int

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.weight = 0  #: bytes that the last piece took: decompressed, and its objects
        self.is_within_a_batch = False  #: whether the rest of a batch waits decompressed
        self.is_done = False

    def take(self, most: int) -> list[FetchedRecord]:
        """Return the next records, of about *most* bytes: half as many, or half as many more."""
        piece: list[FetchedRecord] = []
        self.weight = 0
        for records in self._records_iterator:
            piece += records
            if self.weight >= most // 2:
                return piece
        self.is_done = True
        return piece

    def _unpack_records(self) -> Iterator[list[FetchedRecord]]:
        """Yield the records in lists; `next_fetch_offset` lies behind each when it is yielded."""
        records = self._records
        while records.has_next():
            batch = records.next_batch()
            found: list[FetchedRecord] = []
            if self._check_crcs and not batch.validate_crc():
                if self._is_fetched_again():
                    return
                yield [self._reject_mismatch(batch)]
                continue
            if not self._is_skipped(batch):
                begins = self.next_fetch_offset
                try:
                    plain, raw = self._decompressed(batch)
                    if len(raw) <= _SMALL or _weight(raw) <= _PIECE:
                        found = self._all_records(plain, raw)
                    else:
                        yield from self._lists(plain, raw)
                except (MemoryError, OSError):
                    raise  # not because of the batch; it is fetched again
                except Exception as error:  # whatever it is, it would be raised at each try
                    found = [self._stand_in(batch, error, begins)]
                self.is_within_a_batch = False
            self.next_fetch_offset = batch.next_offset
            if found:
                yield found

    def _is_skipped(self, batch: Any) -> bool:
        """Tell whether *batch* has no events: a marker, or of an aborted transaction."""
        if self._isolation_level == fetcher.READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)

    def _decompressed(self, batch: Any) -> tuple[Any, memoryview]:
        """Return *batch* and its bytes, not compressed. Raises DecompressionError."""
        raw = self._records.last_raw
        codec = _codec(raw)
        if not codec:
            return batch, raw
        if raw[_MAGIC] < 2:  # aiokafka will decompress it, without a bound
            at = _LEGACY_KEY[raw[_MAGIC]]
            (key,) = struct.unpack_from(">i", raw, at)
            value = raw[at + 4 + max(key, 0) + 4 :]
            return batch, decompress(codec, value, _max_batch_bytes, bytes(raw[:_RECORDS]))
        head = bytearray(raw[:_RECORDS])
        head[_CODEC] &= ~7
        raw = decompress(codec, raw[_RECORDS:], _max_batch_bytes, bytes(head))
        return DefaultRecordBatch(raw), raw

    def _all_records(self, batch: Any, raw: memoryview) -> list[FetchedRecord]:
        """Return the records of *batch*."""
        try:
            found = list(batch)
        except UnicodeDecodeError:
            batch = _LenientBatch(raw)
            found = list(batch)
        self.weight += len(raw) + len(found) * _RECORD_BYTES
        if found and raw[_MAGIC] >= 2:
            _check_offsets(found, batch.base_offset, batch.next_offset)
        return self._new_ones(found)

    def _lists(self, batch: Any, raw: memoryview) -> Iterator[list[FetchedRecord]]:
        """Yield the records of a large *batch* in lists of a number that makes a piece each."""
        pieces = _weight(raw) // _PIECE + 1
        at_once = struct.unpack_from(">i", raw, _COUNT)[0] // pieces + 1
        next_one, end = batch.base_offset, batch.next_offset
        # A generator, for aiokafka's own iterator can be begun only once.
        records, are_left = (record for record in batch), True
        while are_left:
            try:
                found = list(islice(records, at_once))
            except UnicodeDecodeError:
                if isinstance(batch, _LenientBatch):
                    raise
                # What was read already is below `next_fetch_offset` and is left out.
                yield from self._lists(_LenientBatch(raw), raw)
                return
            are_left = len(found) == at_once
            if found:
                _check_offsets(found, next_one, end)
                next_one = found[-1].offset + 1
            if found := self._new_ones(found):
                self.is_within_a_batch = are_left
                self.next_fetch_offset = next_one if are_left else end
                self.weight += _weight(raw) // pieces
                yield found

    def _new_ones(self, records: list[FetchedRecord]) -> list[FetchedRecord]:
        """Return those of *records* that were not returned before."""
        begin = self.next_fetch_offset
        if not records or records[0].offset >= begin:
            return records
        return [record for record in records if record.offset >= begin]

    # ------------------------------------------------------------------ what cannot be read

    def _is_fetched_again(self) -> bool:
        """Tell whether to fetch the batch again: it may have been damaged in transit."""
        at, tries = _mismatches.pop(self._tp, (-1, 0))
        base = _base_offset(self._records.last_raw)
        tries = tries + 1 if at == base else 1
        if tries < _TRIES:
            _mismatches[self._tp] = base, tries
        return tries < _TRIES

    def _reject_mismatch(self, batch: Any) -> RejectedBatch:
        """Return what stands for a batch that does not match its checksum.

        Its last offset cannot be trusted, either, unless it agrees with the number of records; else
        only its first offset is skipped, and so on.
        """
        raw = self._records.last_raw
        first = last = max(_base_offset(raw), self.next_fetch_offset)
        if raw[_MAGIC] >= 2:
            delta, count = (struct.unpack_from(">i", raw, at)[0] for at in (_LAST, _COUNT))
            if delta == count - 1:
                last = max(last, _base_offset(raw) + delta)
        stand_in = self._reject(batch, Reason.MALFORMED, "does not match its checksum", first, last)
        log.error("%s/%s: %s", *self._tp, stand_in.rejection.sentence)
        return stand_in

    def _stand_in(self, batch: Any, error: Exception, begins: int) -> RejectedBatch:
        """Return what stands for *batch*, or the rest of it, which cannot be read for *error*."""
        if isinstance(error, BatchTooLargeError):
            self.weight += _max_batch_bytes  # so much of it was decompressed
            what = f"decompresses to more than {_max_batch_bytes:,} bytes"
            return self._reject(batch, Reason.TOO_LARGE, what, begins)
        return self._reject(batch, Reason.MALFORMED, f"cannot be read ({_cause(error)})", begins)

    def _reject(
        self, batch: Any, reason: Reason, what: str, begins: int, last: int | None = None
    ) -> RejectedBatch:
        """Return what stands for *batch*, or for the rest of it."""
        raw = self._records.last_raw
        # Where some of its records were returned before the others turned out to be unreadable.
        base = _base_offset(raw)
        first = self.next_fetch_offset if self.next_fetch_offset > begins else base
        last = max(first, batch.next_offset - 1) if last is None else last
        codec = NAMES.get(_codec(raw))
        sentence = (
            f"a batch of {len(raw):,} bytes ({codec or 'not compressed'}), offsets {first} to "
            f"{last}, {what}; none of these records is counted"
        )
        self.next_fetch_offset = last + 1
        self.weight += len(raw)
        return RejectedBatch(
            *self._tp, last, batch.max_timestamp if raw[_MAGIC] >= 2 else -1, 0,
            None, None, None, -1, -1, (),
            rejection=RejectedError(reason, sentence), base_offset=first, batch_bytes=len(raw),
            fingerprint=hashlib.sha256(raw[_COVERED:]).hexdigest(),
        )  # fmt: skip


def _codec(raw: memoryview) -> int:
    """Return the codec of the batch *raw*, 0 for none."""
    return raw[_CODEC if raw[_MAGIC] >= 2 else _LEGACY_CODEC] & 7


def _base_offset(raw: memoryview) -> int:
    """Return the first offset of the batch *raw*, or the last in formats 0 and 1."""
    base: int = struct.unpack_from(">q", raw)[0]
    return base


def _weight(raw: memoryview) -> int:
    """Return the bytes that the decompressed batch *raw* takes, with the objects of its records."""
    count: int = struct.unpack_from(">i", raw, _COUNT)[0] if raw[_MAGIC] >= 2 else 0
    return len(raw) + count * _RECORD_BYTES


def _check_offsets(records: list[FetchedRecord], begin: int, end: int) -> None:
    """Check that *records* have offsets that rise, in [begin, end). Raises CorruptBatchError."""
    first: int = records[0].offset
    last: int = records[-1].offset
    if len(records) > 1:
        offsets = [record.offset for record in records]
        # One after another, as they are where no compaction took any out; quick to see.
        are_rising = last - first + 1 == len(offsets) and offsets == list(range(first, last + 1))
        are_rising = are_rising or all(one < other for one, other in pairwise(offsets))
    else:
        are_rising = True
    if not are_rising or first < begin or last >= end:
        raise CorruptBatchError("its records have other offsets than the broker assigned")


def _cause(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


class _BoundedFetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """What was fetched of a partition, returned as far as is allowed at a time."""

    _partition_records: _BoundedPartitionRecords | None

    def getall(self, max_records: int | None = None) -> list[FetchedRecord]:
        """Return the next records; their number is bounded by their size alone."""
        allowance = _allowance.get()
        fetched = self._partition_records
        if not self.check_assignment(self._topic_partition) or allowance.left <= 0 or not fetched:
            return []
        begin = fetched.next_fetch_offset
        try:
            records = fetched.take(min(_PIECE, allowance.left))
        except Exception:
            fetched.next_fetch_offset = begin  # aiokafka would go on behind what failed here
            raise
        allowance.left -= fetched.weight
        self._update_position()
        if fetched.is_done:
            self._partition_records = None
        return records

    @property
    def is_within_a_batch(self) -> bool:
        """Whether the rest of a batch waits decompressed; then it has its turn before others."""
        return bool(self._partition_records and self._partition_records.is_within_a_batch)


class _BoundedFetcher(PacedFetcher):
    """A fetcher that returns so much at a time, of each partition in turn."""

    async def fetched_records(self, *args: Any, **kwargs: Any) -> dict[Any, list[FetchedRecord]]:
        """Return some of what was fetched."""
        _allowance.set(_Allowance())
        found: dict[Any, list[FetchedRecord]] = await super().fetched_records(*args, **kwargs)
        for tp in found:
            rest = self._records.get(tp)
            if isinstance(rest, _BoundedFetchResult) and not rest.is_within_a_batch:
                self._records.move_to_end(tp)
        return found


def install(max_batch_bytes: int | None = None) -> None:
    """Have all of aiokafka's consumers read records this way; idempotent.

    *max_batch_bytes* is what a batch may decompress to; None leaves that as it is.
    """
    global _max_batch_bytes
    _max_batch_bytes = max_batch_bytes or _max_batch_bytes
    fetcher.PartitionRecords = _BoundedPartitionRecords
    fetcher.MemoryRecords = _RecordsWithBytes
    fetcher.FetchResult = _BoundedFetchResult
    fetcher.FetchRequest = FetchRequest
    consumer.Fetcher = _BoundedFetcher
