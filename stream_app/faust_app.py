"""The Faust app: Kafka's topics wired to the agent, and what the worker does around them."""

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import faust
from faust.types import TP
from redis.exceptions import RedisError

from interaction_usage import settings
from interaction_usage.store.errors import (
    ReseekRequired,
    UnfitRedisError,
    UnusableRollupsError,
)
from interaction_usage.store.writer import Writer
from stream_app import clients, sessions_present
from stream_app.agents import add_agent
from stream_app.broker import (
    LARGEST_DEAD_LETTER,
    admin_client,
    cluster_metadata,
    committed_offsets,
    ensure_topics,
    topic_ids,
)
from stream_app.dead_letter_producer import COMPRESSION
from stream_app.errors import (
    BrokerUnavailableError,
    GroupMembershipError,
    PermanentFaultError,
    StaleAssignmentError,
)
from stream_app.faults import raise_if_permanent
from stream_app.gaps import record_deleted
from stream_app.group_strangers import GroupWatch, client_id
from stream_app.health_server import HealthServer
from stream_app.heartbeat import Heartbeat
from stream_app.kafka_state import DENIED, raise_first, read_obstacles
from stream_app.ledger_reader import LedgerReader
from stream_app.liveness import Liveness
from stream_app.micro_batches import MicroBatches
from stream_app.obstacles import KafkaWatch
from stream_app.progress import INTERVAL, Lookout
from stream_app.readiness import Readiness
from stream_app.refusals import REFUSALS
from stream_app.rejoin import Rejoin
from stream_app.retention import ADVICE, read_warnings
from stream_app.retry import REDIS_ERRORS, Backoff, retry
from stream_app.sealed_rejections import SealedRejections, read_sealed_rejections
from stream_app.sealing import Sealing, event_spans
from stream_app.sessions_present import SessionsPresent
from stream_app.start_offsets import StartOffsets
from stream_app.state_log import INTERVAL_S, StateLog
from stream_app.telemetry import HEARTBEAT, Telemetry
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS, LEDGER, TOPICS
from stream_app.transport import BatchTransport
from stream_app.watchdog import Watchdog
from stream_app.worker_context import WorkerContext
from stream_app.worker_metrics import cause_of, worker_metrics
from stream_app.write_gate import WriteGate

log = logging.getLogger(__name__)

#: Seconds that Redis may take to answer before a call is tried again.
_REDIS_TIMEOUT = 10.0
#: Seconds that the group's commits may lie behind what was rejected.
_UNCOMMITTED_S = 600
#: Seconds between two attempts to reach Redis or Kafka before the worker has started.
_START_BACKOFF = Backoff(1.0, 1.0)
#: Seconds between two looks of the watchdog.
_WATCHDOG_INTERVAL = 2.0
#: Seconds between two looks at accounts whose days may be due for sealing.
_SEALING_INTERVAL = 5.0
#: Seconds between two looks for garbage; by itself Python looks when a million objects are new.
_GARBAGE_INTERVAL = 60
#: Seconds that the last micro-batch, and then the last commit, may take when the worker stops.
_LAST_MICRO_BATCH, _LAST_COMMIT = 2.0, 1.0


class UsageApp(faust.App):  # type: ignore[misc]
    """The worker: an agent for all event topics, one writer to the rollups."""

    def __init__(self, config: settings.Settings) -> None:
        super().__init__(config.group, **_faust_settings(config))
        self.config = config
        self.gate = WriteGate(self)
        self.rejoin = Rejoin(self.gate, lambda: self.consumer.rejoin())
        writer = Writer.of(config.redis, config.session_limits, _REDIS_TIMEOUT, clock=time.time)
        self.context = WorkerContext(
            self.gate, writer, lambda: self.producer, Telemetry(),
            on_lost_writes=self._start_again,
        )  # fmt: skip
        self._admin = admin_client(config.kafka)
        self.obstacles = self.context.obstacles
        self.context.telemetry.obstacles = lambda: list(map(str, self.obstacles.current()))
        self.group_watch = GroupWatch(config.redis)
        self.kafka_watch = KafkaWatch(
            self.obstacles,
            partial(read_obstacles, self._admin, config.group, judge_group=self.group_watch.judge),
        )
        read_topic_ids = partial(topic_ids, self._admin, EVENT_TOPICS)
        self.start_offsets = StartOffsets(
            self.context, read_topic_ids, self._earlier_rejections, self.give_up
        )
        self.micro_batches = MicroBatches(self.context, lambda: self.consumer, self.crash)
        self.heartbeat = Heartbeat(
            self.context, lambda: self.consumer, self.start_offsets, self.rejoin, self.give_up
        )
        self.liveness = Liveness(config.alive_file)
        self.readiness = Readiness(self.gate, self.context.telemetry, self.obstacles)
        self.heartbeat.on_sent = self.readiness.heartbeat_sent
        self.health_server = HealthServer(self.readiness.reasons, partial(worker_metrics, self))
        self.watchdog = Watchdog(
            self.gate, lambda: self.consumer, self.start_offsets, self.rejoin, read_topic_ids,
            self.give_up,
        )  # fmt: skip
        self.lookout = Lookout(writer, partial(event_spans, self._admin))
        self.sealing = Sealing(
            writer, partial(event_spans, self._admin), recent=lambda: self.lookout.recent
        )
        self.state_log = StateLog(
            self.readiness.reasons, self.context.telemetry, lambda: self.lookout.pending
        )
        self.sessions_present = SessionsPresent(config.redis, time.time)
        self.ledger = LedgerReader(config, (*LEDGER, REFUSALS))
        self.may_linger = True  #: whether the broker can wait for more events to answer with
        self._crashing: asyncio.Task[None] | None = None

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Keep nothing on disk: everything that matters is in Kafka and Redis."""

    # ------------------------------------------------------------ starting, and the end

    async def on_start(self) -> None:
        """Wait for Kafka and Redis, refuse rollups made with other limits, then start."""
        self.add_future(self.liveness.run())
        await self._serve_health(*self.config.health_port)
        await self._wait_until_ready("Redis", self._prepare_redis)
        await self._wait_until_ready("Kafka", self._prepare_kafka)
        await super().on_start()
        self.readiness.starting = ""
        self.add_future(self._watch_group_membership())
        self.add_future(self.micro_batches.run())
        self.add_future(self.ledger.run())

    async def _serve_health(self, host: str, port: int) -> None:
        if not port:
            return
        try:
            await self.health_server.start(host, port)
        except OSError as error:
            log.critical("The worker ends: USAGE_HEALTH_PORT: %s", error.strerror or error)
            raise SystemExit(1) from None

    async def on_stop(self) -> None:
        """Finish the micro-batch that is being written and commit it; begin nothing else."""
        self.readiness.starting = "The worker is ending"
        await self.micro_batches.stop(_LAST_MICRO_BATCH)
        with suppress(Exception):  # for others to look at; a worker starts from Redis' positions
            async with asyncio.timeout(_LAST_COMMIT):
                await self.consumer.commit()
        await super().on_stop()
        self.health_server.close()

    async def _prepare_redis(self) -> None:
        writer = self.context.writer
        await writer.check_fitness()
        await writer.check_limits()
        await writer.prepare()

    async def _prepare_kafka(self) -> None:
        await asyncio.to_thread(
            ensure_topics,
            self.config.kafka,
            TOPICS,
            self.config.partitions,
            self.config.replication,
        )
        # librdkafka's mock cluster would wait to the end, whatever is published meanwhile.
        self.may_linger = not (await asyncio.to_thread(cluster_metadata, self._admin)).is_mock
        obstacles = await asyncio.to_thread(read_obstacles, self._admin, self.config.group)
        # A topic that was created just now may not be known to each broker yet.
        raise_first([each for each in obstacles if each.kind == DENIED])
        now_ms = int(time.time() * 1000)
        names = [*EVENT_TOPICS, DEAD_LETTERS]
        if finite := await asyncio.to_thread(read_warnings, self._admin, names, now_ms):
            log.warning("%s. %s", "; ".join(finite), ADVICE)

    async def _wait_until_ready(self, name: str, prepare: Callable[[], Awaitable[None]]) -> None:
        failures = 0

        async def attempt() -> None:
            if not self.should_stop:
                await prepare()

        def on_failure(error: Exception) -> None:
            nonlocal failures
            raise_if_permanent(error)
            self.readiness.starting = f"The worker waits for {name} to start: {error}"
            if failures % 5 == 0:
                log.warning("Waiting for %s: %s", name, error)
            failures += 1

        errors = (*REDIS_ERRORS, BrokerUnavailableError, ReseekRequired)
        try:
            await retry(attempt, on_failure, errors=errors, backoff=_START_BACKOFF)
        except PermanentFaultError as error:
            # As text: Faust logs the error as well, and `worker_process` leaves that out.
            log.critical("The worker ends: %s", str(error))
            raise SystemExit(1) from None
        except (UnusableRollupsError, UnfitRedisError) as error:
            log.critical("%s", error)
            raise SystemExit(1) from None

    async def _watch_group_membership(self) -> None:
        """End the worker when it can get no partitions any more, also before it ever got one.

        Timers of Faust begin with the first assignment, so what may be in its way is no timer.
        """
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.state_log.look()
            self.consumer.retry_coordination()
            if self.consumer.has_lost_membership:
                self.give_up("it can no longer take part in the consumer group")
                return
            if self.consumer.has_stopped_fetching:
                self.give_up("it has stopped fetching from Kafka")
                return

    def give_up(self, why: str) -> None:
        """End the worker: only a new process can go on."""
        log.critical("The worker ends: %s", why)
        self._crashing = asyncio.ensure_future(self.crash(GroupMembershipError(why)))

    # -------------------------------------------------------------- starting again

    def _start_again(self, error: ReseekRequired) -> None:
        """Read again from what Redis has."""
        self.context.telemetry.recoveries[cause_of(error)] += 1
        self.rejoin.request(f"{error}. Reading again from where the rollups end")

    def _earlier_rejections(
        self, start_offsets: Mapping[TP, int], seen: int | None
    ) -> SealedRejections:
        """Return what was rejected before, where partitions are read again from *start_offsets*.

        They are where Redis does not have what the group had committed. A day may be open again
        then that was sealed before, and yet its bill must stay. What was rejected after the last
        commit is among the newest dead letters: those since the second at which a worker was last
        *seen*, and some minutes before. Raises BrokerUnavailableError.
        """
        committed = committed_offsets(self._admin, self.config.group)
        # Kafka drops commits after a while: what is read from the very beginning may be old.
        is_further = all(offset >= committed.get(tp, 1) for tp, offset in start_offsets.items())
        since = seen - _UNCOMMITTED_S if seen is not None and is_further else 0
        return read_sealed_rejections(self.config.kafka, since)

    async def record_gaps(self, deleted: Mapping[TP, tuple[int, int]]) -> None:
        """Record that Kafka deleted these offsets [first, end) uncounted, and log it.

        Kafka has acknowledged it then. Raises LedgerError and RedisError.
        """
        ids, until = self.start_offsets.topic_ids, int(time.time())
        record = partial(record_deleted, deleted=deleted, ids=ids, until=until)
        self.context.telemetry.deleted += await self.ledger.use(record)

    # ---------------------------------------------------------------------- timers

    async def seal(self) -> None:
        """Seal what is due in some accounts."""
        try:
            with self.gate.admit(self.gate.assignment):
                await self.sealing.some()
            self.watchdog.look_at_stalled(self.sealing.stalled)
        except (ReseekRequired, RedisError, OSError, BrokerUnavailableError, StaleAssignmentError):
            log.debug("No sealing while Redis or Kafka is unavailable, or the group rebalances")

    async def count_sessions(self) -> None:
        """Add up the sessions present in some more accounts, if it is this worker's turn."""
        if self.lookout.current is None:
            self.sessions_present.forget()
            return
        try:
            await asyncio.to_thread(self.sessions_present.look)
        except (UnusableRollupsError, RedisError, OSError):
            log.debug("Sessions are not added up while Redis is unavailable")

    async def look_out(self) -> None:
        """Report how far everything is counted, if it is this worker's turn."""
        try:
            await self.lookout.look()
        except (ReseekRequired, RedisError, OSError):
            log.debug("No look at how far everything is counted while Redis is unavailable")


def _faust_settings(config: settings.Settings) -> dict[str, Any]:
    return {
        **clients.faust(config.kafka),
        "consumer_auto_offset_reset": "none",  # a seek determines the start, and what is gone
        "consumer_metadata_max_age_ms": 10_000,  # new partitions are noticed within this time
        "broker_client_id": client_id(),
        "broker_commit_interval": 5.0,  # for others to look at
        "broker_session_timeout": 6.0,
        "broker_heartbeat_interval": 1.5,
        "producer_acks": -1,
        # A dead letter for a partition that is gone is sent elsewhere after this time. Faust's own
        # is 20 minutes, during which the worker would keep its partitions.
        "producer_request_timeout": 15.0,
        "producer_linger": 0.005,
        "producer_compression_type": COMPRESSION,
        "producer_max_request_size": LARGEST_DEAD_LETTER,
        "stream_buffer_maxsize": 4,  # counts fetches
        "stream_wait_empty": False,  # a batch in process may be read again: the fence skips it
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
    }


def create_app(config: settings.Settings) -> UsageApp:
    """Return the app with its agent and timers."""
    app = UsageApp(config)
    add_agent(app)

    @app.timer(interval=HEARTBEAT, name="heartbeat")  # type: ignore[untyped-decorator]
    async def heartbeat() -> None:
        await app.heartbeat.beat(int(time.time()))

    @app.timer(interval=_WATCHDOG_INTERVAL, name="watchdog")  # type: ignore[untyped-decorator]
    async def watchdog() -> None:
        await app.kafka_watch.look()
        await app.watchdog.look()

    @app.timer(interval=_SEALING_INTERVAL, name="seal")  # type: ignore[untyped-decorator]
    async def seal() -> None:
        await app.seal()

    @app.timer(interval=_GARBAGE_INTERVAL, name="collect_garbage")  # type: ignore[untyped-decorator]
    async def collect_garbage() -> None:
        gc.collect(1)

    @app.timer(interval=sessions_present.INTERVAL, name="count_sessions")  # type: ignore[untyped-decorator]
    async def count_sessions() -> None:
        await app.count_sessions()

    @app.timer(interval=INTERVAL, name="look_out")  # type: ignore[untyped-decorator]
    async def look_out() -> None:
        await app.look_out()

    return app


def app_from_environment() -> UsageApp:
    """Return the app with the settings of the environment. Raises InvalidSettingError."""
    return create_app(settings.read())
