"""The examination: every check in its order, as long as what it needs has answered."""

import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from confluent_kafka import KafkaException
from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage import settings
from interaction_usage.dashboard.health import heartbeats_of_workers
from interaction_usage.doctor import kafka, redis, stream
from interaction_usage.doctor.findings import Area, Finding
from interaction_usage.store import keys
from interaction_usage.store.address import place
from interaction_usage.store.client import Client, connect
from interaction_usage.store.gaps import read_gaps
from interaction_usage.store.reads import Rollups
from interaction_usage.store.worker_registry import HEARTBEAT_TTL_S
from rollups.watermark import Position
from stream_app.broker import LARGEST_DEAD_LETTER, admin_client, spans_of, topic_ids
from stream_app.errors import BrokerUnavailableError, TopicsMissingError
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS, LEDGER_TOPICS, TOPICS

#: Seconds that Kafka and Redis have to answer each question.
_PATIENCE: Final = 5.0

_SETTINGS: Final = Area("settings")


class _Counted(NamedTuple):
    """What Redis says of the stream."""

    positions: Mapping[str, Position]
    workers: Mapping[str, Mapping[str, object]]


def examine() -> Iterator[Finding]:
    """Yield what each check finds. What does not answer is said once, and nothing rests on it."""
    try:
        config = settings.read()
    except settings.InvalidSettingError as error:
        yield _SETTINGS.wrong(error.variable, str(error), "Correct it in the environment")
        return
    yield _SETTINGS.ok("environment", f"Kafka {config.kafka}, consumer group {config.group}")
    counted = yield from _examine_redis(config)
    topics = yield from _examine_kafka(config)
    if counted and topics:
        yield from _examine_stream(config, counted)


def _examine_redis(config: settings.Settings) -> Generator[Finding, None, _Counted | None]:
    """Yield findings; return what Redis says of the stream, if it answers."""
    where = place(config.redis)
    patience: Any = {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE}
    try:
        with connect(config.redis, **patience) as client:
            yield from redis.judge(redis.ask(client, where, time.time()))
            return (yield from _examine_rollups(client, config))
    except RedisError as error:
        yield redis.explain(error, where)
    return None


def _examine_rollups(
    client: Client, config: settings.Settings
) -> Generator[Finding, None, _Counted]:
    rollups = Rollups.live(client)
    recorded, secret = (client.get(name) for name in (rollups.keys.limits, rollups.keys.secret))
    beside = stream.rollups_from(cast(bytes | None, recorded), cast(bytes | None, secret))
    yield from stream.judge_rollups(beside, config.session_limits)
    yield from stream.judge_gaps(read_gaps(client))
    return _Counted(
        rollups.positions(), heartbeats_of_workers(cast(Redis, client), HEARTBEAT_TTL_S)
    )


def _examine_kafka(config: settings.Settings) -> Generator[Finding, None, bool]:
    """Yield findings; return whether the topics can be asked how far they reach."""
    try:
        cluster = kafka.ask(config.kafka, TOPICS, config.group, _PATIENCE)
    except KafkaException as error:
        yield kafka.explain(error, config.kafka)
        return False
    yield from kafka.judge(cluster, EVENT_TOPICS, DEAD_LETTERS, LEDGER_TOPICS, LARGEST_DEAD_LETTER)
    return True


def _examine_stream(config: settings.Settings, counted: _Counted) -> Iterator[Finding]:
    try:
        places = _places(config, counted.positions)
    except BrokerUnavailableError as error:
        yield stream.ROLLUPS.wrong("lag", f"Unknown: {error}", "See what is said of Kafka above")
        return
    yield from stream.judge_lag(places)
    yield from stream.judge_beginnings(places)
    yield from stream.judge_workers(counted.workers, stream.waiting(places))


def _places(
    config: settings.Settings, positions: Mapping[str, Position]
) -> dict[tuple[str, int], stream.Partition]:
    admin = admin_client(config.kafka)
    spans = spans_of(admin, EVENT_TOPICS, _PATIENCE)
    present = {topic for topic, _ in spans}
    if missing := [topic for topic in EVENT_TOPICS if topic not in present]:
        raise TopicsMissingError(missing)
    ids = topic_ids(admin, EVENT_TOPICS, _PATIENCE)
    places = {}
    for (topic, number), span in spans.items():
        at = positions.get(keys.fence(topic, number, ids[topic]))
        offset = at.offset if at else None
        places[topic, number] = stream.Partition(span.begin, offset, span.stable, span.end)
    return places
