"""Upgrading rollups of an earlier layout from what they hold, beside live traffic.

1. The rollups are copied, account by account, into a new namespace, and changed on the way
   (`layouts`). (Failure: the new namespace is dropped, or left for the next upgrade or rebuild to
   drop; reports and workers have noticed nothing.)
2. The new namespace is activated, in one step. Workers of the earlier version see that, and end,
   for they do not write this layout. (Failure: it is, or it is not; to repeat is safe.)
3. Workers of this version start where the copied positions say. These were read before the first
   account was, so Kafka has everything that was counted since, and the accounts' fences skip what
   was copied already.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from interaction_usage.store import backup, keys
from interaction_usage.store.client import Client
from interaction_usage.store.errors import LayoutDiffersError
from interaction_usage.store.keys import Namespace
from interaction_usage.store.namespaces import drop_leftovers
from interaction_usage.store.reads import Rollups
from interaction_usage.store.rebuild_lock import locked

#: Called with how many accounts are done and how many there are.
Progress = Callable[[int, int], None]


class Upgradable(NamedTuple):
    """Rollups of an earlier layout."""

    layout: int
    accounts: int


class Upgraded(NamedTuple):
    """Rollups that were upgraded."""

    layout: int  #: that they had
    accounts: int
    replaced: Namespace  #: the rollups of the earlier layout; nobody reads them any more
    active: Namespace


def upgradable(redis: Client) -> Upgradable | None:
    """Return what `upgrade` would upgrade; None where the rollups have this layout, or are none.

    Raises LayoutDiffersError where this version has no way from their layout.
    """
    rollups = Rollups.of_any_layout(redis)
    layout = rollups.layout()
    if layout is None or layout == keys.LAYOUT:
        return None
    if not keys.OLDEST_LAYOUT <= layout < keys.LAYOUT:
        raise LayoutDiffersError(layout)
    return Upgradable(layout, redis.scard(rollups.keys.accounts))


def upgrade(redis: Client, progress: Progress) -> Upgraded | None:
    """Upgrade the active rollups; return None where nothing is to be done.

    Raises LayoutDiffersError, RollupsLockedError, BackupError and RedisError; the active rollups
    are as before then.
    """
    with locked(redis) as token:
        wanted = upgradable(redis)
        if wanted is None:
            return None
        live = Rollups.of_any_layout(redis)
        drop_leftovers(redis, live.keys)
        done = backup.replace_rollups(redis, live.keys, _records(live, wanted, progress), token)
    return Upgraded(wanted.layout, done.accounts, live.keys, done.active)


def _records(live: Rollups, wanted: Upgradable, progress: Progress) -> Iterator[backup.Record]:
    """Yield the rollups *live* as a backup without settings and tokens, which are not replaced."""
    count = 0
    for record in backup.rollups(live):
        yield record
        progress(count, max(wanted.accounts, count))
        count += 1
    yield backup.End(count)
