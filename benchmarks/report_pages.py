"""Report pages: how soon their data is there, at the API, for a month and for two years.

    python -m benchmarks.report_pages [--short] [--events N]

One account with two years of events, published along them, so that all days but the last 35 are
sealed at the end, as a worker does; and once with all days open, as after a rebuild. A dashboard
as a process of its own, one request after the other over one connection, as one person's browser
asks: beyond a quarter it draws months. The first request, which loads modules, is left out. Beside
the time stands what a request costs the dashboard's process, which other work on the machine does
not change.
"""

import argparse
import random
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

import httpx

from benchmarks import ours
from benchmarks.live_viewers import dashboard, processor_seconds
from benchmarks.ours import (
    AssistClicked,
    Event,
    FlowRun,
    OffsetEvent,
    SessionStarted,
    SessionStopped,
)
from benchmarks.progress import say
from benchmarks.table import Row, markdown
from interaction_usage.servers.redis_server import redis_server

LAST = date(2026, 10, 31)
_DAYS = 730
_FLOWS = 200
_APPLICATIONS: tuple[Any, ...] = ("agent", "ticket-guidance", "mobile-web", "web-self-service")
_SERVICES: tuple[Any, ...] = ("call-now", "callback", "chat", "email")
_PAGES = (
    "dashboard", "dashboard/usage", "dashboard/heat", "dashboard/applications",
    "dashboard/concurrency", "dashboard/resolution", "dashboard/connectivity", "report",
    "usage.xls", "dashboard/usage?flow=flow+1",
)  # fmt: skip
#: Of these, those that are not broken down by time.
_WHOLE = ("dashboard/heat", "report", "usage.xls")
#: Days that the pages draw one by one, at most (`spanFor` in days.js).
_MOST_DAYS = 92
#: Days and what they may take, in milliseconds; a file has every hour of them.
_GOALS = {30: 100, _DAYS: 100}
_GOAL_OF_FILE = {30: 100, _DAYS: 300}


def history(count: int) -> Iterator[OffsetEvent]:
    """Yield *count* events of one account, spread over two years: every day has all metrics."""
    rng = random.Random(1)
    end = int(datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC).timestamp()) + 86_400
    begin = end - _DAYS * 86_400
    for number in range(count):
        second = begin + _DAYS * 86_400 * number // count
        application, draw = rng.choice(_APPLICATIONS), rng.random()
        if draw < 0.3:
            data: Any = SessionStarted(f"s{number}", application)
        elif draw < 0.55:
            data = SessionStopped(f"s{number - 3}", application)
        elif draw < 0.85:
            flow = int(rng.paretovariate(0.7)) % _FLOWS
            data = FlowRun(f"flow {flow}", application, rng.choice(("completed", "abandoned")))
        else:
            data = AssistClicked(rng.choice(_SERVICES), application)
        yield OffsetEvent(number, Event("b", str(number), "big", second * 1_000_000, data))


def run(*, short: bool, events: int = 1_000_000) -> list[Row]:
    """Run it and return the rows: the median of each page, and the slowest request."""
    count = min(events, 100_000) if short else events
    repeats = 5 if short else 15
    rows = []
    for fill, what, pages, periods in (
        (ours.live_through, "days", _PAGES, tuple(_GOALS)),
        (ours.fill, "open days", ("dashboard", "usage.xls"), (_DAYS,)),
    ):
        with redis_server() as server:
            say(f"report pages: filling {count:,} events")
            fill(server.url, history(count), "history/0")
            with dashboard(server.url) as (port, pid), httpx.Client(timeout=60) as client:
                _measured(client, port, pid, pages[0], _DAYS, 1)  # the first loads modules
                for days, page in product(periods, pages):
                    row = _measured(client, port, pid, page, days, repeats)
                    rows.append(row._replace(what=f"{page}, {days} {what}"))
    return rows


def _measured(client: httpx.Client, port: int, pid: int, page: str, days: int, repeats: int) -> Row:
    """Return the row of *page* over so many *days*, asked for once for each micro-batch."""
    url = f"http://127.0.0.1:{port}/api/accounts/big/{_query(page, days)}"
    url += f"from={LAST - timedelta(days=days - 1)}&to={LAST}&tz=Europe/Paris"
    goal = (_GOAL_OF_FILE if page == "usage.xls" else _GOALS)[days]
    before = processor_seconds(pid)
    taken, size = _times(client, url, repeats)
    cost = (processor_seconds(pid) - before) * 1000 / repeats
    return Row(
        "report pages", page, "", f"{statistics.median(taken):.0f} ms",
        f"goal: {goal} ms; slowest {max(taken):.0f} ms; "
        f"{cost:.0f} ms of a core, {size / 1000:,.0f} kB",
    )  # fmt: skip


def _query(page: str, days: int) -> str:
    """Return *page* with the beginning of its query, as the browser asks for it."""
    by = "by=month&" if days > _MOST_DAYS and page not in _WHOLE else ""
    return f"{page}{'&' if '?' in page else '?'}{by}"


def _times(client: httpx.Client, url: str, repeats: int) -> tuple[list[float], int]:
    """Return the milliseconds of each of some requests, and the size of the answer."""
    taken, size = [], 0
    for _ in range(repeats):
        began = time.perf_counter()
        answer = client.get(url)
        taken.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
        size = len(answer.content)
    return taken, size


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="at most 100,000 events")
    parser.add_argument("--events", type=int, default=1_000_000)
    print(markdown(run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
