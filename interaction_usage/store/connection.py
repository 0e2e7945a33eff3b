"""One connection to Redis for a worker: several commands in one go, to one running server."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from interaction_usage.store.errors import BeginAgain, is_denied


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


class Server(NamedTuple):
    """What is known of a server after its append-only file was seen to."""

    run_id: bytes  #: empty where it may not be asked
    may_tear: bool  #: whether the file may be torn and could not be closed


async def close_torn_log(connection: Any, seen: bytes, key: str) -> Server:
    """Have a Redis that has restarted begin a new append-only file, once, before a write.

    *seen* is the run id of the server that this was done for last; returns that of the server,
    which remembers it under *key* (`keys.log_begun`) for other workers.

    Redis that loads a file cut in the middle of a transaction may leave the first half of it in
    the file, go on writing behind it, and at the next start take both for one: pieces of a script
    come back that was never applied (7.0 does; Valkey 9.1 does not, measured). Its rewrite begins a
    new file at once. Asking every server costs a rewrite per restart. A managed server may not
    allow it, nor tell whether it restarted: then the file stays as it is.
    """
    [server] = await ask(connection, ("INFO", "server"), raising=False)
    if _is_denied(server):
        return Server(b"", True)
    run_id = info_field(server, b"run_id")
    if run_id == seen:
        return Server(run_id, False)
    [persistence, begun] = await ask(connection, ("INFO", "persistence"), ("GET", key))
    if info_field(persistence, b"aof_enabled") == b"1" and begun != run_id:
        if not await _begin_new_log(connection):
            return Server(run_id, True)
        await ask(connection, ("SET", key, run_id))
    return Server(run_id, False)


def _is_denied(answer: Any) -> bool:
    """Tell whether *answer* says that a command may not be had. Raises what else went wrong."""
    if isinstance(answer, Exception) and not is_denied(answer):
        raise answer
    return isinstance(answer, Exception)


def info_field(info: bytes, name: bytes) -> bytes:
    """Return the value of a field of what INFO answers; empty where there is none."""
    for text in info.splitlines():
        if text.startswith(name + b":"):
            return text.partition(b":")[2]
    return b""


async def _begin_new_log(connection: Any) -> bool:
    """Have Redis rewrite its append-only file; return as soon as the new one is begun.

    Tell whether Redis lets this be done.
    """
    [answer] = await ask(connection, ("BGREWRITEAOF",), raising=False)
    if "in progress" not in str(answer) and _is_denied(answer):
        return False
    while True:
        [persistence] = await ask(connection, ("INFO", "persistence"))
        if info_field(persistence, b"aof_rewrite_scheduled") != b"1":
            return True
        await asyncio.sleep(0.05)
