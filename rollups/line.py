"""One connection to Redis for a worker: several commands in one go, to one running server."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from rollups.trouble import BeginAgain


@asynccontextmanager
async def line(redis: AsyncRedis) -> AsyncIterator[Any]:
    """Yield one connection for several calls that must all reach the same running server.

    Were it replaced between them, the server could have lost what the first call wrote, and the
    second would say that it is there.
    """
    pool: Any = redis.connection_pool
    connection = await pool.get_connection()
    try:
        yield connection
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def ask(connection: Any, *commands: tuple[Any, ...], raising: bool = True) -> list[Any]:
    """Send *commands* in one go and return their answers; errors among these if not *raising*."""
    if not connection.is_connected:
        raise RedisConnectionError("the connection to Redis was lost")
    # From the look at it to the sending nothing else runs, so it is still the same connection.
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    answers: list[Any] = []
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:
            answers.append(error)
    if raising:
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
    return answers


async def at_once(*acts: Coroutine[Any, Any, Any]) -> list[Any]:
    """Do *acts* at the same time; return what each gave, when all have ended.

    Also where one failed: a line must not be let go while somebody speaks on it. Raises the first
    error, and one that says to begin again before any other.
    """
    if len(acts) == 1:
        return [await acts[0]]
    ended = await asyncio.gather(*acts, return_exceptions=True)
    errors = [error for error in ended if isinstance(error, BaseException)]
    if errors:
        raise min(errors, key=lambda error: not isinstance(error, BeginAgain))
    return ended


async def close_torn_log(connection: Any, seen: bytes, key: str) -> bytes:
    """Have a Redis that has restarted begin a new append-only file, once, before a write.

    *seen* is the run id of the server that this was done for last; returns that of the server,
    which remembers it under *key* (`keys.log_begun`) for other workers.

    Redis 7.0 that loads a file cut in the middle of a transaction leaves the first half of it in
    the file, goes on writing behind it, and at the next start takes both for one: pieces of a
    script come back that was never applied. Its rewrite begins a new file at once. Valkey 9 does
    not do this (measured); asking it, too, costs a rewrite per restart.
    """
    [server] = await ask(connection, ("INFO", "server"))
    run_id = info_field(server, b"run_id")
    if run_id == seen:
        return run_id
    [persistence, begun] = await ask(connection, ("INFO", "persistence"), ("GET", key))
    if info_field(persistence, b"aof_enabled") == b"1" and begun != run_id:
        await _begin_new_log(connection)
        await ask(connection, ("SET", key, run_id))
    return run_id


def info_field(info: bytes, name: bytes) -> bytes:
    """Return the value of a field of what INFO answers; empty where there is none."""
    for text in info.splitlines():
        if text.startswith(name + b":"):
            return text.partition(b":")[2]
    return b""


async def _begin_new_log(connection: Any) -> None:
    """Have Redis rewrite its append-only file; return as soon as the new one is begun."""
    [answer] = await ask(connection, ("BGREWRITEAOF",), raising=False)
    if isinstance(answer, ResponseError) and "in progress" not in str(answer):
        raise answer
    while True:
        [persistence] = await ask(connection, ("INFO", "persistence"))
        if info_field(persistence, b"aof_rewrite_scheduled") != b"1":
            return
        await asyncio.sleep(0.05)
