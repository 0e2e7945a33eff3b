"""Live viewers: 200 browsers on one dashboard, what it costs, and how soon they see something.

    python -m benchmarks.live_viewers [--short] [--viewers N] [--seconds S]

A dashboard runs as a process of its own; the viewers read its stream from this one, on one account
and spread over many, while sessions begin all the time. The cost is the processor time of the
dashboard's process, all threads together, as a share of one core.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis as AsyncRedis

from benchmarks import ours
from benchmarks.ours import Event, OffsetEvent, SessionStarted, SessionStopped
from benchmarks.progress import say
from benchmarks.table import Row, markdown
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT

VIEWERS = 200
_PER_SECOND = 20  #: sessions that begin, over all accounts
_OPEN = 500  #: sessions of each account that are open when it begins
_TICK = os.sysconf("SC_CLK_TCK")


class Result(NamedTuple):
    """What some viewers cost and saw."""

    core: float  #: share of one core that the dashboard took
    per_viewer: float  #: events that each viewer got per second
    bytes_per_viewer: float  #: per second, after the first event
    delays: list[float]  #: seconds from the write into Redis to the viewer, of each session


def history(accounts: int) -> Iterator[OffsetEvent]:
    """Yield an hour of each account: sessions that are open, and some that were."""
    now = int(time.time())
    offset = 0
    for account in range(accounts):
        for number in range(_OPEN):
            second = now - 3600 + 3600 * number // _OPEN
            answer: list[SessionStarted | SessionStopped] = [SessionStarted(f"s{number}", "agent")]
            if number % 2:
                answer.append(SessionStopped(f"s{number}", "agent"))
            for data in answer:
                at = second + (60 if isinstance(data, SessionStopped) else 0)
                name = f"{account}-{offset}"
                yield OffsetEvent(offset, Event("b", name, _name(account), at * 1_000_000, data))
                offset += 1


def _name(account: int) -> str:
    return f"account-{account:03}"


@contextmanager
def dashboard(redis_url: str) -> Iterator[tuple[int, int]]:
    """Yield the port and process id of an open dashboard."""
    environment = {**os.environ, "USAGE_REDIS": redis_url, "USAGE_KAFKA": "127.0.0.1:1"}
    server = subprocess.Popen(
        [sys.executable, "-m", "interaction_usage.commands.main", "serve", "--open", "--port", "0"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert server.stdout is not None
    found = re.search(r":(\d+)/", server.stdout.readline().decode())
    assert found
    try:
        yield int(found[1]), server.pid
    finally:
        server.terminate()
        server.wait(10)


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


class _Viewer:
    """One connection, and what came over it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.events = 0
        self.size = 0
        self.seen: dict[int, float] = {}  # sessions of mobile-web to when they were seen

    async def run(self, port: int, account: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        request = f"GET /api/accounts/{account}/live/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        writer.write(request.encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    self.begun.set()
                    self.events += 1
                    self.size += len(line)
                    self._note(line)
        finally:
            writer.close()

    def _note(self, line: bytes) -> None:
        # The whole is not parsed: 200 viewers share this process, and it is not what is measured.
        found = re.search(rb'"mobile-web":\{"now":(\d+)', line)
        if found:
            self.seen.setdefault(int(found[1]), time.monotonic())


async def watch(
    redis_url: str, server: tuple[int, int], viewers: int, accounts: int, seconds: float
) -> Result:
    """Watch with *viewers* spread over *accounts* for some seconds."""
    port, pid = server
    watching = [_Viewer() for _ in range(viewers)]
    tasks = [
        asyncio.create_task(viewer.run(port, _name(number % accounts)))
        for number, viewer in enumerate(watching)
    ]
    await asyncio.gather(*(viewer.begun.wait() for viewer in watching))
    await asyncio.sleep(2)
    for viewer in watching:
        viewer.events = viewer.size = 0
    before, began = processor_seconds(pid), time.monotonic()
    written = await _begin_sessions(redis_url, accounts, seconds)
    took, cost = time.monotonic() - began, processor_seconds(pid) - before
    await asyncio.sleep(1.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    delays = [
        viewer.seen[count] - when
        for number, viewer in enumerate(watching)
        for count, when in written[number % accounts].items()
        if count in viewer.seen
    ]
    events = sum(viewer.events for viewer in watching)
    size = sum(viewer.size for viewer in watching)
    return Result(cost / took, events / took / viewers, size / took / viewers, delays)


async def _begin_sessions(redis_url: str, accounts: int, seconds: float) -> list[dict[int, float]]:
    """Begin sessions all the time; return when each account's n-th was in the rollups."""
    run = time.time_ns()
    written: list[dict[int, float]] = [{} for _ in range(accounts)]
    async with AsyncRedis.from_url(redis_url) as redis:
        writer = Writer(redis, dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT), clock=time.time)
        await writer.prepare()
        deadline = time.monotonic() + seconds
        number = 0
        while time.monotonic() < deadline:
            account = number % accounts
            now = time.time()
            event = Event(
                str(run), str(number), _name(account), int(now * 1_000_000),
                SessionStarted(f"{run}-{number}", "mobile-web"),
            )  # fmt: skip
            await writer.apply(f"live-{run}/0", [OffsetEvent(number, event)])
            written[account][len(written[account]) + 1] = time.monotonic()
            number += 1
            await asyncio.sleep(1 / _PER_SECOND)
    return written


def run(*, short: bool, viewers: int = VIEWERS, seconds: float = 30) -> list[Row]:
    """Run it on one account, on 20 and on as many as there are viewers; return the rows."""
    rows = []
    for accounts in (1, 20, viewers):
        say(f"live viewers: {viewers} of {accounts} accounts")
        with redis_server() as server:
            ours.fill(server.url, history(accounts), "history/0")
            with dashboard(server.url) as process:
                took = 6 if short else seconds
                result = asyncio.run(watch(server.url, process, viewers, accounts, took))
        rows.append(_row(viewers, accounts, result))
    return rows


def _row(viewers: int, accounts: int, result: Result) -> Row:
    delays = sorted(result.delays)
    worst = delays[int(len(delays) * 0.99)]
    many = "one account" if accounts == 1 else f"{accounts} accounts"
    return Row(
        "live viewers", f"{viewers} viewers of {many}", "", f"{result.core:.2f} of a core",
        f"goal: less than 1; each gets {result.per_viewer:.1f} events/s, "
        f"{result.bytes_per_viewer / 1000:.1f} kB/s; sees a session after "
        f"{statistics.median(delays):.2f} s, 99 %: {worst:.2f} s",
    )  # fmt: skip


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="six seconds each")
    parser.add_argument("--viewers", type=int, default=VIEWERS)
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    print(markdown(run(**vars(arguments))))


if __name__ == "__main__":
    main()
