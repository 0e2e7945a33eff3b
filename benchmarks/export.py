"""Export: a report in process and as a whole command, behind few and many events, and all at once.

    python -m benchmarks.export [--short] [--few N] [--many N]

- *busy*: an account that uses every slot of every series and counter, for a year, with 50 flows. It
  is timed from the first Redis command to the finished bytes, by the functions of `usage export`.
  Its events are published along the year, and its days sealed as a worker does: December is open at
  the end, October is sealed, and of the year 330 days are.
- *few* and *many*: one month whose events lie in the same 1,000 places, one in each or as many as
  there are. The cost must follow the days and not the events, so what is in use is compared first.
- *as a process*: the command from its start to its end, beside a Python that only imports redis and
  orjson, without which there is no report; `usage --version` is what any command costs to start.
- *all*: `usage export --all` over 2,000 accounts.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from itertools import pairwise
from typing import Any

from redis.client import Redis

from benchmarks import ours
from benchmarks.ours import (
    AssistClicked,
    CallMinutes,
    Event,
    FlowRun,
    NumberPurchased,
    OffsetEvent,
    SessionStarted,
    SessionStopped,
    SmsSent,
)
from benchmarks.progress import say
from benchmarks.table import Row, markdown, times
from interaction_usage.servers.redis_server import redis_server

FIRST, LAST, ZONE = date(2026, 10, 1), date(2026, 10, 31), "Europe/Paris"
_OPEN_MONTH = (date(2026, 12, 1), date(2026, 12, 31))
_YEAR = (date(2026, 1, 1), date(2026, 12, 31))
_AS_OF = datetime(2027, 1, 2, tzinfo=UTC)
_NEW_YEAR = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
_OCTOBER = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
_SLOT, _MONTH_SLOTS, _YEAR_SLOTS = 900, 31 * 96, 365 * 96
_APPLICATIONS: tuple[Any, ...] = ("agent", "ticket-guidance", "mobile-web", "web-self-service")
_SERVICES: tuple[Any, ...] = ("call-now", "callback", "chat", "email")
_OUTCOMES: tuple[Any, ...] = ("completed", "abandoned")

#: In how many places of the month there are events.
PLACES = 1_000

#: Milliseconds from the first Redis command to the finished bytes, and of a whole process.
_GOAL_MONTH, _GOAL_YEAR, _GOAL_PROCESS = 5, 50, 250
#: What a busy month may take, as xls in process of the time as json; as a process, of the time of a
#: Python that imports `_LIBRARIES`.
_GOAL_XLS_TO_JSON, _GOAL_PROCESS_TO_LIBRARIES = 2.0, 2.5
_LIBRARIES = "import redis, orjson"
#: Accounts per second.
_GOAL_ALL = 300


# --------------------------------------------------------------------------------- events


def month_of(account: str, count: int) -> Iterator[OffsetEvent]:
    """Yield *count* events, a multiple of PLACES, in PLACES places of October 2026.

    A place is a slot and what happens in it. The sessions that begin in one end in the next but
    one. Nothing happens in a slot's first second, so that every end leaves the slot's rise at 0.
    """
    each = count // PLACES
    for number in range(count):
        place, repeat = divmod(number, each)
        slot = place * _MONTH_SLOTS // PLACES
        second = _OCTOBER + slot * _SLOT + 1 + (_SLOT - 1) * repeat // each
        data = _in_place(place, repeat)
        name = f"{place}/{repeat}"
        yield OffsetEvent(number, Event("b", name, account, second * 1_000_000, data))


def _in_place(place: int, repeat: int) -> Any:
    turn, step = divmod(place, 8)
    application = _APPLICATIONS[(turn + step // 4) % 4]
    name = f"{turn}-{step // 4}-{repeat}"
    if step in (0, 4):
        return SessionStarted(name, application)
    if step in (2, 6):
        return SessionStopped(name, application)
    if step in (1, 5):
        return FlowRun(f"flow {place % 50}", application, _OUTCOMES[turn % 2])
    if step == 3:
        return AssistClicked(_SERVICES[turn % 4])
    others = (CallMinutes(1_500), SmsSent(), SmsSent(False), NumberPurchased("+33123456789"))
    return others[turn % 4]


def busy_year() -> Iterator[OffsetEvent]:
    """Yield 2026 of an account that uses everything in every slot."""
    rng = random.Random(1)
    answer: list[tuple[int, Any]] = []
    for slot in range(_YEAR_SLOTS):
        begin = _NEW_YEAR + slot * _SLOT
        for application in _APPLICATIONS:
            for number in range(rng.randint(1, 2)):
                start, name = begin + rng.randrange(_SLOT), f"{slot}-{number}"
                answer.append((start, SessionStarted(name, application)))
                stop = start + rng.randrange(60, 7_200)
                answer.append((stop, SessionStopped(name, application)))
            flow = FlowRun(f"flow {rng.randrange(50)}", application, rng.choice(_OUTCOMES))
            answer.append((begin + rng.randrange(_SLOT), flow))
        more = (*map(AssistClicked, _SERVICES), CallMinutes(rng.randrange(1, 20_000)), SmsSent(),
                SmsSent(False), NumberPurchased("+33123456789"))  # fmt: skip
        answer += [(begin + rng.randrange(_SLOT), data) for data in more]
    answer.sort(key=lambda item: item[0])
    for offset, (second, data) in enumerate(answer):
        event = Event("b", str(offset), "busy", second * 1_000_000, data)
        yield OffsetEvent(offset, event)


def month_of_many(accounts: int, each: int) -> Iterator[OffsetEvent]:
    """Yield October 2026 of so many accounts, *each* with so many events of mixed kinds."""
    rng = random.Random(2)
    count = accounts * each
    for offset in range(count):
        second = _OCTOBER + _MONTH_SLOTS * _SLOT * offset // count
        account = f"account-{rng.randrange(accounts):05}"
        data = _mixed(rng, f"{offset // accounts // 4}")
        yield OffsetEvent(offset, Event("a", str(offset), account, second * 1_000_000, data))


def _mixed(rng: random.Random, session: str) -> Any:
    draw, application = rng.random(), rng.choice(_APPLICATIONS)
    if draw < 0.5:
        return (SessionStarted if draw < 0.25 else SessionStopped)(session, application)
    if draw < 0.75:
        return FlowRun(f"flow {rng.randrange(20)}", application)
    if draw < 0.9:
        return AssistClicked(rng.choice(_SERVICES))
    return CallMinutes(rng.randrange(1, 9_000)) if draw < 0.95 else SmsSent()


# -------------------------------------------------------------------------------- figures


def _medians(makes: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median milliseconds of each, made in turn so that all see the same machine."""
    taken: list[list[float]] = [[] for _ in makes]
    for _ in range(repeats):
        for make, found in zip(makes, taken, strict=True):
            began = time.perf_counter()
            make()
            found.append((time.perf_counter() - began) * 1000)
    return [statistics.median(found) for found in taken]


def _steps(redis: Redis, days: tuple[date, date], file_format: str, repeats: int) -> str:
    """Return the median milliseconds of each step to a busy account's report, as a sentence."""
    taken: list[list[float]] = []
    for _ in range(repeats):
        marks = [time.perf_counter()]
        for _ in ours.export_in_steps(redis, "busy", *days, ZONE, _AS_OF, file_format):
            marks.append(time.perf_counter())
        taken.append([(end - begin) * 1000 for begin, end in pairwise(marks)])
    read, build, render = (statistics.median(step) for step in zip(*taken, strict=True))
    return f"read {read:.1f}, report {build:.1f}, file {render:.1f} ms"


def _busy(redis: Redis) -> Iterator[Row]:
    """Yield the rows of the busy account: an open month, a sealed one and a year, in process."""
    for what, days, goal, repeats in (
        ("open month", _OPEN_MONTH, _GOAL_MONTH, 31),
        ("sealed month", (FIRST, LAST), _GOAL_MONTH, 31),
        ("year", _YEAR, _GOAL_YEAR, 15),
    ):
        formats = ("json", "xls")
        every = [
            partial(ours.export, redis, "busy", *days, ZONE, _AS_OF, file_format)
            for file_format in formats
        ]
        medians = _medians(every, repeats)
        for file_format, taken in zip(formats, medians, strict=True):
            yield Row(
                "export", f"a busy {what}, {file_format}, in process",
                f"{taken / goal:.2f} of the goal", f"{taken:,.1f} ms",
                f"goal {goal} ms; {_steps(redis, days, file_format, repeats)}",
            )  # fmt: skip
        yield Row(
            "export", f"a busy {what}, xls to json, in process", times(medians[1] / medians[0]), "",
            f"goal {_GOAL_XLS_TO_JSON:g} ×" if goal == _GOAL_MONTH else "",
        )  # fmt: skip


def _few_and_many(url: str, redis: Redis, few: int, many: int) -> Iterator[Row]:
    """Yield the rows of one month behind few and many events, in process and as a process."""
    names = {"few": few, "many": many}
    for account, count in names.items():
        began = time.perf_counter()
        ours.fill(url, month_of(account, count), f"{account}/0")
        seconds = time.perf_counter() - began
        say(f"export: {account}, {count:,} events in {seconds:.0f} s")
    shapes = [ours.in_use(redis, account, FIRST, LAST, ZONE, _AS_OF) for account in names]
    assert shapes[0] == shapes[1], "few and many do not use the same slots"
    for file_format in ("json", "xls"):
        pair = _medians(
            [
                partial(ours.export, redis, account, FIRST, LAST, ZONE, _AS_OF, file_format)
                for account in names
            ],
            51,
        )
        yield Row(
            "export", f"a month behind {many:,} events, {file_format}, in process",
            times(pair[1] / pair[0]), f"{pair[1]:,.1f} ms",
            f"goal 1.20 ×; {pair[0]:,.1f} ms behind {few:,} in the same slots",
        )  # fmt: skip


def _processes(url: str, repeats: int) -> Iterator[Row]:
    """Yield the rows of whole processes."""
    first, last = map(str, _OPEN_MONTH)
    month = ("--from", first, "--to", last, "--as-of", _AS_OF.isoformat(), "--tz", ZONE, "-o", "-",
             "--format")  # fmt: skip
    commands = [("export", "busy", *month, name) for name in ("json", "xls")]
    makes = [partial(_run, url, *words) for words in (*commands, ("--version",))]
    *taken, version, libraries = _medians([*makes, partial(_python, "-c", _LIBRARIES)], repeats)
    for file_format, milliseconds in zip(("json", "xls"), taken, strict=True):
        yield Row(
            "export", f"a busy open month, {file_format}, as a process",
            f"{milliseconds / _GOAL_PROCESS:.2f} of the goal", f"{milliseconds:,.0f} ms",
            f"goal {_GOAL_PROCESS} ms",
        )  # fmt: skip
        yield Row(
            "export", f"the same, {file_format}, to a Python that imports redis and orjson",
            times(milliseconds / libraries), f"{libraries:,.0f} ms",
            f"goal {_GOAL_PROCESS_TO_LIBRARIES:g} ×",
        )  # fmt: skip
    yield Row("export", "`usage --version` as a process", "", f"{version:,.0f} ms")


def _run(url: str, *arguments: str) -> None:
    _python("-m", "interaction_usage.commands.main", *arguments, USAGE_REDIS=url)


def _python(*arguments: str, **environment: str) -> None:
    subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _all(url: str, accounts: int, each: int, repeats: int) -> Iterator[Row]:
    """Yield the rows of every account's report at once."""
    ours.fill(url, month_of_many(accounts, each), "all/0")
    with Redis.from_url(url) as redis:
        ours.caught_up(redis)  # `--all` exits 1 where a report is incomplete
    for file_format in ("json", "xls"):
        with tempfile.TemporaryDirectory(prefix="usage-benchmark-") as folder:
            days = ("--from", str(FIRST), "--to", str(LAST))
            words = ("export", "--all", *days, "--format", file_format, "-d", folder)
            (taken,) = _medians([partial(_run, url, *words)], repeats)
            written = len(os.listdir(folder))
        rate = written / taken * 1000
        yield Row(
            "export", f"`--all`, {file_format}", f"{_GOAL_ALL / rate:.2f} of the goal",
            f"{rate:,.0f} accounts/s",
            f"goal {_GOAL_ALL} accounts/s; {written:,} accounts of about {each} events each; "
            f"{taken / 1000:.1f} s from the command's start to its end",
        )  # fmt: skip


def run(*, short: bool, few: int = PLACES, many: int = 10_000_000) -> list[Row]:
    """Run everything of this benchmark and return its rows; ratios are many events to few."""
    if short:
        many = min(many, 200_000)
    rows: list[Row] = []
    with redis_server() as server, Redis.from_url(server.url) as redis:
        say("export: filling a busy year")
        ours.live_through(server.url, busy_year(), "busy/0")
        say("export: a busy month and year, in process and as processes")
        rows += _busy(redis)
        rows += _processes(server.url, 7 if short else 15)
        rows += _few_and_many(server.url, redis, few, many)
    with redis_server() as server:
        say("export: every account at once")
        rows += _all(server.url, 2_000, *((50, 1) if short else (200, 3)))
    return rows


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer events")
    parser.add_argument("--few", type=int, default=PLACES, help="a multiple of 1,000")
    parser.add_argument("--many", type=int, default=10_000_000, help="a multiple of 1,000")
    arguments = parser.parse_args()
    print(markdown(run(short=arguments.short, few=arguments.few, many=arguments.many)))


if __name__ == "__main__":
    main()
