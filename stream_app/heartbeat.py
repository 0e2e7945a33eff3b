"""A worker's heartbeat: what it has done, and whether its rollups are still the active ones."""

import logging
from collections.abc import Callable
from typing import Protocol

from faust.types import TP
from redis.exceptions import RedisError

from interaction_usage.store.errors import ReseekRequired
from interaction_usage.store.keys import Namespace
from interaction_usage.store.worker_registry import send_heartbeat
from rollups.watermark import Position
from stream_app.errors import StaleAssignmentError
from stream_app.faults import permanent_fault
from stream_app.fetched_batch import Assignment
from stream_app.rejoin import Rejoin
from stream_app.start_offsets import StartOffsets
from stream_app.telemetry import worker_name
from stream_app.worker_context import WorkerContext
from stream_app.write_gate import State

log = logging.getLogger(__name__)


class Consumer(Protocol):
    """What a heartbeat needs of the consumer (`transport.BatchConsumer`)."""

    def processed(self) -> dict[TP, int]: ...


class Heartbeat:
    """Writes a worker's heartbeat to Redis, and notices there what makes it start again."""

    def __init__(
        self,
        context: WorkerContext,
        consumer: Callable[[], Consumer],
        start_offsets: StartOffsets,
        rejoin: Rejoin,
        give_up: Callable[[str], None],
    ) -> None:
        self._context, self._consumer = context, consumer
        self._start_offsets, self._rejoin, self._give_up = start_offsets, rejoin, give_up
        self.on_sent: Callable[[], None] = lambda: None  #: called when Redis took a heartbeat
        self._written: tuple[Assignment, Namespace, dict[str, Position]] | None = None

    async def beat(self, second: int) -> None:
        """Write the heartbeat of this *second*, and positions where no batch is in process."""
        self._rejoin.repeat()
        gate, writer = self._context.gate, self._context.writer
        assignment = gate.assignment
        processed = self._consumer().processed()
        positions = {self._start_offsets.fence(tp): Position(at) for tp, at in processed.items()}
        try:
            with gate.admit(assignment):
                await writer.check_rollups()
                await self._advance(positions, assignment)
                self._context.telemetry.rollups = writer.keys.name
                await self._write(second)
        except ReseekRequired as error:
            await self._start_again(error, assignment)
        except (RedisError, OSError, StaleAssignmentError) as failure:
            if fault := permanent_fault(failure):
                self._give_up(fault)
            log.debug("No heartbeat: Redis is unavailable, or the group is rebalancing")

    async def _advance(self, positions: dict[str, Position], assignment: Assignment) -> None:
        """Write those of *positions* that no heartbeat of this assignment and no micro-batch wrote.

        The first heartbeat writes all: a topic without records has a position as well.
        """
        writer, written = self._context.writer, self._written
        self._written = None
        changed = positions
        if written and written[:2] == (assignment, writer.keys):
            changed = {
                name: position
                for name, position in positions.items()
                if position != written[2].get(name)
                and not writer.is_acknowledged(name, position.offset)
            }
        if changed:
            await writer.advance(changed)
        self._written = assignment, writer.keys, positions

    async def _write(self, second: int) -> None:
        nodes, report = self._context.writer.nodes, self._context.telemetry.encoded()
        await send_heartbeat(nodes, worker_name(), report, second)
        self.on_sent()

    async def _start_again(self, error: ReseekRequired, assignment: Assignment) -> None:
        """Start from what Redis has, unless a seek is doing that."""
        gate = self._context.gate
        if gate.state is State.SEEKING:
            return  # each new connection is checked until it has what the seek finds
        if gate.state is State.STANDBY:
            await self._start_offsets.begin_on_standby()
            return
        gate.close(assignment)
        self._context.on_lost_writes(error)
