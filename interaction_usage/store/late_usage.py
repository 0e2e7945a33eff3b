"""Which issued reports have got usage since they were issued: read from the days, not the events.

Each open UTC day of an account has the second at which it was last changed; a sealed one cannot
change. So of the issued reports, those can differ that have an open day with a later change. It may
be another hour of that day, or have come to nothing: whether they do differ takes a report each.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from interaction_usage.store import keys
from interaction_usage.store.issued_table import Entry, accounts_with_reports, entries_of_many
from interaction_usage.store.reads import Rollups, days_of
from rollups.slots import DAYS_PER_BLOCK
from rollups.timestamps import DAY_SECONDS

#: Accounts that are read in one go.
_AT_ONCE = 200


def reports_with_late_usage(rollups: Rollups) -> Iterator[Entry]:
    """Yield each issued report, not revised since, of which a day was changed after it."""
    accounts = accounts_with_reports(rollups.redis)
    for begin in range(0, len(accounts), _AT_ONCE):
        some = accounts[begin : begin + _AT_ONCE]
        found = entries_of_many(rollups.redis, some)
        yield from _late(rollups, [each for each in found if each])


def _late(rollups: Rollups, of_accounts: Sequence[Sequence[Entry]]) -> Iterator[Entry]:
    current = [entry for known in of_accounts for entry in _not_revised(known)]
    asked = _open_days(rollups, current)
    pipe = rollups.redis.pipeline(transaction=False)
    for entry, day in asked:
        pipe.hget(rollups.keys.day(entry.account, day), keys.LAST_CHANGE)
    late: dict[str, Entry] = {}
    for (entry, _), changed in zip(asked, pipe.execute() if asked else (), strict=True):
        # In the second in which it was issued, either may have come first.
        if changed is not None and int(changed) >= entry.issued_at:
            late[entry.number] = entry
    yield from late.values()


def _open_days(rollups: Rollups, entries: Sequence[Entry]) -> list[tuple[Entry, int]]:
    """Return each open day of each report's period."""
    pipe = rollups.redis.pipeline(transaction=False)
    for entry in entries:
        fields = [f"{keys.OPEN_DAYS}{block}" for block in _blocks(entry)]
        pipe.hmget(rollups.keys.head(entry.account), fields)
    answers = cast(list[Any], pipe.execute() if entries else [])
    return [
        (entry, day)
        for entry, fields in zip(entries, answers, strict=True)
        for block, field in zip(_blocks(entry), fields, strict=True)
        for day in days_of(block, field)
        if entry.begin // DAY_SECONDS <= day <= (entry.end - 1) // DAY_SECONDS
    ]


def _blocks(entry: Entry) -> range:
    first, last = entry.begin // DAY_SECONDS, (entry.end - 1) // DAY_SECONDS
    return range(first // DAYS_PER_BLOCK, last // DAYS_PER_BLOCK + 1)


def _not_revised(known: Sequence[Entry]) -> list[Entry]:
    revised = {each.revises for each in known}
    return [each for each in known if each.ordinal not in revised]
