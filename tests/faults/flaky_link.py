"""A way to Redis that is slow, breaks, or loses an answer: a TCP proxy between it and the workers.

What is worst for a worker is not to know: its script was run, but the answer never came. `Script`
names the ways in which that happens; each is done to one script call.
"""

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Self

from interaction_usage.servers.ports import free_port

#: Longer than a worker waits for an answer (`_REDIS_TIMEOUT` in stream_app/faust_app.py).
BEYOND_PATIENCE = 11.0


class Script(Enum):
    """What becomes of one script call."""

    CLOSED = "is run, but the connection closes before the answer"
    CUT = "is run, but the connection closes in the middle of the answer"
    HALF = "comes to Redis by half, and the connection closes"
    SILENT = "is run, but the answer never comes"
    LATE = "is run only after the worker gave up waiting for it"


class FlakyLink:
    """A proxy on 127.0.0.1 to the server on `target`; what is done to it is set from outside.

    It never connects again for a client: where the server is gone, the client's connection ends.
    """

    def __init__(self, target: int, seed: int, note: Callable[[str], None]) -> None:
        self.port = free_port()
        self.delay = 0.0  #: the most seconds that an answer is held
        self.loss = 0.0  #: the chance that a connection breaks at a request
        self.deaf = False  #: nothing passes, in no direction
        self.scripts: deque[Script] = deque()  #: what becomes of the next script calls
        self._target = target
        self._note = note
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def lead_to(self, target: int) -> None:
        """Lead new connections to another server."""
        self._target = target

    def calm(self) -> None:
        """Be a plain proxy."""
        self.delay, self.loss, self.deaf = 0.0, 0.0, False
        self.scripts.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # the transports close

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_Line(self, reader, writer).run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _next_script(self, request: bytes) -> Script | None:
        if not self.scripts or b"EVALSHA" not in request:
            return None
        script = self.scripts.popleft()
        self._note(f"a script call {script.value}")
        return script

    async def _hearing(self) -> None:
        while self.deaf:  # noqa: ASYNC110 (it is set from another thread)
            await asyncio.sleep(0.02)


class _Line:
    """One client's connection, and the one to the server that belongs to it."""

    def __init__(
        self, link: FlakyLink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.link, self.reader, self.writer = link, reader, writer
        self.script: Script | None = None

    async def run(self) -> None:
        """Carry requests and answers until one side ends."""
        link, writers = self.link, [self.writer]
        try:
            await link._hearing()
            with suppress(OSError):
                answers, server = await asyncio.open_connection("127.0.0.1", link._target)
                writers.append(server)
                both = [
                    asyncio.ensure_future(self._requests(server)),
                    asyncio.ensure_future(self._answers(answers)),
                ]
                try:
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in both:
                        task.cancel()
                    await asyncio.gather(*both, return_exceptions=True)
        finally:
            for writer in writers:
                writer.close()

    async def _requests(self, server: asyncio.StreamWriter) -> None:
        link = self.link
        while request := await self.reader.read(1 << 20):
            await link._hearing()
            self.script = link._next_script(request) or self.script
            if self.script is Script.HALF or link._rng.random() < link.loss:
                server.write(request[: link._rng.randrange(len(request))])
                await server.drain()
                return
            if self.script is Script.LATE:
                await asyncio.sleep(BEYOND_PATIENCE)
            server.write(request)
            await server.drain()
        if self.script is Script.LATE:
            await asyncio.sleep(0.2)  # the server reads it before it sees the end

    async def _answers(self, answers: asyncio.StreamReader) -> None:
        link = self.link
        while answer := await answers.read(1 << 20):
            await link._hearing()
            if self.script is Script.SILENT:
                continue
            if self.script is Script.CUT:
                self.writer.write(answer[: len(answer) // 2])
            if self.script in (Script.CUT, Script.CLOSED):
                await asyncio.sleep(link._rng.choice((0, 0.1)))  # the rest of a long call is run
                return
            if link.delay:
                await asyncio.sleep(link._rng.uniform(0, link.delay))
            self.writer.write(answer)
            await self.writer.drain()
