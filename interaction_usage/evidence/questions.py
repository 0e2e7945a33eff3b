"""The questions: which SQL files answer each, in which order, and the members of the answer.

Every function takes the events, the session limits of the deployment, and what is asked; the
answers have the members of the contract.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from interaction_usage.evidence.database import Database
from interaction_usage.evidence.errors import UnknownCounterError
from interaction_usage.evidence.licences import Arrival, refused
from interaction_usage.evidence.preparation import SESSIONS, Events, Period, opened
from interaction_usage.evidence.wall_clock import local_time, rfc3339, second_not_before

#: Minutes that a level must be sustained, or accumulated; percentiles of the minutes.
SUSTAINED: Final = (5, 15, 30, 60)
ACCUMULATED: Final = (30, 60)
PERCENTILES: Final = (95, 99)

_APPLICATIONS: Final = ("agent", "ticket-guidance", "mobile-web", "web-self-service")
#: The counters whose events can be listed, and the metrics of `sql/amounts.sql` that each sums.
_COUNTERS: Final[dict[str, tuple[str, ...]]] = {
    "runs": tuple(f"runs.{name}" for name in _APPLICATIONS),
    **{
        name: (name,)
        for name in (
            *(f"runs.{name}" for name in _APPLICATIONS),
            *(f"outcome.{name}" for name in ("completed", "abandoned")),
            *(f"clicks.{name}" for name in ("call-now", "callback", "chat", "email")),
            "call.minutes", "sms.link", "sms.plain", "numbers.purchased", "numbers.released",
        )
    },
}  # fmt: skip
COUNTERS: Final = tuple(_COUNTERS)

#: How a session can have ended; or it is open.
STATES: Final = ("open", "limit", "stopped")


def explain(
    events: Events, account: str, series: str, period: Period, hour: int | None = None
) -> dict[str, Any]:
    """Return the first second with the maximum, and exactly the sessions present at it.

    With *hour*, a second, only of the hour of the wall clock that has it. `curve` is no part of the
    contract's answer: the highest level of each minute of that hour, or of the 60 minutes around
    the maximum.
    """
    with opened(events, [account], period, SESSIONS) as database:
        _curve(database, [series])
        if hour is not None:
            database.run("only_hour", second=hour)
        maxima = database.run("explain", series=series)
        if not maxima:
            return {"max": 0, "at": None, "seconds_at_max": 0, "sessions": [], "curve": None}
        [(maximum, second, seconds)] = maxima
        present = database.run("present", series=series, second=second)
        first, end = _span(database, second, hour)
        minutes = dict(database.run("minutes", series=series, first=first, end=end))
    return {
        "max": maximum,
        "at": local_time(second, period.timezone).isoformat(),
        "seconds_at_max": seconds,
        "sessions": [_session(row, period.timezone) for row in present],
        "curve": {
            "begins": local_time(first, period.timezone).isoformat(),
            "minutes": [minutes.get(number, 0) for number in range(-(-(end - first) // 60))],
        },
    }


def long_sessions(
    events: Events, account: str, period: Period, longer: int, states: Sequence[str], most: int
) -> tuple[int, list[dict[str, Any]]]:
    """Return how many sessions were open for *longer* seconds, and the oldest of them."""
    with opened(events, [account], period, SESSIONS) as database:
        database.run("sessions")
        rows = database.run(
            "long_sessions",
            as_of=second_not_before(period.as_of), longer=longer, states=list(states), most=most,
        )  # fmt: skip
    found = [
        {
            "application": application,
            "session": session,
            "start": local_time(begins, period.timezone).isoformat(),
            "stop": None if state == "open" else local_time(ends, period.timezone).isoformat(),
            "state": state,
            "corrected": corrected,
            "seconds": age,
        }
        for application, session, begins, ends, state, corrected, age, _ in rows
    ]
    return (rows[0][-1] if rows else 0), found


def _span(database: Database, second: int, hour: int | None) -> tuple[int, int]:
    """Return the seconds [first, end) whose curve is shown: an hour, or 60 minutes around one."""
    if hour is not None:
        [(first, end)] = database.run("hour_of", second=second)
        return first, end
    first = second - second % 60 - 30 * 60
    return first, first + 60 * 60


def concurrency(events: Events, account: str, series: str, period: Period) -> dict[str, Any]:
    """Return the other ways to bill the same curve."""
    with opened(events, [account], period, SESSIONS) as database:
        _curve(database, [series])
        database.run("stretches", series=series, as_of=second_not_before(period.as_of))
        [(maximum, sustained, accumulated, percentiles, session_seconds, seconds)] = database.run(
            "concurrency",
            sustained=list(SUSTAINED), accumulated=list(ACCUMULATED), percentiles=list(PERCENTILES),
        )  # fmt: skip
    return {
        "max": maximum or 0,
        "sustained": _by_number(sustained, SUSTAINED),
        "accumulated": _by_number(accumulated, ACCUMULATED),
        "percentile": _by_number(percentiles, PERCENTILES),
        "time_average": session_seconds / seconds if seconds else 0.0,
        "seconds": seconds or 0,
    }


def capacity(
    events: Events, account: str, series: str, period: Period, licences: Sequence[int]
) -> list[dict[str, Any]]:
    """Return what a licence of each of so many sessions would have meant."""
    as_of = second_not_before(period.as_of)
    with opened(events, [account], period, SESSIONS) as database:
        _curve(database, [series])
        database.run("stretches", series=series, as_of=as_of)
        above = {row[0]: row[1:] for row in database.run("capacity", licences=list(licences))}
        rows = database.run("arrivals", series=series, as_of=as_of)
    arrivals = [Arrival(*row) for row in rows]
    started = sum(arrival.starts for arrival in arrivals)
    answers = []
    for licence in licences:
        seconds, episodes, longest = above.get(licence, (0, 0, 0))
        answers.append(
            {
                "sessions": licence,
                "started": started,
                "refused": refused(arrivals, licence),
                "seconds_above": seconds,
                "episodes": episodes,
                "longest": longest,
            }
        )
    return answers


def counter(
    events: Events, account: str, name: str, period: Period
) -> tuple[int, list[dict[str, Any]]]:
    """Return the sum of a counter, and the events that it sums. Raises UnknownCounterError."""
    metrics = _COUNTERS.get(name)
    if metrics is None:
        near = get_close_matches(name, _COUNTERS, 1)
        raise UnknownCounterError(name, near[0] if near else None)
    with opened(events, [account], period) as database:
        database.run("voids")
        database.run("amounts")
        rows = database.run("events_of_counter", metrics=list(metrics))
    members = (
        "source", "id", "type", "time_us", "topic", "partition", "offset", "amount", "void",
        "reason", "actor",
    )  # fmt: skip
    found = [
        {**_event(row), "amount": row["amount"], "void": row["void"]}
        for row in (dict(zip(members, each, strict=True)) for each in rows)
    ]
    return sum(row["amount"] for row in found), found


def _curve(database: Database, series: Sequence[str]) -> None:
    """Make the tables `sessions` and `levels`."""
    database.run("sessions")
    database.run("levels", series=list(series))


def _by_number(levels: Sequence[Mapping[str, int]] | None, wanted: Sequence[int]) -> dict[str, int]:
    found = {each["n"]: each["level"] for each in levels or ()}
    return {str(number): found.get(number, 0) for number in wanted}


def _session(row: Sequence[Any], timezone: str) -> dict[str, Any]:
    application, session, begins, ends, inferred, corrected, events = row
    return {
        "application": application,
        "session": session,
        "start": local_time(begins, timezone).isoformat(),
        "stop": local_time(ends, timezone).isoformat(),
        "inferred": inferred,
        "corrected": corrected,
        "events": [_event(event) for event in events],
    }


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an event; a correction has its reason, and its actor if it has one."""
    why = {name: event[name] for name in ("reason", "actor") if event[name] is not None}
    return {
        "source": event["source"],
        "id": event["id"],
        "type": event["type"],
        "time": rfc3339(event["time_us"]),
        "topic": event["topic"],
        "partition": event["partition"],
        "offset": event["offset"],
        **why,
    }
