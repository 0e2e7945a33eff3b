"""A worker's connection to Redis: commands sent together, to one and the same running server."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from hiredis import pack_command
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from interaction_usage.store.errors import ReseekRequired, is_denied

_REWRITE_POLL_INTERVAL_S = 0.05
#: Answers for which one timer serves.
_ANSWERS_PER_TIMER = 50


@asynccontextmanager
async def pinned_connection(redis: AsyncRedis) -> AsyncIterator[Any]:
    """Yield one connection for several calls that must all reach the same running server.

    If the server restarted between them, it could have lost what the first call wrote, and the
    second one would record that it is there.
    """
    pool: Any = redis.connection_pool
    # As `get_connection` does, which takes a lock and keeps statistics at each call.
    connection = pool.get_available_connection()
    try:
        if not connection.is_connected or await connection.can_read():
            await pool.ensure_connection(connection)
        yield connection
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def execute(connection: Any, *commands: tuple[Any, ...], raising: bool = True) -> list[Any]:
    """Send *commands* together and return their answers.

    An answer that is an error is raised, or returned like any other if not *raising*.
    """
    if not connection.is_connected:
        raise RedisConnectionError("the connection to Redis was lost")
    # Nothing else runs between this check and the sending, so it is still the same connection.
    answers = await _exchange(connection, list(map(pack_command, commands)))
    if raising:
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
    return answers


async def _exchange(connection: Any, packed: list[bytes]) -> list[Any]:
    """Send commands and return their answers, errors among them.

    Raises RedisTimeoutError where Redis takes nothing or gives no answer for too long. redis-py
    sets a timer for sending, and one for each answer; here one serves for many, which is a third of
    the time.
    """
    answers: list[Any] = []
    loop, patience, waits_for = (
        asyncio.get_running_loop(),
        connection.socket_timeout,
        "took nothing",
    )
    bound = asyncio.timeout(patience)
    try:
        async with bound:
            await connection._send_packed_command(packed)
            waits_for = "gave no answer"
            while len(answers) < len(packed):
                answers.append(await _next_answer(connection))
                if patience and not len(answers) % _ANSWERS_PER_TIMER:
                    bound.reschedule(loop.time() + patience)
    except OSError as error:  # a TimeoutError as well, of which the network has one of its own
        await connection.disconnect(nowait=True)
        if bound.expired():
            raise RedisTimeoutError(f"Redis {waits_for} for {patience:g} s") from error
        raise RedisConnectionError(f"The connection to Redis broke: {error}") from None
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return answers


async def _next_answer(connection: Any) -> Any:
    """Return an answer, an error as well."""
    try:
        return await connection._read_response_from_parser()
    except ResponseError as error:
        return error


async def gather_all(*tasks: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run *tasks* concurrently; return their results when all of them have ended.

    Also if one failed: a connection must not be released while a task is using it. Raises the first
    error, but a ReseekRequired before any other.
    """
    if len(tasks) == 1:
        return [await tasks[0]]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [error for error in results if isinstance(error, BaseException)]
    if errors:
        raise min(errors, key=lambda error: not isinstance(error, ReseekRequired))
    return results


class Server(NamedTuple):
    """What is known of a server after its append-only file was checked."""

    run_id: bytes  #: empty if this user may not run INFO
    may_tear: bool  #: whether the file may be torn and could not be rewritten


async def close_torn_log(connection: Any, seen: bytes, key: str) -> Server:
    """Have a Redis that has restarted begin a new append-only file, once, before a write.

    *seen* is the run id of the server that this was last done for; returns that of the server,
    which stores it under *key* (`keys.log_begun`) for other workers.

    A Redis that loads a file cut off in the middle of a transaction may keep the first half of it
    in the file, append to it, and at the next start take both for one transaction: pieces of a
    script come back that was never applied (7.0 does; Valkey 9.1 does not, measured). A rewrite
    begins a new file at once. Asking every server costs one rewrite per restart. A managed server
    may not allow it, or not say whether it restarted: then the file stays as it is.
    """
    [server] = await execute(connection, ("INFO", "server"), raising=False)
    if _is_denied(server):
        return Server(b"", True)
    run_id = info_field(server, b"run_id")
    if run_id == seen:
        return Server(run_id, False)
    [persistence, begun] = await execute(connection, ("INFO", "persistence"), ("GET", key))
    if info_field(persistence, b"aof_enabled") == b"1" and begun != run_id:
        if not await _begin_new_log(connection):
            return Server(run_id, True)
        await execute(connection, ("SET", key, run_id))
    return Server(run_id, False)


def _is_denied(answer: Any) -> bool:
    """Return whether *answer* says that a command is not available. Raises any other error."""
    if isinstance(answer, Exception) and not is_denied(answer):
        raise answer
    return isinstance(answer, Exception)


def info_field(info: bytes, name: bytes) -> bytes:
    """Return the value of a field in an answer to INFO; empty if there is no such field."""
    for text in info.splitlines():
        if text.startswith(name + b":"):
            return text.partition(b":")[2]
    return b""


async def _begin_new_log(connection: Any) -> bool:
    """Have Redis rewrite its append-only file; return as soon as the new file is begun.

    Returns False if Redis does not allow that.
    """
    [answer] = await execute(connection, ("BGREWRITEAOF",), raising=False)
    if "in progress" not in str(answer) and _is_denied(answer):
        return False
    while True:
        [persistence] = await execute(connection, ("INFO", "persistence"))
        if info_field(persistence, b"aof_rewrite_scheduled") != b"1":
            return True
        await asyncio.sleep(_REWRITE_POLL_INTERVAL_S)
