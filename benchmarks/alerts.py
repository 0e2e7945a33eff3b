"""Alerts: what evaluating 10,000 rules costs, and how soon a webhook is there.

    python -m benchmarks.alerts [--short] [--seconds S]

The cost: 2,000 accounts with four weeks of usage and five rules each, over a real Redis; of some of
them something changes each second. It is the processor time of the thread that evaluates, as a
share of one core, at the interval of `usage alerts run`. Redis' own time is in the table.

The delay: Apache Kafka, a worker, `usage alerts run` and a receiver; sessions begin and end, each a
change of a rule of its own account. It is from the acknowledgement of the event by Kafka to the
arrival of the webhook.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from redis.client import Redis

from benchmarks import alert_delay
from benchmarks.progress import say
from benchmarks.table import Row, markdown
from interaction_usage.alerts import rules
from interaction_usage.alerts.evaluator import Looking
from interaction_usage.alerts.process import INTERVAL_S
from interaction_usage.alerts.rules import Rule
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import alert_table, keys
from interaction_usage.store.client import connect
from interaction_usage.store.ledger import Ledger, Table
from interaction_usage.store.progress import encoded
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT
from rollups.completeness import Progress
from rollups.events import Event, FlowRun, SessionStarted, SessionStopped
from rollups.fold import OffsetEvent

ACCOUNTS, RULES = 2_000, 5
_DAYS = 28
_CHANGING = (0, 100, 500)  #: accounts in which something changes, each second
_GOAL = 0.1
_AHEAD_S = 10**8


class _NoKafka:
    """A ledger whose topic is Redis: states are written at once."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def sync(self, table: Table) -> str:
        table.begin(self.redis, "t/0")
        return "t/0"

    def publish(self, table: Table, records: Sequence[tuple[str, bytes]]) -> None:
        self.redis.hset(keys.ALERTS, mapping=cast(Any, dict(records)))

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


def _name(account: int) -> str:
    return f"account-{account:05}"


def history(now: int) -> Iterator[OffsetEvent]:
    """Yield four weeks of each account: sessions and flow runs on every day."""
    offset = 0
    for account in range(ACCOUNTS):
        for day in range(_DAYS):
            second = now - day * 86_400 - account % 3_600 - 60
            data: list[Any] = [SessionStarted(f"s{day}", "agent"), FlowRun("f", "agent")]
            for number, one in enumerate(data):
                yield _event(offset, account, second + number, one)
                offset += 1
            yield _event(offset, account, second + 30, SessionStopped(f"s{day}", "agent"))
            offset += 1


def _event(offset: int, account: int, second: int, data: Any) -> OffsetEvent:
    return OffsetEvent(offset, Event("b", f"e{offset}", _name(account), second * 1_000_000, data))


def of_account(account: int, now: int) -> list[Rule]:
    """Return five rules of kinds that cost most, none of which is over."""
    said: dict[str, Any] = {
        "account": _name(account), "to": "https://example.com/", "created": now - 86_400
    }  # fmt: skip
    return [
        Rule(**said, kind="level", target="agent-sessions", threshold=1_000),
        Rule(**said, kind="level", target="agent", threshold=1_000, minutes=10),
        Rule(**said, kind="maximum", target="agent-sessions", threshold=1_000),
        Rule(**said, kind="counter", target="runs", threshold=10_000, percent=80),
        Rule(**said, kind="silence", threshold=1, minutes=1_440),
    ]


async def _fill(url: str, now: int) -> Writer:
    limits = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)
    writer = Writer.of(url, limits, timeout=30.0, clock=time.time)
    await writer.check_limits()
    await writer.prepare()
    batch: list[OffsetEvent] = []
    for event in history(now):
        batch.append(event)
        if len(batch) == 5_000:
            await writer.apply("usage.sessions/0", batch)
            batch = []
    await writer.apply("usage.sessions/0", batch)
    return writer


async def cost(seconds: int) -> list[Row]:
    """Return what evaluating costs, by how many accounts change each second."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as server:
        now = int(time.time())
        say(f"alerts: filling four weeks of {ACCOUNTS:,} accounts")
        writer = await _fill(server.url, now)
        with connect(server.url) as redis:
            progress = Progress(now + _AHEAD_S, now + _AHEAD_S, {}, 0)
            redis.set(keys.PROGRESS, encoded(progress))
            redis.set(keys.REFUSED_READ, "1")
            every = [rule for number in range(ACCOUNTS) for rule in of_account(number, now)]
            stored = {rule.id: rules.encode(rule) for rule in every}
            redis.hset(keys.ALERTS, mapping=cast(Any, stored))
            fence = alert_table.take_lease(redis, "benchmark")
            looking = Looking(cast(Ledger, _NoKafka(redis)), "benchmark", fence)
            looking.begin()
            say(f"alerts: the first look at {len(every):,} rules")
            began = time.thread_time()
            looking.look()
            first = time.thread_time() - began
            rows.append(
                Row(
                    "alerts",
                    "the first look, at all of them",
                    "",
                    f"{first:.2f} s",
                    f"{len(every):,} rules",
                )
            )
            for changing in _CHANGING:
                say(f"alerts: {changing} accounts change each second, for {seconds} s")
                rows.append(await _at(writer, redis, looking, fence, changing, seconds))
        await writer.close()
    return rows


async def _at(
    writer: Writer, redis: Any, looking: Looking, fence: int, changing: int, seconds: int
) -> Row:
    rng, offset = random.Random(changing), [10**7 * (changing + 1)]
    used, looks = [0.0], [0]

    def look() -> None:
        # Whatever else runs on this machine: it is the cost that is measured.
        redis.set(keys.ALERTS_LEASE, f"{fence} benchmark")
        began = time.thread_time()
        looking.look()
        used[0] += time.thread_time() - began
        looks[0] += 1

    async def change() -> None:
        events = []
        for account in rng.sample(range(ACCOUNTS), changing):
            events.append(_event(offset[0], account, int(time.time()), FlowRun("f", "agent")))
            offset[0] += 1
        if events:
            await writer.apply("usage.flows/0", events)

    before = redis.info("cpu")["used_cpu_user"] + redis.info("cpu")["used_cpu_sys"]
    began = time.monotonic()
    for second in range(seconds):
        await change()
        while time.monotonic() - began < second + 1:
            at = time.monotonic()
            await asyncio.to_thread(look)
            await asyncio.sleep(max(INTERVAL_S - (time.monotonic() - at), 0))
    took = time.monotonic() - began
    after = redis.info("cpu")["used_cpu_user"] + redis.info("cpu")["used_cpu_sys"]
    core = used[0] / took
    redis_core = (after - before) / took
    return Row(
        "alerts",
        f"10,000 rules; {changing} of 2,000 accounts change each second",
        f"{core / _GOAL:.2f} of the goal",
        f"{core:.3f} of a core",
        f"goal {_GOAL:g}; {looks[0]} looks in {took:.0f} s; Redis {redis_core:.3f}, with writes",
    )


def run(*, short: bool, seconds: int = 20, only: str | None = None) -> list[Row]:
    """Run the cost and the delay, or *only* one of them, and return the rows."""
    rows = []
    if only != "delay":
        rows += asyncio.run(cost(5 if short else seconds))
    if only != "cost":
        rows += alert_delay.measure(10 if short else 60)
    return rows


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--only", choices=("cost", "delay"))
    print(markdown(run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
