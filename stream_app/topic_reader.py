"""Reading topics from given offsets up to given ends, outside the consumer group."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError, TopicAuthorizationFailedError
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream_app import bounded_fetch, clients
from stream_app.errors import BrokerDeniedError, RecordsUnavailableError
from stream_app.fetched_record import FetchedRecord, with_places
from stream_app.kafka_state import READ, topic_denied

#: Records in one chunk.
_CHUNK = 5_000
#: Seconds without a record after which Kafka counts as unavailable.
_TIMEOUT_S = 60.0


class Chunk(NamedTuple):
    """Some records of one partition, behind those of the chunk before."""

    tp: TopicPartition
    records: list[ConsumerRecord]
    ends: int  #: the offset after the last of them


def bounded_consumer(servers: str) -> Any:
    """Return a consumer of committed records, outside any group, that reads within bounds."""
    bounded_fetch.install()
    return AIOKafkaConsumer(
        **clients.aiokafka(servers),
        enable_auto_commit=False,
        auto_offset_reset="none",  # or it goes on behind what Kafka deleted, in silence
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )


def reading_denied(error: TopicAuthorizationFailedError) -> BrokerDeniedError:
    """Return what it means that a consumer may not read topics: how to grant that."""
    names = error.args[0] if error.args else ()
    topics = [names] if isinstance(names, str) else sorted(names)
    return BrokerDeniedError("; ".join(str(topic_denied(name, READ)) for name in topics))


class TopicReader:
    """Reads topic-partitions from *starts*, the offset of each, up to any ends."""

    def __init__(
        self,
        servers: str,
        starts: Mapping[tuple[str, int], int],
        *,
        new_consumer: Callable[[str], Any] = bounded_consumer,
    ) -> None:
        self._consumer = new_consumer(servers)
        self.starts: dict[TopicPartition, int] = {}  #: the offset each partition was read from
        #: The offset after the records that were returned, and after empty offsets behind them.
        self.ends: dict[TopicPartition, int] = {}
        self._first = starts
        self._fetched: dict[TopicPartition, list[ConsumerRecord]] = {}

    async def __aenter__(self) -> "TopicReader":
        """Connect. Raises KafkaError."""
        try:
            await self._consumer.start()
            self.add_partitions(self._first)
        except BaseException:  # nobody else ends what has only half begun
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._consumer.stop()

    @property
    def started_at(self) -> int:
        """The sum of the offsets at which reading started."""
        return sum(self.starts.values())

    @property
    def reached(self) -> int:
        """The sum of the offsets up to which partitions are read."""
        return sum(self.ends.values())

    def add_partitions(self, starts: Mapping[tuple[str, int], int]) -> None:
        """Read those of these partitions, too, that are not being read yet."""
        new = {TopicPartition(*place): offset for place, offset in starts.items()}
        new = {tp: offset for tp, offset in new.items() if tp not in self.starts}
        if new:
            self.starts |= new
            self._consumer.assign(list(self.starts))
            self.seek(self.ends | new)

    def seek(self, starts: Mapping[TopicPartition, int]) -> None:
        """Continue from other offsets; records that were fetched and not returned are dropped."""
        for tp, offset in starts.items():
            self._consumer.seek(tp, offset)
        self._fetched = {tp: [] for tp in starts}
        self.ends = dict(starts)

    def put_back(self, tp: TopicPartition, records: list[ConsumerRecord]) -> None:
        """Return *records* again later; they are all that were returned from the first on."""
        self._fetched[tp] = records + self._fetched[tp]
        self.ends[tp] = records[0].offset

    async def read_to(self, ends: Mapping[tuple[str, int], int]) -> AsyncIterator[Chunk]:
        """Yield everything before *ends*, in chunks.

        Raises RecordsUnavailableError and BrokerDeniedError.
        """
        targets = {TopicPartition(*place): end for place, end in ends.items()}
        while True:
            unfinished = [tp for tp in targets if await self._next_offset(tp) < targets[tp]]
            if not unfinished:
                return
            if any(self._fetched[tp] for tp in unfinished):
                yield self._next_chunk(unfinished, targets)
            else:
                await self._fetch(unfinished)

    async def _next_offset(self, tp: TopicPartition) -> int:
        """Return the offset at which the next record of *tp* may be."""
        if self._fetched[tp]:
            return int(self._fetched[tp][0].offset)
        # The position skips offsets without records: markers, aborted transactions.
        position: int = await self._consumer.position(tp)
        self.ends[tp] = max(self.ends[tp], position)
        return self.ends[tp]

    async def _fetch(self, unfinished: list[TopicPartition]) -> None:
        """Wait until a partition has records, or has skipped offsets without any."""
        before = {tp: await self._consumer.position(tp) for tp in unfinished}
        others = [tp for tp in self.starts if tp not in before]
        self._consumer.pause(*others)  # their records would only fill the memory
        try:
            await self._fetch_some(unfinished, before)
        finally:
            self._consumer.resume(*others)

    async def _fetch_some(
        self, unfinished: list[TopicPartition], before: Mapping[TopicPartition, int]
    ) -> None:
        deadline = asyncio.get_running_loop().time() + _TIMEOUT_S
        while True:
            for tp, records in (await self._poll()).items():
                self._fetched[tp] += with_places(tp, records)
            if any(self._fetched[tp] for tp in unfinished):
                return
            if any([await self._consumer.position(tp) != before[tp] for tp in unfinished]):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise RecordsUnavailableError(f"Kafka returned no records for {_TIMEOUT_S:g} s")

    async def _poll(self) -> dict[TopicPartition, list[FetchedRecord]]:
        try:
            records: dict[TopicPartition, list[FetchedRecord]] = await self._consumer.getmany(
                timeout_ms=200
            )
        except OffsetOutOfRangeError as error:
            places = ", ".join(
                f"{tp.topic}/{tp.partition} at offset {at:,}" for tp, at in error.args[0].items()
            )
            raise RecordsUnavailableError(
                f"Kafka deleted the next records while they were being read: {places}"
            ) from None
        except TopicAuthorizationFailedError as error:
            raise reading_denied(error) from None
        return records

    def _next_chunk(self, unfinished: list[TopicPartition], targets: Mapping[Any, int]) -> Chunk:
        """Return the next chunk, of the partition of which most was fetched."""
        tp = max(unfinished, key=lambda one: len(self._fetched[one]))
        records = self._fetched[tp]
        upto = min(bisect_left(records, targets[tp], key=lambda record: record.offset), _CHUNK)
        chunk, self._fetched[tp] = records[:upto], records[upto:]
        self.ends[tp] = chunk[-1].offset + 1
        return Chunk(tp, chunk, self.ends[tp])
