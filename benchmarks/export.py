"""Export: a month's report, in process and as a whole command, behind few and many events.

    python -m benchmarks.export [--few N] [--many N]

Fills a Redis with one account's month twice, sparse and dense, and times the same report on both:
the cost must follow the days and not the events. The peer is the command `usage --version`, which
is what starting the command costs by itself.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta

from redis.asyncio import Redis as AsyncRedis
from redis.client import Redis

from export.formats import FORMATS
from export.report import Account, build, period
from rollups import store
from rollups.events import Event, FlowRun, SessionStarted, SessionStopped
from rollups.fold import Placed
from rollups.vocabulary import APPLICATIONS, DEFAULT_SESSION_LIMIT
from servers.redis_server import redis_server

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
_BEGIN = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp()) * 1_000_000
_MONTH = 31 * 86_400_000_000


def month_of(account: str, count: int) -> list[Placed]:
    """Return *count* events spread over October 2026: sessions of 20 minutes, and flow runs."""
    placed = []
    for number in range(count):
        application = APPLICATIONS[number % 4]
        time = _BEGIN + _MONTH * number // count
        name = f"s{number}"
        data = (
            SessionStarted(name, application),
            SessionStopped(f"s{number - 1}", APPLICATIONS[(number - 1) % 4]),
            FlowRun(f"flow {number % 50}", application),
        )[number % 3]
        placed.append(Placed(number, Event("b", str(number), account, time, data)))
    return placed


async def fill(url: str, account: str, count: int) -> None:
    """Put the events into the rollups."""
    async with AsyncRedis.from_url(url) as redis:
        writer = store.Writer(redis, dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT))
        await writer.prepare()
        placed = month_of(account, count)
        for begin in range(0, count, 5000):
            await writer.apply("b/0", placed[begin : begin + 5000])


def in_process(redis: Redis, account: str, file_format: str, *, deep: bool) -> float:
    """Return the median milliseconds from the first Redis command to the finished bytes."""
    as_of = datetime.now(UTC) + timedelta(days=1)
    within = period(FIRST, LAST, "Europe/Paris", as_of)
    times = []
    for _ in range(15):
        began = time.perf_counter()
        reading = store.read(redis, account, *within.slots, by_slot=deep, flows=deep)
        FORMATS[file_format](
            build(Account(account, account, dnis=True, sms=True), within, reading, as_of)
        )
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def command(url: str, *arguments: str) -> float:
    """Return the median milliseconds of a whole `usage` process."""
    environment = {**os.environ, "USAGE_REDIS": url}
    times = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "commands.main", *arguments],
            env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with redis_server() as server, Redis.from_url(server.url) as redis:
        counts = {"few": arguments.few, "many": arguments.many}
        for account, count in counts.items():
            asyncio.run(fill(server.url, account, count))
        print("one month, Europe/Paris, median milliseconds")
        print(f"{'':<34}{arguments.few:>12,}{arguments.many:>12,}  events    ratio")
        for file_format, deep in (("json", False), ("xls", True)):
            few, many = (in_process(redis, name, file_format, deep=deep) for name in counts)
            print(f"{file_format + ' in process':<34}{few:>12.1f}{many:>12.1f}{many / few:>17.2f}")
        start = command(server.url, "--version")
        month = ("--from", str(FIRST), "--to", str(LAST), "--tz", "Europe/Paris")
        for file_format in ("json", "xls"):
            few, many = (
                command(server.url, "export", name, *month, "--format", file_format, "-o", "-")
                for name in counts
            )
            label = f"{file_format}, `usage export` as a process"
            print(f"{label:<34}{few:>12.0f}{many:>12.0f}{many / few:>17.2f}")
        print(f"{'`usage --version` as a process':<34}{start:>12.0f}")


if __name__ == "__main__":
    main()
