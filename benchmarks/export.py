"""Export: a month's report, in process and as a whole command, behind few and many events.

    python -m benchmarks.export [--short] [--few N] [--many N]

Fills a Redis with one account's month twice, sparse and dense, and times the same report on both:
the cost must follow the days and not the events. `usage --version` beside it is what starting the
command costs by itself.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from redis.client import Redis

from benchmarks import ours
from benchmarks.ours import Event, FlowRun, Placed, SessionStarted, SessionStopped
from benchmarks.table import Row, markdown, times
from servers.redis_server import redis_server

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
_BEGIN = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
_MONTH = 31 * 86_400
_APPLICATIONS: tuple[Any, ...] = ("agent", "ticket-guidance", "mobile-web", "web-self-service")


def month_of(account: str, count: int) -> Iterator[Placed]:
    """Yield *count* events spread over October 2026: sessions of 20 minutes, and flow runs."""
    for number in range(count):
        application = _APPLICATIONS[number % 4]
        second = _BEGIN + _MONTH * number // count
        data = (
            SessionStarted(f"s{number}", application),
            SessionStopped(f"s{number - 1}", _APPLICATIONS[(number - 1) % 4]),
            FlowRun(f"flow {number % 50}", application),
        )[number % 3]
        yield Placed(number, Event("b", str(number), account, second * 1_000_000, data), second)


def in_process(redis: Redis, account: str, file_format: str, *, deep: bool) -> float:
    """Return the median milliseconds from the first Redis command to the finished bytes."""
    as_of = datetime.now(UTC) + timedelta(days=1)
    taken = []
    for _ in range(15):
        began = time.perf_counter()
        ours.report(
            redis, account, FIRST, LAST, "Europe/Paris", as_of, file_format=file_format, deep=deep
        )
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def command(url: str, *arguments: str) -> float:
    """Return the median milliseconds of a whole `usage` process."""
    environment = {**os.environ, "USAGE_REDIS": url}
    taken = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "commands.main", *arguments],
            env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def run(*, short: bool, few: int = 10_000, many: int = 1_000_000) -> list[Row]:
    """Run everything of this benchmark and return its rows; ratios are many events to few."""
    if short:
        many = min(many, 200_000)
    with redis_server() as server, Redis.from_url(server.url) as redis:
        names = {"few": few, "many": many}
        for account, count in names.items():
            ours.fill(server.url, month_of(account, count), f"{account}/0")
        rows = []
        for file_format, deep in (("json", False), ("xls", True)):
            pair = [in_process(redis, name, file_format, deep=deep) for name in names]
            rows.append(_row(f"{file_format}, in process", pair, (few, many)))
        month = ("--from", str(FIRST), "--to", str(LAST), "--tz", "Europe/Paris")
        for file_format in ("json", "xls"):
            pair = [
                command(server.url, "export", name, *month, "--format", file_format, "-o", "-")
                for name in names
            ]
            rows.append(_row(f"{file_format}, as a process", pair, (few, many)))
        start = command(server.url, "--version")
        rows.append(Row("export", "`usage --version` as a process", "", f"{start:,.0f} ms"))
        return rows


def _row(what: str, pair: Sequence[float], counts: tuple[int, int]) -> Row:
    (with_few, with_many), (few, many) = pair, counts
    return Row(
        "export", f"a month, {what}", times(with_many / with_few), f"{with_many:,.0f} ms",
        f"behind {many:,} events; {with_few:,.0f} ms behind {few:,}",
    )  # fmt: skip


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="at most 200,000 events")
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    arguments = parser.parse_args()
    print(markdown(run(short=arguments.short, few=arguments.few, many=arguments.many)))


if __name__ == "__main__":
    main()
