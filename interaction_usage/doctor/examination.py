"""The examination: every check in its order, as long as what it needs has answered."""

import time
from collections.abc import Generator, Iterator
from importlib.metadata import version
from typing import Any, Final, cast

from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage import settings
from interaction_usage.dashboard.health import heartbeats_of_workers
from interaction_usage.doctor import archive, kafka, redis, stream
from interaction_usage.doctor.findings import Area, Finding
from interaction_usage.store.address import place
from interaction_usage.store.alert_table import ALERTS
from interaction_usage.store.client import Client, connect
from interaction_usage.store.gaps import read_gaps
from interaction_usage.store.memory_history import daily_growth, memory_in_use, read_memory
from interaction_usage.store.reads import Rollups
from interaction_usage.store.worker_registry import HEARTBEAT_TTL_S, known_workers
from stream_app.broker import LARGEST_DEAD_LETTER, admin_client
from stream_app.errors import BrokerUnavailableError
from stream_app.group_strangers import stranger_obstacle, strangers
from stream_app.kafka_state import read_group
from stream_app.lag import read_progress
from stream_app.topics import EVENT_TOPICS, TOPICS
from stream_app.transactional_rights import read_transactional_obstacle

#: Seconds that Kafka and Redis have to answer each question.
_PATIENCE: Final = 5.0
_REDIS_PATIENCE: Final[Any] = {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE}

#: Packages whose versions a report of a problem needs.
_VERSIONS: Final = ("interaction-usage", "faust-streaming", "aiokafka", "confluent-kafka", "redis")

#: Seconds in which a worker that has just joined the group sends its first heartbeat, and between
#: two looks for that.
_FIRST_HEARTBEAT_S: Final = 3.0
_PAUSE_S: Final = 0.2

_SETTINGS: Final = Area("settings")


def examine() -> Iterator[Finding]:
    """Yield what each check finds. What does not answer is said once, and nothing rests on it."""
    if problems := settings.problems_of_process():
        for problem in problems:
            yield _SETTINGS.wrong(
                problem.variable, str(problem), "`usage config` shows where it is"
            )
        return
    config = settings.read()
    yield _SETTINGS.ok("environment", f"Kafka {config.kafka}, consumer group {config.group}")
    yield _SETTINGS.ok("versions", ", ".join(f"{name} {version(name)}" for name in _VERSIONS))
    redis_answers = yield from _examine_redis(config)
    kafka_answers = yield from _examine_kafka(config)
    if redis_answers and kafka_answers:
        try:
            with connect(config.redis, **_REDIS_PATIENCE) as client:
                yield from _examine_stream(config, client)
        except RedisError as error:  # it answered a moment ago
            yield redis.explain(error, place(config.redis))


def _examine_redis(config: settings.Settings) -> Generator[Finding, None, bool]:
    """Yield findings; return whether Redis answers."""
    where = place(config.redis)
    try:
        with connect(config.redis, **_REDIS_PATIENCE) as client:
            yield from redis.judge(redis.ask(client, where, time.time()))
            if memory := memory_in_use(client):
                yield redis.judge_growth(*memory, daily_growth(read_memory(client)))
            yield from _examine_rollups(client, config)
    except RedisError as error:
        yield redis.explain(error, where)
        return False
    return True


def _examine_rollups(client: Client, config: settings.Settings) -> Iterator[Finding]:
    rollups = Rollups.of_any_layout(client)
    recorded, secret = (client.get(name) for name in (rollups.keys.limits, rollups.keys.secret))
    beside = stream.rollups_from(cast(bytes | None, recorded), cast(bytes | None, secret))
    yield from stream.judge_rollups(beside, config.session_limits)
    yield from stream.judge_topics(rollups.positions(), EVENT_TOPICS)
    yield from stream.judge_gaps(read_gaps(client))


def _examine_kafka(config: settings.Settings) -> Generator[Finding, None, bool]:
    """Yield findings; return whether the topics can be asked how far they reach."""
    try:
        cluster = kafka.ask(config.kafka, TOPICS, config.group, _PATIENCE)
    except BrokerUnavailableError as error:
        yield kafka.explain(error, config.kafka)
        return False
    yield from kafka.judge(cluster, config.group, LARGEST_DEAD_LETTER, int(time.time() * 1000))
    if (config.alerts_secret or config.smtp.host) and not cluster.metadata.is_mock:
        obstacle = read_transactional_obstacle(config.kafka, ALERTS.topic, _PATIENCE)
        yield kafka.judge_transactions(ALERTS.topic, obstacle)
    yield from archive.examine(config, cluster.deleting(), time.time())
    return True


def _examine_members(config: settings.Settings, client: Client) -> Iterator[Finding]:
    """Look for members of the group that count for another Redis; those that just start wait."""
    deadline = time.monotonic() + _FIRST_HEARTBEAT_S
    while True:
        try:
            group = read_group(admin_client(config.kafka), config.group, _PATIENCE)
        except BrokerUnavailableError:
            return
        names = strangers(group.clients, known_workers(client))
        if not names or time.monotonic() >= deadline:
            break
        time.sleep(_PAUSE_S)
    if names:
        yield kafka.wrong(stranger_obstacle(config.group, names))


def _examine_stream(config: settings.Settings, client: Client) -> Iterator[Finding]:
    workers = heartbeats_of_workers(cast(Redis, client), HEARTBEAT_TTL_S)
    try:
        progress = read_progress(admin_client(config.kafka), client, _PATIENCE, config.group)
    except BrokerUnavailableError:
        yield stream.ROLLUPS.wrong(
            "lag",
            "The lag is unknown: not every topic can be read",
            "Do what is said of Kafka above",
        )
        yield from stream.judge_workers(workers, None)
        return
    yield from _examine_members(config, client)
    yield from stream.judge_lag(progress, read_gaps(client))
    yield from stream.judge_beginnings(progress)
    yield from stream.judge_workers(workers, stream.waiting(progress))
