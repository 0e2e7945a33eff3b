"""The report that a set of events must give, from the pure code alone."""

import json
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from export.json_renderer import document
from interaction_usage.reports.build import Account, build, period
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT
from rollups.fold import OffsetEvent
from stream_app.codec import decode
from stream_app.topics import TOPIC_OF
from tests.support import reference_model

LIMITS = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)


def rollups_of(lines: Iterable[bytes]) -> dict[str, reference_model.Account]:
    """Return the rollups of every account in *lines*, each a valid event."""
    accounts: dict[str, reference_model.Account] = {}
    placed = [
        OffsetEvent(number, decode(TOPIC_OF[json.loads(line)["type"]], line))
        for number, line in enumerate(lines)
    ]
    reference_model.apply_events(accounts, "all/0", placed, LIMITS)
    return accounts


def report_of(
    rollups: reference_model.Account, account: str, first: str, last: str, tz: str, as_of: str
) -> dict[str, Any]:
    """Return the report as `--format json` has it."""
    until = datetime.fromisoformat(as_of)
    within = period(date.fromisoformat(first), date.fromisoformat(last), tz, until)
    reading = reference_model.read(rollups, *within.slots)
    answer: dict[str, Any] = json.loads(
        json.dumps(document(build(Account(account, account, True, True), within, reading, until)))
    )
    del answer["completeness"]  # the pure code alone knows of no stream
    return answer
