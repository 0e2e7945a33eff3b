"""The vectors: event files, and the reports that they must give."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from export.json_renderer import document
from interaction_usage.reports.build import Account, Period, build, period
from rollups.fold import OffsetEvent
from rollups.range_snapshot import RangeSnapshot
from stream_app.codec import decode
from stream_app.topics import TOPIC_OF

FOLDER = Path(__file__).parents[1] / "vectors"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ndjson"))


class Expected(NamedTuple):
    """A report that a vector's events must give."""

    account: str
    period: Period
    as_of: datetime
    report: dict[str, Any]


class Evidence(NamedTuple):
    """How many sessions of a series start in a period of a vector."""

    account: str
    period: Period
    series: str
    started: int


def lines(name: str) -> list[tuple[str, bytes]]:
    """Return the topic and the bytes of each event of a vector."""
    found = []
    for line in (FOLDER / f"{name}.ndjson").read_bytes().splitlines():
        found.append((TOPIC_OF[json.loads(line)["type"]], line))
    return found


def placed(name: str) -> dict[str, list[OffsetEvent]]:
    """Return a vector's events by topic, each at an offset of its own."""
    topics: dict[str, list[OffsetEvent]] = {}
    for topic, line in lines(name):
        log = topics.setdefault(topic, [])
        log.append(OffsetEvent(len(log), decode(topic, line)))
    return topics


def expected(name: str) -> Iterator[Expected]:
    """Yield every report that a vector must give."""
    for case in json.loads((FOLDER / f"{name}.expected.json").read_text()):
        as_of = datetime.fromisoformat(case["as_of"]).astimezone(UTC)
        first, last = date.fromisoformat(case["from"]), date.fromisoformat(case["to"])
        yield Expected(
            case["account"], period(first, last, case["tz"], as_of), as_of, case["report"]
        )


def evidence(name: str) -> Iterator[Evidence]:
    """Yield how many sessions a vector's events must have, for a series in each of some periods.

    Only where the as-of instant lies behind the period: that cuts the evidence off, and no counter.
    """
    for case in json.loads((FOLDER / f"{name}.evidence.json").read_text()):
        as_of = datetime.fromisoformat(case["as_of"]).astimezone(UTC)
        first, last = date.fromisoformat(case["from"]), date.fromisoformat(case["to"])
        within = period(first, last, case["tz"], as_of)
        if within.end <= as_of.timestamp():
            yield Evidence(case["account"], within, case["series"], case["capacity"][0]["started"])


def members_of(case: Expected, reading: RangeSnapshot) -> dict[str, Any]:
    """Return the report that *reading* gives, with the members that *case* speaks of."""
    account = Account(case.account, case.account, dnis=True, sms=True)
    whole = document(build(account, case.period, reading, case.as_of))
    return {member: whole[member] for member in case.report}
