"""Changes of an account's settings: how often its own tokens may make them, how they are shown."""

from datetime import UTC, datetime
from typing import Any, Final

from redis.client import Redis

from interaction_usage.dashboard.views import shown
from interaction_usage.store import keys
from interaction_usage.store.account_history import Change

#: Changes of one account by its own tokens within `_WINDOW_S` seconds: each is kept forever.
MOST: Final = 60
_WINDOW_S: Final = 3600

#: The most changes in one answer.
MOST_SHOWN: Final = 500


def seconds_to_wait(redis: Redis, account: str) -> int:
    """Count one change by a token of *account*; return for how long no other is taken, if so."""
    key = keys.recent_changes(account)
    pipe = redis.pipeline(transaction=False)
    pipe.set(key, 0, ex=_WINDOW_S, nx=True)
    pipe.incr(key)
    pipe.ttl(key)
    _, count, left = pipe.execute()
    return max(int(left), 1) if count > MOST else 0


def members(change: Change, *, for_operator: bool) -> dict[str, Any]:
    """Return *change* as JSON members; customers see "operator" for any of them."""
    by, token = change.author.name, change.author.token or None
    if change.author.is_operator and not for_operator:
        by, token = "operator", None
    return {
        "id": change.id,
        "at": shown(datetime.fromtimestamp(change.second, UTC)),
        "by": by,
        "token": token,
        "field": change.field,
        "from": change.old,
        "to": change.new,
    }
