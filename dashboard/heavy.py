"""Answers that take long to make: a few at a time, in turn, and only while somebody waits for them.

Reports cost processor time that grows with their days. They are made in threads of their own, so
that logins and live streams never wait for one. Visitors take turns, whoever asked more often; what
waits for too long, or whose client has gone, is dropped before it begins. One that runs is bounded
by the days that a report may cover (`export/periods.py`).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from starlette.types import Receive

from dashboard.limits import HEAVY_THREADS, HEAVY_WAIT_S, MAX_HEAVY, MAX_HEAVY_EACH, Shares
from dashboard.problems import Refused

T = TypeVar("T")


class HeavyWork:
    """Threads for heavy work, and who waits for one. Belongs to one event loop."""

    def __init__(self, threads: int = HEAVY_THREADS, wait: float = HEAVY_WAIT_S) -> None:
        self._threads, self._wait = threads, wait
        self._shares = Shares("reports", MAX_HEAVY, MAX_HEAVY_EACH)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="heavy")
        self._running = 0
        #: By visitor, the next one to have a turn first.
        self._waiting: dict[object, deque[asyncio.Future[None]]] = {}

    async def run(self, visitor: object, receive: Receive, work: Callable[[], T]) -> T:
        """Return what *work* returns, made in a thread when it is the turn of *visitor*.

        *receive* says when the client has gone. Raises Refused: 429 or 503 where too much is asked
        for already, 503 after a long wait, 499 for nobody to read.
        """
        with self._shares.taken(visitor):
            await self._turn(visitor, receive)
            return await asyncio.wrap_future(self._begin(work))

    def close(self) -> None:
        """Begin no more work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, visitor: object, receive: Receive) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(visitor, deque()).append(turn)
        self._next()
        if turn.done():
            return
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait(
                {turn, gone}, timeout=self._wait, return_when=asyncio.FIRST_COMPLETED
            )
            if gone.done():
                raise Refused(499, "The client has gone.")
            if not turn.done():
                raise Refused(
                    503, "The server is busy with other reports. Try again shortly.",
                    {"Retry-After": "5"},
                )  # fmt: skip
        except BaseException:
            if turn.done():
                self._ended()
            else:
                self._give_up(visitor, turn)
            raise
        finally:
            gone.cancel()

    def _next(self) -> None:
        """Give turns while threads are free, one visitor after the other."""
        while self._running < self._threads and self._waiting:
            visitor = next(iter(self._waiting))
            turns = self._waiting.pop(visitor)
            turn = turns.popleft()
            if turns:
                self._waiting[visitor] = turns
            self._running += 1
            turn.set_result(None)

    def _give_up(self, visitor: object, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[visitor]
        turns.remove(turn)
        if not turns:
            del self._waiting[visitor]

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        loop = asyncio.get_running_loop()

        def ended(_future: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(self._ended)

        # The thread is free when the work has ended, and not when nobody waits for it any more.
        future = self._pool.submit(work)
        future.add_done_callback(ended)
        return future

    def _ended(self) -> None:
        self._running -= 1
        self._next()


async def _gone(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
