"""The Faust app: Kafka's topics wired to the agents, and what the worker does around them."""

import asyncio
import logging
from typing import Any

import faust
from redis.asyncio import Redis
from redis.exceptions import RedisError

import settings
from rollups import keys
from rollups.store import LimitsDiffer, Writer
from stream_app.agents import process
from stream_app.broker import BrokerAway, ensure_topics
from stream_app.telemetry import HEARTBEAT, LIFETIME, Telemetry, worker_name
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from stream_app.transport import BatchTransport

log = logging.getLogger(__name__)

#: Seconds that Redis may take to answer before a call is tried again.
_REDIS_TIMEOUT = 10.0


class UsageApp(faust.App):  # type: ignore[misc]
    """The worker: agents for all event topics, one writer to the rollups."""

    def __init__(self, config: settings.Settings) -> None:
        super().__init__(
            config.group,
            broker=[f"kafka://{server}" for server in config.kafka.split(",")],
            consumer_auto_offset_reset="earliest",
            broker_commit_interval=1.0,
            broker_session_timeout=6.0,
            broker_heartbeat_interval=1.5,
            producer_acks=-1,
            producer_linger=0.005,
            producer_max_request_size=32 * 1024 * 1024,
            stream_buffer_maxsize=16,  # counts batches
            stream_wait_empty=False,  # a batch in hand may be read again: the fence skips it
            table_standby_replicas=0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
        )
        self.config = config
        self.telemetry = Telemetry()
        self.redis = Redis.from_url(
            config.redis,
            socket_timeout=_REDIS_TIMEOUT,
            socket_connect_timeout=2.0,
            health_check_interval=30,
        )
        self.writer = Writer(self.redis, config.session_limits)

    def _new_transport(self) -> Any:
        return BatchTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Keep nothing on disk: everything that matters is in Kafka and Redis."""

    async def on_start(self) -> None:
        """Wait for Kafka and Redis, refuse rollups made with other limits, then start."""
        await self._wait_for("Redis", self._prepare_redis)
        await self._wait_for("Kafka", self._prepare_kafka)
        await super().on_start()

    async def _prepare_redis(self) -> None:
        await self.writer.prepare()
        await self.writer.check_limits(self.config.session_limits)

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
            except (RedisError, OSError, BrokerAway) as error:
                if waited % 5 == 0:
                    log.warning("Waiting for %s: %s", name, error)
                waited += 1
                await asyncio.sleep(1.0)
            except LimitsDiffer as error:
                log.critical("%s", error)
                raise SystemExit(1) from None

    async def say_alive(self) -> None:
        """Tell Redis what this worker has done, and how far it is where nothing is in hand."""
        positions = {
            keys.fence(tp.topic, tp.partition): offset
            for tp, offset in self.consumer.processed().items()
        }
        try:
            await self.writer.advance(positions)
            await self.redis.set(keys.worker(worker_name()), self.telemetry.encoded(), ex=LIFETIME)
        except RedisError:
            log.debug("Redis does not answer; the agents say so")


def create_app(config: settings.Settings) -> UsageApp:
    """Return the app with an agent for each topic of events."""
    app = UsageApp(config)
    for topic in EVENT_TOPICS:
        _add_agent(app, topic)

    @app.timer(interval=HEARTBEAT, name="say_alive")  # type: ignore[untyped-decorator]
    async def say_alive() -> None:
        await app.say_alive()

    return app


def _add_agent(app: UsageApp, topic: str) -> None:
    channel = app.topic(topic, key_type=bytes, value_type=bytes, value_serializer="raw")

    async def take_batches(stream: Any) -> None:
        async for event in stream.noack().events():
            batch = event.value
            try:
                await process(batch, app.producer, app.writer, app.telemetry)
                app.consumer.finished(batch)
            except Exception as error:  # never into Faust, which would ack the batch and go on
                log.critical("The worker ends: %s", error, exc_info=True)
                await app.crash(error)
                return
            event.ack()

    name = topic.removeprefix("usage.")
    take_batches.__name__ = name
    app.agent(channel, name=f"stream_app.agents.{name}")(take_batches)


def app_from_environment() -> UsageApp:
    """Return the app with the settings of the environment. Raises InvalidSetting."""
    return create_app(settings.read())
