"""How many issued reports would bill something else now, looked at once a minute."""

import logging
import threading
from datetime import UTC, datetime
from typing import Final

from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage.issued.standing import changed_reports
from interaction_usage.store.errors import StoreError
from interaction_usage.store.late_usage import reports_with_late_usage
from interaction_usage.store.reads import Rollups

log = logging.getLogger(__name__)

#: Seconds between two looks.
_INTERVAL_S: Final = 60.0


class LateUsage:
    """Knows how many issued reports have changed, for as long as it runs."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.reports: int | None = None  #: how many; None if it is not known
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="late usage")

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.look()
            if self._over.wait(_INTERVAL_S):
                return

    def look(self) -> None:
        """Count them; while Redis is away, the number is unknown."""
        try:
            late = list(reports_with_late_usage(Rollups.live(self._redis)))
            self.reports = changed_reports(self._redis, late, datetime.now(UTC))
        except (RedisError, OSError, StoreError):
            self.reports = None
        except Exception:
            self.reports = None
            log.exception("Issued reports could not be compared with what is counted now")
