"""Growth: what an event of one account costs while a million sessions of one day pile up.

    python -m benchmarks.growth [--short]

Starts and stops of sessions of one account and day go through the worker's writer into an empty
Redis, once in the order of their times and once in random order. Processor time of an event, this
process and Redis, in the first and in the last tenth. In random order every part of 2,500 events
touches every slot of the day, and the slots fill up: to the 900 seconds they have, and no further.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

from redis.asyncio import Redis as AsyncRedis

from benchmarks.ours import Event, OffsetEvent, SessionStarted, SessionStopped
from benchmarks.progress import say
from benchmarks.stage import cpu_of
from benchmarks.table import Row, markdown, times
from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT

_BATCH = 5_000
_DAY = 86_400
_MIDNIGHT = 20_000 * _DAY


def sessions(count: int, *, shuffled: bool) -> Iterator[list[OffsetEvent]]:
    """Yield batches of the starts and stops of *count* sessions, spread over one day."""
    rng = random.Random(4)
    answer: list[tuple[int, Any]] = []
    for number in range(count):
        start = _MIDNIGHT + rng.randrange(_DAY - 3_600)
        application: Any = APPLICATIONS[number % 4]
        answer.append((start, SessionStarted(f"s{number}", application)))
        answer.append((start + rng.randrange(3_600), SessionStopped(f"s{number}", application)))
    if shuffled:
        rng.shuffle(answer)
    else:
        answer.sort(key=lambda item: item[0])
    for at in range(0, len(answer), _BATCH):
        yield [
            OffsetEvent(at + i, Event("/growth", str(at + i), "hot", second * 1_000_000, data))
            for i, (second, data) in enumerate(answer[at : at + _BATCH])
        ]


async def measure(server: RedisServer, count: int, *, shuffled: bool) -> list[float]:
    """Return the microseconds of processor time of an event, batch after batch."""
    costs = []
    async with AsyncRedis.from_url(server.url) as redis:
        writer = Writer(redis, dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT), clock=time.time)
        await writer.prepare()
        for batch in sessions(count, shuffled=shuffled):
            began, before = time.process_time(), cpu_of(server.pid)
            await writer.apply("growth/0", batch)
            spent = time.process_time() - began + cpu_of(server.pid) - before
            costs.append(spent / len(batch) * 1e6)
    return costs


def run(*, short: bool) -> list[Row]:
    """Run everything of this benchmark and return its rows."""
    count = 200_000 if short else 1_000_000
    rows = []
    for shuffled, order in ((False, "in order"), (True, "in random order")):
        say(f"growth: {count:,} sessions {order}")
        with redis_server() as server:
            costs = asyncio.run(measure(server, count, shuffled=shuffled))
        tenth = len(costs) // 10
        first, last = (sum(some) / len(some) for some in (costs[:tenth], costs[-tenth:]))
        rows.append(
            Row(
                "growth", f"an event among the last tenth, {order}", times(last / first),
                f"{last:.1f} µs", f"{first:.1f} µs in the first tenth; {count:,} sessions",
            )
        )  # fmt: skip
    return rows


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="200,000 sessions, not 1,000,000")
    print(markdown(run(short=parser.parse_args().short)))


if __name__ == "__main__":
    main()
