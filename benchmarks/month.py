"""Two months of raw events, of whose second a report is made; as events, as rows, and in SQL.

The events come roughly in the order of their times. Some sessions are sent twice, never end, end
without a start, or last for days. No event is there twice, so the peers need not look for repeats.
"""

import csv
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.ours import (
    AssistClicked,
    CallMinutes,
    Event,
    FlowRun,
    NumberPurchased,
    OffsetEvent,
    SessionStarted,
    SessionStopped,
    SmsSent,
)

ACCOUNT = "of-interest"
FIRST, LAST, ZONE = date(2026, 10, 1), date(2026, 10, 31), "Europe/Paris"
AS_OF = datetime(2026, 11, 2, tzinfo=UTC)

_APPLICATIONS = ("agent", "ticket-guidance", "mobile-web", "web-self-service")
_SERVICES = ("call-now", "callback", "chat", "email")
_BEGIN = int(datetime(2026, 9, 1, tzinfo=UTC).timestamp())
_SECONDS = 61 * 86_400
_OTHERS = 99  #: accounts beside the one of interest, which has a tenth of all events

COLUMNS = {
    "source": "text", "id": "text", "account": "text", "type": "text", "time": "bigint",
    "session": "text", "application": "text", "flow": "text", "outcome": "text",
    "service": "text", "thousandths": "bigint", "link": "boolean", "number": "text",
}  # fmt: skip
_TYPES: dict[type, str] = {
    SessionStarted: "usage.session.started", SessionStopped: "usage.session.stopped",
    FlowRun: "usage.flow.run", AssistClicked: "usage.assist.clicked",
    CallMinutes: "usage.call.minutes", SmsSent: "usage.sms.sent",
    NumberPurchased: "usage.number.purchased",
}  # fmt: skip


def events(count: int, seed: int = 1) -> Iterator[OffsetEvent]:
    """Yield *count* events as they stand in a topic, a tenth of them of the account of interest."""
    rng = random.Random(seed)
    for offset in range(count):
        second = _BEGIN + _SECONDS * offset // count
        account = ACCOUNT if rng.random() < 0.1 else f"other-{rng.randrange(_OTHERS)}"
        late = rng.randrange(3600) if rng.random() < 0.05 else 0
        time = (second - late) * 1_000_000 + rng.randrange(1_000_000)
        data = _data(rng, offset)
        yield OffsetEvent(offset, Event("/months", str(offset), account, time, data))


def _data(rng: random.Random, offset: int) -> Any:
    draw = rng.random()
    application: Any = rng.choice(_APPLICATIONS)
    if draw < 0.45:
        # One number names the sessions of a stretch of offsets: reported twice, or never ended.
        session = f"s{(offset - rng.randrange(4000)) // 4}"
        return (SessionStarted if draw < 0.25 else SessionStopped)(session, application)
    if draw < 0.75:
        outcome: Any = "abandoned" if rng.random() < 0.2 else "completed"
        return FlowRun(f"flow {rng.randrange(50)}", application, outcome)
    if draw < 0.90:
        service: Any = rng.choice(_SERVICES)
        return AssistClicked(service, application)
    if draw < 0.95:
        return CallMinutes(rng.randrange(1, 20_000))
    if draw < 0.99:
        return SmsSent(rng.random() < 0.8)
    return NumberPurchased(f"+3312345{offset % 10_000:04}")


def write_csv(path: Path, placed: Iterator[OffsetEvent]) -> None:
    """Write events as rows of `COLUMNS`, for the peers to load."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for item in placed:
            event, data = item.event, item.event.data
            answer = {name: getattr(data, name, None) for name in COLUMNS}
            answer = {name: value if _is_plain(value) else None for name, value in answer.items()}
            answer |= {
                "source": event.source, "id": event.id, "account": event.account,
                "type": _TYPES[type(data)], "time": event.time,
            }  # fmt: skip
            writer.writerow(answer.values())


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int)


def bounds() -> tuple[int, int]:
    """Return the seconds [begin, end) of the report's local days."""
    zone = ZoneInfo(ZONE)
    begin = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=zone)
    end = date.fromordinal(LAST.toordinal() + 1)
    return int(begin.timestamp()), int(datetime(*end.timetuple()[:3], tzinfo=zone).timestamp())


#: The counters. `{begin}` and `{end}` are seconds, `{account}` a text.
COUNTS = """
SELECT type, application, service, link, count(*), sum(thousandths)
FROM {table}
WHERE account = '{account}' AND time >= {begin}000000 AND time < {end}000000
GROUP BY type, application, service, link
"""

#: Concurrency per series: the maximum, sum and number of the hours' peaks, and the busiest hour.
#: A session may begin long before the days and end long after them, so all of the account's are
#: looked at. Hours of the zone are hours of UTC, as in Europe/Paris. `{div}` divides whole numbers.
CONCURRENCY = """
WITH reported AS (
  SELECT application, session,
    min(time {div} 1000000) FILTER (WHERE type = 'usage.session.started') AS started,
    min((time + 999999) {div} 1000000) FILTER (WHERE type = 'usage.session.stopped') AS stopped
  FROM {table}
  WHERE account = '{account}' AND type IN ('usage.session.started', 'usage.session.stopped')
  GROUP BY application, session
), stays AS (
  SELECT application, started AS begins,
    CASE WHEN stopped IS NULL THEN started + 86400 ELSE greatest(stopped, started + 1) END AS ends
  FROM reported WHERE started IS NOT NULL
), members(application, series) AS (
  VALUES ('agent', 'agent-sessions'), ('agent', 'agent'),
    ('ticket-guidance', 'agent-sessions'), ('ticket-guidance', 'ticket-guidance'),
    ('mobile-web', 'mobile-web'), ('web-self-service', 'web-self-service')
), present AS (
  SELECT series, begins, ends FROM stays JOIN members USING (application)
  WHERE begins < {end} AND ends > {begin}
), deltas AS (
  SELECT series, greatest(begins, {begin}) AS second, 1 AS delta FROM present
  UNION ALL SELECT series, ends, -1 FROM present WHERE ends < {end}
  UNION ALL SELECT DISTINCT series, hour, 0
    FROM members CROSS JOIN generate_series({begin}, {end} - 1, 3600) AS hours(hour)
), sums AS (
  SELECT series, second, sum(delta) AS delta FROM deltas GROUP BY series, second
), levels AS (
  SELECT series, second, sum(delta) OVER (PARTITION BY series ORDER BY second) AS level FROM sums
), peaks AS (
  SELECT series, second - second % 3600 AS hour, max(level) AS peak FROM levels GROUP BY 1, 2
)
SELECT series, max(peak), sum(peak), count(*) FILTER (WHERE peak > 0),
  (array_agg(hour ORDER BY peak DESC, hour))[1]
FROM peaks GROUP BY series
"""


def sql(query: str, table: str, div: str) -> str:
    """Return *query* for the account and days of the report; all values are this module's own."""
    begin, end = bounds()
    return query.format(table=table, account=ACCOUNT, begin=begin, end=end, div=div)


def document(counts: Sequence[Sequence[Any]], curves: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return the report's members, as `usage export` names them, from the rows of both queries."""
    runs, clicks = dict.fromkeys(_APPLICATIONS, 0), dict.fromkeys(_SERVICES, 0)
    numbers = thousandths = messages = 0
    for kind, application, service, link, count, minutes in counts:
        if kind == "usage.flow.run":
            runs[application] += count
        elif kind == "usage.assist.clicked":
            clicks[service] += count
        elif kind == "usage.call.minutes":
            thousandths += int(minutes)
        elif kind == "usage.sms.sent" and link:
            messages += count
        elif kind == "usage.number.purchased":
            numbers += count
    return {
        "flow_runs": {"total": sum(runs.values()), "by_application": runs},
        "concurrency": {series: _curve(*map(int, numbers)) for series, *numbers in curves},
        "assistance": clicks,
        "dnis": {"numbers_purchased": numbers, "call_minutes": thousandths / 1000},
        "sms": {"messages_with_link": messages},
    }


def _curve(maximum: int, total: int, reported: int, busiest: int) -> dict[str, object]:
    hour = datetime.fromtimestamp(busiest, ZoneInfo(ZONE)).isoformat()
    return {
        "max": maximum,
        "average": total / reported if reported else 0,
        "reported_hours": reported,
        "busiest_hour": hour if maximum else None,
    }
