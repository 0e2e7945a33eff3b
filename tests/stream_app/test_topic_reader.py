"""Reading topics from their beginning, and handing on again what came too early."""

import asyncio
import gc
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition

from interaction_usage import settings
from stream_app.dead_letter_producer import DeadLetterProducer
from stream_app.fetched_record import with_place
from stream_app.rebuild.dead_letters import RebuildDeadLetters
from stream_app.rebuild.earlier import Earlier
from stream_app.rebuild.lock import RebuildLock
from stream_app.rebuild.new_rollups import NewRollups
from stream_app.sealed_rejections import NO_REJECTIONS
from stream_app.topic_reader import Chunk, TopicReader

A, B, C = (TopicPartition("usage.flows", number) for number in range(3))
HOUR_MS = 3_600_000


class FakeConsumer:
    """A consumer of records that are all there at once."""

    def __init__(self, records: dict[TopicPartition, list[Any]]) -> None:
        self.records = records
        self.at: dict[TopicPartition, int] = {}

    def assign(self, _: Any) -> None: ...

    def pause(self, *_: Any) -> None: ...

    resume = pause

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.at[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self.at[tp]

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        found = {tp: entry[self.at[tp] :] for tp, entry in self.records.items()}
        self.at = {tp: len(entry) for tp, entry in self.records.items()}
        return {tp: entry for tp, entry in found.items() if entry}


def _record(offset: int, timestamp: int, value: bytes | None = None) -> Any:
    """Return a record as aiokafka's decoder makes it."""
    return SimpleNamespace(
        offset=offset, timestamp=timestamp, timestamp_type=0, key=b"", value=value, headers=[],
        checksum=None,
    )  # fmt: skip


def read(
    hours: dict[TopicPartition, list[int]], take: Callable[[TopicReader, Chunk], int]
) -> tuple[list[tuple[int, int]], TopicReader]:
    """Read records of these hours; return what was taken, (hour, partition), and the reader.

    *take* tells how many records of a chunk are taken; what is left is put back.
    """
    records = {
        tp: [_record(n, at * HOUR_MS) for n, at in enumerate(entry)] for tp, entry in hours.items()
    }

    async def run() -> tuple[list[tuple[int, int]], TopicReader]:
        reader = TopicReader("localhost:1", {}, new_consumer=lambda _: FakeConsumer(records))
        reader.add_partitions(dict.fromkeys(records, 0))
        taken: list[tuple[int, int]] = []
        async for chunk in reader.read_to({tp: len(entry) for tp, entry in records.items()}):
            assert reader.ends[chunk.tp] == chunk.ends
            count = take(reader, chunk)
            if rest := chunk.records[count:]:
                reader.put_back(chunk.tp, rest)
                assert reader.ends[chunk.tp] == rest[0].offset
            taken += [(r.timestamp // HOUR_MS, chunk.tp.partition) for r in chunk.records[:count]]
            assert len(taken) < 1000
        return taken, reader

    return asyncio.run(run())


def test_everything_is_read_once_each_partition_in_the_order() -> None:
    """Whatever the timestamps say, and what is put back is handed on again."""
    hours = {A: [0, 3, -5, 30], B: [10**6, 2, 4, 29], C: [6, 7, 8, 28]}
    put_back: list[Any] = []

    def take(_: TopicReader, chunk: Chunk) -> int:
        if chunk.tp not in put_back:
            put_back.append(chunk.tp)
            return 2
        return len(chunk.records)

    taken, reader = read(hours, take)
    for tp, entry in hours.items():
        assert [hour for hour, partition in taken if partition == tp.partition] == entry
    assert reader.ends == {A: 4, B: 4, C: 4}


def test_a_position_moves_behind_acknowledged_dead_letters_only() -> None:
    """The dead dead_letters first, and where Kafka does not accept them, nothing else."""
    did: list[str] = []

    class Box:
        """Kafka, which accepts one dead letter."""

        async def publish(self, dead_letters: list[Any]) -> None:
            did.append(f"{len(dead_letters)} published")
            if len(did) > 2:
                raise ConnectionError

    class Writer:
        """A writer that applies everything."""

        async def apply(self, fence: str, placed: list[Any], ends: int, *_: Any) -> None:
            did.append(f"position {ends}")

    box: Any = Box()
    writer: Any = Writer()
    nothing: Any = None
    new = NewRollups(
        nothing, nothing, {}, writer, nothing, RebuildDeadLetters(box, {}), RebuildLock(""),
        lambda: NO_REJECTIONS, Earlier(None, {}, {}),
    )  # fmt: skip
    bad = with_place(A, _record(0, 0, b"bad"))
    asyncio.run(new.apply(Chunk(A, [bad], 1)))
    try:
        asyncio.run(new.apply(Chunk(A, [bad], 2)))
    except ConnectionError:
        did.append("failed")
    assert did == ["1 published", "position 1", "1 published", "failed"]


@pytest.mark.parametrize(
    "client",
    [lambda kafka: TopicReader(kafka, {("usage.flows", 0): 0}), DeadLetterProducer],
    ids=["reader", "producer"],
)
def test_a_client_that_found_no_broker_leaves_nothing_open(client: Callable[[Any], Any]) -> None:
    """What is left open says so when it is collected, and holds sockets until then."""
    kafka = settings.read({"USAGE_KAFKA": "127.0.0.1:1"}).kafka

    async def connect() -> None:
        with pytest.raises(KafkaConnectionError):
            async with client(kafka):
                pass
        gc.collect()

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        asyncio.run(connect())
    assert [str(each.message) for each in said] == []
