"""Verification: the events, recomputed in SQL, against what the rollups say.

1. Every cell of the report (`cells`). Where an identity was used for two different events, either
   may count; the one is taken with which the cells agree with the rollups.
2. Conservation: records read = applied + duplicates + refused + voided; every refused record has a
   dead letter; sessions started - stopped - inferred = open.
3. What a producer did wrong and nobody can decide: voids whose event never came, and identities
   with two contents. They are named; by themselves they are no difference.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from interaction_usage.evidence.cells import Cells, cells_of_accounts, differences, distance
from interaction_usage.evidence.database import Database
from interaction_usage.evidence.preparation import Events, Period, opened
from interaction_usage.evidence.wall_clock import rfc3339

#: Conflicts of one account that are decided by trying; each try computes the account again.
MAX_TRIES: Final = 40


class Claim(NamedTuple):
    """What the rollups say of an account: the cells that are not 0, and its open sessions."""

    cells: Mapping[str, int | str]
    open_at: int | None = None  #: the second at which the sessions below are open
    open_sessions: Mapping[str, int] = {}  #: by application
    unknown: frozenset[str] = frozenset()  #: counters that the rollups do not have

    def comparable(self, cells: Mapping[str, int | str]) -> Cells:
        """Return those of *cells* that the rollups can have."""
        return {name: value for name, value in cells.items() if name not in self.unknown}


def verify(
    events: Events, claims: Mapping[str, Claim], period: Period, *, everyone: bool = False
) -> dict[str, Any]:
    """Return what there is to say of the accounts in *claims*.

    With *everyone* also refused records that name no account are looked at.
    """
    accounts = list(claims)
    with opened(events, accounts, period) as database:
        found = cells_of_accounts(database, period.timezone)
        conflicts = _conflicts(database)
        answer: dict[str, Any] = {
            "accounts": len(claims),
            "cells": _count(found, claims),
            "differences": [],
            "sessions": _sessions(database, claims),
            "records": _records(database),
            "pending_voids": _pending_voids(database),
            "mismatched_voids": _mismatched_voids(database),
            "conflicts": [_shown(each) for each in conflicts],
        }
        if everyone:
            database.run("forget_accounts")
        answer["refused_without_dead_letter"] = _refused_without_dead_letter(database)
    for account in accounts:
        mine = claims[account].comparable(found.get(account, {}))
        if differences(mine, claims[account].cells):
            own = [each for each in conflicts if each[0] == account]
            mine = _decided(events, account, period, claims[account], mine, own)
        rows = differences(mine, claims[account].cells)
        answer["differences"] += [{"account": account, **row} for row in rows]
    answer["agrees"] = not problems(answer)
    return answer


_LISTS: Final = (
    "differences", "sessions", "records", "pending_voids", "mismatched_voids", "conflicts",
    "refused_without_dead_letter",
)  # fmt: skip


def empty_verification() -> dict[str, Any]:
    """Return the answer about no accounts."""
    return {"accounts": 0, "cells": 0, **{name: [] for name in _LISTS}, "agrees": True}


def add_verification(whole: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Add the answer about *other* accounts to *whole*."""
    for name in ("accounts", "cells"):
        whole[name] += other[name]
    for name in _LISTS:
        whole[name] += other[name]
    whole["agrees"] = whole["agrees"] and other["agrees"]
    if "made_from" in other:
        whole["made_from"] = other["made_from"]


def problems(answer: Mapping[str, Any]) -> list[str]:
    """Return a sentence for every number of a verification that differs."""
    found = [
        f"{row['account']}: {row['cell']} is {row['events']} from the events and {row['rollups']} "
        "in the rollups"
        for row in answer["differences"]
    ]
    for row in answer["sessions"]:
        left = row["started"] - row["stopped"] - row["inferred"]
        if left != row["open"]:
            found.append(
                f"{row['account']}: {left} sessions of {row['application']} are left of those that "
                f"started, but {row['open']} are open"
            )
        if row["rollups"] is not None and row["rollups"] != row["open"]:
            found.append(
                f"{row['account']}: {row['open']} sessions of {row['application']} are open by the "
                f"events and {row['rollups']} by the rollups"
            )
    for row in answer["records"]:
        total = row["applied"] + row["duplicates"] + row["refused"] + row["voided"]
        if total != row["read"]:
            found.append(
                f"{row['account']}: {row['read']} records were read, but {total} are applied, "
                "duplicates, refused or voided"
            )
    found += [
        f"{row['place']} was refused as {row['outcome']} and has no dead letter"
        for row in answer["refused_without_dead_letter"]
    ]
    return found


def _count(found: Mapping[str, Cells], claims: Mapping[str, Claim]) -> int:
    """Return how many cells are compared that are not 0 in both."""
    return sum(len(found.get(name, {}).keys() | claim.cells) for name, claim in claims.items())


def _decided(
    events: Events, account: str, period: Period, claim: Claim, cells: Cells,
    conflicts: Sequence[Sequence[Any]],
) -> Cells:  # fmt: skip
    """Return the cells with that record of each conflict with which they are nearest to *claim*.

    One conflict after the other: they hardly ever meet in a cell.
    """
    chosen: list[tuple[Any, ...]] = []
    nearest = distance(cells, claim.cells)
    with opened(events, [account], period) as database:
        for _, _, _, records in conflicts[:MAX_TRIES]:
            for record in records[1:]:
                place = tuple(record[name] for name in ("topic", "topic_id", "partition", "offset"))
                database.replace("preferred", [*chosen, place])
                database.run("counted")
                computed = cells_of_accounts(database, period.timezone).get(account, {})
                tried = claim.comparable(computed)
                if (apart := distance(tried, claim.cells)) < nearest:
                    nearest, cells = apart, tried
                    chosen.append(place)
                    break
            if not nearest:
                break
    return cells


def _sessions(database: Database, claims: Mapping[str, Claim]) -> list[dict[str, Any]]:
    """Return by account and application where its sessions went, at the second of each claim."""
    found = []
    for second in sorted({claim.open_at for claim in claims.values() if claim.open_at is not None}):
        for account, application, started, stopped, inferred, still_open in database.run(
            "open_sessions", second=second
        ):
            claim = claims[account]
            if claim.open_at == second:
                found.append(
                    {
                        "account": account,
                        "application": application,
                        "at": rfc3339(second * 1_000_000),
                        "started": started,
                        "stopped": stopped,
                        "inferred": inferred,
                        "open": still_open,
                        "rollups": claim.open_sessions.get(application, 0),
                    }
                )
    return found


def _records(database: Database) -> list[dict[str, Any]]:
    members = ("account", "read", "applied", "duplicates", "refused", "voided")
    return [dict(zip(members, row, strict=True)) for row in database.run("balance")]


def _pending_voids(database: Database) -> list[dict[str, Any]]:
    found = []
    for account, source, event_id, kind, time_us, topic, partition, offset, reason in database.run(
        "pending_voids"
    ):
        found.append(
            {
                "account": account,
                "event": {
                    "source": source, "id": event_id, "type": kind, "time": rfc3339(time_us),
                },
                "place": f"{topic}/{partition}/{offset}",
                "reason": reason,
            }
        )  # fmt: skip
    return found


def _mismatched_voids(database: Database) -> list[dict[str, Any]]:
    return [
        {
            "account": account,
            "event": {"source": source, "id": event_id, "type": kind},
            "void": f"{topic}/{partition}/{offset}",
            "place": f"{of_topic}/{of_partition}/{of_offset}",
            "differing": list(differing),
        }
        for account, source, event_id, kind, topic, partition, offset, of_topic, of_partition,
        of_offset, differing in database.run("mismatched_voids")
    ]  # fmt: skip


def _conflicts(database: Database) -> list[tuple[Any, ...]]:
    return database.run("conflicts")


def _shown(conflict: Sequence[Any]) -> dict[str, Any]:
    account, source, event_id, records = conflict
    return {
        "account": account,
        "source": source,
        "id": event_id,
        "events": [
            {
                "type": record["type"],
                "time": rfc3339(record["time_us"]),
                "topic": record["topic"],
                "partition": record["partition"],
                "offset": record["offset"],
            }
            for record in records
        ],
    }


def _refused_without_dead_letter(database: Database) -> list[dict[str, Any]]:
    return [
        {"place": f"{topic}/{partition}/{offset}", "outcome": outcome, "account": account}
        for topic, partition, offset, outcome, account in database.run("refusals")
    ]
