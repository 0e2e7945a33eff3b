"""A worker's probes over HTTP: what they are answered, and that nobody can hold them up."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interaction_usage import monitoring
from interaction_usage.servers.ports import free_port
from stream_app import health_server
from stream_app.health_server import HealthServer


def with_server(use: Callable[[int], Awaitable[Any]], reasons: list[str] | None = None) -> Any:
    """Return what *use* returns, given the port of a server."""

    async def run() -> Any:
        server, port = HealthServer(lambda: reasons or [], metrics), free_port()
        await server.start("127.0.0.1", port)
        try:
            return await use(port)
        finally:
            server.close()

    return asyncio.run(run())


async def metrics() -> bytes:
    """Return what a worker reports."""
    return monitoring.rendered([monitoring.build()])


async def asked(port: int, request: bytes) -> tuple[int, Any]:
    """Return the status and the content that are answered to *request*."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if body and b"application/json" in head:
        return int(head.split(b" ")[1]), json.loads(body)
    return (int(head.split(b" ")[1]), body) if head else (0, b"")


@pytest.mark.parametrize(
    ("request_line", "reasons", "status"),
    [
        ("GET /healthz", [], 200),
        ("GET /healthz", ["Redis is away"], 200),
        ("HEAD /healthz", [], 200),
        ("GET /readyz", [], 200),
        ("GET /readyz?verbose", [], 200),
        ("GET /readyz", ["Redis is away"], 503),
        ("GET /", [], 404),
        ("GET /metrics", ["Redis is away"], 200),
        ("HEAD /metrics", [], 200),
        ("POST /metrics", [], 405),
        ("POST /healthz", [], 405),
        ("nonsense", [], 405),
    ],
)
def test_what_is_answered(request_line: str, reasons: list[str], status: int) -> None:
    """A worker that lives is alive whatever is away; it is ready only while it counts."""
    request = f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    found, content = with_server(lambda port: asked(port, request), reasons)
    assert found == status
    if request_line == "GET /metrics":
        assert b"\nusage_build_info{" in content
    if request_line == "GET /readyz":
        assert content["reasons"] == reasons


@pytest.mark.parametrize("request_bytes", [b"GET / HTTP/1.1\r\nX: " + b"x" * 9000, b""])
def test_who_sends_too_much_or_nothing_is_let_go(
    request_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer, and within seconds."""
    monkeypatch.setattr(health_server, "_TIMEOUT_S", 0.1)
    assert with_server(lambda port: asked(port, request_bytes)) == (0, b"")


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is closed at once, and those that send nothing make room again."""
    monkeypatch.setattr(health_server, "_TIMEOUT_S", 0.2)
    monkeypatch.setattr(health_server, "_MAX_CONNECTIONS", 2)

    async def use(port: int) -> tuple[Any, Any]:
        request = b"GET /healthz HTTP/1.1\r\n\r\n"
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        crowded = await asked(port, b"")
        await asyncio.gather(*(reader.read() for reader, _ in silent))
        for _, writer in silent:
            writer.close()
        return crowded, await asked(port, request)

    assert with_server(use) == ((0, b""), (200, {"status": "alive"}))
