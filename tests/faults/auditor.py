"""Who makes reports while everything goes wrong, and holds them against what was published.

A report that is not incomplete is complete up to a second on the clock: it must have everything
that Kafka had acknowledged before that and that was never refused. A gap that is known makes every
report incomplete, and none says that more was refused than was.
"""

import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import NamedTuple

from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage.reports.errors import UnknownAccountError
from interaction_usage.reports.model import Report
from interaction_usage.reports.service import Detail, ReportRequest, make_report
from interaction_usage.store.errors import LayoutDiffersError
from interaction_usage.store.gaps import read_gaps
from rollups.completeness import Completeness, Status
from rollups.gaps import unaccepted
from tests.faults.publisher import Publisher

#: What is lost in a run may belong to each of these days; they have all ended.
_FIRST = date(2026, 9, 1)
_LAST = max(date(2026, 10, 31), datetime.now(UTC).date() - timedelta(days=2))
_AS_OF = datetime(_LAST.year, _LAST.month, _LAST.day, tzinfo=UTC) + timedelta(days=1)


#: Seconds for which what a killed worker locked may keep dead letters from being read, and some.
_LOCK_S = 90


class _Short(NamedTuple):
    """A report that has fewer flow runs than there were."""

    account: str
    runs: int
    published: frozenset[bytes]  #: before what it says it is complete to
    said: Completeness


class Auditor:
    """Makes reports in a thread of its own, of any account at any moment."""

    def __init__(self, redis_url: str, publisher: Publisher, seed: int) -> None:
        self._redis_url = redis_url
        self._redis = Redis.from_url(redis_url, socket_timeout=2.0)
        self._publisher, self._rng = publisher, random.Random(seed)
        self._runs: dict[bytes, str] = {}  # of flows: line to account
        self._thread, self._over = threading.Thread(target=self._run), threading.Event()
        self.statuses: Counter[str] = Counter()  #: or the reasons of those that are incomplete
        self._has_gaps = False  # whether a gap was ever known, since they were forgotten
        self._forgotten = 0  # how often they were
        self._short: list[_Short] = []
        self._most_refused: Counter[str] = Counter()
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

    def forget_gaps(self) -> None:
        """Expect no report to be incomplete because of gaps until one is known again.

        They are accepted, Kafka is new, or Redis lost its last writes, and with them everything
        that was counted, or not, since the gap was known.
        """
        self._forgotten += 1
        self._has_gaps = False

    def check(self, ever_refused: Collection[bytes]) -> None:
        """Fail where a report said more than it had, or goes on saying less."""
        for account, runs, published, said in self._short:
            if runs < (count := len(published.difference(ever_refused))):
                self._wrong.append(
                    f"{account}: {runs} flow runs, and {count} were published before "
                    f"{said.complete_to} and never refused; it said {said}"
                )
        assert not self._wrong, "\n".join(self._wrong)
        deadline = time.monotonic() + _LOCK_S
        while (said := self.report("account-0").completeness).status is Status.INCOMPLETE:
            assert time.monotonic() < deadline, said
            time.sleep(0.2)

    def check_refused(self, refused: Mapping[str, int]) -> None:
        """Fail unless reports say in the end how many events were refused, and never said more."""
        deadline = time.monotonic() + _LOCK_S
        for account, count in refused.items():
            assert self._most_refused[account] <= count, account
            while (said := self.report(account).completeness).refused != count:
                assert time.monotonic() < deadline, f"{account}: {count} were refused; {said}"
                time.sleep(0.2)

    def report(self, account: str) -> Report:
        """Return the report of *account* as it is now."""
        with Redis.from_url(self._redis_url) as redis:
            return _report(redis, account)

    def _run(self) -> None:
        while not self._over.wait(self._rng.uniform(0.05, 0.6)):
            account = f"account-{self._rng.randrange(8)}"
            with suppress(RedisError, OSError, UnknownAccountError, LayoutDiffersError):
                forgotten = self._forgotten
                has_gaps = bool(unaccepted(read_gaps(self._redis))) or self._has_gaps
                report = _report(self._redis, account)
                self._note(report.completeness)
                self._hold(account, report.counts.flow_runs_total, report.completeness)
                if forgotten != self._forgotten:
                    continue
                self._has_gaps = has_gaps
                if has_gaps and report.completeness.status is not Status.INCOMPLETE:
                    self._wrong.append(f"{account}: a gap is known; {report.completeness}")

    def _note(self, said: Completeness) -> None:
        reasons = said.reasons or (said.status.value,)
        self.statuses.update(re.sub(r"[\d,]+.*", "…", reason) for reason in reasons)

    def _hold(self, account: str, runs: int, said: Completeness) -> None:
        self._most_refused[account] = max(self._most_refused[account], said.refused)
        if said.status is Status.INCOMPLETE or said.complete_to is None:
            return
        published = frozenset(
            line
            for line in self._publisher.published_before(said.complete_to)
            if self._runs_of(line) == account
        )
        if runs < len(published):
            self._short.append(_Short(account, runs, published, said))

    def _runs_of(self, line: bytes) -> str:
        """Return the account of a flow run; empty for anything else."""
        if line not in self._runs:
            event = json.loads(line) if line.startswith(b"{") else {}
            is_run = event.get("type") == "usage.flow.run" and "flow" in event["data"]
            self._runs[line] = event["subject"] if is_run else ""
        return self._runs[line]


def _report(redis: Redis, account: str) -> Report:
    return make_report(redis, ReportRequest(account, _FIRST, _LAST, "UTC", _AS_OF), Detail.TOTALS)
