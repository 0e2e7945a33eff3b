"""What is new of each account, for their list: when something was last counted, and how much.

A thread keeps it while the list is looked at: it asks every account when it was last changed, and
reads the usage again of those that were. The numbers are those of the report of the month so far.
They may be some seconds old: a list is sorted by them, and no bill is made of them.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage.reports.service import Detail, ReportBatch, make_reports
from interaction_usage.store.activity import last_counted
from interaction_usage.store.errors import LayoutDiffersError, StoreError
from interaction_usage.store.reads import Rollups

log = logging.getLogger(__name__)

#: Accounts that are asked in one go, and the part of a core that asking again may take.
_AT_ONCE: Final = 200
_MOST_LOAD: Final = 0.1
#: Seconds that the clocks of workers may differ: what changed so shortly before is read once more.
_MARGIN_S: Final = 10
#: Seconds between two looks at least, and after the last request for which there are any.
_INTERVAL_S: Final = 5.0
_IDLE_S: Final = 60.0


class Usage(NamedTuple):
    """What is known of an account."""

    last_counted: int | None  #: second; None: no day of it is open
    flow_runs: int | None  #: of its month so far; None: not known


class _Known(NamedTuple):
    usage: Usage
    namespace: str
    month: date
    read_at: int  #: second

    def is_current(self, namespace: str, month: date, last: int | None) -> bool:
        """Tell whether nothing was counted since it was read, as far as seconds tell."""
        return (
            (self.namespace, self.month, self.usage.last_counted) == (namespace, month, last)
            and (last is None or last < self.read_at - _MARGIN_S)
        )  # fmt: skip


class Activity:
    """Knows what is new of all accounts, while somebody asks."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: dict[str, _Known] = {}
        self._asked_at = 0.0
        self._wake, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="activity")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._wake.set()
        self._thread.join()

    def of(self, accounts: Sequence[str]) -> list[Usage | None]:
        """Return what is known of each of *accounts*; None where it was not looked at yet."""
        now = time.monotonic()
        if now - self._asked_at > _IDLE_S:
            self._wake.set()
        self._asked_at = now
        return [known.usage if (known := self._known.get(each)) else None for each in accounts]

    def everything(self) -> Mapping[str, Usage]:
        """Return what is known of all accounts."""
        return {account: known.usage for account, known in list(self._known.items())}

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            if began - self._asked_at < _IDLE_S and self._asked_at:
                try:
                    self.look()
                except (RedisError, OSError, StoreError, LayoutDiffersError):
                    pass  # whoever asks for the list asks Redis too, and says it
                except Exception:
                    log.exception("The activity of accounts could not be read")
                self._wake.clear()
                self._wake.wait(_INTERVAL_S)
            else:
                self._wake.wait()
                self._wake.clear()

    def look(self) -> None:
        """Ask every account once; the first time without a rest."""
        rollups = Rollups.live(self._redis)
        accounts = rollups.accounts()
        for begin in range(0, len(accounts), _AT_ONCE):
            if self._over.is_set():
                return
            started = time.thread_time()
            some = accounts[begin : begin + _AT_ONCE]
            is_first = any(each not in self._known for each in some)
            self._look_at(rollups, some)
            if not is_first:
                self._over.wait((time.thread_time() - started) / _MOST_LOAD)

    def _look_at(self, rollups: Rollups, accounts: Sequence[str]) -> None:
        now = datetime.now(UTC)
        month = now.date().replace(day=1)
        seconds = dict(zip(accounts, last_counted(rollups, accounts), strict=True))
        new = [
            each
            for each in accounts
            if (known := self._known.get(each)) is None
            or not known.is_current(rollups.keys.name, month, seconds[each])
        ]
        batch = ReportBatch(month, now.date(), None, now)
        for account, report in make_reports(self._redis, new, batch, Detail.TOTALS):
            runs = None if isinstance(report, Exception) else report.counts.flow_runs_total
            usage = Usage(seconds[account], runs)
            self._known[account] = _Known(usage, rollups.keys.name, month, int(now.timestamp()))
