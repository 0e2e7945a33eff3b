"""When something was last counted for accounts: open days know when they were last changed."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups, days_of


def last_counted(rollups: Rollups, accounts: Sequence[str]) -> list[int | None]:
    """Return the second at which an open day of each of *accounts* was last changed.

    None where no day is open: nothing was ever counted, or not for 35 days.
    """
    pipe = rollups.redis.pipeline(transaction=False)
    for account in accounts:
        pipe.hgetall(rollups.keys.head(account))
    heads = cast(list[Mapping[bytes, bytes]], pipe.execute() if accounts else [])
    days = [_open_days(head) for head in heads]
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


def _open_days(head: Mapping[bytes, bytes]) -> list[int]:
    prefix = keys.OPEN_DAYS.encode()
    return [
        day
        for field, bits in head.items()
        if field.startswith(prefix)
        for day in days_of(int(field.removeprefix(prefix)), bits)
    ]
