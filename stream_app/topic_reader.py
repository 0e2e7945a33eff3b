"""Reading the topics from their beginning, outside the consumer group."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream_app import bounded_fetch

#: Records that are handed on in one piece.
_PIECE = 5_000
#: Seconds without a record after which Kafka counts as away.
_PATIENCE = 60.0


class NoRecords(Exception):
    """Kafka gave nothing more, though there is more; or it deleted what comes next."""


class Piece(NamedTuple):
    """Some records of one partition, behind those of the piece before."""

    tp: TopicPartition
    records: list[ConsumerRecord]
    ends: int  #: the offset after the last of them


class Replay:
    """Reads *starts*, topic-partitions and the offset to begin at, up to any ends asked for."""

    def __init__(self, servers: str, starts: Mapping[tuple[str, int], int]) -> None:
        bounded_fetch.install()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=servers.split(","),
            enable_auto_commit=False,
            auto_offset_reset="none",  # or it goes on behind what Kafka deleted, in silence
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        self.starts: dict[TopicPartition, int] = {}  #: where each partition was begun
        #: Where the records that were handed on end, and offsets without any behind them.
        self.ends: dict[TopicPartition, int] = {}
        self._first = starts
        self._waiting: dict[TopicPartition, list[ConsumerRecord]] = {}

    async def __aenter__(self) -> "Replay":
        """Connect. Raises KafkaError."""
        await self._consumer.start()
        self.cover(self._first)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go."""
        await self._consumer.stop()

    @property
    def begun(self) -> int:
        """The offsets before those at which reading began, over all partitions."""
        return sum(self.starts.values())

    @property
    def reached(self) -> int:
        """The offsets before those that are still to come, over all partitions."""
        return sum(self.ends.values())

    def cover(self, starts: Mapping[tuple[str, int], int]) -> None:
        """Read those of these partitions as well that were not there before."""
        new = {TopicPartition(*place): offset for place, offset in starts.items()}
        new = {tp: offset for tp, offset in new.items() if tp not in self.starts}
        if new:
            self.starts |= new
            self._consumer.assign(list(self.starts))
            self.seek(self.ends | new)

    def seek(self, starts: Mapping[TopicPartition, int]) -> None:
        """Go on from other offsets; what waits is forgotten."""
        for tp, offset in starts.items():
            self._consumer.seek(tp, offset)
        self._waiting = {tp: [] for tp in starts}
        self.ends = dict(starts)

    def put_back(self, tp: TopicPartition, records: list[ConsumerRecord]) -> None:
        """Have *records* handed on again; they are all that was handed on behind the first."""
        self._waiting[tp] = records + self._waiting[tp]
        self.ends[tp] = records[0].offset

    async def upto(self, ends: Mapping[tuple[str, int], int]) -> AsyncIterator[Piece]:
        """Yield everything before *ends*, in pieces. Raises NoRecords."""
        targets = {TopicPartition(*place): end for place, end in ends.items()}
        while True:
            open_ones = [tp for tp in targets if await self._next(tp) < targets[tp]]
            if not open_ones:
                return
            if any(self._waiting[tp] for tp in open_ones):
                yield self._take(open_ones, targets)
            else:
                await self._fetch(open_ones)

    async def _next(self, tp: TopicPartition) -> int:
        """Return the offset of the next record of *tp* there may be."""
        if self._waiting[tp]:
            return int(self._waiting[tp][0].offset)
        # The position passes over offsets without records: markers, aborted transactions.
        position: int = await self._consumer.position(tp)
        self.ends[tp] = max(self.ends[tp], position)
        return self.ends[tp]

    async def _fetch(self, open_ones: list[TopicPartition]) -> None:
        """Wait until a partition has records, or is known to have none before another offset."""
        before = {tp: await self._consumer.position(tp) for tp in open_ones}
        others = [tp for tp in self.starts if tp not in before]
        self._consumer.pause(*others)  # what they have would only fill the memory
        try:
            await self._fetch_some(open_ones, before)
        finally:
            self._consumer.resume(*others)

    async def _fetch_some(
        self, open_ones: list[TopicPartition], before: Mapping[TopicPartition, int]
    ) -> None:
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            for tp, records in (await self._more()).items():
                self._waiting[tp] += records
            if any(self._waiting[tp] for tp in open_ones):
                return
            if any([await self._consumer.position(tp) != before[tp] for tp in open_ones]):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise NoRecords(f"Kafka gave no records for {_PATIENCE:g} s")

    async def _more(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        try:
            found: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                timeout_ms=200
            )
        except OffsetOutOfRangeError as error:
            places = ", ".join(
                f"{tp.topic}/{tp.partition} at offset {at:,}" for tp, at in error.args[0].items()
            )
            raise NoRecords(f"what comes next was deleted while it was read: {places}") from None
        return found

    def _take(self, open_ones: list[TopicPartition], targets: Mapping[Any, int]) -> Piece:
        """Return the next piece, of the partition of which most waits."""
        tp = max(open_ones, key=lambda one: len(self._waiting[one]))
        records = self._waiting[tp]
        upto = min(bisect_left(records, targets[tp], key=lambda record: record.offset), _PIECE)
        piece, self._waiting[tp] = records[:upto], records[upto:]
        ends = piece[-1].offset + 1
        self.ends[tp] = ends
        return Piece(tp, piece, ends)
