"""Copying: from Kafka into the tables, each record exactly once.

In this order, and what a failure at each step leaves:

1. The positions of all topic-partitions are read from the tables. They are the only thing that says
   where to begin; nothing is taken from a consumer group. What Kafka deleted behind a position is
   recorded as a gap. (Failure: the gap is recorded, or it will be noticed again.)
2. Records are read from there up to the last stable offset, those of committed transactions alone,
   and collected as rows. (Failure: nothing is changed.)
3. The ids of the topics are compared with those before step 1: what was read is of these topics,
   and not of one that was deleted and created again meanwhile. (Failure: the rows are dropped.)
4. Rows and the positions behind them are committed, a table at a time. (Failure: the table has both
   or neither, so 1 begins in the right place. Another process committed the same first: the rows
   are dropped.)
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from interaction_usage.archive.archive import Archive, ArchivedGap, Place
from interaction_usage.archive.errors import KafkaBehindError
from interaction_usage.archive.records import dead_letters_batch, events_batch
from interaction_usage.archive.tables import ArchiveTable
from interaction_usage.store import keys
from stream_app import bounded_fetch, topics
from stream_app.broker import Span, admin_client, spans_of, topic_ids
from stream_app.errors import TopicRecreatedError, TopicsMissingError
from stream_app.topic_reader import Chunk, TopicReader

#: What is collected before it is committed: rows, and bytes of them in memory.
_MAX_ROWS: Final = 100_000
_MAX_BYTES: Final = 64 * 1024 * 1024

TOPICS: Final = (*topics.EVENT_TOPICS, topics.DEAD_LETTERS)


@dataclass
class Copied:
    """What was copied so far, and how far Kafka goes."""

    records: dict[str, int] = field(default_factory=dict)  #: by table
    commits: int = 0
    commit_seconds: float = 0.0
    committed_at: float | None = None  #: the time of the last commit
    gap_offsets: int = 0  #: offsets that Kafka had deleted
    lag: dict[Place, int] = field(default_factory=dict)  #: offsets that are not archived yet

    @property
    def total(self) -> int:
        """The records of all tables."""
        return sum(self.records.values())


@dataclass
class _Pending:
    """Rows of a table that are not committed yet, and the positions behind them."""

    table: ArchiveTable
    batches: list[pa.RecordBatch] = field(default_factory=list)
    positions: dict[Place, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(batch.num_rows for batch in self.batches)

    @property
    def is_full(self) -> bool:
        return self.rows >= _MAX_ROWS or sum(one.nbytes for one in self.batches) >= _MAX_BYTES


class Copying:
    """Copies from one Kafka into one archive, as long as no topic is created again.

    Used as a context manager; whoever gets an error makes a new one, which begins where the tables
    end.
    """

    def __init__(
        self, kafka: str, archive: Archive, copied: Copied, max_batch_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._kafka, self._archive, self._copied, self._clock = kafka, archive, copied, clock
        self._max_batch_bytes = max_batch_bytes
        self._admin: Any = admin_client(kafka)
        self._ids: dict[str, str] = {}
        self._reader: TopicReader | None = None
        self._pending: dict[str, _Pending] = {}
        self._archived: dict[Place, int] = {}

    async def __aenter__(self) -> "Copying":
        """Connect, and determine where to begin.

        Raises ArchiveError, BrokerUnavailableError, KafkaError, TopicsMissingError.
        """
        bounded_fetch.install(self._max_batch_bytes)
        await asyncio.to_thread(self._archive.reload)
        self._ids = await asyncio.to_thread(topic_ids, self._admin, TOPICS)
        spans = await self._spans()
        if not spans:
            raise TopicsMissingError(topics.EVENT_TOPICS)
        reader = TopicReader(self._kafka, await asyncio.to_thread(self._starts, spans))
        self._reader = await reader.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Disconnect."""
        if self._reader:
            await self._reader.__aexit__(*exception)

    async def catch_up(self) -> None:
        """Copy everything that is published now.

        Raises the errors of `__aenter__`, TopicRecreatedError and RecordsUnavailableError.
        """
        assert self._reader is not None
        spans = await self._spans()
        self._reader.add_partitions(await asyncio.to_thread(self._starts, spans))
        ends = {place: span.stable for place, span in spans.items()}
        self._note_lag(spans)
        async for chunk in self._reader.read_to(ends):
            await self._collect(chunk)
        for tp, end in self._reader.ends.items():  # behind the last records may be markers
            place = (tp.topic, tp.partition)
            if end > self._archived.get(place, 0):
                self._pending_of(place[0]).positions[place] = end
        await self._commit_all()
        self._note_lag(spans)

    async def check_storage(self) -> None:
        """Look whether the storage is there, though nothing is to be written. Raises StorageError.

        What another process has committed meanwhile is noticed when this one commits.
        """
        await asyncio.to_thread(self._archive.reload)

    async def _spans(self) -> dict[Place, Span]:
        """Return where partitions begin and end, of the topics that were there at the start."""
        if await asyncio.to_thread(topic_ids, self._admin, TOPICS) != self._ids:
            raise TopicRecreatedError
        return await asyncio.to_thread(spans_of, self._admin, list(self._ids))

    def _starts(self, spans: Mapping[Place, Span]) -> dict[Place, int]:
        """Return where to begin; what is deleted there is recorded as gaps."""
        new = [place for place in spans if place not in self._archived]
        starts = self._archive.positions(new, self._ids)
        self._archived |= starts
        for (topic, partition), position in starts.items():
            span = spans[topic, partition]
            if position > span.end:
                raise KafkaBehindError(
                    f"{topic}/{partition} ends at offset {span.end:,}, but is archived up to "
                    f"{position:,}: Kafka lost acknowledged records, or is another one. Offsets "
                    "would be archived twice; set USAGE_ARCHIVE to a new place, or delete and "
                    "create the topic again"
                )
            if position < span.begin:
                gap = ArchivedGap(topic, self._ids[topic], partition, position, span.begin)
                self._archive.record_gap(gap, int(self._clock() * 1_000_000))
                self._copied.gap_offsets += span.begin - position
        return {place: max(position, spans[place].begin) for place, position in starts.items()}

    def _note_lag(self, spans: Mapping[Place, Span]) -> None:
        self._copied.lag = {
            place: max(span.end - max(self._archived.get(place, 0), span.begin), 0)
            for place, span in spans.items()
        }

    def _pending_of(self, topic: str) -> _Pending:
        table = self._archive.table_of(topic)
        return self._pending.setdefault(table.name, _Pending(table))

    async def _collect(self, chunk: Chunk) -> None:
        """Make rows of *chunk*; commit if there are enough."""
        pending = self._pending_of(chunk.tp.topic)
        batch = await asyncio.to_thread(self._rows, chunk)
        pending.batches.append(batch)
        pending.positions[chunk.tp.topic, chunk.tp.partition] = chunk.ends
        if pending.is_full:
            await self._check_ids()
            await self._commit(pending)

    def _rows(self, chunk: Chunk) -> pa.RecordBatch:
        topic, topic_id = chunk.tp.topic, self._ids[chunk.tp.topic]
        if topic == topics.DEAD_LETTERS:
            return dead_letters_batch(topic_id, chunk.records)
        return events_batch(topic, topic_id, chunk.records)

    async def _check_ids(self) -> None:
        if await asyncio.to_thread(topic_ids, self._admin, TOPICS) != self._ids:
            raise TopicRecreatedError

    async def _commit_all(self) -> None:
        if any(pending.positions for pending in self._pending.values()):
            await self._check_ids()
        for pending in list(self._pending.values()):
            if pending.positions:
                await self._commit(pending)

    async def _commit(self, pending: _Pending) -> None:
        """Commit rows and positions. Raises CommitConflictError, StorageError."""
        began = time.monotonic()
        rows = pa.Table.from_batches(pending.batches, pending.table.schema)
        positions, before = {}, {}
        for place, end in pending.positions.items():
            name = keys.fence(*place, self._ids[place[0]])
            positions[name], before[name] = end, self._archived[place]
        await asyncio.to_thread(pending.table.append, rows, positions, before)
        self._archived |= pending.positions
        del self._pending[pending.table.name]
        name, copied = pending.table.name, self._copied
        copied.records[name] = copied.records.get(name, 0) + rows.num_rows
        copied.commits += 1
        copied.commit_seconds += time.monotonic() - began
        copied.committed_at = self._clock()
