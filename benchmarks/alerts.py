"""Alerts: what evaluating 10,000 rules costs, and how soon a webhook is there.

    python -m benchmarks.alerts [--short] [--seconds S] [--only cost|delay]

The cost: 2,000 accounts with four weeks of usage and five rules each, over a real Redis; of some of
them something changes each second. It is the processor time of the thread that evaluates, as a
share of one core, at the interval of `usage alerts run`. Redis' own time is in the table.

The delay: Apache Kafka, a worker, `usage alerts run` and a receiver; sessions begin, each a change
of a rule of its own account, while another receiver never answers. It is from the acknowledgement
of the event by Kafka to the arrival of the webhook.

What it does is on stderr, the table on stdout.
"""

import argparse
import asyncio
import multiprocessing
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from redis.client import Redis

from benchmarks import alert_delay, ours
from benchmarks.progress import say
from benchmarks.table import Row, markdown
from interaction_usage.alerts import rules
from interaction_usage.alerts.evaluator import Looking
from interaction_usage.alerts.lease import Lease
from interaction_usage.alerts.process import INTERVAL_S
from interaction_usage.alerts.rules import Rule
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import keys
from interaction_usage.store.client import connect
from interaction_usage.store.ledger import Ledger, Table
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT
from rollups.events import Event, FlowRun, SessionStarted, SessionStopped
from rollups.fold import OffsetEvent

ACCOUNTS, RULES = 2_000, 5
_DAYS = 28
_CHANGING = (0, 100, 250, 500, 1_000)  #: accounts in which something changes, each second
_GOAL = 0.1


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


async def _writer(url: str) -> Writer:
    limits = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)
    writer = Writer.of(url, limits, timeout=30.0, clock=time.time)
    await writer.check_limits()
    await writer.prepare()
    return writer


async def _fill(url: str, now: int) -> None:
    writer = await _writer(url)
    batch: list[OffsetEvent] = []
    for event in history(now):
        batch.append(event)
        if len(batch) == 5_000:
            await writer.apply("usage.sessions/0", batch)
            batch = []
    await writer.apply("usage.sessions/0", batch)
    await writer.close()


async def _change(url: str, changing: int, seconds: int, runs: Any) -> None:
    """Have an event of so many accounts counted each second, some after the other."""
    rng, offset = random.Random(changing), 10**7 * (changing + 1)
    writer = await _writer(url)
    runs.set()
    began, steps = time.monotonic(), 4
    for step in range(seconds * steps):
        await asyncio.sleep(max(began + step / steps - time.monotonic(), 0))
        events = []
        for account in rng.sample(range(ACCOUNTS), changing // steps):
            events.append(_event(offset, account, int(time.time()), FlowRun("f", "agent")))
            offset += 1
        await writer.apply("usage.flows/0", events)
    runs.clear()
    await writer.close()
    if (late := time.monotonic() - began - seconds) > 1:
        say(f"alerts: the writer was {late:.0f} s late: less has changed each second")


def _change_in_process(url: str, changing: int, seconds: int, runs: Any) -> None:
    asyncio.run(_change(url, changing, seconds, runs))


def cost(seconds: int) -> list[Row]:
    """Return what evaluating costs, by how many accounts change each second."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as server:
        now = int(time.time())
        say(f"alerts: counting four weeks of {ACCOUNTS:,} accounts")
        asyncio.run(_fill(server.url, now))
        say("alerts: looking at all of them for the first time")
        with connect(server.url) as redis:
            ours.caught_up(redis)
            every = [rule for number in range(ACCOUNTS) for rule in of_account(number, now)]
            stored = {rule.id: rules.encode(rule) for rule in every}
            redis.hset(keys.ALERTS, mapping=cast(Any, stored))
            lease = Lease(redis, "benchmark")
            lease.take()
            looking = Looking(cast(Ledger, _NoKafka(redis)), lease)
            looking.begin()
            began = time.thread_time()
            looking.look()
            first, note = time.thread_time() - began, f"{len(every):,} rules"
            what = "the first look, at all of them"
            rows.append(Row("alerts", what, "", f"{first:.2f} s", note))
            for changing in _CHANGING:
                say(f"alerts: {changing} accounts change each second, for {seconds} s")
                rows.append(_at(server.url, redis, looking, lease, changing, seconds))
    return rows


def _at(url: str, redis: Any, looking: Looking, lease: Lease, changing: int, seconds: int) -> Row:
    context = multiprocessing.get_context("spawn")
    runs = context.Event()
    writing = context.Process(target=_change_in_process, args=(url, changing, seconds, runs))
    writing.start()
    runs.wait()
    evaluated = looking.evaluated
    before = redis.info("cpu")["used_cpu_user"] + redis.info("cpu")["used_cpu_sys"]
    began = time.monotonic()
    used, looks = 0.0, 0
    while runs.is_set():
        # Whatever else runs on this machine: it is the cost that is measured.
        redis.set(keys.ALERTS_LEASE, f"{lease.fence} {lease.name}")
        at, cpu = time.monotonic(), time.thread_time()
        looking.look()
        used += time.thread_time() - cpu
        looks += 1
        time.sleep(max(INTERVAL_S - (time.monotonic() - at), 0))
    took = time.monotonic() - began
    writing.join()
    after = redis.info("cpu")["used_cpu_user"] + redis.info("cpu")["used_cpu_sys"]
    core, redis_core = used / took, (after - before) / took
    count = (looking.evaluated - evaluated) / took
    return Row(
        "alerts",
        f"10,000 rules; {changing} of 2,000 accounts change each second",
        f"{core / _GOAL:.2f} of the goal",
        f"{core:.3f} of a core",
        f"goal {_GOAL:g}; {looks / took:.1f} looks and {count:,.0f} rules a second; "
        f"Redis {redis_core:.3f}, with writes",
    )


def run(*, short: bool, seconds: int = 20, only: str | None = None) -> list[Row]:
    """Run the cost and the delay, or *only* one of them, and return the rows."""
    rows = []
    if only != "delay":
        rows += cost(5 if short else seconds)
    if only != "cost":
        rows += alert_delay.measure(100 if short else 1_200)
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
