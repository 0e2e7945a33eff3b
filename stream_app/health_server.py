"""A worker's health over HTTP: `/healthz` while it lives, `/readyz` while it counts, `/metrics`.

Served by the event loop itself, so an answer is proof that the loop turns.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final

import orjson

from interaction_usage.monitoring import CONTENT_TYPE

#: Seconds that a request and its answer may take, bytes that a request may have, and how many
#: connections there may be at once. Probes need a fraction of each.
_TIMEOUT_S: Final = 5.0
_MAX_REQUEST_BYTES: Final = 8 * 1024
_MAX_CONNECTIONS: Final = 32


class HealthServer:
    """Answers on one port until it is closed.

    *reasons* returns why the worker does not count, *metrics* what Prometheus is answered.
    """

    def __init__(
        self, reasons: Callable[[], Sequence[str]], metrics: Callable[[], Awaitable[bytes]]
    ) -> None:
        self._reasons, self._metrics = reasons, metrics
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Begin to listen; on all addresses where *host* is empty. Raises OSError."""
        self._server = await asyncio.start_server(
            self._serve, host or None, port, limit=_MAX_REQUEST_BYTES
        )

    def close(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= _MAX_CONNECTIONS:
                async with asyncio.timeout(_TIMEOUT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(head))
                    await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # it sent no request in time, or none that is one
        finally:
            self._connections -= 1
            with suppress(OSError):
                writer.close()

    async def _answer(self, head: bytes) -> bytes:
        words = head.partition(b"\r\n")[0].split(b" ")
        method, path = words[0], words[1].partition(b"?")[0] if len(words) > 1 else b""
        kind = "application/json"
        if method not in (b"GET", b"HEAD"):
            status, body = HTTPStatus.METHOD_NOT_ALLOWED, orjson.dumps({"detail": "Use GET."})
        elif path == b"/metrics":
            status, kind, body = HTTPStatus.OK, CONTENT_TYPE, await self._metrics()
        else:
            status, content = self._content(path)
            body = orjson.dumps(content)
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Type: {kind}",
            f"Content-Length: {len(body)}", "Cache-Control: no-store", "Connection: close", "", "",
        ]  # fmt: skip
        return "\r\n".join(lines).encode() + (b"" if method == b"HEAD" else body)

    def _content(self, path: bytes) -> tuple[HTTPStatus, dict[str, object]]:
        if path == b"/healthz":
            return HTTPStatus.OK, {"status": "alive"}
        if path != b"/readyz":
            return HTTPStatus.NOT_FOUND, {"detail": "There are /healthz, /readyz and /metrics."}
        if reasons := list(self._reasons()):
            return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "not-ready", "reasons": reasons}
        return HTTPStatus.OK, {"status": "ready", "reasons": []}
