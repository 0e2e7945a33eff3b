"""Batches on their way to the rollups: each partition's in order, none held up by another's.

A batch can have to wait for other partitions (`agents.NotYet`). Those may belong to the same
topic, and so to the same agent, which takes one batch after the other. So a batch that must wait
leaves the agent for a lane of its partition, whose batches queue up behind it; no more of them are
fetched.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from faust.types import TP

from stream_app.agents import Intake

log = logging.getLogger(__name__)

#: Seconds between two tries of a batch that must wait.
_PAUSE = 1.0


class Job(NamedTuple):
    """A Faust event with a batch, and the work on it."""

    event: Any
    intake: Intake


class Lanes:
    """The partitions whose batches wait."""

    def __init__(
        self,
        finish: Callable[[Job], Awaitable[bool]],
        hold: Callable[[TP], None],
        release: Callable[[TP], None],
    ) -> None:
        self._finish, self._hold, self._release = finish, hold, release
        self._lanes: dict[TP, deque[Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, job: Job) -> None:
        """Do *job* now, or line it up behind those of its partition that wait."""
        tp = job.intake.batch.tp
        if tp in self._lanes:
            self._lanes[tp].append(job)
        elif not await self._finish(job):
            log.warning("%s/%s waits for other partitions, to know whether a day is sealed", *tp)
            self._lanes[tp] = deque([job])
            self._hold(tp)
            task = asyncio.create_task(self._drain(tp))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _drain(self, tp: TP) -> None:
        lane = self._lanes[tp]
        while lane:
            if await self._finish(lane[0]):
                lane.popleft()
            else:
                await asyncio.sleep(_PAUSE)
        del self._lanes[tp]
        self._release(tp)
