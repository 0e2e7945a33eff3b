"""What every question begins with: the events that count, the period, and its hours."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from interaction_usage.evidence.database import Database, Source
from interaction_usage.evidence.wall_clock import (
    days_since_1970,
    second_not_before,
    stretches,
)

#: End offsets by (topic, topic id, partition).
Ends = Mapping[tuple[str, str, int], int]


class Needed(NamedTuple):
    """What a question needs of the events; nothing named means all."""

    types: Sequence[str] = ()  #: of events
    columns: Sequence[str] = ()  #: of the table `events`; others may be null


EVERYTHING: Final = Needed()
#: What intervals are made of, and who corrected them.
SESSIONS: Final = Needed(
    ("usage.session.started", "usage.session.stopped", "usage.session.corrected"),
    (
        "topic", "topic_id", "partition", "offset", "timestamp", "outcome", "account", "type",
        "time", "source", "id", "session", "application", "corrected_start", "corrected_stop",
        "reason", "actor",
    ),
)  # fmt: skip


class Events(NamedTuple):
    """The events, and what must be known to count them."""

    source: Source
    limits: Mapping[str, int]  #: seconds by application, after which a session's end is inferred
    reached: Mapping[str, Ends] | None = None  #: by account, how far it is counted; None: all of it
    positions: Ends | None = None  #: how far the workers have read
    timeout_s: float | None = None  #: the longest that a question may take
    step: Callable[[str], None] = lambda _: None  #: called with each SQL file before it is run


class Period(NamedTuple):
    """Local days, both included, in a time zone, and the as-of instant."""

    first: date
    last: date
    timezone: str
    as_of: datetime


def opened(
    events: Events, accounts: Sequence[str], period: Period, needed: Needed = EVERYTHING
) -> Database:
    """Return a database with the tables `counted`, of what is *needed*, `period` and `hours`.

    Raises EvidenceTimeoutError.
    """
    database = Database(events.source, accounts, events.timeout_s, events.step)
    try:
        _fill(database, events, accounts, period, needed.types)
        database.run("arrived")
        database.run("counted")
        database.run(
            "hours",
            first_day=days_since_1970(period.first), end_day=days_since_1970(period.last) + 1,
            as_of=second_not_before(period.as_of),
        )  # fmt: skip
    except BaseException:
        database.close()
        raise
    return database


def _fill(
    database: Database, events: Events, accounts: Sequence[str], period: Period,
    types: Sequence[str],
) -> None:  # fmt: skip
    """Make the tables of what is asked, and of what the deployment is set to."""
    place = {"topic": "VARCHAR", "topic_id": "VARCHAR", "partition": "INTEGER"}
    reached = [
        (account, *known, end)
        for account, ends in (events.reached or {}).items()
        for known, end in (ends or {("", "", 0): 0}).items()  # of which nothing is counted
    ]
    positions = [(*known, end) for known, end in (events.positions or {}).items()]
    tables: tuple[tuple[str, dict[str, str], Sequence[Sequence[Any]]], ...] = (
        ("accounts", {"account": "VARCHAR"}, [(account,) for account in accounts]),
        ("wanted_types", {"type": "VARCHAR"}, [(name,) for name in types]),
        ("reached", {"account": "VARCHAR", **place, "ends": "BIGINT"}, reached),
        ("positions", {**place, "ends": "BIGINT"}, positions),
        ("preferred", {**place, '"offset"': "BIGINT"}, []),
        ("limits", {"application": "VARCHAR", "seconds": "BIGINT"}, [*events.limits.items()]),
        (
            "offsets",
            {"begins": "BIGINT", "ends": "BIGINT", "utc_offset": "BIGINT"},
            stretches(period.timezone, period.first, period.last),
        ),
    )
    for name, columns, rows in tables:
        database.fill(name, columns, rows)
