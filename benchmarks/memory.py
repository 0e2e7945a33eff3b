"""Memory: what Redis needs for what is remembered, and for a year.

    python -m benchmarks.memory [--short]

Accounts are filled with events through the worker's own writer, and `MEMORY USAGE` with all samples
is summed over the account's keys. The events of a year are published along the year they tell of,
and its days are sealed along it, as a worker does: at its end 330 days are sealed and the last 35
open. Prints the goal beside.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
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
from benchmarks.table import Row, markdown
from interaction_usage.servers.redis_server import redis_server

_YEAR = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
_DAY, _SLOT = 86_400, 900
_APPLICATIONS: tuple[Any, ...] = ("agent", "ticket-guidance", "mobile-web", "web-self-service")
_SERVICES: tuple[Any, ...] = ("call-now", "callback", "chat", "email")


def identities(count: int) -> Iterator[OffsetEvent]:
    """Yield clicks of one day: identities, and next to nothing else."""
    for offset in range(count):
        second = _YEAR + _DAY * offset // count
        event = Event("/memory", f"click-{offset}", "many-clicks", second * 1_000_000, _CLICK)
        yield OffsetEvent(offset, event)


_CLICK = AssistClicked("chat")


def sessions(count: int) -> Iterator[OffsetEvent]:
    """Yield starts and stops of sessions of 20 minutes in one day."""
    for number in range(count):
        begin = _YEAR + _DAY * number // count
        for place, (kind, second) in enumerate(
            ((SessionStarted, begin), (SessionStopped, begin + 1200))
        ):
            data: Any = kind(f"session-{number}", "agent")
            name = f"{number}/{place}"
            event = Event("/memory", name, "many-sessions", second * 1_000_000, data)
            yield OffsetEvent(2 * number + place, event)


def busy_year() -> Iterator[OffsetEvent]:
    """Yield sessions that move every curve in every slot of a year; levels of 0 to about 50.

    In each slot one to three sessions of each application begin, more by day than by night, and
    last from a minute to three hours.
    """
    rng = random.Random(1)
    answer: list[tuple[int, Any]] = []
    for slot in range(365 * 96):
        begin = _YEAR + slot * _SLOT
        by_day = 6 <= slot % 96 // 4 < 20
        for application in _APPLICATIONS:
            for number in range(rng.randint(2, 4) if by_day else 1):
                start = begin + rng.randrange(_SLOT)
                name = f"{slot}-{number}"
                stop = start + rng.randrange(60, 10_800)
                answer.append((start, SessionStarted(name, application)))
                answer.append((stop, SessionStopped(name, application)))
    answer.sort(key=lambda item: item[0])
    for offset, (second, data) in enumerate(answer):
        event = Event("/memory", str(offset), "busy", second * 1_000_000, data)
        yield OffsetEvent(offset, event)


def quiet_year() -> Iterator[OffsetEvent]:
    """Yield 20 events of mixed kinds a day, in working hours."""
    rng = random.Random(2)
    offset = 0
    for day in range(365):
        midnight = _YEAR + day * _DAY
        seconds = sorted(midnight + rng.randrange(8 * 3600, 18 * 3600) for _ in range(20))
        for number, second in enumerate(seconds):
            event = Event(
                "/memory", str(offset), "quiet", second * 1_000_000, _kind(rng, day, number)
            )
            yield OffsetEvent(offset, event)
            offset += 1


def _kind(rng: random.Random, day: int, number: int) -> Any:
    application = rng.choice(_APPLICATIONS)
    if number < 10:  # five sessions, one after the other
        kind = SessionStopped if number % 2 else SessionStarted
        return kind(f"{day}-{number // 2}", _APPLICATIONS[(day + number // 2) % 4])
    if number < 15:
        return FlowRun(f"flow {rng.randrange(10)}", application)
    if number < 17:
        return AssistClicked(rng.choice(_SERVICES))
    if number == 17:
        return CallMinutes(rng.randrange(1, 20_000))
    return SmsSent() if number == 18 else NumberPurchased("+33123456789")


def _bytes(
    account: str,
    placed: Iterator[OffsetEvent],
    put: Callable[[str, Iterator[OffsetEvent]], int] = ours.fill,
) -> tuple[dict[str, int], int]:
    """Return the bytes of an account's keys by kind after these events, and how many they were."""
    with redis_server() as server, Redis.from_url(server.url) as redis:
        began = time.perf_counter()
        count = put(server.url, placed)
        seconds = time.perf_counter() - began
        say(f"memory: {account}, {count:,} events in {seconds:.0f} s")
        return ours.memory(redis, account), count


def _each(kind: str, label: str, sizes: dict[str, int], count: int, goal: int) -> Row:
    each = sizes[kind] / count
    return Row(
        "memory", f"{label}, {count:,} in an account", f"{each / goal:.2f} of the goal",
        f"{each:.1f} B each", f"goal {goal} B",
    )  # fmt: skip


def _year(label: str, sizes: dict[str, int], count: int, goal: int) -> Row:
    """Return the row of a year: what stays for ever, and what is remembered for a while beside."""
    passing = sum(sizes.get(kind, 0) for kind in ours.PASSING)
    lasting = sum(sizes.values()) - passing
    by_kind = ", ".join(
        f"{kind or 'head'} {size / 1024:,.0f}"
        for kind, size in sorted(sizes.items(), key=lambda item: -item[1])
    )
    return Row(
        "memory", f"{label}, {count:,} events", f"{lasting / 1024 / goal:.2f} of the goal",
        f"{lasting / 1024:,.0f} KB",
        f"goal {goal} KB; beside it {passing / 1024:,.0f} KB that pass; KB by kind: {by_kind}",
    )  # fmt: skip


def run(*, short: bool) -> list[Row]:
    """Run everything of this benchmark and return its rows."""
    rows = []
    for count in (100_000,) if short else (100_000, 1_000_000):
        sizes, _ = _bytes("many-clicks", identities(count))
        rows.append(_each(ours.IDENTITIES, "remembered identity", sizes, count, 12))
    for count in (100_000,) if short else (100_000, 1_000_000):
        sizes, _ = _bytes("many-sessions", sessions(count))
        rows.append(_each(ours.SESSIONS, "remembered session", sizes, count, 60))
    rows.append(_year("a busy year", *_bytes("busy", busy_year(), ours.live_through), 400))
    rows.append(_year("a quiet year", *_bytes("quiet", quiet_year(), ours.live_through), 40))
    return rows


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="100,000 of each, not 1,000,000")
    print(markdown(run(short=parser.parse_args().short)))


if __name__ == "__main__":
    main()
