"""What one visitor can make a dashboard do has bounds, and the answer says which was reached."""

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse
from typing import Any

import pytest
from redis.client import Redis

from interaction_usage.dashboard import connections
from interaction_usage.dashboard.api import live as live_api
from interaction_usage.dashboard.errors import RequestError
from interaction_usage.dashboard.heavy import HeavyWork
from interaction_usage.dashboard.limits import MAX_BODY_BYTES, MAX_QUERY_BYTES, BusyError, Shares
from interaction_usage.logs import LINES, SPAN_S, RateFilter, formatter
from interaction_usage.store import account_settings
from tests.support.event_lines import event
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard


@pytest.fixture(scope="module", autouse=True)
def _acme(redis_url: str) -> None:
    fill(redis_url, [event("1", "flow.run", {"flow": "f", "application": "agent"})])


def connected(served: Dashboard) -> socket.socket:
    """Return a connection to the dashboard."""
    port = int(served.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def until(happened: Callable[[], bool], seconds: float = 10, pause: float = 0.01) -> None:
    """Wait until something has happened, with a *pause* between two looks."""
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends
        time.sleep(pause)


def ended(connection: socket.socket) -> bool:
    """Tell whether the server closes *connection* before anything else is read."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


# -------------------------------------------------------------------------- one request


def test_a_large_body_is_refused_before_it_is_read(served: Dashboard) -> None:
    """By its length alone, with the body still to come."""
    with connected(served) as connection:
        connection.sendall(
            b"PUT /api/accounts/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 400000000\r\n\r\n"
        )
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read()) == {
            "detail": "The body is too large: at most 16,384 bytes."
        }


@pytest.mark.parametrize("path", ["/api/accounts/acme", "/login", "/assets/x", "/nothing"])
def test_a_body_in_chunks_is_refused_once_it_is_too_large(served: Dashboard, path: str) -> None:
    """Whatever it is sent to, before anything is done with it."""

    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 1024 + 1):
            yield b" " * 1024

    answer = served.client(served.token()).post(path, content=chunks())
    assert answer.status_code == 413


def test_a_body_of_allowed_size_in_chunks_is_taken(served: Dashboard) -> None:
    """Up to the bound, split as it may be."""

    def chunks() -> Iterator[bytes]:
        yield b'{"name": "Acme Ltd"'
        yield b" " * (MAX_BODY_BYTES - 20)
        yield b"}"

    headers = {"Content-Type": "application/json"}
    client = served.client(served.token())
    answer = client.put("/api/accounts/acme", content=chunks(), headers=headers)
    assert answer.json()["name"] == "Acme Ltd"


def test_a_body_without_an_end_is_cut_off(served: Dashboard) -> None:
    """Who goes on sending after the refusal does not keep the server reading."""
    with connected(served) as connection:
        connection.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 400000000\r\n\r\n")
        assert connection.recv(10_000).startswith(b"HTTP/1.1 413 ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(b" " * 100_000_000)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (f"/login?{'x' * MAX_QUERY_BYTES}=1", {}, 414),
        ("/login?" + "&".join(f"{n}=1" for n in range(40)), {}, 400),
        ("/login", {"X": "x" * 17_000}, 431),
        (f"/api/accounts?search={'x' * 201}", {}, 422),
        (f"/api/accounts?cursor={'x' * 129}", {}, 422),
        ("/api/accounts?limit=0", {}, 422),
        ("/api/accounts?limit=1001", {}, 422),
        ("/api/accounts/acme/dashboard/heat?limit=1001", {}, 422),
        (f"/api/accounts/acme/dashboard?flow={'x' * 201}", {}, 422),
        (f"/api/accounts/{'x' * 129}/report", {}, 404),
    ],
)
def test_what_is_too_long_or_too_large(
    served: Dashboard, path: str, headers: dict[str, str], status: int
) -> None:
    """Each with a status of its own."""
    answer = served.client(served.token()).get(path, headers=headers)
    assert answer.status_code == status, answer.text


# -------------------------------------------------------------------------- connections


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make deadlines short."""
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_S", 1.0)
    monkeypatch.setattr(connections, "STALL_TIMEOUT_S", 1.0)
    monkeypatch.setattr(connections, "_SWEEP_S", 0.1)


@pytest.fixture
def small(hasty: None, redis_url: str) -> Iterator[Dashboard]:
    """Yield a dashboard of 16 connections with short deadlines."""
    with dashboard(redis_url, connections=16) as running:
        yield running


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /login HTTP/1.1\r\nHost: x\r\nX:",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ntoken=",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\ntok",
    ],
)
def test_a_request_that_does_not_come_is_not_waited_for(small: Dashboard, begun: bytes) -> None:
    """Nothing sent, half of the headers, half of a body; single bytes do not prolong it."""
    with connected(small) as connection:
        began = time.monotonic()
        connection.sendall(begun)
        connection.settimeout(0.2)
        while time.monotonic() - began < 8:
            try:
                if ended(connection):
                    break
            except TimeoutError:
                if begun:
                    connection.sendall(b"x")
        assert 0.9 < time.monotonic() - began < 7


def test_an_answer_may_take_longer(small: Dashboard) -> None:
    """A stream lives on; only who is waited for has a deadline."""
    client = small.client(small.token())
    with client.stream("GET", "/api/accounts/acme/live/stream") as stream:
        began = time.monotonic()
        for line in stream.iter_lines():
            if line.startswith("data:") and time.monotonic() - began > 3:
                return
    pytest.fail("the stream ended")


def test_idle_connections_make_room(redis_url: str) -> None:
    """With all connections taken by visitors who say nothing, a request is answered at once."""
    with dashboard(redis_url, connections=16) as served, ExitStack() as stack:
        idle = [stack.enter_context(connected(served)) for _ in range(40)]
        began = time.monotonic()
        assert served.client().get("/login").status_code == 200
        assert time.monotonic() - began < 5
        assert ended(idle[0])


def test_who_does_not_read_is_cut_off(small: Dashboard, redis_url: str) -> None:
    """A download of megabytes that nobody takes; its memory and its connection are free again."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", int(small.url.rpartition(":")[2])))
        head = f"Host: x\r\nAuthorization: Bearer {small.token()}\r\n\r\n"
        path = "/api/accounts/acme/usage.xls?from=2016-11-01&to=2026-10-31"
        connection.sendall(f"GET {path} HTTP/1.1\r\n{head}".encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
        until(lambda: not small.server.server_state.connections, 20)


# ----------------------------------------------------------------------------- streams


def test_streams_have_a_limit_for_each_token(redis_url: str) -> None:
    """429 with Retry-After beyond it; another token has its own; a place given back is free."""
    with dashboard(redis_url, connections=16) as served, ExitStack() as stack:
        mine, other = served.client(served.token()), served.client(served.token())
        path = "/api/accounts/acme/live/stream"
        first = mine.send(mine.build_request("GET", path), stream=True)
        for client in (mine, other):
            assert stack.enter_context(client.stream("GET", path)).status_code == 200
        refused = mine.get(path)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "2"
        assert "at most 2 of one token" in refused.json()["detail"]
        first.close()
        until(lambda: mine.stream("GET", path).__enter__().status_code == 200)


def test_a_stream_ends_and_can_be_begun_again(
    served: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its longest life, in order: a browser connects again by itself."""
    monkeypatch.setattr(live_api, "STREAM_LIFETIME_S", 1.0)
    client = served.client(served.token())
    for _ in range(2):
        with client.stream("GET", "/api/accounts/acme/live/stream") as stream:
            first, *_ = stream.iter_lines()
            assert first.startswith("retry: ")


# ----------------------------------------------------------------------- shares and turns


def test_shares_are_given_in_turn() -> None:
    """Who asks ten times waits for nobody's tenth time; what is given back goes to who waits."""

    async def run() -> list[str]:
        shares, order = Shares("things", 1, 1), []
        await shares.take("a")

        async def ask(who: str) -> None:
            await shares.take(who, 5)
            order.append(who)
            await asyncio.sleep(0)
            shares.give_back(who)

        asks = [asyncio.create_task(ask(who)) for who in "aaaab"]
        await asyncio.sleep(0)
        shares.give_back("a")
        await asyncio.gather(*asks)
        await shares.take("c", 0)  # and nothing is left behind
        return order

    assert asyncio.run(run()) == list("abaaa")


def test_visitors_of_an_open_server_have_turns_too() -> None:
    """All of them are None; those that wait are served when what was taken is given back."""

    async def run() -> None:
        shares = Shares("things", 2, 1)
        await shares.take(None)
        waits = asyncio.create_task(shares.take(None, 5))
        await asyncio.sleep(0)
        shares.give_back(None)
        await asyncio.wait_for(waits, 1)

    asyncio.run(run())


def test_an_open_page_gets_all_the_reports_it_asks_for(redis_url: str) -> None:
    """The browser asks for three at once."""
    paths = [f"/api/accounts/acme/{each}" for each in ("report", "dashboard", "dashboard/heat")]
    with dashboard(redis_url, is_open=True) as served, served.client() as client:
        account_settings.put(served.ledger, "acme", name="Acme")
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda path: client.get(path, timeout=5), paths))
    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_a_share_that_was_given_up_is_not_lost() -> None:
    """Whoever waits for too long, or is cancelled at any moment, leaves the others their turns."""

    async def run() -> None:
        shares = Shares("things", 1, 1)
        await shares.take("a")
        with pytest.raises(BusyError) as refused:
            await shares.take("b", 0.01)
        assert refused.value.status == 503
        with pytest.raises(BusyError) as refused:
            await shares.take("a", 0.01)
        assert refused.value.status == 429
        waits = asyncio.create_task(shares.take("b", 5))
        await asyncio.sleep(0)
        shares.give_back("a")  # it is theirs now
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        with shares.taken("c"), pytest.raises(BusyError), shares.taken("d"):
            pass

    asyncio.run(run())


async def _stays() -> Any:
    await asyncio.Event().wait()


async def _leaves() -> Any:
    return {"type": "http.disconnect"}


def test_work_that_nobody_waits_for_is_not_begun() -> None:
    """The client has gone, or the wait was too long; and the thread is free for the next."""

    async def run() -> None:
        work, go, begun = HeavyWork(threads=1, wait=0.2), threading.Event(), []

        def slow() -> str:
            begun.append("slow")
            go.wait(10)
            return "done"

        first = asyncio.create_task(work.run("a", _stays, slow))
        await asyncio.sleep(0.01)
        with pytest.raises(RequestError) as refused:
            await work.run("a", _leaves, lambda: begun.append("gone"))
        assert refused.value.status == 499
        with pytest.raises(BusyError):
            await work.run("b", _stays, lambda: begun.append("late"))
        first.cancel()  # it runs on, and its thread is not free before it ends
        with pytest.raises(BusyError):
            await work.run("b", _stays, lambda: begun.append("late"))
        go.set()
        assert await work.run("b", _stays, lambda: "next") == "next"
        assert begun == ["slow"]
        work.close()

    asyncio.run(run())


def test_one_visitor_never_has_all_threads() -> None:
    """Another one's work is done while the first one's long work runs."""

    async def run() -> None:
        work, go = HeavyWork(threads=2), threading.Event()
        mine = [asyncio.create_task(work.run("a", _stays, lambda: go.wait(10))) for _ in range(4)]
        await asyncio.sleep(0.01)
        assert await asyncio.wait_for(work.run("b", _stays, lambda: 1), 5) == 1
        go.set()
        await asyncio.gather(*mine)
        work.close()

    asyncio.run(run())


# ----------------------------------------------------------------------------- accounts


@pytest.fixture(scope="module")
def crowd(redis_url: str) -> int:
    """Make 20,000 accounts; return how many there are."""
    with Redis.from_url(redis_url) as redis:
        pipe = redis.pipeline(transaction=False)
        for number in range(20_000):
            name = f"customer-{number:05}"
            pipe.hset(f"usage:account:{name}", mapping={"set": 1, "name": f"Company {number} Ltd"})
            pipe.sadd("usage:accounts", name)
        pipe.execute()
    return 20_001


def test_the_accounts_come_in_pages(served: Dashboard, crowd: int) -> None:
    """Each once, in order; the header has the address of the next page, and how many there are."""
    client = served.client(served.token())
    until(lambda: client.get("/api/accounts").headers["X-Total-Count"] == str(crowd), 60, 0.3)
    names, path = [], "/api/accounts?limit=1000"
    while path:
        answer = client.get(path)
        names += [each["account"] for each in answer.json()]
        assert answer.headers["X-Total-Count"] == str(crowd)
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else ""
    assert names == sorted(set(names))
    assert len(names) == crowd
    assert len(client.get("/api/accounts").json()) == 100


def test_no_request_reads_all_accounts(served: Dashboard, crowd: int, redis_url: str) -> None:
    """Pages and searches among 20,000 cost a bounded number of commands, and are quick."""
    client = served.client(served.token())
    client.get("/api/accounts")
    with Redis.from_url(redis_url) as redis:
        before: Any = redis.info("commandstats")
        began = time.monotonic()
        for number in range(20):
            found = client.get("/api/accounts", params={"search": f"company 1424{number % 10} "})
            assert [each["account"] for each in found.json()] == [f"customer-1424{number % 10}"]
            assert len(client.get("/api/accounts", params={"cursor": "customer-1"}).json()) == 100
        took = time.monotonic() - began
        after: Any = redis.info("commandstats")
    assert after["cmdstat_sscan"]["calls"] == before["cmdstat_sscan"]["calls"]
    assert took / 40 < 0.5


def test_a_new_account_and_a_new_name_are_found(served: Dashboard, crowd: int) -> None:
    """The first at once; the second after its turn has come."""
    client = served.client(served.token())
    account_settings.put(served.ledger, "a-newcomer", name="Unheard-of GmbH")

    def search(text: str) -> list[str]:
        found = client.get("/api/accounts", params={"search": text})
        return [each["account"] for each in found.json()]

    until(lambda: search("unheard-OF g") == ["a-newcomer"], 20, 0.3)
    account_settings.put(served.ledger, "a-newcomer", name="Renamed AG")
    assert served.get("/accounts", served.token()).json()[0]["name"] == "Renamed AG"
    until(lambda: search("renamed ag") == ["a-newcomer"], 60, 0.3)


def test_one_account_alone_is_searched_too(served: Dashboard) -> None:
    """Its token never learns of another one, by search, cursor or count."""
    client = served.client(served.token("acme"))
    for query in ({}, {"search": "customer"}, {"cursor": "b"}, {"limit": 1}):
        answer = client.get("/api/accounts", params=query)
        assert answer.headers["X-Total-Count"] in ("0", "1")
        assert {each["account"] for each in answer.json()} <= {"acme"}
        assert "Link" not in answer.headers
    assert client.get("/api/accounts", params={"search": "customer"}).json() == []


# --------------------------------------------------------------------------------- log


def test_a_log_cannot_be_filled() -> None:
    """So many lines of one place in the code; then how many were left out; others are not held."""
    clock = [0.0]
    limited = RateFilter(lambda: clock[0])

    def record(line: int, text: str = "%s failed") -> logging.LogRecord:
        return logging.LogRecord("x", logging.WARNING, "x.py", line, text, ("this",), None)

    assert sum(limited.filter(record(1)) for _ in range(1000)) == LINES
    assert limited.filter(record(2))
    clock[0] = SPAN_S + 1
    last = record(1)
    assert limited.filter(last)
    assert last.getMessage() == f"this failed (and {1000 - LINES:,} times more)"
    assert limited.filter(record(1))


def test_a_log_line_cannot_be_forged() -> None:
    """Nothing that is logged begins a line or moves a cursor."""
    try:
        raise ValueError("a\nERROR x: forged\x1b[31m")
    except ValueError as error:
        failed = logging.LogRecord(
            "x", logging.ERROR, "x.py", 1, "b\r\nERROR x: forged\x1b[2J\x85\u2028.", (),
            (ValueError, error, error.__traceback__),
        )  # fmt: skip
    lines = formatter("text").format(failed).splitlines()
    assert lines[0].endswith("Z error x: b\\x0d\\x0aERROR x: forged\\x1b[2J\\x85\\u2028.")
    assert all(line.startswith("    ") for line in lines[1:])
    assert "\x1b" not in "".join(lines)


def test_the_refusals_are_json_problems(served: Dashboard) -> None:
    """As every other answer of the API."""
    answer = served.client(served.token()).get("/api/accounts?" + "&".join("abcdefgh" * 10))
    assert answer.status_code == 400
    assert json.loads(answer.text)["detail"].startswith("The query has too many parameters")
