"""The Faust app: Kafka's topics wired to the agents, and what the worker does around them."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import faust
from faust.types import TP
from redis.exceptions import RedisError

from interaction_usage import settings
from interaction_usage.store import keys
from interaction_usage.store.errors import (
    LayoutDiffersError,
    ReseekRequired,
    RollupsSwitchedError,
    SessionLimitsDifferError,
    UnfitRedisError,
)
from interaction_usage.store.worker_registry import send_heartbeat
from interaction_usage.store.writer import Writer
from rollups.watermark import Position
from stream_app.agents import FIRST_PAUSE, LONGEST_PAUSE, Attempts, Stale, Work
from stream_app.broker import (
    LARGEST_DEAD_LETTER,
    BrokerAway,
    admin_client,
    committed_offsets,
    ensure_topics,
    topic_ids,
)
from stream_app.faults import permanent_fault
from stream_app.letter_box import COMPRESSION
from stream_app.rounds import Job, Rounds
from stream_app.sealing import Sealing, event_spans
from stream_app.telemetry import HEARTBEAT, Telemetry, worker_name
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from stream_app.transport import BatchTransport, Generation
from stream_app.verdicts import NONE, Verdicts, read_verdicts

log = logging.getLogger(__name__)

#: Seconds that Redis may take to answer before a call is tried again.
_REDIS_TIMEOUT = 10.0
#: Seconds between two looks at whether the topics are still the same.
_TOPICS_LOOK = 2.0
#: Looks in a row, `_SEALING_LOOK` apart, at which nobody got on with a partition that has records,
#: before the group is joined again.
_LOOKS_AT_STALLED = 6
#: Looks in a row at which a worker is found idle, before it joins the group again, and ends.
_LOOKS_TO_JOIN, _LOOKS_TO_END = 8, 25
#: Seconds between two looks at accounts whose days may be due for sealing.
_SEALING_LOOK = 5.0
#: Seconds after which a wish to join the group again is repeated.
_JOIN_PATIENCE = 3.0


#: Seconds that the last round, and then the last commit, may take when a worker is told to end.
_LAST_ROUND, _LAST_COMMIT = 2.0, 1.0


class GivenUp(Exception):
    """Faust or aiokafka can no longer take part in the consumer group; only a new process can."""


class UsageApp(faust.App):  # type: ignore[misc]
    """The worker: agents for all event topics, one writer to the rollups."""

    def __init__(self, config: settings.Settings) -> None:
        super().__init__(
            config.group,
            broker=[f"kafka://{server}" for server in config.kafka.split(",")],
            consumer_auto_offset_reset="none",  # a seek says where to begin, and what is gone
            consumer_metadata_max_age_ms=10_000,  # new partitions are noticed within this time
            broker_commit_interval=1.0,
            broker_session_timeout=6.0,
            broker_heartbeat_interval=1.5,
            producer_acks=-1,
            # A dead letter for a partition that is gone is tried again elsewhere after this time.
            # Faust's own is 20 minutes, during which the worker would keep its place in the group.
            producer_request_timeout=15.0,
            producer_linger=0.005,
            producer_compression_type=COMPRESSION,
            producer_max_request_size=LARGEST_DEAD_LETTER,
            stream_buffer_maxsize=16,  # counts batches
            stream_wait_empty=False,  # a batch in hand may be read again: the fence skips it
            table_standby_replicas=0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
        )
        self.config = config
        self.telemetry = Telemetry()
        self.writer = Writer.of(
            config.redis, config.session_limits, _REDIS_TIMEOUT, clock=time.time
        )
        self.attempts = Attempts(lambda: self.consumer.generation)
        self._admin = admin_client(config.kafka)
        self.sealing = Sealing(self.writer, partial(event_spans, self._admin))
        self.rounds = Rounds(lambda: self.work, lambda: self.consumer, self.crash)
        self.verdicts = NONE
        self._topic_ids: dict[str, str] = {}
        self._left_generation: Generation | None = None
        self._asked_to_join = 0.0
        self._beginning = asyncio.Lock()
        self._looks: Counter[str] = Counter()

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Keep nothing on disk: everything that matters is in Kafka and Redis."""

    async def on_start(self) -> None:
        """Wait for Kafka and Redis, refuse rollups made with other limits, then start."""
        await self._wait_for("Redis", self._prepare_redis)
        await self._wait_for("Kafka", self._prepare_kafka)
        await super().on_start()
        self.add_future(self._watch_group())
        self.add_future(self.rounds.run())

    async def on_stop(self) -> None:
        """Finish the round under way and commit it; begin nothing else."""
        await self.rounds.end(_LAST_ROUND)
        with suppress(Exception):  # for others to look at; a worker begins where Redis says
            async with asyncio.timeout(_LAST_COMMIT):
                await self.consumer.commit()
        await super().on_stop()

    async def _watch_group(self) -> None:
        """End the worker when it can get no partitions any more, also before it ever got one."""
        while True:
            await asyncio.sleep(1.0)
            if self.consumer.has_given_up:
                break
        await self._give_up("its place in the consumer group cannot be kept")

    async def _prepare_redis(self) -> None:
        await self.writer.check_fitness()
        await self.writer.check_limits()
        await self.writer.prepare()

    async def _prepare_kafka(self) -> None:
        await asyncio.to_thread(
            ensure_topics,
            self.config.kafka,
            [*EVENT_TOPICS, DEAD_LETTERS],
            self.config.partitions,
            self.config.replication,
        )

    async def _wait_for(self, name: str, prepare: Any) -> None:
        waited = 0
        while not self.should_stop:
            try:
                await prepare()
                return
            except (RedisError, OSError, BrokerAway, ReseekRequired) as error:
                if fault := permanent_fault(error):
                    log.critical("The worker ends: %s", fault)
                    raise SystemExit(1) from None
                if waited % 5 == 0:
                    log.warning("Waiting for %s: %s", name, error)
                waited += 1
                await asyncio.sleep(1.0)
            except (LayoutDiffersError, SessionLimitsDifferError, UnfitRedisError) as error:
                log.critical("%s", error)
                raise SystemExit(1) from None

    # -------------------------------------------------------------------- batches

    @property
    def work(self) -> Work:
        """What batches are taken in with."""
        return Work(
            self.producer, self.writer, self.telemetry, self.attempts, self.lost_writes,
            self.verdicts,
        )  # fmt: skip

    # ---------------------------------------------------- where the rollups end

    def fence(self, tp: TP) -> str:
        """Return the name of *tp* in fences and positions."""
        return keys.fence(tp.topic, tp.partition, self._topic_ids.get(tp.topic, ""))

    async def where_the_rollups_end(self, assigned: Collection[TP]) -> dict[TP, int]:
        """Return from which offset on each partition is to be read.

        Nothing that was read before this call is written after it.
        """
        await self.attempts.quiet()
        pause = FIRST_PAUSE
        while True:
            try:
                self._topic_ids = await asyncio.to_thread(topic_ids, self._admin, EVENT_TOPICS)
                names = {tp: self.fence(tp) for tp in assigned}
                async with self._beginning:
                    ends = await self.writer.begin(list(names.values()))
                    at = self.writer.keys
                    await self.writer.check_limits()
                if self.writer.keys == at:  # no rebuild was put in force in between
                    found = {tp: ends[name] for tp, name in names.items()}
                    self.verdicts = await asyncio.to_thread(self._verdicts, found)
                    return found
            except (RedisError, OSError, BrokerAway, ReseekRequired) as error:
                if fault := permanent_fault(error):
                    await self._give_up(fault)
                who = "Kafka" if isinstance(error, BrokerAway) else "Redis"
                log.warning("Waiting for %s, to ask where to begin: %s", who, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _verdicts(self, begins: Mapping[TP, int]) -> Verdicts:
        """Return what was refused before, where partitions are read again from *begins* on.

        They are where Redis does not have what the group had committed. A day may be open again
        then that was sealed before, and yet its bill must stay. Raises BrokerAway.
        """
        committed = committed_offsets(self._admin, self.config.group)
        # Kafka forgets commits after a while: what is read from the very beginning may be old.
        if all(begin >= committed.get(tp, 1) for tp, begin in begins.items()):
            return NONE
        return read_verdicts(self.config.kafka)

    def lost_writes(self, error: ReseekRequired) -> None:
        """Begin again from what Redis has."""
        self.begin_again(f"{error}. Reading again from where the rollups end")

    def begin_again(self, why: str) -> None:
        """Have the partitions assigned anew, once for as long as that takes."""
        now = asyncio.get_running_loop().time()
        if self._left_generation != self.consumer.generation:
            self._left_generation = self.consumer.generation
            log.warning("%s", why)
        elif now < self._asked_to_join + _JOIN_PATIENCE:
            return
        self._asked_to_join = now  # again after a while: a rebalance under way may forget it
        self.consumer.join_again()

    async def watch_topics(self) -> None:
        """Begin again when a topic is another one than it was, though its name is the same."""
        try:
            now = await asyncio.to_thread(topic_ids, self._admin, EVENT_TOPICS)
        except BrokerAway:
            self._looks.clear()
            return
        if self.consumer.stands_by:
            self._topic_ids = now  # there is nothing to begin again
        known = self._topic_ids
        changed = [topic for topic, name in now.items() if known.get(topic) != name]
        if known and changed:
            self.begin_again(f"{', '.join(changed)} was created anew; reading from its beginning")
        await self._watch_itself()

    async def _watch_itself(self) -> None:
        """Join the group again, or end, where the broker answers and yet nothing is read."""
        if self._lasts("no broker", self.consumer.knows_no_broker) >= _LOOKS_TO_JOIN:
            await self._give_up("its connection to Kafka knows no broker any more")
        idle = self._lasts("idle", self.consumer.is_idle)
        if idle >= _LOOKS_TO_END:
            await self._give_up("it has partitions and cannot begin to read them")
        elif idle >= _LOOKS_TO_JOIN:
            self.begin_again("Nothing is read from the partitions assigned; joining again")

    def _lasts(self, what: str, is_so: bool) -> int:
        """Return at how many looks in a row, this one included, something was so."""
        self._looks[what] = self._looks[what] + 1 if is_so else 0
        return self._looks[what]

    async def _give_up(self, why: str) -> None:
        log.critical("The worker ends: %s", why)
        await self.crash(GivenUp(why))

    async def say_alive(self) -> None:
        """Tell Redis what this worker has done, and how far it is where nothing is in hand."""
        generation = self.consumer.generation
        if generation == self._left_generation:
            self.begin_again("")
        processed = self.consumer.processed()
        positions = {self.fence(tp): Position(end) for tp, end in processed.items()}
        try:
            with self.attempts.of(generation):
                await self.writer.nodes.check()
                if await self.writer.active_namespace() != self.writer.keys:
                    raise RollupsSwitchedError
                await self.writer.advance(positions)
                self.telemetry.rollups = self.writer.keys.name
                await self._say(int(time.time()))
        except ReseekRequired as error:
            await self._go_on_elsewhere(error, generation)
        except (RedisError, OSError, Stale) as failure:
            if fault := permanent_fault(failure):
                await self._give_up(fault)
            log.debug("Redis does not answer, or the group is being assigned anew")

    async def _go_on_elsewhere(self, error: ReseekRequired, generation: Generation) -> None:
        """Begin again after *error*, unless a seek is doing that."""
        if self.consumer.is_seeking:
            return  # each new connection is checked until it has what that finds
        if not self.consumer.stands_by:
            self.attempts.end(generation)
            self.lost_writes(error)
            return
        # Without partitions there is no seek. To join the group again would bring none, only the
        # same again.
        await self.attempts.quiet()
        async with self._beginning:
            if self.consumer.stands_by:
                with suppress(RedisError, OSError, ReseekRequired):
                    await self.writer.begin([])

    async def _say(self, second: int) -> None:
        """Tell Redis what this worker has done, and be on the list of those that live."""
        await send_heartbeat(self.writer.nodes, worker_name(), self.telemetry.encoded(), second)

    async def seal(self) -> None:
        """Seal what is due in some accounts."""
        try:
            with self.attempts.of(self.consumer.generation):
                await self.sealing.some()
            if self._lasts("stalled", bool(self.sealing.stalled)) >= _LOOKS_AT_STALLED:
                # Once, and then as long again: workers that joined at every look would never let
                # the group come to rest.
                self._looks["stalled"] = 0
                names = ", ".join(sorted(self.sealing.stalled))
                self.begin_again(f"Nobody counts what is there in {names}; joining again")
        except (RedisError, OSError, BrokerAway, Stale, ReseekRequired):
            log.debug("No sealing while Redis or Kafka is away, or the group is assigned anew")


def create_app(config: settings.Settings) -> UsageApp:
    """Return the app with an agent for each topic of events."""
    app = UsageApp(config)
    for topic in EVENT_TOPICS:
        _add_agent(app, topic)

    @app.timer(interval=HEARTBEAT, name="say_alive")  # type: ignore[untyped-decorator]
    async def say_alive() -> None:
        await app.say_alive()

    @app.timer(interval=_TOPICS_LOOK, name="watch_topics")  # type: ignore[untyped-decorator]
    async def watch_topics() -> None:
        await app.watch_topics()

    @app.timer(interval=_SEALING_LOOK, name="seal")  # type: ignore[untyped-decorator]
    async def seal() -> None:
        await app.seal()

    return app


def _add_agent(app: UsageApp, topic: str) -> None:
    channel = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw")

    async def take_batches(stream: Any) -> None:
        async for event in stream.noack().events():
            batch = event.value
            await app.rounds.take(Job(event, batch, app.fence(batch.tp)))

    name = topic.removeprefix("usage.")
    take_batches.__name__ = name
    app.agent(channel, name=f"stream_app.agents.{name}")(take_batches)


def app_from_environment() -> UsageApp:
    """Return the app with the settings of the environment. Raises InvalidSettingError."""
    return create_app(settings.read())
