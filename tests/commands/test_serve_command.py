"""`usage serve` as a process: where it listens, whom it lets in, how it ends."""

import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import Result
from redis.client import Redis

from interaction_usage.servers.ports import free_port
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import account_settings, keys
from tests.support.memory_ledger import MemoryLedger

Usage = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]


def address_of(server: "subprocess.Popen[bytes]") -> str:
    """Return the address that a server prints."""
    assert server.stdout is not None
    line = server.stdout.readline().decode()
    found = re.fullmatch(r"Dashboard: (http://127\.0\.0\.1:\d+)/\n", line)
    assert found, line
    return found[1]


@pytest.fixture(autouse=True)
def _no_token(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.delete(keys.TOKENS)
        account_settings.put(MemoryLedger(redis), "acme", name="Acme Ltd")


def test_open_on_this_machine(process: Start) -> None:
    """Any free port; no token asked; SIGTERM ends it at once with code 0."""
    server = process("serve", "--open", "--port", "0")
    answer = httpx.get(f"{address_of(server)}/api/accounts/acme")
    assert answer.json()["name"] == "Acme Ltd"
    server.terminate()
    _, err = server.communicate(timeout=5)
    assert server.returncode == 0, err.decode()


def test_closed_unless_opened(process: Start, usage: Usage) -> None:
    """Without --open a token is needed, and it says how to make the first one."""
    server = process("serve", "--port", "0")
    address = address_of(server)
    assert httpx.get(f"{address}/api/accounts/acme").status_code == 401
    token = usage("token", "create", "--operator").stdout.split()[-1]
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{address}/api/accounts/acme", headers=headers).status_code == 200
    server.terminate()
    assert b"usage token create --operator" in server.communicate(timeout=5)[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_no_other_address_without_a_token(usage: Usage, host: str) -> None:
    """It refuses before it listens."""
    done = usage("serve", "--host", host, "--port", "0")
    assert done.exit_code == 1
    assert "usage token create --operator" in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "example.com", "127.0.0.1.example.com"])
def test_never_open_to_others(usage: Usage, host: str) -> None:
    """--open and an address that others reach is wrong usage, with tokens or without."""
    usage("token", "create", "--operator")
    done = usage("serve", "--host", host, "--port", "0", "--open")
    assert done.exit_code == 2
    assert host in done.stderr


def test_a_port_that_is_taken(usage: Usage) -> None:
    """One sentence, which names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = usage("serve", "--open", "--port", str(port))
    assert done.exit_code == 1
    assert f"127.0.0.1:{port}" in done.stderr


@pytest.mark.parametrize("options", ["", "?cluster=true"])
def test_redis_away(process: Start, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    """It starts, and says so on stderr and on every page, rather than showing pages of nothing."""
    server = process(
        "serve", "--port", "0",
        environment={
            "USAGE_REDIS": f"redis://127.0.0.1:1/0{options}", "USAGE_LOG_LEVEL": "warning",
        },
    )  # fmt: skip
    address = address_of(server)
    assert httpx.get(f"{address}/healthz").status_code == 200
    for path in ("/", "/login", "/accounts/acme", "/docs"):
        page = httpx.get(f"{address}{path}")
        assert "Redis does not answer" in page.text
        assert "loads again by itself" in page.text
        assert "Try again" in page.text
        assert page.headers["refresh"] == "5"
    assert httpx.get(f"{address}/api/accounts/acme").status_code == 503
    server.terminate()
    _, err = server.communicate(timeout=10)
    assert server.returncode == 0
    [said] = err.decode().splitlines()
    assert said.startswith("Redis at 127.0.0.1:1")
    assert said.endswith("Every page says so until it does.")


def test_redis_comes_back(process: Start) -> None:
    """The server that was started without it goes on by itself."""
    port = free_port()
    server = process(
        "serve", "--open", "--port", "0",
        environment={"USAGE_REDIS": f"redis://127.0.0.1:{port}/0"},
    )  # fmt: skip
    address = address_of(server)
    assert httpx.get(f"{address}/readyz").status_code == 503
    with redis_server(port=port) as redis, Redis.from_url(redis.url) as client:
        account_settings.put(MemoryLedger(client), "acme", name="Acme Ltd")
        deadline = time.monotonic() + 10
        while httpx.get(f"{address}/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.get(f"{address}/api/accounts/acme").json()["name"] == "Acme Ltd"
        assert "does not answer" not in httpx.get(f"{address}/accounts/acme").text
    server.terminate()
    server.communicate(timeout=10)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_viewers_do_not_hold_up_the_end(process: Start, sent: signal.Signals) -> None:
    """A stream that is being watched ends in order, within seconds."""
    server = process("serve", "--open", "--port", "0")
    address = address_of(server)
    seen = threading.Event()
    ended: list[Any] = []

    def view() -> None:
        with (
            httpx.Client() as client,
            client.stream("GET", f"{address}/api/accounts/acme/live/stream") as stream,
        ):
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    seen.set()
        ended.append("in order")

    viewer = threading.Thread(target=view)
    viewer.start()
    assert seen.wait(10)
    began = time.monotonic()
    server.send_signal(sent)
    _, err = server.communicate(timeout=10)
    viewer.join(5)
    assert server.returncode == 0, err.decode()
    assert ended == ["in order"]
    # Threads of librdkafka that wait for an unreachable broker take up to 3 s of it.
    assert time.monotonic() - began < 6


def test_killed_and_started_nothing_is_lost(process: Start, usage: Usage) -> None:
    """The login of a browser holds across a crash of the server."""
    token = usage("token", "create", "--account", "acme").stdout.split()[-1]
    first = process("serve", "--port", "0")
    with httpx.Client() as browser:
        address = address_of(first)
        assert browser.post(f"{address}/login", data={"token": token}).status_code == 303
        first.kill()
        first.communicate(timeout=5)
        second = process("serve", "--port", address.rpartition(":")[2])
        assert browser.get(f"{address_of(second)}/api/accounts/acme").status_code == 200
        second.terminate()
        second.communicate(timeout=5)
