"""A Redis that could lose rollups by its own settings is refused with a sentence."""

import asyncio
from collections.abc import Sequence

import pytest

from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store import preflight
from interaction_usage.store.errors import UnfitRedisError
from tests.store.redis_side import writing
from tests.support.reference import LIMITS


def check(url: str) -> None:
    """Check the Redis at *url*."""

    async def ask() -> None:
        async with writing(url, LIMITS) as writer:
            await writer.check_fitness()

    asyncio.run(ask())


def test_a_redis_as_it_comes_will_do(server: RedisServer) -> None:
    """No memory limit, or one that evicts nothing."""
    check(server.url)


@pytest.mark.parametrize("flavour", ["redis", "valkey"])
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_evicts_is_refused(flavour: str, policy: str) -> None:
    """The sentence names the setting and what it must be."""
    extra: Sequence[str] = ("--maxmemory", "100mb", "--maxmemory-policy", policy)
    with (
        redis_server(flavour=flavour, extra=extra) as server,  # type: ignore[arg-type]
        pytest.raises(UnfitRedisError, match=f"{policy}.* set maxmemory-policy noeviction"),
    ):
        check(server.url)


def test_a_redis_that_is_too_old_is_refused(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence tells both versions."""
    monkeypatch.setattr(preflight, "OLDEST_REDIS", (99, 0))
    with pytest.raises(
        UnfitRedisError, match=r"Redis is \d+\.\d+\.\d+; the oldest supported version is 99.0"
    ):
        check(server.url)
