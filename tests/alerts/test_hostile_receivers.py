"""Receivers that whoever set a rule has chosen to do harm: what they reach, and what they cost."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from interaction_usage.alerts import webhooks
from interaction_usage.alerts.notices import Notice
from interaction_usage.alerts.rules import Rule
from interaction_usage.alerts.states import Notification
from interaction_usage.alerts.webhooks import Outcome, Webhooks, secret_of
from tests.support.receiver import Receiver, receiver

pytestmark = pytest.mark.servers

SECRET = "a secret of the tests, long enough"
HERE = ("127.0.0.0/8",)
OUTSIDE = "93.184.216.34"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """Yield a receiver on this machine."""
    with receiver() as made:
        made.secret = secret_of(SECRET, "acme")
        yield made


async def send(to: str, allowed: tuple[str, ...] = HERE) -> Outcome:
    """Send a webhook once."""
    note = Notification("msg_1", "test", 1, 1)
    return await Webhooks(SECRET, allowed).send(Notice(Rule("acme", "level", 2, to, "agent"), note))


def test_a_name_of_another_address_the_second_time_reaches_nothing(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is resolved once for each attempt; what was checked is what is connected to."""
    answers = [OUTSIDE, "127.0.0.1"]
    connected: list[str] = []

    async def resolve(_: Any, host: str, port: int, **__: Any) -> list[Any]:
        assert host == "rebinding.example"
        address = answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def connect(_: Any, __: Any, address: Any) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError(111, "refused")

    loop = asyncio.SelectorEventLoop
    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    monkeypatch.setattr(loop, "sock_connect", connect)
    to = f"https://rebinding.example:{hook.url.split(':')[2].split('/')[0]}/hook"
    assert not asyncio.run(send(to, ())).ok
    assert connected == [OUTSIDE]
    assert answers == ["127.0.0.1"]  # nobody has asked a second time
    outcome = asyncio.run(send(to, ()))
    assert "127.0.0.1 is inside" in outcome.answer
    assert connected == [OUTSIDE]


def test_no_proxy_of_the_environment_is_used(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would resolve the name itself, and reach what it can."""
    with receiver() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        assert asyncio.run(send(hook.url)).ok
        assert proxy.attempts == 0


Writing = Callable[[asyncio.StreamWriter], Any]


@asynccontextmanager
async def answering(write: Writing) -> AsyncIterator[str]:
    """Yield the URL of a server that answers everything by what *write* does."""

    tasks: list[asyncio.Task[None]] = []

    async def answer(writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await write(writer)

    def begin(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(answer(writer))
        task.add_done_callback(lambda _: writer.transport.abort())
        tasks.append(task)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)  # until what they have aborted is closed


async def outcome_of(write: Writing) -> tuple[Outcome, float]:
    """Return what becomes of an attempt that is answered so, and the seconds it takes."""
    async with answering(write) as url:
        began = time.monotonic()
        return await send(url), time.monotonic() - began


def test_an_endless_answer_is_not_read() -> None:
    """The status is all that counts."""
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while sent < 1 << 28:
            writer.write(b"100000\r\n" + bytes(0x100000) + b"\r\n")
            await writer.drain()
            sent += 0x100000

    outcome, seconds = asyncio.run(outcome_of(endless))
    assert outcome.ok
    assert seconds < 2
    assert sent < 1 << 25


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often another byte of it comes."""
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.5)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    outcome, seconds = asyncio.run(outcome_of(drip))
    assert "no answer within" in outcome.answer
    assert seconds < 2


def test_headers_without_an_end_are_refused() -> None:
    """Before they fill the memory."""

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x: " + b"x" * 4_000 + b"\r\n")
            await writer.drain()

    outcome, seconds = asyncio.run(outcome_of(endless))
    assert not outcome.ok
    assert len(outcome.answer) <= 200
    assert seconds < 5
