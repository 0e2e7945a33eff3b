"""The Usage Report as one JSON object: for programs, which rely on exactly these members."""

from datetime import UTC, datetime

import orjson

from export.text import encodable
from interaction_usage.reports.model import Concurrency, Report
from rollups.catalog import APPLICATIONS, SERIES, SERVICES


def render(report: Report) -> bytes:
    """Return *report* as UTF-8 JSON, indented, with a newline at its end."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(document(report), option=options)


def document(report: Report) -> dict[str, object]:
    """Return the members of the JSON document; `dnis` and `sms` are None where not applicable.

    Averages are unrounded, instants RFC 3339: `as_of` in UTC, `busiest_hour` in local time.
    """
    counts = report.counts
    calls = {
        "numbers_purchased": counts.numbers_purchased,
        "call_minutes": counts.call_thousandths / 1000,
    }
    return {
        "account": encodable(report.account),
        "name": encodable(report.name),
        "from": report.first.isoformat(),
        "to": report.last.isoformat(),
        "timezone": report.timezone,
        "as_of": _utc(report.as_of),
        "flow_runs": {
            "total": counts.flow_runs_total,
            "by_application": {name: counts.flow_runs.get(name, 0) for name in APPLICATIONS},
        },
        "concurrency": {name: _curve(report.concurrency[name]) for name in SERIES},
        "assistance": {name: counts.clicks.get(name, 0) for name in SERVICES},
        "dnis": calls if report.dnis else None,
        "sms": {"messages_with_link": counts.sms_with_link} if report.sms else None,
    }


def _curve(curve: Concurrency) -> dict[str, object]:
    return {
        "max": curve.maximum,
        "average": curve.average,
        "reported_hours": curve.reported_hours,
        "busiest_hour": curve.busiest_hour.isoformat() if curve.busiest_hour else None,
    }


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
