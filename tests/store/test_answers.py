"""Answers of Redis that are read together: errors among them, and answers that do not come."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store.connection import execute, pinned_connection

#: Seconds that Redis may take in these tests.
_PATIENCE = 0.3


def connected(act: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Run *act* with a connection to a Redis."""

    async def run() -> None:
        with redis_server() as server:
            options: Any = {"socket_timeout": _PATIENCE, "retry": Retry(NoBackoff(), 0)}
            async with (
                AsyncRedis.from_url(server.url, **options) as redis,
                pinned_connection(redis) as connection,
            ):
                await act(connection)

    asyncio.run(run())


def test_errors_are_among_the_answers_in_their_place() -> None:
    """Whether first, in between or last; and raised where the caller wants that."""

    async def act(connection: Any) -> None:
        wrong = ("INCR", "text")
        commands = (("SET", "text", "a"), wrong, ("GET", "text"), ("GET", "none"), wrong)
        answers = await execute(connection, *commands, raising=False)
        assert [type(each) for each in answers] == [
            bytes, ResponseError, bytes, type(None), ResponseError,
        ]  # fmt: skip
        with pytest.raises(ResponseError, match="not an integer"):
            await execute(connection, *commands)
        assert await execute(connection, ("GET", "text")) == [b"a"]  # nothing is left behind

    connected(act)


@pytest.mark.parametrize("asleep_at", [0, 60, 149])
def test_a_redis_that_stops_to_answer_is_an_error_in_time_and_the_connection_closed(
    asleep_at: int,
) -> None:
    """An answer that comes too late must never be taken for that of another command."""

    async def act(connection: Any) -> None:
        commands: list[tuple[Any, ...]] = [("PING",)] * 150
        commands[asleep_at] = ("BLPOP", "nothing", 5)
        began = time.monotonic()
        with pytest.raises(RedisTimeoutError):
            await execute(connection, *commands)
        assert time.monotonic() - began < 10 * _PATIENCE
        assert not connection.is_connected

    connected(act)


def test_many_answers_may_take_longer_together_than_one_may() -> None:
    """Each group of them has the time: 200 answers, of which three take a third of it at least."""

    async def act(connection: Any) -> None:
        commands: list[tuple[Any, ...]] = [("PING",)] * 200
        for at in (10, 70, 130):
            commands[at] = ("BLPOP", "nothing", _PATIENCE / 3)
        answers = await execute(connection, *commands)
        assert answers.count(b"PONG") == 197

    connected(act)


def test_a_connection_that_times_out_in_the_network_is_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """redis-py would return None for it where it has no timer of its own."""

    async def act(connection: Any) -> None:
        async def broken(*_: Any, **__: Any) -> None:
            raise TimeoutError(110, "Connection timed out")

        monkeypatch.setattr(connection._parser, "read_response", broken, raising=False)
        with pytest.raises(RedisConnectionError, match="timed out"):
            await execute(connection, ("PING",), ("PING",))
        assert not connection.is_connected

    connected(act)


def test_what_is_relied_on_in_redis_py_is_there() -> None:
    """It is redis-py's own way to an answer, below the timer."""
    assert asyncio.iscoroutinefunction(AbstractConnection._read_response_from_parser)
