"""Faust's Kafka transport, handing over a whole fetched batch of one partition as one message.

Why. Faust's cost is per message, not per byte: it awaits a handful of tasks for each, about 125 us.
Given one message per fetched batch, agents, acks, commits and rebalances stay Faust's, and that
cost is paid once for thousands of records.

What else is different, and why it must be:

- What may be committed is kept here, as the offset up to which batches were *processed*, and not
  derived from Faust's acks: Faust acks messages that it skips in a rebalance, and would commit
  them.
- Batches of a partition form a chain: each knows where the one before it ended. A batch that does
  not continue what was processed means that one was lost in between, and ends the worker, which
  then reads again from the last commit. It is never stepped over.
- Only committed transactions are read. Offsets without records (transaction markers, aborted
  records) are passed over as soon as nothing is in hand, so that lag can reach zero.

Pinned to the versions in pyproject.toml; tests/stream_app/test_transport_seams.py tests what is
relied on here.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from stream_app import lenient_records


class BrokenChain(Exception):
    """A batch did not continue what was processed before it."""

    def __init__(self, tp: TP, processed: int, begins: int) -> None:
        super().__init__(
            f"{tp.topic}/{tp.partition}: processed up to offset {processed}, but the next batch "
            f"begins at {begins}; ending, to read again from the last commit"
        )


class Batch(NamedTuple):
    """Records of one partition, as fetched; the value of one Faust message."""

    tp: TP
    records: list[ConsumerRecord]
    begins: int | None  #: where the batch before it ended; None for the first after a seek
    ends: int  #: the offset after its last record
    generation: int  #: of the consumer group, when it was fetched


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that talks to Kafka, reading committed transactions only."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        lenient_records.install()
        consumer = super()._create_worker_consumer(transport)
        # Faust ties this to its own transactions. Both are read when the consumer starts.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = 500
        return consumer


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """A Faust consumer whose messages are whole batches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delivered: dict[TP, int] = {}  # the end of the last batch handed to an agent
        self._processed: dict[TP, int] = {}  # every record before this is counted or refused

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # ------------------------------------------------------------------ reading

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch, and yield one message per partition that had records."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_back()
            return
        self._pass_over_gaps(records)
        for tp, batch in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # a rebalance: what is left here is fetched again
            if active is None or tp in active or tp in self._buffered_partitions:
                yield tp, self._message(tp, batch, generation)

    async def _seek_back(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:
            self.log.warning("Could not seek while the flow was stopped: %r", error)

    def _message(self, tp: TP, records: list[ConsumerRecord], generation: int) -> ConsumerMessage:
        last = records[-1]
        value = Batch(tp, records, self._delivered.get(tp), last.offset + 1, generation)
        self._delivered[tp] = value.ends
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, last.timestamp_type,
            [], None, value, None, 0, 0, tp, generation_id=generation,
        )  # fmt: skip

    def _pass_over_gaps(self, records: Mapping[TP, Any]) -> None:
        """Move past offsets without records in partitions of which nothing is in hand.

        Called while no fetch is running, so that positions say what was fetched and no more.
        """
        subscription = self._thread._ensure_consumer()._subscription.subscription
        assignment = subscription and subscription.assignment
        if assignment is None:
            return
        for tp in self._active_partitions:
            done = self._processed.get(tp)
            if tp in records or done is None or done != self._delivered.get(tp, done):
                continue
            state = assignment.state_value(tp)
            position = state.position if state is not None and state.has_valid_position else None
            if position is not None and position > done:
                self._processed[tp] = self._delivered[tp] = position

    async def perform_seek(self) -> None:
        """Seek to what was committed; the chains begin anew there."""
        await super().perform_seek()
        self._delivered = {}
        self._processed = {
            tp: offset for tp, offset in self._committed_offset.items() if offset is not None
        }
        self._delivered.update(self._processed)

    # --------------------------------------------------------------- processed

    def finished(self, batch: Batch) -> bool:
        """Note that every record of *batch* is counted or refused; tell whether that is news.

        It is none after a rebalance: then the batch is read again, by whoever has the partition.
        Raises BrokenChain.
        """
        if batch.generation != self.app.consumer_generation_id:
            return False
        done = self._processed.get(batch.tp)
        if batch.begins is not None and done is not None and batch.begins != done:
            raise BrokenChain(batch.tp, done, batch.begins)
        self._processed[batch.tp] = batch.ends
        return True

    def processed(self) -> dict[TP, int]:
        """Return, per partition, the offset before which every record is counted or refused."""
        return dict(self._processed)

    # ---------------------------------------------------------------- committing

    def ack(self, message: Any) -> bool:
        """Take Faust's ack as what it is: the message left its stream, processed or skipped."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        for tp in list(self._processed):
            if topics is None or tp in topics or tp.topic in topics:
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        return self._processed.get(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps need no list: `_new_offset` looks at the ends of batches only."""


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Kafka through aiokafka, in batches."""

    Consumer = cast(Any, BatchConsumer)
