"""From which offsets a worker reads its partitions: from where the rollups in Redis end.

Redis is read and not Kafka's commits: it loses writes, if it does, from the end of its log, so its
positions name an offset before which nothing is missing, and an empty Redis is rebuilt from the
topics.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial

from aiokafka.errors import UnknownTopicOrPartitionError
from faust.types import TP
from redis.exceptions import RedisError

from interaction_usage.store import keys
from interaction_usage.store.errors import ReseekRequired, UnusableRollupsError
from interaction_usage.store.progress import last_progress
from stream_app.errors import BrokerUnavailableError
from stream_app.faults import denial, permanent_fault
from stream_app.retry import REDIS_ERRORS, retry
from stream_app.sealed_rejections import SealedRejections
from stream_app.worker_context import WorkerContext
from stream_app.write_gate import State

log = logging.getLogger(__name__)

#: Seconds before the group is rejoined because a topic that it assigned is gone.
_PAUSE_S = 1.0


class StartOffsets:
    """Determines the start offsets of an assignment, and prepares the writer for them."""

    def __init__(
        self,
        context: WorkerContext,
        read_topic_ids: Callable[[], dict[str, str]],
        read_rejections: Callable[[Mapping[TP, int], int | None], SealedRejections],
        give_up: Callable[[str], None],
    ) -> None:
        self._context, self._writer = context, context.writer
        self._read_topic_ids, self._read_rejections = read_topic_ids, read_rejections
        self._give_up = give_up
        self._beginning = asyncio.Lock()
        self._waits_for = ""  # what was logged last
        self.topic_ids: dict[str, str] = {}  #: of the topics as they were at the last start
        self._fences: dict[tuple[TP, str], str] = {}

    def fence(self, tp: TP) -> str:
        """Return the name of *tp* in fences and positions."""
        topic_id = self.topic_ids.get(tp.topic, "")
        name = self._fences.get((tp, topic_id))
        if name is None:
            name = self._fences[tp, topic_id] = keys.fence(tp.topic, tp.partition, topic_id)
        return name

    async def find(self, assigned: Collection[TP]) -> dict[TP, int]:
        """Return the offset from which each partition is read, however long that takes.

        Nothing that was read before this call is written after it. Raises
        UnknownTopicOrPartitionError where a topic is gone.
        """
        await self._context.gate.quiet()
        self._waits_for = ""
        return await retry(
            partial(self._find, assigned),
            self._wait_for,
            errors=(
                *REDIS_ERRORS,
                BrokerUnavailableError,
                ReseekRequired,
                UnusableRollupsError,
            ),
            backoff=self._context.backoff,
        )

    async def _find(self, assigned: Collection[TP]) -> dict[TP, int]:
        while True:
            self.topic_ids = await asyncio.to_thread(self._read_topic_ids)
            if gone := sorted({tp.topic for tp in assigned} - self.topic_ids.keys()):
                # Without its id it would be read from the beginning, under fences of no topic. The
                # group assigns it to nobody as soon as it has noticed.
                await asyncio.sleep(_PAUSE_S)
                raise UnknownTopicOrPartitionError(", ".join(gone))
            names = {tp: self.fence(tp) for tp in assigned}
            async with self._beginning:
                ends = await self._writer.begin(list(names.values()))
                namespace = self._writer.keys
                await self._writer.check_limits()
            if self._writer.keys == namespace:  # no rebuild was activated in between
                offsets = {tp: ends[name] for tp, name in names.items()}
                last = await last_progress(self._writer.nodes)
                seen = last.looked_at if last else None
                rejections = await asyncio.to_thread(self._read_rejections, offsets, seen)
                self._context.earlier_rejections = rejections
                return offsets

    def _wait_for(self, error: Exception) -> None:
        if not denial(error) and (fault := permanent_fault(error)):
            self._give_up(fault)
            return
        if str(error) == self._waits_for:
            return
        self._waits_for = str(error)
        who = "Kafka" if isinstance(error, BrokerUnavailableError) else "Redis"
        log.warning("Waiting for %s to determine the start offsets: %s", who, error)

    async def begin_on_standby(self) -> None:
        """Prepare the writer for other rollups, in a worker without partitions.

        It needs no start offsets; to rejoin the group would bring no partitions either.
        """
        await self._context.gate.quiet()
        async with self._beginning:
            if self._context.gate.state is State.STANDBY:
                with suppress(ReseekRequired, RedisError, OSError):
                    await self._writer.begin([])
