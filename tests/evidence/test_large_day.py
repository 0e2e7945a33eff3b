"""A random day of many events: every number of every account, against the rollups in Redis.

    make evidence

makes it a day of 1,000,000 events, as CI does.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest

from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.explanations.service import Explainer
from interaction_usage.reports.service import ReportBatch
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store.client import connect
from interaction_usage.store.writer import Writer
from rollups.fold import OffsetEvent
from tests.evidence.random_day import drawn, logs_of
from tests.store.redis_side import DAY

EVENTS = int(os.environ.get("EVIDENCE_EVENTS", "20000"))
SEED = int(os.environ.get("EVIDENCE_SEED", "15"))
ACCOUNTS = max(2, EVENTS // 10_000)
AS_OF = datetime(2026, 10, 4, tzinfo=UTC)
#: Events of one write, as a worker collects them.
BATCH = 20_000


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
    table = drawn(EVENTS, ACCOUNTS, SEED)
    logs = logs_of(table)

    @contextmanager
    def opened(*_: Any) -> Iterator[Callable[[Any], ArrowSource]]:
        yield lambda _ends: ArrowSource(table)

    with redis_server() as server:
        write(server.url, logs)
        with connect(server.url) as redis:
            explainer = Explainer(redis, opened)
            shown: list[tuple[float, str]] = []
            for zone in ("UTC", "Asia/Kathmandu"):
                batch = ReportBatch(date(2026, 10, 1), date(2026, 10, 2), zone, AS_OF)
                shown.clear()
                found = explainer.verify(
                    batch, None, lambda done, _, text: shown.append((done, text))
                )
                assert shown == sorted(shown, key=lambda each: each[0])
                assert shown[-1] == (ACCOUNTS, f"{ACCOUNTS} of {ACCOUNTS} accounts compared")
                assert found["differences"] == []
                assert found["agrees"]
                assert found["accounts"] == ACCOUNTS
                assert found["cells"] > 100 * ACCOUNTS
            assert sum(row["read"] for row in found["records"]) > 0.8 * EVENTS
