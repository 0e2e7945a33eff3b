"""A random day of many events: every number of every account, against the rollups in Redis.

    make evidence

makes it a day of 1,000,000 events.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.explanations.service import Explainer
from interaction_usage.reports.service import ReportBatch
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store.client import connect
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS
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
from rollups.timestamps import SECOND
from tests.evidence.rows import of_events
from tests.store.redis_side import DAY

EVENTS = int(os.environ.get("EVIDENCE_EVENTS", "20000"))
ACCOUNTS = [f"account-{number}" for number in range(max(2, EVENTS // 10_000))]
MIDNIGHT = 1_790_812_800  # 2026-10-01T00:00:00Z
AS_OF = datetime(2026, 10, 4, tzinfo=UTC)
#: Events of one write, as a worker collects them.
BATCH = 20_000


def events(seed: int) -> Iterator[Event]:
    """Yield random events of one day; some twice, some sessions without a start or a stop."""
    rng = Random(seed)
    sessions: list[tuple[str, str, str]] = []
    for number in range(EVENTS):
        account = rng.choice(ACCOUNTS)
        micros = (MIDNIGHT + rng.randrange(86_400)) * SECOND + rng.choice((0, 0, 500_000, 1))
        kind = rng.random()
        data: Any
        if kind < 0.3 or (kind < 0.6 and not sessions):
            application, name = rng.choice(APPLICATIONS), f"s-{number}"
            sessions.append((account, application, name))
            data = SessionStarted(name, application)
        elif kind < 0.58:
            account, application, name = sessions.pop(rng.randrange(len(sessions)))
            data = SessionStopped(name, application)
        elif kind < 0.8:
            outcome = rng.choice(("completed", "completed", "abandoned"))
            data = FlowRun(f"flow-{rng.randrange(20)}", rng.choice(APPLICATIONS), outcome)
        elif kind < 0.9:
            data = AssistClicked(rng.choice(("call-now", "callback", "chat", "email")))
        elif kind < 0.94:
            data = CallMinutes(rng.randrange(1, 60_000))
        elif kind < 0.98:
            data = SmsSent(rng.random() < 0.8)
        else:
            data = NumberPurchased("+4930123")
        event = Event("random", str(number), account, micros, data)
        yield event
        if rng.random() < 0.02:
            yield event


def published(seed: int) -> list[Event]:
    """Return the events as they arrive: by their time, but some at any other moment of the day."""
    rng = Random(seed)
    late = (MIDNIGHT * SECOND, (MIDNIGHT + 86_400) * SECOND)
    return sorted(
        events(seed),
        key=lambda event: event.time if rng.random() < 0.98 else rng.randrange(*late),
    )


def write(url: str, logs: dict[str, list[OffsetEvent]]) -> None:
    """Apply the logs, topic by topic."""

    async def run() -> None:
        writer = Writer.of(url, DAY, timeout=60.0, clock=time.time)
        try:
            await writer.prepare()
            for name, log in logs.items():
                for begin in range(0, len(log), BATCH):
                    await writer.apply(name, log[begin : begin + BATCH])
        finally:
            await writer.close()

    asyncio.run(run())


@pytest.mark.servers
@pytest.mark.timeout(3600)  # of a machine with much else to do
def test_every_number_of_a_random_day_agrees() -> None:
    """In the zones of the accounts, or one that cuts the day: cell by cell, and every record."""
    logs: dict[str, list[OffsetEvent]] = defaultdict(list)
    for event in published(15):
        log = logs[f"usage.any/{event.account[-1]}"]
        log.append(OffsetEvent(len(log), event))
    table: pa.Table = of_events(logs)

    @contextmanager
    def opened(*_: Any) -> Iterator[Callable[[Any], ArrowSource]]:
        yield lambda _ends: ArrowSource(table)

    with redis_server() as server:
        write(server.url, logs)
        with connect(server.url) as redis:
            explainer = Explainer(redis, opened)
            for zone in ("UTC", "Asia/Kathmandu"):
                batch = ReportBatch(date(2026, 10, 1), date(2026, 10, 2), zone, AS_OF)
                found = explainer.verify(batch)
                assert found["differences"] == []
                assert found["agrees"]
                assert found["accounts"] == len(ACCOUNTS)
                assert found["cells"] > 100 * len(ACCOUNTS)
            assert sum(row["read"] for row in found["records"]) > 0.8 * EVENTS
