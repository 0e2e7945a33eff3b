"""The server's connections: how many there are, how long each may take, and how they are accepted.

uvicorn speaks HTTP. Left to itself it waits for ever for a first request, for a slow one, and for a
client that does not read; and asyncio accepts until no file is left, with a log line each. Here
every connection has a deadline unless it is being answered. Where there are too many, the one that
has waited longest without a whole request makes room: whoever sends a request is served.
"""

import asyncio
import logging
import math
import resource
import socket
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from interaction_usage.dashboard.limits import (
    MAX_CONNECTIONS,
    MAX_HEAD_BYTES,
    MAX_RECEIVED_BYTES,
    REQUEST_TIMEOUT_S,
    STALL_TIMEOUT_S,
)

log = logging.getLogger(__name__)

#: Files that the process needs besides connections: Redis, Kafka, modules, connections that close.
_OTHER_FILES: Final = 256

#: Seconds between two looks at the deadlines.
_SWEEP_S: Final = 1.0

#: Connections accepted in a row before others have their turn.
_BATCH: Final = 32

#: Seconds without accepting, after the system had no resources for it.
_EXHAUSTED_S: Final = 0.2

#: Seconds that answers may still take once the end was asked for.
_LAST_SECONDS: Final = 3

#: What an answer must have got rid of within `STALL_TIMEOUT_S`, or all of it.
_PROGRESS_BYTES: Final = 16 * 1024


def most_connections() -> int:
    """Return how many connections this process may have, after raising its limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(min(MAX_CONNECTIONS, soft - _OTHER_FILES), soft // 4)


class Connection(H11Protocol):
    """A connection with deadlines."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waiting_since = self.loop.time()
        self._deadline = math.inf
        self._reading = False  #: whether a request has begun and is not whole
        self._received = 0  #: bytes of it
        self._unsent = (0, 0.0)  #: bytes that the client did not take, and since when

    @property
    def is_answering(self) -> bool:
        """Whether a whole request is being answered."""
        return (
            self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take in a piece of a request."""
        if not self._reading:
            self._reading = True
            self._wait()
        self._received += len(data)
        if self._received > MAX_RECEIVED_BYTES:
            self.transport.abort()
            return
        super().data_received(data)
        self._settle()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        if not self._reading:
            self._wait()
        self._settle()

    def close_if_overdue(self, now: float) -> None:
        """Close the connection if it should have sent, or taken, something by *now*."""
        size = self.transport.get_write_buffer_size()
        before, since = self._unsent
        if size == 0 or size <= before - _PROGRESS_BYTES or before == 0:
            self._unsent = size, now
        elif now - since > STALL_TIMEOUT_S:
            self.transport.abort()
        if now > self._deadline:
            self.cut_off()

    def cut_off(self) -> None:
        """Close the connection now, whatever is on its way."""
        if self._reading or self.transport.is_closing():
            self.transport.abort()
        else:
            self.transport.close()

    def _wait(self) -> None:
        self.waiting_since = self.loop.time()
        self._deadline = self.waiting_since + REQUEST_TIMEOUT_S

    def _settle(self) -> None:
        if self.is_answering:
            self._reading, self._received, self._deadline = False, 0, math.inf


class Server(uvicorn.Server):
    """uvicorn with bounded connections; it listens on one socket that is given to it."""

    def __init__(self, app: Any, most: int = MAX_CONNECTIONS) -> None:
        super().__init__(
            uvicorn.Config(
                app, http=Connection, ws="none", log_config=None, log_level="warning",
                access_log=False, server_header=False, h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                timeout_graceful_shutdown=_LAST_SECONDS,
            )
        )  # fmt: skip
        self._most = most
        self._opening: set[asyncio.Task[Any]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets=[])
        self._tasks = [asyncio.create_task(self._accept(each)) for each in sockets or ()]
        self._tasks.append(asyncio.create_task(self._sweep()))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and end in order."""
        for task in self._tasks[:-1]:
            task.cancel()
        await super().shutdown(sockets)
        self._tasks[-1].cancel()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        in_a_row = 0
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                # The system, or this process, has no file or memory left for it. The connection
                # stays in the queue; to ask for it again at once would be a busy loop.
                log.warning("No connection can be accepted (%s); trying again", error.strerror)
                self._make_room()
                await asyncio.sleep(_EXHAUSTED_S)
                continue
            if self._is_full() and not self._make_room():
                accepted.close()
            else:
                task = loop.create_task(self._open(accepted))
                self._opening.add(task)
                task.add_done_callback(self._opening.discard)
            in_a_row += 1
            if in_a_row % _BATCH == 0:
                await asyncio.sleep(0)

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._connection, accepted)
        except OSError:  # it has gone already
            accepted.close()

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state)

    def _is_full(self) -> bool:
        return len(self.server_state.connections) + len(self._opening) >= self._most

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for its request; tell whether one did."""
        connections: Any = self.server_state.connections
        longest = min(
            (each for each in connections if not each.is_answering),
            key=lambda each: each.waiting_since,
            default=None,
        )
        if longest is None:
            return False
        connections.discard(longest)
        longest.transport.abort()
        return True

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            connections: Any = list(self.server_state.connections)
            for each in connections:
                each.close_if_overdue(loop.time())
