"""How long one call of a script keeps Redis' one thread busy, whatever an account has.

    python -m benchmarks.script_bounds [--short]

One account is given 10,000 days, 150,000 flows and 1,000,000 sessions (--short: a tenth of the
sessions), in order and at random, and then all of it is sealed and forgotten. Each call is sent
alone, and its time is what the processor spent in Redis' main thread meanwhile.
"""

import argparse
import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.table import Row, markdown
from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT
from rollups.events import Data, Event, FlowRun, SessionStarted, SessionStopped, SmsSent
from rollups.fold import SEALED_AFTER, OffsetEvent

LIMITS = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)
#: Events that are handed over at a time.
_BATCH = 5_000
_DAY = 86_400
_NOON = 1_791_201_600  # 2026-10-05T12:00:00Z

_Timeline = Iterator[tuple[int, Data]]


def days_in_order() -> _Timeline:
    """Yield a message a day."""
    for day in range(10_000):
        yield day * _DAY, SmsSent()


def days_at_random(rng: random.Random) -> _Timeline:
    """Yield messages of any of these days."""
    for _ in range(20_000):
        yield rng.randrange(10_000) * _DAY + 1, SmsSent()


def flows() -> _Timeline:
    """Yield runs of many flows in one day."""
    for number in range(150_000):
        yield _NOON + number % _DAY, FlowRun(f"flow {number}", "agent")


def sessions(count: int) -> _Timeline:
    """Yield sessions that begin in one day."""
    for number in range(count):
        yield _NOON + _DAY * number // count, SessionStarted(f"s{number}", "agent")


def sessions_at_random(count: int, rng: random.Random) -> _Timeline:
    """Yield stops of these, and other sessions, in that day and those after it."""
    for number in range(20_000):
        yield _NOON + rng.randrange(3 * _DAY), SessionStarted(f"x{number}", "agent")
        yield _NOON + rng.randrange(3 * _DAY), SessionStopped(f"s{rng.randrange(count)}", "agent")


class Watched:
    """Sends the calls of a writer one by one, and notes what each costs Redis."""

    def __init__(self, writer: Writer, server: RedisServer) -> None:
        [node] = writer.nodes.all
        self._whole, self._server = node.run, server
        self.spent: dict[str, list[float]] = defaultdict(list)  #: milliseconds, by script
        node.run = self._run  # type: ignore[method-assign]

    async def _run(self, connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
        answers = []
        for call in calls:
            before = self._used()
            answers += await self._whole(connection, script, call, **more)
            self.spent[script].append((self._used() - before) / 1e6)
        return answers

    def _used(self) -> int:
        """Return the nanoseconds that Redis' main thread has run so far."""
        pid = self._server.pid
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


async def measure(server: RedisServer, count: int) -> list[Row]:
    """Return how long the calls of each step took."""
    rng = random.Random(1)
    steps: Sequence[tuple[str, _Timeline]] = (
        ("a message on each of 10,000 days", days_in_order()),
        ("messages on any of them", days_at_random(rng)),
        ("150,000 flows in a day", flows()),
        (f"{count:,} sessions in a day", sessions(count)),
        ("sessions and stops at random", sessions_at_random(count, rng)),
    )
    writer = Writer.of(server.url, LIMITS, 60.0, clock=time.time)
    await writer.prepare()
    watched = Watched(writer, server)
    rows: list[Row] = []
    offset = 0
    for name, answer in steps:
        placed = []
        for second, data in answer:
            placed.append(
                OffsetEvent(offset, Event("b", str(offset), "one", second * 1_000_000, data))
            )
            offset += 1
        for at in range(0, len(placed), _BATCH):
            await writer.apply("b/0", placed[at : at + _BATCH])
        rows += _rows(name, watched)
    await writer.seal(["one"], int(time.time()) + SEALED_AFTER + 1)
    rows += _rows("all of it sealed and forgotten", watched)
    await writer.close()
    return rows


def _rows(name: str, watched: Watched) -> Iterator[Row]:
    for script, spent in sorted(watched.spent.items()):
        spent.sort()
        most, few = spent[-1], spent[len(spent) * 99 // 100]
        measured = f"{most:.1f} ms at most, {few:.1f} ms at the 99th percentile"
        yield Row("script bounds", f"{name}: {script}.lua", "", measured, f"{len(spent):,} calls")
    watched.spent.clear()


def run(*, short: bool) -> list[Row]:
    """Run everything of this benchmark and return its rows."""
    with redis_server() as server:
        return asyncio.run(measure(server, 100_000 if short else 1_000_000))


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="100,000 sessions, not 1,000,000")
    print(markdown(run(short=parser.parse_args().short)))


if __name__ == "__main__":
    main()
