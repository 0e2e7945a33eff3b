"""All that the benchmarks use of the project's insides, in one place."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from itertools import groupby, islice
from typing import Any, cast

import orjson
from redis.client import Redis

from benchmarks.tally import Tally
from interaction_usage.commands.rendering import detail_of, render
from interaction_usage.reports.build import period
from interaction_usage.reports.service import ReportRequest, build_report, take_reading
from interaction_usage.store import keys
from interaction_usage.store.progress import encoded
from interaction_usage.store.reads import Rollups
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT, STARTED
from rollups.completeness import Progress
from rollups.events import (
    AssistClicked,
    CallMinutes,
    Event,
    FlowRun,
    NumberPurchased,
    SessionStarted,
    SessionStopped,
    SmsSent,
)
from rollups.fold import OffsetEvent
from rollups.slots import first_slot_of
from rollups.timestamps import DAY_SECONDS, SECOND
from stream_app.broker import ensure_topics, spans
from stream_app.topics import EVENT_TOPICS

__all__ = [
    "EVENT_TOPICS",
    "AssistClicked",
    "CallMinutes",
    "Event",
    "FlowRun",
    "NumberPurchased",
    "OffsetEvent",
    "SessionStarted",
    "SessionStopped",
    "SmsSent",
    "ensure_topics",
]

#: The command that runs a worker.
WORKER = [sys.executable, "-m", "interaction_usage.commands.main", "worker"]
#: The command that sends files of events.
SEND = [sys.executable, "-m", "interaction_usage.commands.main", "send"]
#: The consumer group of the workers.
GROUP = "usage"

#: The kinds of keys (the character behind the account) of identities, sessions and open days.
IDENTITIES, SESSIONS, _OPEN_DAYS = "i", "z", "d"
#: The kinds of keys that are needed for a while only: identities, sessions, deltas, what is due.
PASSING = ("i", "z", "x", "q")

_EPOCH = date(1970, 1, 1).toordinal()
_BATCH = 5_000
#: Seconds by which what is counted is ahead of the clock, so that it stays ahead.
_AHEAD_S = 10**8


def environment(kafka: str, url: str) -> dict[str, str]:
    """Return what a worker must be reported."""
    return {"USAGE_KAFKA": kafka, "USAGE_REDIS": url, "USAGE_GROUP": GROUP}


def ends_of_topics(kafka: str) -> list[int]:
    """Return the offsets at which the partitions of the event topics end, transactions counted."""
    return [span.end for span in spans(kafka, EVENT_TOPICS).values()]


def taken(redis: Redis) -> int:
    """Return the sum of the offsets before which everything is in the rollups."""
    return sum(at.offset for at in Rollups.live(redis).positions().values())


def tally(redis: Redis) -> Tally:
    """Return the totals per account, UTC day and metric that the rollups hold."""
    found: Tally = Counter()
    days: set[tuple[str, int]] = set()
    for key in redis.scan_iter(f"{keys.FIRST.name}:{{*", count=10_000):
        account, _, rest = key.decode().removeprefix(f"{keys.FIRST.name}:{{").partition("}")
        kind, _, number = rest.removeprefix(":").partition(":")
        if kind == _OPEN_DAYS:
            days.add((account, int(number)))
    for account, day in days:
        slots = first_slot_of(day), first_slot_of(day + 1)
        for metric, amount in Rollups.live(redis).read(account, *slots).totals.items():
            if metric in STARTED.values():
                found[account, _day_name(day), "sessions"] += amount
            elif not metric.startswith(("outcome.", "unstopped.")):
                found[account, _day_name(day), metric] = amount
    return found


def _day_name(day: int) -> str:
    return date.fromordinal(_EPOCH + day).isoformat()


def _literal(text: str) -> str:
    return "".join(f"\\{each}" if each in "[]*?\\^" else each for each in text)


@asynccontextmanager
async def _writing(url: str) -> AsyncIterator[Writer]:
    writer = Writer.of(
        url, dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT), timeout=30.0, clock=time.time
    )
    try:
        await writer.prepare()
        yield writer
    finally:
        await writer.close()


def fill(url: str, placed: Iterable[OffsetEvent], topic: str = "b/0") -> int:
    """Put events into the rollups without Kafka, in batches; return how many there were."""
    return asyncio.run(_fill(url, iter(placed), topic))


async def _fill(url: str, placed: Iterator[OffsetEvent], topic: str) -> int:
    count = 0
    async with _writing(url) as writer:
        while batch := list(islice(placed, _BATCH)):
            await writer.apply(topic, batch)
            count += len(batch)
    return count


def live_through(url: str, placed: Iterable[OffsetEvent], topic: str = "b/0") -> int:
    """Put events of one account into the rollups as they come, and seal what is due meanwhile.

    The writer's clock goes with the events; days are sealed once in a week of it, and at the end.
    Returns how many events there were.
    """
    return asyncio.run(_live_through(url, iter(placed), topic))


async def _live_through(url: str, placed: Iterator[OffsetEvent], topic: str) -> int:
    count = now = swept = 0
    account = ""
    async with _writing(url) as writer:
        writer.clock = lambda: now
        for day, of_day in groupby(placed, lambda item: item.event.time // SECOND // DAY_SECONDS):
            now = (day + 1) * DAY_SECONDS
            batch = list(of_day)
            await writer.apply(topic, batch)
            count += len(batch)
            account = batch[-1].event.account
            if now >= swept + 7 * DAY_SECONDS:
                swept = now
                await writer.seal([account], now)
        if count:
            await writer.seal([account], now)
    return count


def caught_up(redis: Redis) -> None:
    """Have it be known that everything is counted, where no worker runs that would say so."""
    now = int(time.time()) + _AHEAD_S
    redis.set(keys.PROGRESS, encoded(Progress(now, now, {}, 0)))
    redis.set(keys.REFUSED_READ, "1")


def export(
    redis: Redis, account: str, first: date, last: date, tz: str, as_of: datetime, file_format: str
) -> bytes:
    """Return the bytes that `usage export` writes, made by the same functions."""
    *_, content = export_in_steps(redis, account, first, last, tz, as_of, file_format)
    return cast(bytes, content)


def export_in_steps(
    redis: Redis, account: str, first: date, last: date, tz: str, as_of: datetime, file_format: str
) -> Iterator[object]:
    """Yield what there is after each step to the same: what was read, the report, the bytes."""
    request, detail = ReportRequest(account, first, last, tz, as_of), detail_of(file_format)
    reading = take_reading(redis, request, detail)
    yield reading
    report = build_report(request, reading, detail)
    yield report
    yield render(report, file_format)


def in_use(redis: Redis, account: str, first: date, last: date, tz: str, as_of: datetime) -> object:
    """Return which metric, curve and flow of *account* has something in which slot of some days."""
    within = period(first, last, tz, as_of)
    reading = Rollups.live(redis).read(account, *within.slots, by_slot=True, flows=True)
    return (
        {metric: list(map(bool, amounts)) for metric, amounts in reading.by_slot.items()},
        {
            series: [list(map(bool, part)) for part in entry]
            for series, entry in reading.curves.items()
        },
        set(reading.flows),
    )


def decoded(report_bytes: bytes) -> dict[str, Any]:
    """Return the members of a report that every peer must give, too."""
    document = orjson.loads(report_bytes)
    return {
        name: document[name] for name in ("flow_runs", "concurrency", "assistance", "dnis", "sms")
    }


def level(redis: Redis, account: str, application: str, second: int) -> int:
    """Return how many sessions of *application* are present at *second*."""
    return Rollups.live(redis).levels(account, second)[application]


def memory(redis: Redis, account: str) -> dict[str, int]:
    """Return the bytes of an account's keys by kind of key: the character behind the account."""
    head = keys.FIRST.head(account)
    names = [head.encode(), *redis.scan_iter(f"{_literal(head)}:*", count=10_000)]
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.memory_usage(name, samples=0)
    sums: dict[str, int] = {}
    for name, size in zip(names, pipe.execute(), strict=True):
        kind = name.decode()[len(head) + 1 :].partition(":")[0]
        sums[kind] = sums.get(kind, 0) + (size or 0)
    return sums
