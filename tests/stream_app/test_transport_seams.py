"""What the batch transport relies on in Faust and aiokafka, and its own bookkeeping."""

import asyncio
import inspect
import threading
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment as Assignments
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer as FaustConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.queues import FlowControlEvent
from redis.exceptions import ConnectionError as RedisConnectionError

from interaction_usage import settings
from interaction_usage.store.errors import LedgerUnavailableError
from stream_app import agents, transport
from stream_app.consumer_thread import ConsumerThread
from stream_app.errors import BrokerUnavailableError, OffsetGapError, StaleAssignmentError
from stream_app.faust_app import create_app
from stream_app.fetched_batch import Assignment, FetchedBatch
from stream_app.retry import Backoff
from stream_app.sealed_rejections import NO_REJECTIONS
from stream_app.start_offsets import StartOffsets
from stream_app.telemetry import Telemetry
from stream_app.transport import BatchConsumer, BatchTransport
from stream_app.worker_context import WorkerContext
from stream_app.write_gate import State, WriteGate

FLOWS = TP("usage.flows", 0)


@pytest.fixture
def consumer() -> Any:
    """Return a consumer with its bookkeeping and without its thread."""
    made = BatchConsumer.__new__(BatchConsumer)
    made._delivered, made._processed, made._unacked_messages = {FLOWS: 0}, {FLOWS: 0}, set()
    made._waiting_for_ack = None
    app = SimpleNamespace(consumer_generation_id=3, rebalancing_count=1)
    app.gate = WriteGate(app)
    app.gate.end_seek(app.gate.begin_seek(), succeeded=True)
    made.app = app
    return made


NOW = Assignment(3, 1)


def batch(begins: int, ends: int, assignment: Assignment = NOW) -> FetchedBatch:
    """Return a batch of one record, whose place is all that matters."""
    record = SimpleNamespace(offset=begins)
    return FetchedBatch(FLOWS, [record], begins, ends, assignment)  # type: ignore[list-item]


def test_the_versions_are_the_ones_this_was_written_for() -> None:
    """These are internals; a pin moves only after this file was read again."""
    assert version("faust-streaming") == "0.15.3"
    assert version("aiokafka") == "0.14.0"


@pytest.mark.parametrize(
    "name",
    [
        "getmany", "_getmany", "on_partitions_assigned", "perform_seek", "ack", "_new_offset",
        "_wait_next_records", "_filter_tps_with_pending_acks", "_commit_offsets", "_add_gap",
        "_should_commit", "_get_active_partitions", "stop_flow", "resume_flow", "_wait_for_ack",
        "_drain_messages", "wait_first",
    ],
)  # fmt: skip
def test_what_the_consumer_overrides_or_calls_is_there(name: str) -> None:
    """An override of a method that is gone would silently do nothing."""
    assert callable(getattr(FaustConsumer, name))


@pytest.mark.parametrize(
    "name",
    ["_create_worker_consumer", "_commit", "verify_event_path", "_verify_aiokafka_event_path",
     "getmany", "_fetch_records", "_log_slow_processing", "__post_init__"],
)  # fmt: skip
def test_what_the_thread_overrides_or_calls_is_there(name: str) -> None:
    """And so for the thread."""
    assert callable(getattr(driver.AIOKafkaConsumerThread, name))


def test_what_is_looked_at_of_aiokafkas_partitions_is_there() -> None:
    """The tests below set them by hand."""
    source = inspect.getsource(TopicPartitionState)
    for name in ("highwater", "lso", "timestamp"):
        assert f"self.{name} = None" in source
    assert "self._tp_state[tp] = TopicPartitionState(" in inspect.getsource(Assignments.__init__)
    assert "self._position = None" in source
    for name in ("paused", "position", "has_valid_position"):
        assert isinstance(getattr(TopicPartitionState, name), property)


def test_the_task_whose_death_leaves_a_worker_without_partitions_is_there() -> None:
    """`has_lost_membership` looks at it; without it a worker would stand idle unnoticed.

    So does `has_stopped_fetching` at the one that fetches.
    """
    assert "self._coordination_task" in inspect.getsource(GroupCoordinator.__init__)
    assert "self._fetch_task = create_task(" in inspect.getsource(Fetcher.__init__)


def test_the_settings_that_faust_ties_to_transactions_are_read_at_start() -> None:
    """Isolation level and fetch wait are set on the consumer after it was made."""
    source = inspect.getsource(AIOKafkaConsumer.start)
    assert "isolation_level=self._isolation_level" in source
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in source
    assert "timeout" in inspect.signature(Fetcher.fetched_records).parameters


def test_the_app_uses_the_batch_transport() -> None:
    """So that one message is what a fetch brought, and few of them wait for the agent."""
    app = create_app(settings.read({}))
    assert isinstance(app.transport, BatchTransport)
    assert app.transport.Consumer is BatchConsumer
    assert issubclass(BatchConsumer, driver.Consumer)
    assert app.conf.stream_buffer_maxsize <= 32
    assert not app.conf.stream_wait_empty


def test_a_chain_of_batches_moves_the_offset_to_commit(consumer: Any) -> None:
    """[0--10)[10--25): each batch continues the one before it."""
    assert consumer.finished(batch(0, 10))
    assert consumer._new_offset(FLOWS) == 10
    assert consumer.finished(batch(10, 25))
    assert consumer._new_offset(FLOWS) == 25


def test_a_batch_that_does_not_continue_what_was_processed_is_never_stepped_over(
    consumer: Any,
) -> None:
    """[0--10)      [20--30): what lay between was lost in this process."""
    consumer.finished(batch(0, 10))
    with pytest.raises(OffsetGapError, match=r"usage.flows/0: processed up to offset 10, .* at 20"):
        consumer.finished(batch(20, 30))
    assert consumer._new_offset(FLOWS) == 10


def test_a_batch_with_records_from_before_is_not_taken_for_progress(consumer: Any) -> None:
    """[10--25) where [20--25) was due: the topic was recreated under the same name."""
    consumer.finished(batch(0, 20))
    record = SimpleNamespace(offset=10)
    with pytest.raises(OffsetGapError):
        consumer.finished(FetchedBatch(FLOWS, [record], 20, 25, NOW))  # type: ignore[list-item]


def test_a_batch_of_an_older_generation_moves_nothing(consumer: Any) -> None:
    """Whoever has the partition now reads it again."""
    assert not consumer.finished(batch(0, 10, assignment=Assignment(2, 1)))
    assert consumer._new_offset(FLOWS) == 0


def test_a_batch_from_before_a_seek_moves_nothing_though_the_generation_has_the_same_number(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another cluster at the same address counts its group's generations from 1 again.

    [0--10) of the old cluster, under way while the new one is sought, is not [0--10) of the new
    one: those events would never be read.
    """
    gate = consumer.gate
    in_process = batch(0, 10, gate.assignment)

    async def nowhere(assigned: Any) -> dict[TP, int]:
        assert not consumer.continues(in_process)
        with pytest.raises(StaleAssignmentError), gate.admit(in_process.assignment):
            pytest.fail("it was admitted")
        return dict.fromkeys(assigned, 0)

    async def zeros(*assigned: TP) -> dict[TP, int]:
        return dict.fromkeys(assigned, 0)

    async def sought(_: Any) -> None:
        pass

    consumer.app.start_offsets = SimpleNamespace(find=nowhere)
    consumer._committed_offset = {}
    monkeypatch.setattr(consumer, "assignment", lambda: {FLOWS}, raising=False)
    for name, does in (("earliest_offsets", zeros), ("highwaters", zeros), ("seek_wait", sought)):
        monkeypatch.setattr(consumer, name, does, raising=False)
    asyncio.run(consumer.perform_seek())
    assert not consumer.finished(in_process)
    assert consumer.processed() == {FLOWS: 0}
    assert consumer.finished(batch(0, 10, gate.assignment))


def test_what_a_fetch_from_before_the_seek_took_is_fetched_again(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """seek 100 ... [100--103) taken by a fetch that had waited, and let go ... batches flow.

    The next batch would be [103--110), and look like one that begins with a gap.
    """
    did: list[Any] = []

    async def seek(places: dict[TP, int]) -> None:
        did.append(places)

    async def fetch(*_: Any) -> dict[TP, Any]:
        did.append("fetch")
        return {}

    other = TP("usage.flows", 1)
    positions = {FLOWS: 103, other: 7}
    consumer._delivered, consumer._was_sought = {FLOWS: 100, other: 7, TP("usage.sms", 0): 3}, True
    monkeypatch.setattr(consumer, "_position", positions.get, raising=False)
    monkeypatch.setattr(consumer, "seek_wait", seek, raising=False)
    monkeypatch.setattr(driver.Consumer, "_getmany", fetch)
    for _ in range(2):
        asyncio.run(consumer._getmany({FLOWS}, 1.0))
    assert did == [{FLOWS: 100}, "fetch", "fetch"]


def test_nothing_flows_before_the_first_seek(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a worker that has no partitions at first, for which Faust asks no seek."""

    def as_faust_begins(self: Any) -> None:
        self.can_resume_flow, self.suspend_flow = asyncio.Event(), asyncio.Event()
        self.app = SimpleNamespace(consumer_generation_id=0, rebalancing_count=0)
        self.app.gate = WriteGate(self.app)

    monkeypatch.setattr(driver.Consumer, "__init__", as_faust_begins)
    consumer = BatchConsumer()
    assert not consumer.flow_active
    consumer.resume_flow()
    assert not consumer.flow_active


def test_whoever_gets_no_partition_has_nothing_processed_any_more(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[0--10) of an earlier assignment, written later, would be a position in other rollups."""
    got: list[set[TP]] = []

    async def assigned(self: Any, partitions: set[TP], _: int) -> None:
        got.append(partitions)

    monkeypatch.setattr(driver.Consumer, "on_partitions_assigned", assigned)
    in_process = batch(0, 10, consumer.gate.assignment)
    asyncio.run(consumer.on_partitions_assigned({FLOWS}, 4))
    assert consumer.gate.state is State.JOINING
    assert consumer.processed() == {FLOWS: 0}  # until the seek that follows
    asyncio.run(consumer.on_partitions_assigned(set(), 4))
    assert consumer.gate.state is State.STANDBY
    assert consumer.processed() == {}
    assert not consumer.finished(in_process)
    assert got == [{FLOWS}, set()]


@pytest.mark.parametrize("refused", [False, True])
def test_deleted_offsets_are_recorded_before_anything_goes_on_behind_them(
    consumer: Any, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """The rollups end at 50, Kafka begins at 70; where that cannot be recorded nothing is read."""
    did: list[Any] = []

    async def record(deleted: Any) -> None:
        did.append(deleted)
        if refused:
            raise LedgerUnavailableError("Kafka is away")

    def all_at(offset: int) -> Any:
        async def offsets(*_: Any) -> dict[TP, int]:
            return {FLOWS: offset}

        return offsets

    async def seek(places: dict[TP, int]) -> None:
        did.append(places)

    consumer.app.record_gaps = record
    consumer.app.rejoin = SimpleNamespace(request=did.append)
    consumer.app.start_offsets = SimpleNamespace(find=all_at(50))
    consumer._committed_offset = {}
    monkeypatch.setattr(consumer, "assignment", lambda: {FLOWS}, raising=False)
    monkeypatch.setattr(consumer, "earliest_offsets", all_at(70), raising=False)
    monkeypatch.setattr(consumer, "highwaters", all_at(100), raising=False)
    monkeypatch.setattr(consumer, "seek_wait", seek, raising=False)
    if refused:
        with pytest.raises(IllegalStateError):
            asyncio.run(consumer.perform_seek())
        assert "Kafka is away" in did.pop()
        assert did == [{FLOWS: (50, 70)}]
    else:
        asyncio.run(consumer.perform_seek())
        assert did == [{FLOWS: (50, 70)}, {FLOWS: 70}]


def test_an_ack_by_faust_commits_nothing(consumer: Any) -> None:
    """Faust acks messages that it skips in a rebalance, too."""
    message = type("Message", (), {"acked": False, "tp": FLOWS, "offset": 99})()
    assert consumer.ack(message)
    assert not consumer.ack(message)
    assert consumer._new_offset(FLOWS) == 0


def test_nothing_is_committed_while_the_group_is_assigned_again(consumer: Any) -> None:
    """Such a commit is of an old generation, and aiokafka joins again for it: without end."""
    consumer.flow_active = True
    assert list(consumer._filter_tps_with_pending_acks()) == [FLOWS]
    consumer.flow_active = False
    assert list(consumer._filter_tps_with_pending_acks()) == []


class _Coordinator:
    """aiokafka's side of the group, where the commit of a partition fails."""

    def __init__(self, generation: int, error: Exception | None) -> None:
        self.generation, self._error = generation, error
        self.asked: list[dict[TopicPartition, OffsetAndMetadata]] = []

    async def _do_commit_offsets(
        self, _: object, offsets: dict[TopicPartition, OffsetAndMetadata]
    ) -> None:
        self.asked.append(offsets)
        if self._error:
            raise self._error


@pytest.mark.parametrize(
    ("generation", "error", "tries", "succeeds"),
    [
        (3, None, 1, True),
        (3, UnknownTopicOrPartitionError(), 1, False),
        (3, IllegalGenerationError(), 1, False),
        (3, GroupCoordinatorNotAvailableError(), 1, False),
        (-1, None, 0, False),
    ],
)
def test_a_commit_is_one_try(
    monkeypatch: pytest.MonkeyPatch,
    generation: int,
    error: Exception | None,
    tries: int,
    succeeds: bool,
) -> None:
    """aiokafka tries for ever to commit what is gone, and joins the group again for each try."""
    thread = ConsumerThread.__new__(ConsumerThread)
    coordinator = _Coordinator(generation, error)
    consumer = SimpleNamespace(_coordinator=coordinator)
    monkeypatch.setattr(thread, "_ensure_consumer", lambda: consumer, raising=False)
    monkeypatch.setattr(thread, "assignment", lambda: {FLOWS}, raising=False)
    thread.log = SimpleNamespace(debug=lambda *_: None)
    thread.tp_last_committed_at = {}
    taken_away = TP("usage.flows", 1)
    assert asyncio.run(thread._commit({FLOWS: 7, taken_away: 9})) is succeeds
    content = {TopicPartition("usage.flows", 0): OffsetAndMetadata(7, "")}
    assert coordinator.asked == [content] * tries
    # What Faust's own does beside it; without that a worker "has not committed" for ever.
    assert set(thread.tp_last_committed_at) == ({FLOWS} if succeeds else set())


class _Watched:
    """A consumer's thread whose partition is in a state that is set by hand, and what it logs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, consumer: Any) -> None:
        self.lines: list[str] = []
        self.state = SimpleNamespace(has_valid_position=True, position=0, paused=False)
        assignment = SimpleNamespace(
            state_value=lambda _: self.state, active=True, _tp_state={FLOWS: self.state}
        )
        subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        coordinator = _Coordinator(3, None)
        aiokafka = SimpleNamespace(
            _subscription=subscription,
            _fetcher=SimpleNamespace(_subscriptions=subscription),
            _coordinator=coordinator,
        )
        app = create_app(settings.read({}))
        app.topics._acking_topics.add(FLOWS.topic)  # as when the agents are subscribed
        consumer.app, consumer._committed_offset = app, {}
        thread = ConsumerThread.__new__(ConsumerThread)
        thread.consumer, thread.app = consumer, app
        consumer.RebalanceListener = driver.Consumer.RebalanceListener
        thread.__post_init__()
        thread.time_started = 0.0
        thread.log = SimpleNamespace(error=lambda line, *a: self.lines.append(line % a))
        monkeypatch.setattr(thread, "_ensure_consumer", lambda: aiokafka, raising=False)
        monkeypatch.setattr(thread, "assignment", lambda: {FLOWS}, raising=False)
        self.consumer, self.thread, self.app = consumer, thread, app

    def batch(self, now: float, ends: int) -> None:
        """Have the agent take what was fetched until *ends*, at the second *now*."""
        self.state.position = ends
        self.consumer._processed[FLOWS] = ends
        self.app.monitor.stream_inbound_time[FLOWS] = now

    def commit(self, monkeypatch: pytest.MonkeyPatch, now: float) -> None:
        """Commit what is processed, at the second *now*."""
        done = dict(self.consumer._processed)
        with monkeypatch.context() as clock:
            clock.setattr(driver, "monotonic", lambda: now)
            clock.setattr("time.monotonic", lambda: now)
            assert asyncio.run(self.thread._commit(done))
        self.consumer._committed_offset.update(done)

    def look(self, now: float, highwater: int, readable: int | None = None) -> list[str]:
        """Return what is logged by a look at *now*, when the partition goes up to *highwater*."""
        self.lines.clear()
        self.state.highwater = highwater
        self.state.lso = highwater if readable is None else readable
        self.state.timestamp = now * 1000
        self.thread.verify_event_path(now, FLOWS)
        return self.lines


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, consumer: Any) -> _Watched:
    """Return a partition to look at with a clock that is moved by hand; seconds from the start."""
    return _Watched(monkeypatch, consumer)


def test_a_worker_that_commits_under_load_is_not_said_to_have_not(
    watched: _Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 10 s a batch and a commit, for 20 minutes, and always more is there than was read."""
    for now in range(0, 1200, 10):
        watched.batch(now, now)
        watched.commit(monkeypatch, now)
        assert watched.look(now + 2.5, highwater=now + 500) == []


def test_the_first_record_after_ten_quiet_minutes_is_not_late(
    watched: _Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was taken and nothing committed for ten minutes: there was nothing."""
    watched.batch(0, 7)
    watched.commit(monkeypatch, 1)
    for now in range(5, 600, 5):
        assert watched.look(now, highwater=7) == []
    assert watched.look(600, highwater=8) == []


def test_what_nobody_may_read_yet_is_not_late(
    watched: _Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a producer's open transaction; and where the partition is paused on purpose."""
    watched.batch(0, 7)
    watched.commit(monkeypatch, 1)
    for now in range(5, 600, 5):
        assert watched.look(now, highwater=9, readable=7) == []
    watched.state.paused = True
    assert watched.look(1000, highwater=900) == []


def test_a_worker_that_cannot_commit_says_so_in_a_line_and_once(
    watched: _Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again when it happens again."""
    watched.batch(0, 7)
    watched.commit(monkeypatch, 1)
    said = []
    for now in range(5, 400, 5):
        watched.batch(now, now)
        said += watched.look(now, highwater=now + 1)
    assert len(said) == 1
    assert "Has not committed TP(topic='usage.flows', partition=0)" in said[0]
    assert "\n" not in said[0]
    watched.commit(monkeypatch, 400)
    watched.batch(400, 395)
    assert watched.look(401, highwater=395) == []
    watched.batch(800, 396)
    assert len(watched.look(800, highwater=500)) == 1


def test_what_faust_and_aiokafka_do_for_a_commit_is_as_it_was_read() -> None:
    """The thread's `_commit` is what commits; one request of aiokafka's is one try."""
    assert "self.call_thread(self._commit, offsets)" in inspect.getsource(
        driver.AIOKafkaConsumerThread.commit
    )
    source = inspect.getsource(GroupCoordinator._do_commit_offsets)
    assert "self.generation" in source
    assert "while" not in source
    assert "assignment." not in source


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_commit_that_failed_is_made_again(
    consumer: Any, monkeypatch: pytest.MonkeyPatch, succeeds: bool
) -> None:
    """Faust takes it for made, and an idle partition would look behind for ever."""

    async def commit(offsets: dict[TP, int]) -> bool:
        assert offsets == {FLOWS: 7}  # and not that of a partition that was revoked
        return succeeds

    monkeypatch.setattr(consumer, "_commit", commit)
    monkeypatch.setattr(consumer, "assignment", lambda: {FLOWS})
    consumer.app.monitor = SimpleNamespace(on_tp_commit=lambda _: None)
    consumer._committed_offset = {FLOWS: 6}
    revoked = TP(FLOWS.topic, 1)
    assert asyncio.run(consumer._commit_offsets({FLOWS: 7, revoked: 3})) is succeeds
    assert consumer._committed_offset == ({FLOWS: 7} if succeeds else {})


def test_batches_flow_again_only_after_a_seek_for_the_newest_assignment(consumer: Any) -> None:
    """A seek that ends in the middle of the next assignment lets nothing flow."""
    consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
    consumer.stop_flow()
    consumer.app.rebalancing_count = 4
    seek = consumer.gate.begin_seek()
    consumer.app.rebalancing_count = 5
    consumer.gate.end_seek(seek, succeeded=True)
    consumer.resume_flow()
    assert not consumer.flow_active
    consumer.gate.end_seek(consumer.gate.begin_seek(), succeeded=True)
    consumer.resume_flow()
    assert consumer.flow_active


def test_a_seek_that_takes_too_long_would_end_fausts_recovery() -> None:
    """Faust takes the timeout for a stop of the service, and no assignment is served again."""
    source = inspect.getsource(Recovery)
    assert "perform_seek(), timeout=self.app.conf.broker_request_timeout" in source
    app = create_app(settings.read({}))
    assert app.conf.broker_request_timeout > transport._SEEK_TIMEOUT


async def _never(_: Any) -> None:
    await asyncio.sleep(60)


async def _fails(_: Any) -> None:
    raise KafkaTimeoutError


@pytest.mark.parametrize("asks", [_never, _fails])
def test_a_seek_that_does_not_succeed_is_begun_again(
    consumer: Any, monkeypatch: pytest.MonkeyPatch, asks: Any
) -> None:
    """Redis may be away for longer than Faust waits; or Kafka, in the middle of it."""
    asked: list[str] = []
    consumer.app.rejoin = SimpleNamespace(request=asked.append)
    consumer.app.start_offsets = SimpleNamespace(find=asks)
    monkeypatch.setattr(consumer, "assignment", lambda: {FLOWS}, raising=False)
    monkeypatch.setattr(transport, "_SEEK_TIMEOUT", 0.01)
    with pytest.raises(IllegalStateError):
        asyncio.run(consumer.perform_seek())
    assert len(asked) == 1
    assert consumer.gate.state is State.JOINING


def test_start_offsets_are_requested_until_kafka_and_redis_answer(consumer: Any) -> None:
    """A broker that goes away in the middle of a rebalance would end every worker otherwise."""
    looks = iter([BrokerUnavailableError("away"), {"usage.flows": "one"}, {"usage.flows": "two"}])
    answers = iter([RedisConnectionError("away"), {"usage.flows/0@two": 7}])

    class Writer:
        """A writer to a Redis that answers the second time."""

        keys = "u"

        @property
        def nodes(self) -> "Writer":
            return self

        async def execute(self, *_: str) -> None:
            """Nothing is known of what was seen before."""

        async def begin(self, names: list[str]) -> Any:
            return _given(next(answers))

        async def check_limits(self) -> None:
            pass

    context = WorkerContext(
        consumer.gate, cast(Any, Writer()), lambda: None, Telemetry(), pytest.fail,
        backoff=Backoff(0, 0),
    )  # fmt: skip
    start_offsets = StartOffsets(
        context, lambda: _given(next(looks)), lambda *_: NO_REJECTIONS, pytest.fail
    )
    assert asyncio.run(start_offsets.find([FLOWS])) == {FLOWS: 7}


def _given(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_what_a_fetch_brought_is_one_message_of_the_agent(
    monkeypatch: pytest.MonkeyPatch, consumer: Any
) -> None:
    """Whatever topics it is of; and each of the partitions is noted to make progress."""
    clicks = TP("usage.clicks", 3)
    records = {FLOWS: [_Record(0), _Record(1)], clicks: [_Record(7)]}
    consumer._delivered = {FLOWS: 0, clicks: 7}
    [first, second] = consumer._message(records, NOW).value
    assert (first.tp, first.begins, first.ends) == (FLOWS, 0, 2)
    assert (second.tp, second.begins, second.ends) == (clicks, 7, 8)
    assert consumer._delivered == {FLOWS: 2, clicks: 8}
    app, queued = create_app(settings.read({})), list[Any]()

    async def put(*batches: Any) -> None:
        queued.extend(batches)

    monkeypatch.setattr(app.micro_batches, "put", put)
    asyncio.run(agents.queue(app, SimpleNamespace(value=[first, second])))
    assert [(each.batch, each.fence) for each in queued] == [
        (first, "usage.flows/0"), (second, "usage.clicks/3"),
    ]  # fmt: skip
    assert app.monitor.stream_inbound_time.keys() == {FLOWS, clicks}


class _Record(NamedTuple):
    """What of a record the transport looks at."""

    offset: int
    timestamp: int = 0
    timestamp_type: int = 0
    value: bytes = b""


def test_offsets_without_records_are_skipped_at_once_or_twice_a_second(
    monkeypatch: pytest.MonkeyPatch, consumer: Any
) -> None:
    """A marker behind [0--2): where nothing comes, at once; while others have records, in time."""
    clicks = TP("usage.clicks", 3)
    now = 100.0
    monkeypatch.setattr(transport.time, "monotonic", lambda: now)
    consumer._skips_at, consumer._active_partitions = 0.0, {FLOWS}
    positions = iter((3, 4, 5))
    states = ({FLOWS: SimpleNamespace(_position=position)} for position in positions)
    consumer._thread = SimpleNamespace(states=lambda: next(states))
    others = {clicks: [_Record(7)]}
    consumer._skip_gaps(others)
    assert consumer._processed[FLOWS] == 3
    now = 100.4
    consumer._skip_gaps(others)  # too soon
    assert consumer._processed[FLOWS] == 3
    consumer._skip_gaps({})
    assert consumer._processed[FLOWS] == 4
    now = 101.0
    consumer._skip_gaps(others)
    assert consumer._processed[FLOWS] == consumer._delivered[FLOWS] == 5


@pytest.fixture
def fetching_thread() -> Any:
    """Yield a thread of a consumer that runs, whose fetches are made by hand."""
    made = ConsumerThread.__new__(ConsumerThread)
    made.thread_loop, made._fetches = asyncio.new_event_loop(), set()
    made._ensure_consumer = lambda: None
    running = threading.Thread(target=made.thread_loop.run_forever)
    running.start()
    yield made
    made.thread_loop.call_soon_threadsafe(made.thread_loop.stop)
    running.join()
    made.thread_loop.close()


def test_a_fetch_in_the_thread_ends_with_records_or_an_error(fetching_thread: Any) -> None:
    """And where the thread ends under it, nobody waits for it for ever."""
    asked: list[Any] = []
    does: list[Any] = [{FLOWS: [1]}, OSError("gone"), asyncio.CancelledError()]

    async def fetch(_: Any, partitions: Any, timeout: float) -> Any:
        asked.append((partitions, timeout, threading.current_thread() is threading.main_thread()))
        if isinstance(does[0], BaseException):
            raise does.pop(0)
        return does.pop(0)

    async def scene() -> None:
        fetching_thread.parent_loop = asyncio.get_running_loop()
        assert await fetching_thread.getmany({FLOWS}, 1.0) == {FLOWS: [1]}
        with pytest.raises(OSError, match="gone"):
            await fetching_thread.getmany({FLOWS}, 1.0)
        with pytest.raises(asyncio.CancelledError):
            await fetching_thread.getmany({FLOWS}, 1.0)

    fetching_thread._fetch_records = fetch
    asyncio.run(scene())
    assert asked == [({FLOWS}, 1.0, False)] * 3


def test_a_fetch_that_nobody_waits_for_any_more_is_not_begun(fetching_thread: Any) -> None:
    """It would take records that the next one then misses."""
    answer = fetching_thread.thread_loop.create_future()
    answer.cancel()
    fetching_thread._begin(answer, {FLOWS}, 1.0)
    assert not fetching_thread._fetches


class _Handing:
    """A consumer that hands messages over to an agent whose queue is full, or not."""

    def __init__(self, consumer: Any, *, full: bool, flows: bool) -> None:
        self.taken: list[Any] = []
        queue = SimpleNamespace(full=lambda: full)
        consumer.app.topics = [SimpleNamespace(queue=queue)]
        consumer.app.flow_control = SimpleNamespace(is_active=lambda: flows)
        consumer.suspend_flow = asyncio.Event()
        consumer.callback, consumer.wait_first = self._take, self._first
        self._waits = full or not flows
        self.consumer = consumer

    async def _take(self, message: Any) -> None:
        if self._waits:
            await asyncio.Event().wait()
        self.taken.append(message)

    async def _first(self, *waited: Any) -> None:
        tasks = [asyncio.ensure_future(each) for each in waited]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


@pytest.mark.parametrize(("full", "flows"), [(False, True), (True, True), (False, False)])
def test_a_message_that_has_to_wait_is_let_go_where_a_rebalance_begins(
    consumer: Any, full: bool, flows: bool
) -> None:
    """Its batches are read again then; any other is handed over at once."""
    handing = _Handing(consumer, full=full, flows=flows)

    async def scene() -> None:
        if full or not flows:
            asyncio.get_running_loop().call_soon(consumer.suspend_flow.set)
        async with asyncio.timeout(5):
            await consumer._hand_over("message")

    asyncio.run(scene())
    assert handing.taken == ([] if full or not flows else ["message"])


def test_what_stands_for_fausts_way_of_reading_is_as_that_was() -> None:
    """`_drain_messages` was written after it; a new one is to be read again."""
    source = inspect.getsource(FaustConsumer._drain_messages)
    assert "await self.wait_first(\n" in source
    assert "callback(message), self.suspend_flow.wait()" in source
    assert inspect.getsource(Fetcher.fetched_records).count("await") == 2
    for name in ("is_active", "acquire"):
        assert callable(getattr(FlowControlEvent, name))


def test_a_thread_that_ended_with_the_worker_is_not_stopped_again() -> None:
    """It closes its loop when it ends; nothing is wrong with that, so nothing is logged."""
    thread = ConsumerThread.__new__(ConsumerThread)
    thread.thread_loop, thread._stopped = asyncio.new_event_loop(), asyncio.Event()
    thread._stopped_set()
    thread.thread_loop.run_until_complete(asyncio.sleep(0))
    assert thread._stopped.is_set()
    thread.thread_loop.close()
    thread._stopped_set()
