"""Answers that take long to make: a few at a time, in turn, and only while somebody waits for them.

Reports cost processor time that grows with their days. They are made in threads of their own, so
that logins and live streams never wait for one. Visitors take turns, however often each of them
asks, and none has all threads; what waits for too long, or whose client has gone, is dropped before
it begins. One that runs is bounded by the days that a report may cover (`reports/periods.py`).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from starlette.types import Receive

from interaction_usage.dashboard.errors import RequestError
from interaction_usage.dashboard.limits import (
    HEAVY_THREADS,
    HEAVY_WAIT_S,
    MAX_HEAVY,
    MAX_HEAVY_EACH,
    Shares,
)

T = TypeVar("T")


class HeavyWork:
    """Threads for heavy work, and who waits for one. Belongs to one event loop.

    *name* is what there may not be more of.
    """

    def __init__(
        self, name: str = "reports", threads: int = HEAVY_THREADS, wait: float = HEAVY_WAIT_S
    ) -> None:
        self._wait = wait
        self._queue = Shares(name, MAX_HEAVY, MAX_HEAVY_EACH)
        self._threads = Shares(name, threads, max(1, threads - 1))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, visitor: object, receive: Receive, work: Callable[[], T]) -> T:
        """Return what *work* returns, made in a thread when it is the turn of *visitor*.

        *receive* says when the client has gone. Raises BusyError where too much is asked for
        already or after a long wait, and RequestError with 499 where nobody waits any more.
        """
        with self._queue.taken(visitor):
            await self._turn(visitor, receive)
            return await asyncio.wrap_future(self._begin(visitor, work))

    def close(self) -> None:
        """Begin no more work, and wait for what has begun: it still reads from Redis."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _turn(self, visitor: object, receive: Receive) -> None:
        """Take a thread, unless the client goes before there is one."""
        turn = asyncio.ensure_future(self._threads.take(visitor, self._wait))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({turn, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise RequestError(499, "The client has gone.")
            await turn
        except BaseException:
            if not turn.cancel() and not turn.cancelled() and turn.exception() is None:
                self._threads.give_back(visitor)
            raise
        finally:
            gone.cancel()

    def _begin(self, visitor: object, work: Callable[[], T]) -> Future[T]:
        loop = asyncio.get_running_loop()

        def ended(_future: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(self._threads.give_back, visitor)

        # The thread is free when the work has ended, and not when nobody waits for it any more.
        future = self._pool.submit(work)
        future.add_done_callback(ended)
        return future


async def _gone(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
