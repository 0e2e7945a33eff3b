"""The Usage Report as one JSON object: for programs, which rely on exactly these members."""

from datetime import UTC, datetime
from typing import Any

import orjson

from export.text import encodable
from interaction_usage.reports.model import Concurrency, Report
from rollups import catalog


def render(report: Report) -> bytes:
    """Return *report* as UTF-8 JSON, indented, with a newline at its end."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(document(report), option=options)


def canonical(report: Report) -> bytes:
    """Return *report* as JSON with one spelling: keys sorted, no white space.

    The manifest of an issued report has the SHA-256 of these bytes.
    """
    return orjson.dumps(document(report), option=orjson.OPT_SORT_KEYS)


def document(report: Report) -> dict[str, Any]:
    """Return the members of the JSON document; those of a section that does not apply are None.

    Averages are unrounded, instants RFC 3339: `as_of` in UTC, `busiest_hour` in local time.
    """
    members: dict[str, Any] = {
        "account": encodable(report.account),
        "name": encodable(report.name),
        "from": report.first.isoformat(),
        "to": report.last.isoformat(),
        "timezone": report.timezone,
        "as_of": _utc(report.as_of),
    }
    sessions = {name: each._asdict() for name, each in report.counts.sessions.items()}
    for section in catalog.SECTIONS:
        for series in catalog.series_of(section):
            curves = members.setdefault("concurrency", {})
            curves[series.id] = _curve(report.concurrency[series.id])
            members["sessions"] = sessions
        for metric in catalog.metrics_of(section):
            if report.has(section):
                _put(members, metric.json_path, report.counts.reported(metric))
            else:
                members[metric.json_path[0]] = None
    members["completeness"] = report.completeness.members()
    if report.number:
        members["number"] = report.number
    if report.revision:
        members["revises"] = report.revision.number
    if report.adjustments:
        members["adjustments"] = adjustments_in(report)
    return members


def adjustments_in(report: Report) -> list[dict[str, Any]]:
    """Return what *report* bills of earlier ones, by their numbers."""
    return [
        {
            "number": each.number,
            "from": each.first.isoformat(),
            "to": each.last.isoformat(),
            "timezone": each.timezone,
            "cells": [cell._asdict() for cell in each.cells],
            "notes": list(each.notes),
        }
        for each in report.adjustments
    ]


def _put(members: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    *outer, last = path
    for name in outer:
        members = members.setdefault(name, {})
    members[last] = value


def _curve(curve: Concurrency) -> dict[str, object]:
    return {
        "max": curve.maximum,
        "average": curve.average,
        "reported_hours": curve.reported_hours,
        "busiest_hour": curve.busiest_hour.isoformat() if curve.busiest_hour else None,
    }


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
