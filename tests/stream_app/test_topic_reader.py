"""Reading topics from their beginning, and handing on again what came too early."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from aiokafka.structs import TopicPartition

from interaction_usage.store import keys
from stream_app.rebuild.run import Lock, Rebuild, Refusals
from stream_app.topic_reader import Piece, Replay
from stream_app.sealed_rejections import NONE

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
        found = {tp: its[self.at[tp] :] for tp, its in self.records.items()}
        self.at = {tp: len(its) for tp, its in self.records.items()}
        return {tp: its for tp, its in found.items() if its}


def read(
    hours: dict[TopicPartition, list[int]], take: Callable[[Replay, Piece], int]
) -> tuple[list[tuple[int, int]], Replay]:
    """Read records of these hours; return what was taken, (hour, partition), and the reader.

    *take* tells how many records of a piece are taken; what is left is put back.
    """
    records = {
        tp: [SimpleNamespace(offset=n, timestamp=at * HOUR_MS) for n, at in enumerate(its)]
        for tp, its in hours.items()
    }

    async def run() -> tuple[list[tuple[int, int]], Replay]:
        with patch("stream_app.topic_reader.AIOKafkaConsumer", lambda **_: FakeConsumer(records)):
            replay = Replay("localhost:1", {})
        replay.cover(dict.fromkeys(records, 0))
        taken: list[tuple[int, int]] = []
        async for piece in replay.upto({tp: len(its) for tp, its in records.items()}):
            assert replay.ends[piece.tp] == piece.ends
            count = take(replay, piece)
            if rest := piece.records[count:]:
                replay.put_back(piece.tp, rest)
                assert replay.ends[piece.tp] == rest[0].offset
            taken += [(r.timestamp // HOUR_MS, piece.tp.partition) for r in piece.records[:count]]
            assert len(taken) < 1000
        return taken, replay

    return asyncio.run(run())


def test_everything_is_read_once_each_partition_in_its_order() -> None:
    """Whatever the timestamps say, and what is put back is handed on again."""
    hours = {A: [0, 3, -5, 30], B: [10**6, 2, 4, 29], C: [6, 7, 8, 28]}
    put_back: list[Any] = []

    def take(_: Replay, piece: Piece) -> int:
        if piece.tp not in put_back:
            put_back.append(piece.tp)
            return 2
        return len(piece.records)

    taken, replay = read(hours, take)
    for tp, its in hours.items():
        assert [hour for hour, partition in taken if partition == tp.partition] == its
    assert replay.ends == {A: 4, B: 4, C: 4}


def test_a_position_moves_behind_acknowledged_dead_letters_only() -> None:
    """The letters first, and where Kafka does not take them, nothing else."""
    did: list[str] = []

    class Box:
        """Kafka, which takes one letter."""

        async def publish(self, letters: list[Any]) -> None:
            did.append(f"{len(letters)} published")
            if len(did) > 2:
                raise ConnectionError

    class Writer:
        """A writer that applies everything."""

        async def apply(self, fence: str, placed: list[Any], ends: int, *_: Any) -> None:
            did.append(f"position {ends}")

    box: Any = Box()
    writer: Any = Writer()
    replay: Any = None
    redis: Any = None
    rebuild = Rebuild(
        redis, None, {}, writer, keys.FIRST, replay, Refusals(box, {}), Lock(""), NONE
    )
    bad: Any = SimpleNamespace(
        topic=A.topic, partition=0, offset=0, timestamp=0, key=b"", value=b"bad", headers=()
    )
    asyncio.run(rebuild._take(Piece(A, [bad], 1)))
    try:
        asyncio.run(rebuild._take(Piece(A, [bad], 2)))
    except ConnectionError:
        did.append("failed")
    assert did == ["1 published", "position 1", "1 published", "failed"]
