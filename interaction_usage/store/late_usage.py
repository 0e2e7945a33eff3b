"""Which issued reports have got usage since they were issued: read from the days, not the events.

Each open UTC day of an account has the second at which it was last changed; a sealed one cannot
change. So of the issued reports, those can differ that have an open day with a later change: in
their period, or before it, for a session reaches into the days after its start. It may be another
hour of that day, or have come to nothing: whether they do differ takes a report each.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from interaction_usage.store import keys
from interaction_usage.store.account_read import days_of
from interaction_usage.store.issued_table import Entry, accounts_with_reports, entries_of_many
from interaction_usage.store.reads import Rollups
from rollups.timestamps import DAY_SECONDS

#: Accounts that are read in one go.
_AT_ONCE = 200


def reports_with_late_usage(rollups: Rollups) -> Iterator[tuple[Entry, Sequence[Entry]]]:
    """Yield each issued report, not revised since, of which a day was changed after it.

    And with it all reports of its account.
    """
    accounts = accounts_with_reports(rollups.redis)
    for begin in range(0, len(accounts), _AT_ONCE):
        some = accounts[begin : begin + _AT_ONCE]
        found = dict(zip(some, entries_of_many(rollups.redis, some), strict=True))
        current = [entry for known in found.values() for entry in _not_revised(known)]
        # In the second in which it was issued, either may have come first.
        for entry in changed_since(rollups, [(each, each.issued_at) for each in current]):
            yield entry, found[entry.account]


def changed_since(rollups: Rollups, wanted: Sequence[tuple[Entry, int]]) -> list[Entry]:
    """Return those of the reports that have an open day with a change since a second.

    The seconds are by the clocks of workers.
    """
    ends: dict[str, int] = {}
    for entry, _ in wanted:
        ends[entry.account] = max(ends.get(entry.account, 0), entry.end)
    changes = _last_changes(rollups, ends)
    return [
        entry
        for entry, second in wanted
        if any(
            last >= second and day * DAY_SECONDS < entry.end
            for day, last in changes[entry.account].items()
        )
    ]


def _last_changes(rollups: Rollups, ends: Mapping[str, int]) -> dict[str, dict[int, int]]:
    """Return when each open day was last changed, by account, up to a second."""
    pipe = rollups.redis.pipeline(transaction=False)
    for account in ends:
        pipe.hgetall(rollups.keys.head(account))
    heads = cast(list[dict[bytes, bytes]], pipe.execute() if ends else [])
    asked = [
        (account, day)
        for (account, end), head in zip(ends.items(), heads, strict=True)
        for day in _open_days(head)
        if day * DAY_SECONDS < end
    ]
    for account, day in asked:
        pipe.hget(rollups.keys.day(account, day), keys.LAST_CHANGE)
    found: dict[str, dict[int, int]] = {account: {} for account in ends}
    for (account, day), last in zip(asked, pipe.execute() if asked else (), strict=True):
        if last is not None:
            found[account][day] = int(last)
    return found


def _open_days(head: Mapping[bytes, bytes]) -> Iterator[int]:
    prefix = keys.OPEN_DAYS.encode()
    for field, bits in head.items():
        if field.startswith(prefix):
            yield from days_of(int(field.removeprefix(prefix)), bits)


def _not_revised(known: Sequence[Entry]) -> list[Entry]:
    revised = {each.revises for each in known}
    return [each for each in known if each.ordinal not in revised]
