"""The thread that talks to Kafka: Faust's, reading committed transactions only, and in few steps.

Faust has it do something by way of a queue, an event and a task that waits for both. Fetches are
what it does several times a second, so for them one step leads into the thread and one back.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.futures import maybe_set_exception, maybe_set_result

from stream_app import bounded_fetch
from stream_app.paced_fetch import LINGER_MS, MIN_BYTES


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that talks to Kafka, reading committed transactions only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._slow: dict[TP, str] = {}  # what was logged last of a partition without progress
        self._fetches: set[asyncio.Task[None]] = set()

    def _stopped_set(self) -> None:
        """Have the thread stop, unless it has ended: it crashes with the worker, maybe first."""
        try:
            super()._stopped_set()
        except RuntimeError:
            if not self.thread_loop.is_closed():
                raise

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        bounded_fetch.install(self.consumer.app.config.max_batch_bytes)
        consumer = super()._create_worker_consumer(transport)
        # Faust ties this to its own transactions. All are read when the consumer starts.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = 100  # a partition left out of a fetch waits so long
        if self.consumer.app.may_linger:
            consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = MIN_BYTES, LINGER_MS
        return consumer

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit in one try; return whether that succeeded. The next commit is the next try.

        aiokafka's own commit tries again as long as Kafka does not know one of the partitions, as
        where a topic was recreated with fewer. When the group rebalances meanwhile, each of these
        tries is of no generation and makes it rebalance again: for ever.
        """
        coordinator = self._ensure_consumer()._coordinator
        assigned = self.assignment()
        mine = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        committed = {
            TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in mine.items()
        }
        if coordinator.generation == OffsetCommitRequest.DEFAULT_GENERATION_ID:
            return False  # it is joining
        try:
            await coordinator._do_commit_offsets(None, committed)
        except KafkaError as error:
            self.log.debug("The commit failed: %s", error)
            return False
        # Faust's check for partitions without progress (`verify_event_path`) goes by this.
        self.tp_last_committed_at.update(dict.fromkeys(mine, time.monotonic()))
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Log, as Faust does, that *tp* makes no progress, but only where a record waits in it.

        Faust measures from the last batch and the last commit. A partition that was quiet for five
        minutes, or whose next records are in an open transaction, has none and is as it should be.
        """
        state = self.state_of(tp)
        if state is not None and state.paused:
            return  # on purpose: it is not even fetched
        if not self.consumer.has_waiting(tp, state):
            self.tp_last_committed_at[tp] = self.app.monitor.stream_inbound_time[tp] = now
            self._slow.pop(tp, None)
            self._verify_aiokafka_event_path(now, tp)
            return
        super().verify_event_path(now, tp)

    def _log_slow_processing(self, msg: str, *args: Any, **_: Any) -> None:
        """Log it in one line, and once; Faust logs thirteen, at every check."""
        tp = args[0]
        if self._slow.get(tp) != msg:
            self._slow[tp] = msg
            self.log.error(msg, *args)

    def state_of(self, tp: TP) -> Any:
        """Return aiokafka's state of *tp*; None where that is not assigned."""
        return self.states().get(tp)

    def states(self) -> Mapping[TP, Any]:
        """Return aiokafka's states of all partitions that are assigned."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = subscription and subscription.assignment
        return assignment._tp_state if assignment else {}  # its keys are tuples as Faust's are

    async def _keepalive2(self) -> None:
        """Wake nobody up once a second: whatever one thread wants of the other wakes it up."""

    # ---------------------------------------------------------------- fetching

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:
        """Return what was fetched of *active_partitions*, after *timeout* seconds at the latest."""
        answer = self.parent_loop.create_future()
        self.thread_loop.call_soon_threadsafe(self._begin, answer, active_partitions, timeout)
        return await answer

    def _begin(self, answer: asyncio.Future[Any], *asked: Any) -> None:
        """Fetch for whoever awaits *answer*; in this thread."""
        if not answer.cancelled():
            task = self.thread_loop.create_task(self._fetch(answer, *asked))
            self._fetches.add(task)
            task.add_done_callback(self._fetches.discard)

    async def _fetch(
        self, answer: asyncio.Future[Any], active_partitions: Any, timeout: float
    ) -> None:
        loop = self.parent_loop
        try:
            found = await self._fetch_records(self._ensure_consumer(), active_partitions, timeout)
        except BaseException as error:  # CancelledError, too: whoever awaits it would wait for ever
            loop.call_soon_threadsafe(maybe_set_exception, answer, error)
        else:
            loop.call_soon_threadsafe(maybe_set_result, answer, found)
