"""Every cell of a report, computed from the events; each has a name, and 0 is not among them.

`clicks.chat` is a counter (as in `usage explain --counter`) and `clicks.chat 2026-10-02` the same
on one local day, `concurrency.agent.max` is a number of a curve and
`concurrency.agent 2026-10-02T09:00:00+02:00` the peak of one hour, and
`flow completed reset-password` says how often a flow ended so.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from interaction_usage.evidence.database import Database
from interaction_usage.evidence.wall_clock import local_time

#: Every series that a report has.
SERIES: Final = ("agent-sessions", "agent", "ticket-guidance", "mobile-web", "web-self-service")

#: A cell's name to its value.
Cells = dict[str, int | str]

_EPOCH: Final = date(1970, 1, 1)


def cells_of_accounts(database: Database, timezone: str) -> dict[str, Cells]:
    """Return the cells of each account in *database* that has any; makes the tables they need."""
    for table in ("sessions", "voids", "amounts"):
        database.run(table)
    database.run("levels", series=list(SERIES))
    database.run("peaks")
    found: dict[str, Cells] = {}

    def put(account: str, name: str, value: int | str) -> None:
        found.setdefault(account, {})[name] = value

    for account, metric, total in database.run("counters"):
        put(account, metric, total)
    for account, metric, day, total in database.run("counters_by_day"):
        put(account, f"{metric} {_EPOCH + timedelta(days=day)}", total)
    for account, flow, outcome, total in database.run("flows"):
        put(account, f"flow {outcome} {flow}", total)
    for account, application, started, without_stop in database.run("started"):
        put(account, f"sessions.{application}", started)
        if without_stop:
            put(account, f"unstopped.{application}", without_stop)
    for account, series, *numbers, second in database.run("curves"):
        for name, number in zip(("max", "peak_sum", "reported_hours"), numbers, strict=True):
            put(account, f"concurrency.{series}.{name}", number)
        busiest = local_time(second, timezone).isoformat()
        put(account, f"concurrency.{series}.busiest_hour", busiest)
    for account, series, second, peak in database.run("hourly"):
        put(account, f"concurrency.{series} {local_time(second, timezone).isoformat()}", peak)
    return found


def differences(
    events: Mapping[str, int | str], rollups: Mapping[str, int | str]
) -> list[dict[str, Any]]:
    """Return the cells in which the two differ, by name; what one of them lacks is 0."""
    return [
        {"cell": name, "events": events.get(name, 0), "rollups": rollups.get(name, 0)}
        for name in sorted(events.keys() | rollups.keys())
        if events.get(name, 0) != rollups.get(name, 0)
    ]


def distance(events: Mapping[str, int | str], rollups: Mapping[str, int | str]) -> int:
    """Return how far the two are apart: the sum over all numbers."""
    total = 0
    for row in differences(events, rollups):
        mine, theirs = row["events"], row["rollups"]
        is_number = isinstance(mine, int) and isinstance(theirs, int)
        total += abs(mine - theirs) if is_number else 1
    return total
