"""A worker on standby, or one that is seeking: it goes on, and leaves the group alone."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
from aiokafka.errors import UnknownTopicOrPartitionError
from faust.types import TP

from interaction_usage.store import keys
from interaction_usage.store.errors import (
    ClusterChangedError,
    LostWritesError,
    RollupsSwitchedError,
)
from rollups.watermark import Position
from stream_app import start_offsets
from stream_app.heartbeat import Heartbeat
from stream_app.rejoin import Rejoin
from stream_app.sealed_rejections import NO_REJECTIONS
from stream_app.start_offsets import StartOffsets
from stream_app.telemetry import Telemetry
from stream_app.watchdog import Watchdog
from stream_app.worker_context import WorkerContext
from stream_app.write_gate import State, WriteGate

FLOWS = TP("usage.flows", 0)
#: The rollups that are active.
ANOTHER = keys.Namespace("another")


class _Writer:
    """A writer to rollups that were rebuilt, or lost, until it begins."""

    def __init__(self, error: Exception | None) -> None:
        self.keys, self._error = keys.FIRST, error
        self.begun: list[list[str]] = []
        self.advanced: list[Any] = []
        self.acknowledged: dict[str, int] = {}
        self.checked = 0
        self.nodes = SimpleNamespace(execute_all=self._execute_all)

    async def check_rollups(self) -> None:
        if self._error and not self.begun:
            raise self._error
        if self.keys != ANOTHER:
            raise RollupsSwitchedError
        self.checked += 1

    async def begin(self, names: Sequence[str]) -> dict[str, int]:
        self.begun.append(list(names))
        self.keys = ANOTHER
        return {}

    def is_acknowledged(self, name: str, offset: int) -> bool:
        return self.acknowledged.get(name, -1) >= offset

    async def advance(self, positions: Any) -> None:
        self.advanced.append(positions)

    async def _execute_all(self, *_: Any) -> None:
        pass


class _Consumer:
    """A consumer in which nothing is processed, and nothing wrong."""

    knows_no_broker = is_idle = False

    offsets: ClassVar[dict[TP, int]] = {}

    def processed(self) -> dict[TP, int]:
        return dict(self.offsets)


class _Worker:
    """The parts of a worker around the gate, and how often it rejoined the group."""

    def __init__(self, state: State, writer: Any, topic_ids: dict[str, str] | None = None) -> None:
        self.rejoined = 0
        self.gate = WriteGate(SimpleNamespace(consumer_generation_id=3, rebalancing_count=1))
        if state is State.STANDBY:
            self.gate.assigned([])
        elif state is not State.JOINING:
            self.gate.end_seek(self.gate.begin_seek(), succeeded=True)
            if state is State.SEEKING:
                self.gate.begin_seek()
        assert self.gate.state is state
        self.telemetry, self.rejoin = Telemetry(), Rejoin(self.gate, self._count)
        context = WorkerContext(
            self.gate, writer, lambda: None, self.telemetry,
            lambda error: self.rejoin.request(str(error)),
        )  # fmt: skip
        ids = topic_ids or {}
        self.start_offsets = StartOffsets(
            context, lambda: ids, lambda *_: NO_REJECTIONS, pytest.fail
        )
        self.heartbeat = Heartbeat(context, _Consumer, self.start_offsets, self.rejoin, pytest.fail)
        self.watchdog = Watchdog(
            self.gate, _Consumer, self.start_offsets, self.rejoin, lambda: ids, pytest.fail
        )

    def _count(self) -> None:
        self.rejoined += 1


@pytest.mark.parametrize(
    "error", [None, LostWritesError({"usage.flows/0": (1, 2)}), ClusterChangedError("a failover")]
)
@pytest.mark.parametrize(
    ("state", "begins", "rejoins"),
    [(State.STANDBY, 1, 0), (State.SEEKING, 0, 0), (State.OPEN, 0, 1)],
)
def test_only_a_worker_with_partitions_joins_again(
    error: Exception | None, state: State, begins: int, rejoins: int
) -> None:
    """Without partitions it would come back without any, see the same, and rejoin: without end.

    While it is seeking, that determines where the rollups end now; to rejoin would break it off.
    """
    writer = _Writer(error)
    worker = _Worker(state, writer)

    async def beat_twice() -> None:
        await worker.heartbeat.beat(1)
        await worker.heartbeat.beat(2)

    asyncio.run(beat_twice())
    assert writer.begun == [[]] * begins
    assert worker.rejoined == rejoins
    assert (worker.telemetry.rollups == "another") is bool(begins)


@pytest.mark.parametrize("state", [State.STANDBY, State.OPEN, State.JOINING])
def test_a_worker_without_partitions_takes_a_topic_as_it_is(state: State) -> None:
    """There is nothing that it would have to read again.

    One that has some, or is about to get others, must not: what it has processed of the topic that
    was there would become a position in the one that is there now.
    """
    worker = _Worker(state, cast(Any, None), topic_ids={"usage.flows": "another"})
    worker.start_offsets.topic_ids = {"usage.flows": "one"}
    asyncio.run(worker.watchdog.look())
    assert bool(worker.rejoined) is (state is not State.STANDBY)
    current = "another" if state is State.STANDBY else "one"
    assert worker.start_offsets.fence(FLOWS) == f"usage.flows/0@{current}"


def test_a_topic_that_is_gone_is_not_read_under_fences_of_no_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without its id everything in it would look new; the group is joined again instead."""
    monkeypatch.setattr(start_offsets, "_PAUSE_S", 0.0)
    worker = _Worker(State.JOINING, cast(Any, None), topic_ids={"usage.clicks": "one"})
    with pytest.raises(UnknownTopicOrPartitionError, match=r"usage\.flows"):
        asyncio.run(worker.start_offsets.find([FLOWS]))


def test_a_heartbeat_writes_positions_that_are_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in an assignment, and not those of micro-batches; after a seek they are again."""
    writer = _Writer(None)
    monkeypatch.setattr(writer, "keys", ANOTHER)
    worker = _Worker(State.OPEN, writer)

    async def beats(*offsets: int) -> None:
        for offset in offsets:
            monkeypatch.setattr(_Consumer, "offsets", {FLOWS: offset})
            await worker.heartbeat.beat(1)

    asyncio.run(beats(5, 5, 6, 6))
    assert [dict(each) for each in writer.advanced] == [
        {"usage.flows/0": Position(5)}, {"usage.flows/0": Position(6)},
    ]  # fmt: skip
    assert writer.checked == 4
    writer.acknowledged = {"usage.flows/0": 8}
    asyncio.run(beats(7, 8))
    assert len(writer.advanced) == 2
    asyncio.run(beats(9))
    worker.gate.end_seek(worker.gate.begin_seek(), succeeded=True)
    asyncio.run(beats(9, 9))
    assert len(writer.advanced) == 4
