"""How many sessions are present now, by series, summed over all accounts: at a bounded cost.

No sum of them is stored: it would be one more write for each event. So the worker that looks for
all reads the levels of a few accounts at a time, one after the other, and adds up what it read last
of each. A sum is therefore as old as a pass over all accounts takes, and there is none before the
first pass has ended. Only accounts with a session are remembered.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from interaction_usage.store.client import connect_late
from interaction_usage.store.reads import Rollups
from rollups.catalog import SERIES

#: Seconds between two looks. Half as many accounts twice as often would take a quarter more time.
INTERVAL: Final = 2.0
#: About how many accounts one look reads, in three round trips; a set of few accounts comes at
#: once, up to 128.
ACCOUNTS_PER_LOOK: Final = 40
#: Seconds that Redis may take to answer.
_TIMEOUT_S: Final = 5.0


class SessionsPresent:
    """Adds up the levels of all accounts of the Redis at *url*, some of them at each look.

    *clock* returns the current second.
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        timeouts: Any = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
        self._redis = connect_late(url, **timeouts)
        self._clock = clock
        self._levels: dict[str, Mapping[str, int]] = {}
        self._cursor = 0
        self._seen: set[str] = set()  # accounts with a session, in the pass that is under way
        self._is_complete = False

    @property
    def current(self) -> Mapping[str, int] | None:
        """The sum of each series; None before every account was read once."""
        if not self._is_complete:
            return None
        total = Counter(dict.fromkeys(SERIES, 0))
        for levels in self._levels.values():
            total.update(levels)
        return total

    def look(self) -> None:
        """Read the next accounts. Raises RedisError; not for an event loop's own thread."""
        rollups, second = Rollups.live(self._redis), int(self._clock())
        answer: Any = self._redis.sscan(
            rollups.keys.accounts, self._cursor, None, ACCOUNTS_PER_LOOK
        )
        cursor, names = answer
        accounts = [name.decode() for name in names]
        for name, levels in zip(accounts, rollups.levels_of_many(accounts, second), strict=True):
            self._levels.pop(name, None)
            if any(levels.values()):
                self._levels[name] = levels
                self._seen.add(name)
        self._cursor = int(cursor)
        if not self._cursor:
            self._levels = {name: self._levels[name] for name in self._seen & self._levels.keys()}
            self._seen, self._is_complete = set(), True

    def forget(self) -> None:
        """Begin again: another worker looks now."""
        self._levels, self._seen = {}, set()
        self._cursor, self._is_complete = 0, False
