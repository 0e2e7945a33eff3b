"""Two operators who issue reports all the time, of any account and period, while faults go on.

They wait for nothing that is not there: what cannot be issued now, they try again later.
"""

import random
import threading
from calendar import monthrange
from collections import Counter
from datetime import UTC, date, datetime

from redis.exceptions import RedisError

from interaction_usage import settings
from interaction_usage.issued.errors import IssueError
from interaction_usage.issued.issuing import Order, issue
from interaction_usage.issued.succession import Terms
from interaction_usage.reports.errors import ReportError
from interaction_usage.reports.service import ReportBatch
from interaction_usage.store.client import connect
from interaction_usage.store.errors import LayoutDiffersError, LedgerError
from stream_app.ledger import KafkaLedger

#: The days of the events, alone and together, and their month.
_BUSY = (
    (date(2026, 10, 1), date(2026, 10, 1)),
    (date(2026, 10, 2), date(2026, 10, 2)),
    (date(2026, 10, 1), date(2026, 10, 2)),
    (date(2026, 10, 1), date(2026, 10, 31)),
)
_EXPECTED = (RedisError, OSError, LedgerError, LayoutDiffersError, ReportError, IssueError)


class Operator(threading.Thread):
    """Issues reports with the settings in *environment*; what it came to is in `outcomes`."""

    def __init__(self, environment: dict[str, str], seed: int, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._config = settings.read(environment)
        self._rng = random.Random(f"{name} {seed}")
        self.over = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self.unexpected: list[BaseException] = []

    def stop(self) -> None:
        """Let what is under way come to its end, and return then."""
        self.over.set()
        self.join(120)
        assert not self.is_alive(), f"{self.name} hangs"
        if self.unexpected:
            raise self.unexpected[0]

    def run(self) -> None:
        """Issue, and wait a little, until it is over."""
        with connect(self._config.redis, socket_timeout=5.0, socket_connect_timeout=5.0) as redis:
            ledger = KafkaLedger(self._config, redis)
            while not self.over.wait(self._rng.uniform(0.2, 2)):
                try:
                    self._issue(ledger)
                except _EXPECTED as error:
                    self.outcomes[type(error).__name__] += 1
                except BaseException as error:
                    self.unexpected.append(error)
                    return

    def _issue(self, ledger: KafkaLedger) -> None:
        batch = ReportBatch(*self._period(), None, datetime.now(UTC))
        order = Order(batch, self.name, Terms(gap=True, overlap=True))
        for outcome in issue(ledger, [f"account-{self._rng.randrange(8)}"], order):
            if outcome.error is None:
                self.outcomes["issued" if outcome.is_new else "issued before"] += 1
            elif isinstance(outcome.error, _EXPECTED):
                self.outcomes[type(outcome.error).__name__] += 1
            else:
                raise outcome.error

    def _period(self) -> tuple[date, date]:
        if self._rng.random() < 0.7:
            return self._rng.choice(_BUSY)
        month = self._rng.randrange(1, 13)
        return date(2025, month, 1), date(2025, month, monthrange(2025, month)[1])
