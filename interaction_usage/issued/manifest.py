"""The manifest of an issued report: what it was made of, to check it and to make it again."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from typing import Any

from export.formats import WORKBOOK_VERSION
from interaction_usage.reports.service import Basis
from interaction_usage.store import keys
from interaction_usage.store.issued_table import Entry


def tzdata_version() -> str:
    """Return the version of the time zone database: `2026f`."""
    return str(import_module("tzdata").IANA_VERSION)


@cache  # reading it takes as long as making a report
def product_version() -> str:
    """Return the version of this product."""
    return version("interaction-usage")


def manifest(
    entry: Entry,
    basis: Basis,
    files: Mapping[str, bytes],
    adjusted: Mapping[str, Mapping[str, int]],
    rejected: Mapping[str, int] | None,
) -> dict[str, Any]:
    """Return the manifest of the report of *entry*, given the bytes of its JSON and its xls.

    Of each earlier report that is *adjusted*, by number, it has the end offsets, too, and of dead
    letters those before which all of what was *rejected* until then lie, unless they are unknown.
    """
    report = basis.report
    members = {
        "number": entry.number,
        "account": report.account,
        "name": report.name,
        "dnis": report.dnis,
        "sms": report.sms,
        "from": entry.first,
        "to": entry.last,
        "timezone": report.timezone,
        "tzdata": tzdata_version(),
        "as_of": instant(int(report.as_of.timestamp())),
        "issued_at": instant(entry.issued_at),
        "issued_by": entry.by,
        "revises": entry.revised_number,
        "session_limits": dict(basis.limits),
        "version": product_version(),
        "workbook_version": WORKBOOK_VERSION,
        "offsets": offsets(basis.ends),
        "dead_letters": report.completeness.refused,
        "completeness": report.completeness.members(),
        "json_sha256": sha256(files["json"]).hexdigest(),
        "xls_sha256": sha256(files["xls"]).hexdigest(),
    }
    if rejected is not None:
        members["dead_letter_offsets"] = offsets(rejected)
    if adjusted:
        members["adjusts"] = [
            {"number": number, "offsets": offsets(ends)} for number, ends in adjusted.items()
        ]
    return members


def workbook_version(content: Mapping[str, Any]) -> int:
    """Return the version of the report's workbook; the first one was not recorded."""
    return int(content.get("workbook_version", 1))


def offsets(ends: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return *ends* as the manifest has them, by topic and partition."""
    placed = sorted((*keys.parse_fence(name), end) for name, end in ends.items())
    return [
        {"topic": topic, "topic_id": topic_id or None, "partition": partition, "end": end}
        for topic, partition, topic_id, end in placed
    ]


def ends_in(content: Mapping[str, Any]) -> dict[str, int]:
    """Return the end offsets in a manifest, by the name of each topic-partition in fences."""
    return _ends(content["offsets"])


def dead_letter_ends_in(content: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the same of dead letters; None in a manifest of before they were recorded."""
    found = content.get("dead_letter_offsets")
    return None if found is None else _ends(found)


def _ends(listed: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {
        keys.fence(each["topic"], each["partition"], each["topic_id"] or ""): each["end"]
        for each in listed
    }


def instant(second: int) -> str:
    """Return *second* as RFC 3339, in UTC."""
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def list_members(entry: Entry) -> dict[str, Any]:
    """Return what a list says of an issued report, for commands and the API alike."""
    return {
        "number": entry.number,
        "account": entry.account,
        "from": entry.first,
        "to": entry.last,
        "timezone": entry.timezone,
        "issued_at": instant(entry.issued_at),
        "revises": entry.revised_number,
    }
