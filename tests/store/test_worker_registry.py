"""Which workers are alive, as they say themselves."""

import asyncio
from typing import Any

from redis.client import Redis

from interaction_usage.store import keys
from interaction_usage.store.worker_registry import (
    HEARTBEAT_TTL_S,
    LISTED_S,
    heartbeats,
    send_heartbeat,
)
from tests.store.redis_side import writing


def beat(url: str, *workers: tuple[str, int]) -> None:
    """Send a heartbeat of each of *workers* at its second."""

    async def run() -> None:
        async with writing(url) as writer:
            for name, second in workers:
                await send_heartbeat(writer.nodes, name, name.encode(), second)

    asyncio.run(run())


def test_each_worker_has_the_last_heartbeat(server: Any, redis: Redis) -> None:
    """The one whose heartbeat has expired is missing."""
    beat(server.url, ("a:1", 1_000), ("b:2", 1_001), ("c:3", 1_002))
    redis.delete(keys.worker("b:2"))
    found = heartbeats(redis)
    assert [(each.worker, each.report) for each in found] == [("a:1", b"a:1"), ("c:3", b"c:3")]
    assert all(0 < each.ttl_ms <= HEARTBEAT_TTL_S * 1000 for each in found)


def test_a_worker_is_dropped_from_the_set_after_an_hour(server: Any, redis: Redis) -> None:
    """By the next heartbeat of any worker."""
    beat(server.url, ("a:1", 1_000), ("b:2", 1_001), ("c:3", 1_000 + LISTED_S))
    assert redis.zrange(keys.WORKERS, 0, -1) == [b"b:2", b"c:3"]
