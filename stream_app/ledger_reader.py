"""Keeping Redis in step with the topics of the ledger: one worker at a time reads them.

What people decide is applied by the command or dashboard that published it. This repairs what they
could not finish, and fills a Redis that was emptied. All of it may be done twice, so the lock only
saves work.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import RedisError

from interaction_usage import settings
from interaction_usage.store import keys
from interaction_usage.store.client import connect
from interaction_usage.store.errors import LedgerUnavailableError, shown
from interaction_usage.store.ledger import Ledger, Table
from stream_app.ledger import KafkaLedger
from stream_app.telemetry import worker_name
from stream_app.topics import LEDGER

log = logging.getLogger(__name__)

#: Seconds between two looks, and after which another worker takes over.
_INTERVAL_S, _LOCK_S = 2.0, 10
#: Seconds for which everything counts as read after a look.
_READ_S: Final = 15
#: Failed looks in a row after which that is logged: topics that were just created have no leader.
_LOOKS_TO_LOG: Final = 3
#: Seconds that Redis may take to answer.
_REDIS_TIMEOUT_S: Final = 10.0


class LedgerReader:
    """Reads the topics of *tables* into Redis, for as long as it runs."""

    def __init__(self, config: settings.Settings, tables: Sequence[Table] = LEDGER) -> None:
        self._config, self._tables = config, tables
        self._ledger: KafkaLedger | None = None
        self._failures = 0

    async def run(self) -> None:
        """Look again and again; what goes on failing is logged once."""
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(_INTERVAL_S)

    async def use(self, work: Callable[[Ledger], Any]) -> Any:
        """Return what *work* returns, given the ledger, in a thread."""
        return await asyncio.to_thread(lambda: work(self._opened()))

    def _look(self) -> None:
        try:
            ledger = self._opened()
            if self._is_mine(ledger):
                ledger.sync_all(self._tables)
                ledger.redis.set(keys.REFUSED_READ, "1", ex=_READ_S)
            self._failures = 0
        except (LedgerUnavailableError, RedisError, OSError) as error:
            self._failures += 1
            if self._failures == _LOOKS_TO_LOG:
                why = shown(error) if isinstance(error, RedisError) else error
                log.warning(
                    "Settings, tokens and gaps are not read from Kafka (%s); trying again", why
                )

    def _opened(self) -> KafkaLedger:
        """Return the ledger, connected now: a cluster must answer for that."""
        if self._ledger is None:
            timeouts: Any = dict.fromkeys(
                ("socket_timeout", "socket_connect_timeout"), _REDIS_TIMEOUT_S
            )
            redis = connect(self._config.redis, **timeouts)
            self._ledger = KafkaLedger(self._config, redis, patience=None)
        return self._ledger

    def _is_mine(self, ledger: KafkaLedger) -> bool:
        """Tell whether this worker reads the topics: it keeps doing so once it does."""
        name, redis = worker_name(), ledger.redis
        if redis.set(keys.LEDGER_READER, name, nx=True, ex=_LOCK_S):
            return True
        if redis.get(keys.LEDGER_READER) != name.encode():
            return False
        redis.expire(keys.LEDGER_READER, _LOCK_S)
        return True
