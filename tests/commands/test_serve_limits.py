"""`usage serve` under attack: logins and live streams go on, memory and log stay small.

The attackers are a process of their own (`attacks.py`). What a login may take is measured beside
one at a second server that nobody attacks, for both wait when the machine is busy with other work.
"""

import http.client
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.client import Redis

from interaction_usage.dashboard import tokens
from tests.support import attacks
from tests.support.event_lines import event
from tests.support.filling import fill
from tests.support.memory_ledger import MemoryLedger

TWO_YEARS = "/api/accounts/acme/dashboard?from=2024-11-01&to=2026-10-31&tz=UTC"
TEN_YEARS = "/api/accounts/acme/usage.xls?from=2016-11-01&to=2026-10-31&tz=UTC"
STREAM = "/api/accounts/acme/live/stream"

#: Open files that the attacked server may have, as on many machines.
FILES = 1024


class Server:
    """A running `usage serve`."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        assert process.stdout is not None
        found = re.search(rb":(\d+)/", process.stdout.readline())
        assert found
        self.process, self.log, self.port = process, log, int(found[1])

    def get(self, path: str, token: str = "", timeout: float = 20) -> tuple[int, float]:
        """Return the status of a new connection's answer, and the seconds that it took."""
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, time.monotonic() - began
        finally:
            connection.close()

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def peak(self) -> int:
        """Return the most memory that the process has had, in MiB."""
        content = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", content)
        assert found
        return int(found[1]) // 1024

    def processor_seconds(self) -> float:
        """Return the processor time that the process has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def files(self) -> int:
        """Return how many files the process has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@pytest.fixture(scope="module")
def token(redis_url: str) -> Iterator[Callable[[], str]]:
    """Yield a function that makes an operator's token; there is an account `acme`, and others."""
    flow = {"flow": "f", "application": "agent"}
    fill(redis_url, [event("1", "flow.run", flow), event("2", "flow.run", flow, subject="other")])
    with Redis.from_url(redis_url) as redis:
        yield lambda: tokens.create(MemoryLedger(redis), None, 1_700_000_000)


@pytest.fixture
def serve(redis_url: str, token: object, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Return a function that starts a server which may have `FILES` open files."""
    running = []

    def start() -> Server:
        running.append(started(redis_url, tmp_path / f"{len(running)}.log"))
        return running[-1]

    yield start
    for each in running:
        each.end()


@pytest.fixture(scope="module")
def calm(redis_url: str, token: object, tmp_path_factory: Any) -> Iterator[Server]:
    """Yield a server that nobody attacks."""
    made = started(redis_url, tmp_path_factory.mktemp("calm") / "log")
    yield made
    made.end()


def started(redis_url: str, log: Path) -> Server:
    """Return a server that writes to *log*."""
    environment = {
        **os.environ, "USAGE_KAFKA": "127.0.0.1:1", "USAGE_REDIS": redis_url,
        "USAGE_LOG_LEVEL": "warning",  # without a line for each request
    }  # fmt: skip
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "interaction_usage.commands.main", "serve", "--port", "0"],
            env=environment, stdout=subprocess.PIPE, stderr=err,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
        )  # fmt: skip
    return Server(process, log)


class Watcher:
    """What somebody else sees of a server meanwhile: logins, and a live stream."""

    def __init__(self, server: Server, token: str) -> None:
        self.logins: list[float] = []
        self.gaps: list[float] = []
        self.wrong: list[object] = []
        self._server, self._token, self._over = server, token, threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._log_in, self._watch)]

    def __enter__(self) -> "Watcher":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def login(self) -> float:
        """The seconds within which nine of ten logins were answered."""
        return sorted(self.logins)[len(self.logins) * 9 // 10]

    def _log_in(self) -> None:
        while not self._over.wait(0.05):
            try:
                status, seconds = self._server.get("/login")
                self.logins.append(seconds)
                if status != 200:
                    self.wrong.append(status)
            except OSError as error:
                self.wrong.append(error)

    def _watch(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=20)
        try:
            connection.request("GET", STREAM, headers={"Authorization": f"Bearer {self._token}"})
            answer, last = connection.getresponse(), 0.0
            assert answer.status == 200
            while not self._over.is_set():
                line = answer.readline()
                if not line:
                    self.wrong.append(f"the stream ended ({answer.status})")
                    return
                if line.startswith(b"data:"):
                    now = time.monotonic()
                    self.gaps += [now - last] if last else []
                    last = now
        except OSError as error:
            self.wrong.append(error)
        finally:
            connection.close()


@contextmanager
def attacked(
    server: Server, kind: str, count: int, seconds: float, token: str = "", path: str = "/login"
) -> Iterator[dict[str, int]]:
    """Attack *server* meanwhile, for so many *seconds*; afterwards, what the attackers saw."""
    command = [sys.executable, attacks.__file__, kind, str(server.port), str(seconds), str(count)]
    process = subprocess.Popen([*command, token, path], stdout=subprocess.PIPE)
    seen: dict[str, int] = {}
    try:
        yield seen
        seen |= json.loads(process.communicate(timeout=60)[0])
    finally:
        process.kill()
        process.communicate()


ATTACKS = [
    ("body", 4, False, ""),
    ("body", 4, True, ""),
    ("chunked", 4, True, ""),
    ("idle", 1100, False, ""),
    ("slow_head", 900, False, ""),
    ("slow_body", 400, False, ""),
    ("huge_head", 20, False, ""),
    ("pipelined", 30, False, "/login"),
    ("asking", 200, True, TWO_YEARS),
    ("asking", 200, True, TEN_YEARS),
    ("asking", 200, True, "/api/accounts"),
    ("unread", 300, True, STREAM),
    ("unread", 100, True, TEN_YEARS),
    ("garbage", 20, False, ""),
    ("upgrade", 20, False, ""),
]

#: What the memory may grow by, in MiB; reports of ten years are megabytes, and made of more.
GROWTH = {TEN_YEARS: 448}
SMALL_GROWTH = 64


@pytest.mark.parametrize(("kind", "count", "known", "path"), ATTACKS)
def test_others_are_served_meanwhile(
    serve: Callable[[], Server], calm: Server, token: Callable[[], str],
    kind: str, count: int, known: bool, path: str,
) -> None:  # fmt: skip
    """Logins within half a second, a live stream without a gap, small memory, a small log."""
    server, mine = serve(), token()
    assert server.get("/api/accounts/acme/live", mine)[0] == 200
    before = server.peak()
    with (
        Watcher(calm, mine) as beside,
        Watcher(server, mine) as seen,
        attacked(server, kind, count, 3, token() if known else "", path),
    ):
        time.sleep(3.5)
        # What the attackers asked for is dropped with them.
        status, took = server.get("/api/accounts/other/dashboard", mine)
    print(f"login {seen.login:.3f} s, beside {beside.login:.3f} s; gap {max(seen.gaps):.2f} s,",
          f"beside {max(beside.gaps):.2f} s; memory +{server.peak() - before} MiB;",
          f"report {took:.2f} s; log {server.log.stat().st_size} bytes")  # fmt: skip
    assert seen.wrong == []
    assert seen.login < 0.5 + 4 * beside.login
    assert max(seen.gaps) < 1.5 + 2 * max(beside.gaps)
    assert status == 200
    assert took < 2 + 20 * beside.login
    assert server.peak() - before < GROWTH.get(path, SMALL_GROWTH)
    assert server.log.stat().st_size < 4096
    server.process.terminate()
    assert server.process.wait(15) == 0


def test_without_a_free_file_it_waits_for_one(serve: Callable[[], Server]) -> None:
    """No busy loop, no line for each try; and it goes on by itself."""
    server = serve()
    assert server.get("/login")[0] == 200
    time.sleep(0.5)
    full = (server.files(), FILES)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, full)
    cost = server.processor_seconds()
    with ExitStack() as stack:
        waiting: list[Any] = []
        for _ in range(20):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            waiting.append(stack.enter_context(closing(connection)))
            connection.request("GET", "/login")
        time.sleep(3)
        assert server.processor_seconds() - cost < 1.5
        lines = [line for line in server.log.read_text().splitlines() if line[0] != " "]
        assert any("No connection can be accepted" in line for line in lines)
        assert len(lines) <= 15
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        statuses = [each.getresponse().status for each in waiting]
    assert set(statuses) <= {200, 503}  # 503: none was left for Redis at that moment
    assert server.get("/login")[0] == 200


def test_it_takes_the_files_it_may_have(serve: Callable[[], Server]) -> None:
    """A soft limit below the hard one is raised; it opens no more than it may."""
    server = serve()
    with attacked(server, "idle", 1100, 8):
        ends = time.monotonic() + 8
        while server.files() < 500:
            assert time.monotonic() < ends
            time.sleep(0.05)
        assert server.get("/login")[0] == 200
        assert server.files() < FILES


def test_a_log_is_neither_filled_nor_forged(serve: Callable[[], Server]) -> None:
    """Thousands of requests that are none, with line breaks and escapes in them."""
    server = serve()
    with attacked(server, "garbage", 20, 2):
        time.sleep(2.5)
    log = server.log.read_text()
    assert len(log) < 2000
    assert "forged" not in log
    assert "\x1b" not in log
