"""When something was last counted for accounts, and which days there are.

Open days know when they were last changed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from interaction_usage.store import keys
from interaction_usage.store.account_read import days_of
from interaction_usage.store.reads import Rollups


def last_counted(rollups: Rollups, accounts: Sequence[str]) -> list[int | None]:
    """Return the second at which an open day of each of *accounts* was last changed.

    None where no day is open: nothing was ever counted, or not for 35 days.
    """
    pipe = rollups.redis.pipeline(transaction=False)
    for account in accounts:
        pipe.hgetall(rollups.keys.head(account))
    heads = cast(list[Mapping[bytes, bytes]], pipe.execute() if accounts else [])
    days = [_days(head, keys.OPEN_DAYS) for head in heads]
    pipe = rollups.redis.pipeline(transaction=False)
    for account, some in zip(accounts, days, strict=True):
        for day in some:
            pipe.hget(rollups.keys.day(account, day), keys.LAST_CHANGE)
    answers = iter(cast(list[Any], pipe.execute() if any(days) else []))
    found: list[int | None] = []
    for some in days:
        seconds = [int(second) for _ in some if (second := next(answers)) is not None]
        found.append(max(seconds, default=None))
    return found


def days_with_events(rollups: Rollups, account: str) -> tuple[int, int] | None:
    """Return the first and the last UTC day, since 1970, that has rollups; None without any."""
    head = cast(Mapping[bytes, bytes], rollups.redis.hgetall(rollups.keys.head(account)))
    days = _days(head, keys.OPEN_DAYS) + _days(head, keys.SEALED_DAYS)
    return (min(days), max(days)) if days else None


def _days(head: Mapping[bytes, bytes], field: str) -> list[int]:
    prefix = field.encode()
    return [
        day
        for name, bits in head.items()
        if name.startswith(prefix)
        for day in days_of(int(name.removeprefix(prefix)), bits)
    ]
