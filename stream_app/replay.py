"""Reading the topics from their beginning, outside the consumer group, in the order of time.

A worker's partitions run ahead of each other when it reads old records; that does no harm but to
sealing, which asks what else was counted before. Here one reader has all partitions, and takes from
each only what lies within a day of the others' oldest unread record.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream_app import lenient_records

#: Milliseconds that a partition may run ahead of the oldest unread record of another.
_AHEAD = 86_400_000
#: Records of a partition that wait in memory before no more of it are fetched.
_WAITING = 20_000
#: Records that are handed on in one piece.
_PIECE = 5_000
#: Seconds without a record after which Kafka counts as away.
_PATIENCE = 60.0
#: After every record.
_EVER = 1 << 60


class NoRecords(Exception):
    """Kafka gave nothing more, though there is more; or it deleted what comes next."""


class Piece(NamedTuple):
    """Some records of one partition, behind those of the piece before."""

    tp: TopicPartition
    records: list[ConsumerRecord]
    ends: int  #: the offset after the last of them
    #: The second of the oldest record that is still to come from another partition. The piece
    #: begins with one that is no newer.
    complete: int


class Replay:
    """Reads *starts*, topic-partitions and the offset to begin at, up to any ends asked for."""

    def __init__(self, servers: str, starts: Mapping[tuple[str, int], int]) -> None:
        lenient_records.install()
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
            if any(not self._waiting[tp] for tp in open_ones):
                await self._fetch(open_ones)
            else:
                yield self._take(open_ones, targets)

    async def _next(self, tp: TopicPartition) -> int:
        """Return the offset of the next record of *tp* there may be."""
        if self._waiting[tp]:
            return int(self._waiting[tp][0].offset)
        # The position passes over offsets without records: markers, aborted transactions.
        position: int = await self._consumer.position(tp)
        self.ends[tp] = max(self.ends[tp], position)
        return self.ends[tp]

    async def _fetch(self, open_ones: list[TopicPartition]) -> None:
        """Wait until a partition that has no records has some, or is known to have none."""
        hungry = [tp for tp in open_ones if not self._waiting[tp]]
        before = {tp: await self._consumer.position(tp) for tp in hungry}
        full = [tp for tp, records in self._waiting.items() if len(records) >= _WAITING]
        self._consumer.pause(*full)
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            for tp, records in (await self._more()).items():
                self._waiting[tp] += records
            if any(self._waiting[tp] for tp in hungry):
                break
            if any([await self._consumer.position(tp) != before[tp] for tp in hungry]):
                break
            if asyncio.get_running_loop().time() > deadline:
                raise NoRecords(f"Kafka gave no records for {_PATIENCE:g} s")
        self._consumer.resume(*full)

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
        """Return the next piece: of the partition with the oldest record, as far as it may go."""
        heads = sorted((self._waiting[tp][0].timestamp, tp) for tp in open_ones)
        _, tp = heads[0]
        others = heads[1][0] if len(heads) > 1 else _EVER * 1000
        horizon = others + _AHEAD
        records = self._waiting[tp]
        count = 0
        for record in records[:_PIECE]:
            if record.offset >= targets[tp] or (count and record.timestamp > horizon):
                break
            count += 1
        piece, self._waiting[tp] = records[:count], records[count:]
        ends = piece[-1].offset + 1
        self.ends[tp] = ends
        return Piece(tp, piece, ends, others // 1000)
