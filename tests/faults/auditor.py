"""Who makes reports while everything goes wrong, and holds them against what was published.

A report that is provisional is complete up to a second on the clock: it must have everything that
Kafka had acknowledged before that.
"""

import json
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime
from types import TracebackType

from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage.reports.errors import UnknownAccountError
from interaction_usage.reports.model import Report
from interaction_usage.reports.service import Detail, ReportRequest, make_report
from rollups.completeness import Completeness, Status
from tests.faults.publisher import Publisher

_FIRST, _LAST = date(2026, 9, 1), date(2026, 10, 31)
_AS_OF = datetime(2026, 11, 1, tzinfo=UTC)


class Auditor:
    """Makes reports in a thread of its own, of any account at any moment."""

    def __init__(self, redis_url: str, publisher: Publisher, seed: int) -> None:
        self._redis_url = redis_url
        self._redis = Redis.from_url(redis_url, socket_timeout=2.0)
        self._publisher, self._rng = publisher, random.Random(seed)
        self._runs: dict[bytes, str] = {}  # of flows: line to account
        self._thread, self._over = threading.Thread(target=self._run), threading.Event()
        self.statuses: Counter[str] = Counter()
        self._wrong: list[str] = []

    def __enter__(self) -> "Auditor":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._redis.close()

    def check(self) -> None:
        """Fail where a report said more than it had, or goes on saying less."""
        assert not self._wrong, "\n".join(self._wrong)
        deadline = time.monotonic() + 20
        with Redis.from_url(self._redis_url) as redis:
            while (said := _report(redis, "account-0").completeness).status is Status.INCOMPLETE:
                assert time.monotonic() < deadline, said
                time.sleep(0.2)

    def _run(self) -> None:
        while not self._over.wait(self._rng.uniform(0.05, 0.6)):
            account = f"account-{self._rng.randrange(8)}"
            with suppress(RedisError, OSError, UnknownAccountError):
                report = _report(self._redis, account)
                self.statuses[report.completeness.status.value] += 1
                self._hold(account, report.counts.flow_runs_total, report.completeness)

    def _hold(self, account: str, runs: int, said: Completeness) -> None:
        if said.status is Status.INCOMPLETE or said.complete_to is None:
            return
        published = sum(
            self._runs_of(line) == account
            for line in self._publisher.published_before(said.complete_to)
        )
        if runs < published:
            self._wrong.append(
                f"{account}: {runs} flow runs, and {published} were published before "
                f"{said.complete_to}; it said {said}"
            )

    def _runs_of(self, line: bytes) -> str:
        """Return the account of a flow run; empty for anything else."""
        if line not in self._runs:
            event = json.loads(line) if line.startswith(b"{") else {}
            is_run = event.get("type") == "usage.flow.run"
            self._runs[line] = event["subject"] if is_run else ""
        return self._runs[line]


def _report(redis: Redis, account: str) -> Report:
    return make_report(redis, ReportRequest(account, _FIRST, _LAST, "UTC", _AS_OF), Detail.TOTALS)
