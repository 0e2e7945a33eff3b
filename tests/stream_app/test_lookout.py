"""The worker that looks for all reports what it saw, and nothing that is old or unknown."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from redis.client import Redis

from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import gaps, keys
from interaction_usage.store.client import connect
from interaction_usage.store.errors import LostWritesError, ReseekRequired
from interaction_usage.store.memory_history import read_memory
from rollups.gaps import Acceptance, Gap
from stream_app import progress, worker_metrics
from stream_app.broker import Span
from stream_app.errors import BrokerUnavailableError
from stream_app.partition_lag import PartitionLag
from stream_app.progress import Lookout
from stream_app.topics import EVENT_TOPICS
from tests.store.redis_side import writing

NAMES = [keys.fence(topic, 0, "id") for topic in EVENT_TOPICS]
EMPTY = dict.fromkeys(NAMES, Span(0, 0, 0))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Yield the URL of a Redis of this module's own."""
    with redis_server() as running:
        yield running.url


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    """Yield a client of it, empty."""
    with connect(url) as client:
        client.flushall()
        yield client


def looking(url: str, act: Callable[[Callable[..., Lookout]], Coroutine[Any, Any, Any]]) -> Any:
    """Run *act*, which makes lookouts of what it says that topics have."""

    async def run() -> Any:
        async with writing(url) as writer:

            def lookout(spans: Callable[[Any], Any], second: float = 1_000) -> Lookout:
                return Lookout(writer, spans, lambda: second)

            return await act(lookout)

    return asyncio.run(run())


def collected(lookout: Lookout) -> dict[str, Metric]:
    """Return what is collected of the stream."""
    look = lookout.current
    return {metric.name: metric for metric in worker_metrics.stream(look)} if look else {}


def test_what_is_waiting_is_reported_by_place(url: str, redis: Redis) -> None:
    """Of one partition 5 offsets, 2 of them behind a transaction; of the others nothing."""

    async def act(made: Callable[..., Lookout]) -> None:
        lookout = made(lambda _: {**EMPTY, NAMES[0]: Span(2, 5, 7)})
        await lookout.look()
        assert lookout.pending == 5
        look = lookout.current
        assert look is not None
        assert look.lags[NAMES[0]] == PartitionLag(5, 2, 0)
        found = collected(lookout)
        assert len(found["usage_lag_records"].samples) == len(EVENT_TOPICS)
        sample = next(each for each in found["usage_lag_records"].samples if each.value)
        assert (sample.labels, sample.value) == ({"topic": EVENT_TOPICS[0], "partition": "0"}, 5)
        assert "usage_complete_to_timestamp_seconds" not in found  # nothing was ever reached

    looking(url, act)


def test_gaps_are_reported_until_they_are_accepted(url: str, redis: Redis) -> None:
    """Two, of which one is accepted."""
    open_gap = Gap("usage.flows", 0, "id", 3, 9, None, 900, "worker")
    accepted = open_gap._replace(partition=1, accepted=Acceptance(950, "ops", "known"))
    for gap in (open_gap, accepted):
        redis.hset(keys.GAPS, gap.id, gaps.gap_bytes(gap))

    async def act(made: Callable[..., Lookout]) -> None:
        lookout = made(lambda _: EMPTY)
        await lookout.look()
        assert collected(lookout)["usage_gaps_unaccepted"].samples[0].value == 1

    looking(url, act)


def test_lags_are_missing_while_kafka_does_not_answer(url: str, redis: Redis) -> None:
    """The watermark stays where it was, so that it is seen to be old."""
    away = False

    def spans(_: Any) -> Any:
        if away:
            raise BrokerUnavailableError("nobody answers")
        return EMPTY

    async def act(made: Callable[..., Lookout]) -> None:
        nonlocal away
        lookout = made(spans)
        await lookout.look()
        away = True
        await lookout.look()
        found = collected(lookout)
        assert found["usage_lag_records"].samples == []
        assert found["usage_complete_to_timestamp_seconds"].samples[0].value == 1_000

    looking(url, act)


def test_only_the_worker_whose_turn_it_is_reports(
    url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it no longer does once its turn was taken over, or its last look is old."""

    async def act(made: Callable[..., Lookout]) -> None:
        first, second = made(lambda _: EMPTY), made(lambda _: EMPTY)
        await first.look()
        monkeypatch.setattr(progress, "worker_name", lambda: "another")
        assert await second.look() is None
        assert (first.current is None, second.current is None) == (False, True)
        redis.delete(keys.PROGRESS_BY)
        await second.look()
        monkeypatch.setattr(progress, "worker_name", lambda: "the first")
        await first.look()
        assert (first.current is None, second.current is None) == (True, False)
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 11)
        assert second.current is None

    looking(url, act)


def test_every_cause_of_reading_again_has_a_name() -> None:
    """A new one must be listed: nobody looks for what is called `other`."""
    for kind in ReseekRequired.__subclasses__():
        assert worker_metrics.cause_of(kind.__new__(kind)) != "other"
    assert worker_metrics.cause_of(LostWritesError({})) == "lost-writes"


def test_memory_is_noted_once_an_hour(url: str, redis: Redis) -> None:
    """By whoever looks for all, and kept for 35 days."""
    hour = 500_000
    redis.hset(keys.MEMORY, mapping={hour - 35 * 24: 1, hour - 1: 2})

    async def act(made: Callable[..., Lookout]) -> None:
        for second in (0, 5, 3_599, 3_600):
            await made(lambda _: EMPTY, hour * 3_600 + second).look()

    looking(url, act)
    noted = read_memory(redis)
    assert sorted(noted) == [hour - 1, hour, hour + 1]
    assert noted[hour] > 100_000
