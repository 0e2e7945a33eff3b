"""Faust's Kafka transport, with all that a fetch brought as one message.

Why. Faust's cost is per message, not per byte: it awaits a handful of tasks for each, about 125 us.
Given one message per fetch, agents, acks, commits and rebalances stay Faust's, and that cost is
paid once for thousands of records, or for the few that each of many partitions has.

What else is different, and why it must be:

- What may be committed is kept here, as the offset up to which batches were *processed*, and not
  derived from Faust's acks: Faust acks messages that it skips in a rebalance, and would commit
  them.
- Batches of a partition form a chain: each has the offset at which the one before it ended. A batch
  that does not continue what was processed means that one was lost in between, and ends the worker,
  which then reads again from where the rollups end. It is never skipped.
- A partition is read from where the rollups end (`stream_app.start_offsets`), not from the commit:
  what Redis lost is read again.
- Where Kafka no longer has the next records, the group is rejoined and the seek that follows
  records what was deleted as a gap (`stream_app.gaps`). aiokafka would go on with what there is, in
  silence.
- Only committed transactions are read. Offsets without records (transaction markers, aborted
  records) are skipped as soon as no batch is in process, so that lag can reach zero.

Pinned to the versions in pyproject.toml; tests/stream_app/test_transport_seams.py tests what is
relied on here.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, cast

from aiokafka.errors import (
    ConsumerStoppedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify
from redis.exceptions import RedisError

from interaction_usage.store.errors import LedgerError
from stream_app.consumer_thread import ConsumerThread
from stream_app.coordination import retry_coordination
from stream_app.errors import OffsetGapError, RecordsLostError
from stream_app.fetched_batch import Assignment, FetchedBatch
from stream_app.fetched_record import FetchedRecord
from stream_app.kafka_state import READ, Obstacle, group_denied, topic_denied
from stream_app.write_gate import State, WriteGate

log = logging.getLogger(__name__)

#: Seconds that a seek may take. If one took longer than Faust's `broker_request_timeout` (90),
#: Faust would treat that as the end of its service, and handle no further assignment.
_SEEK_TIMEOUT = 60.0
#: Seconds that a fetch waits for records.
_FETCH_TIMEOUT_S = 1.0
#: Seconds between two looks for offsets without records, while others have some.
_SKIP_INTERVAL_S = 0.5


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """A Faust consumer whose messages are lists of batches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delivered: dict[TP, int] = {}  # the end of the last batch handed to an agent
        self._processed: dict[TP, int] = {}  # every record before this is counted or rejected
        self._was_sought = False  # whether nothing was fetched since the last seek
        self._skips_at = 0.0  # when offsets without records are looked for next
        self.stop_flow()  # until the first seek, also where there is nothing to seek at first

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def gate(self) -> WriteGate:
        """The state of the current assignment."""
        gate: WriteGate = self.app.gate
        return gate

    # ------------------------------------------------------------------ reading

    async def _drain_messages(self, fetcher: Any) -> None:
        """Read, and hand over what that brings, until *fetcher* is stopped.

        Faust creates seven tasks for that, six of them for what happens in a rebalance only.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                async for _, message in self.getmany(timeout=_FETCH_TIMEOUT_S):
                    await self._hand_over(message)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise
        except Exception as error:
            log.exception("Reading ended: %s", error)
            raise

    async def _hand_over(self, message: ConsumerMessage) -> None:
        """Give *message* to the agent; where that has to wait, until a rebalance begins."""
        is_full = any(topic.queue.full() for topic in self.app.topics)
        if is_full or not self.app.flow_control.is_active():
            await self.wait_first(self.callback(message), self.suspend_flow.wait())
        else:
            await self.callback(message)

    def _get_active_partitions(self) -> Any:
        """Return them; Faust looks at each of them first, at every fetch."""
        return self._active_partitions

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch, and yield what that brought as one message."""
        try:
            records, active = await self._wait_next_records(timeout)
        except OffsetOutOfRangeError as error:
            places = ", ".join(
                f"{tp.topic}/{tp.partition} at {at}" for tp, at in error.args[0].items()
            )
            self.app.rejoin.request(
                f"Kafka no longer has the next records: {places}. Determining the start offsets"
            )
            return
        except TopicAuthorizationFailedError as error:
            self._denied(topic_denied(str(error.args[0]), READ))
            return  # the other topics are read on
        except GroupAuthorizationFailedError:
            return  # `retry_coordination` says it
        except NoOffsetForPartitionError:
            return  # it was assigned just now; the seek is still to come
        assignment = self.gate.assignment
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            return  # the group is rebalancing, which ends with a seek
        self._skip_gaps(records)
        wanted = {
            tp: found
            for tp, found in records.items()
            if active is None or tp in active or tp in self._buffered_partitions
        }
        if wanted:
            yield next(iter(wanted)), self._message(wanted, assignment)

    def _denied(self, obstacle: Obstacle) -> None:
        self.app.context.obstacles.met(obstacle)

    def retry_coordination(self) -> None:
        """Have a coordinator go on that waits because Kafka denied it the group."""
        if retry_coordination(self._thread):
            self._denied(group_denied(self.app.config.group))

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:
        """Fetch; for the first time after a seek, from the offsets of that seek.

        A fetch that waited for records while the group rebalanced goes on with the new assignment.
        What it got between the seek and the moment at which batches flow again was dropped, but the
        consumer's position lies behind it.
        """
        if self._was_sought:
            self._was_sought = False
            begins = {
                tp: begin
                for tp, begin in self._delivered.items()
                if self._position(tp) not in (None, begin)
            }
            try:
                if begins:
                    await self.seek_wait(begins)
            except IllegalStateError:
                return {}  # the group is rebalancing again
        return await super()._getmany(active_partitions, timeout)

    def _message(
        self, records: Mapping[TP, list[FetchedRecord]], assignment: Assignment
    ) -> ConsumerMessage:
        """Return the batches of some partitions as one message, of the first of them."""
        batches = []
        for tp, found in records.items():
            batch = FetchedBatch(tp, found, self._delivered[tp], found[-1].offset + 1, assignment)
            self._delivered[tp] = batch.ends
            batches.append(batch)
        first = batches[0]
        last = first.records[-1]
        return ConsumerMessage(
            *first.tp, last.offset, last.timestamp / 1000.0, last.timestamp_type,
            [], None, batches, None, 0, 0, first.tp, generation_id=assignment.group_generation,
        )  # fmt: skip

    def _skip_gaps(self, records: Mapping[TP, Any]) -> None:
        """Skip offsets without records in partitions without a batch in process.

        Called while no fetch is running, so that positions say what was fetched and no more; while
        events come, it is done some times a second, and not for each answer.
        """
        now = time.monotonic()
        if records and now < self._skips_at:
            return
        self._skips_at = now + _SKIP_INTERVAL_S
        states = self._thread.states()
        for tp in self._active_partitions:
            state, done = states.get(tp), self._processed.get(tp)
            if state is None or done is None or tp in records:
                continue
            position = state._position
            if position is not None and position > done == self._delivered.get(tp, done):
                self._processed[tp] = self._delivered[tp] = position

    def _position(self, tp: TP) -> int | None:
        """Return up to where *tp* was fetched; None if that is unknown."""
        state = self._thread.state_of(tp)
        return state.position if state and state.has_valid_position else None

    def has_waiting(self, tp: TP, state: Any) -> bool:
        """Tell whether a record of *tp* could be read, counted or committed, and is not yet.

        *state* is aiokafka's of it; where that is unknown so far, one may wait.
        """
        if state is None or not state.has_valid_position or state.highwater is None:
            return True
        # Behind the last stable offset nothing can be read.
        readable = state.highwater if state.lso is None else state.lso
        done = self._processed.get(tp)
        is_committed = done is not None and done == self._committed_offset.get(tp)
        return not (state.position >= readable and done == state.position and is_committed)

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        """Take over an assignment; where there is nothing in it, Faust asks for no seek."""
        self.gate.assigned(assigned)
        if not assigned:
            self._delivered, self._processed = {}, {}
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seek to where the rollups end; the chains of batches begin again there.

        What was committed to Kafka is not used: Redis may have lost its last writes, or all.
        Raises IllegalStateError, upon which Faust waits for the next assignment, when it took too
        long or Kafka failed; then the group is rejoined.
        """
        seek, succeeded = self.gate.begin_seek(), False
        self._delivered, self._processed = {}, {}
        try:
            async with asyncio.timeout(_SEEK_TIMEOUT):
                starts = await self._seek_to_the_rollups()
            succeeded = True
        except IllegalStateError:
            raise
        except (TimeoutError, KafkaError, RedisError, LedgerError) as error:
            why = f"{error}" or f"not within {_SEEK_TIMEOUT:g} s"
            self.app.rejoin.request(f"Could not determine the start offsets ({why}); trying again")
            raise IllegalStateError("the start offsets could not be determined") from None
        finally:
            is_newest = self.gate.end_seek(seek, succeeded=succeeded)
        if is_newest:
            self._delivered, self._processed = dict(starts), dict(starts)
            self._was_sought = True

    async def _seek_to_the_rollups(self) -> dict[TP, int]:
        assigned = self.assignment()
        ends = await self.app.start_offsets.find(assigned)
        earliest = await self.earliest_offsets(*assigned)
        latest = await self.highwaters(*assigned)
        starts = {tp: max(ends[tp], earliest[tp]) for tp in assigned}
        for tp in assigned:
            if ends[tp] > latest[tp]:
                raise RecordsLostError(tp, ends[tp], latest[tp])
        deleted = {tp: (ends[tp], earliest[tp]) for tp in assigned if ends[tp] < earliest[tp]}
        if deleted:
            await self.app.record_gaps(deleted)  # before anything goes on behind them
        await self.seek_wait(starts)
        self._committed_offset.clear()
        return starts

    def resume_flow(self) -> None:
        """Let batches flow again, unless the group began another rebalance since the seek."""
        if self.gate.may_fetch:
            super().resume_flow()

    def rejoin(self) -> None:
        """Have the group assign its partitions again; a seek follows."""
        asyncio.run_coroutine_threadsafe(self._rejoin(), self._thread.thread_loop)

    @property
    def is_idle(self) -> bool:
        """Whether it has partitions and yet fetches nothing from them, and no seek is in progress.

        That is so for a moment in each rebalance. Faust and aiokafka can get stuck where one
        rebalance interrupts another, and then it stays so.
        """
        is_seeking = self.gate.state is State.SEEKING
        return bool(self.assignment()) and not self.flow_active and not is_seeking

    @property
    def knows_no_broker(self) -> bool:
        """Whether aiokafka's client has no broker left that it could ask for others.

        It keeps none where the only one it had at its start knew no others and then went away.
        """
        consumer = self._thread._consumer
        return consumer is not None and not consumer._client.cluster.brokers()

    @property
    def has_lost_membership(self) -> bool:
        """Whether aiokafka's task for the group has ended, after which no partition is assigned.

        It ends where it reaches a broker that has only just started and knows no others.
        """
        consumer = self._thread._consumer
        task = getattr(consumer and consumer._coordinator, "_coordination_task", None)
        return task is not None and task.done() and not self.should_stop

    @property
    def has_stopped_fetching(self) -> bool:
        """Whether aiokafka's task that fetches has ended, which no rebalance begins again.

        It ends where an answer surprises it.
        """
        consumer = self._thread._consumer
        task = getattr(consumer and consumer._fetcher, "_fetch_task", None)
        return task is not None and task.done() and not self.should_stop

    async def _rejoin(self) -> None:
        consumer = self._thread._ensure_consumer()
        await consumer._client.force_metadata_update()  # for the topics as they are now
        consumer._coordinator.request_rejoin()

    # --------------------------------------------------------------- processed

    def finished(self, batch: FetchedBatch) -> bool:
        """Note that every record of *batch* is counted or rejected; return whether that is news.

        It is none after a rebalance: then the batch is read again, by whoever has the partition.
        Raises OffsetGapError.
        """
        if not self.continues(batch):
            return False
        self._processed[batch.tp] = batch.ends
        return True

    def continues(self, batch: FetchedBatch) -> bool:
        """Tell whether *batch* is to be written: it is of the current assignment.

        Raises OffsetGapError where it is, and yet does not continue what was processed.
        """
        if not self.gate.admits(batch.assignment):
            return False
        done = self._processed.get(batch.tp)
        if batch.begins != done or batch.records[0].offset < batch.begins:
            raise OffsetGapError(batch.tp, done, batch.records[0].offset)
        return True

    def processed(self) -> dict[TP, int]:
        """Return, per partition, the offset before which every record is counted or rejected."""
        return dict(self._processed)

    # ---------------------------------------------------------------- committing

    def ack(self, message: Any) -> bool:
        """Note what Faust's ack means: the message left its stream, processed or skipped."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        if not self.flow_active:
            return  # a commit during a rebalance is of an old generation: another would follow
        for tp in list(self._processed):
            if topics is None or tp in topics or tp.topic in topics:
                yield tp

    async def _commit_offsets(
        self, offsets: Mapping[TP, int], start_new_transaction: bool = True
    ) -> bool:
        """Commit what is still assigned; return whether that succeeded.

        Faust's own draws a table of all offsets first, for a level of logging that nobody has, and
        treats them as committed where that failed.
        """
        assigned = self.assignment()
        committed = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        if committed and await self._commit(committed):
            self._committed_offset.update(committed)
            self.app.monitor.on_tp_commit(committed)
            return True
        for tp in offsets:
            self._committed_offset.pop(tp, None)
        return False

    def _new_offset(self, tp: TP) -> int | None:
        return self._processed.get(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps need no list: `_new_offset` looks at the ends of batches only."""


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Kafka through aiokafka, in batches."""

    Consumer = cast(Any, BatchConsumer)
