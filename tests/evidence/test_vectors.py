"""The vectors' evidence: every explanation that their events must give."""

import json
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.evidence.preparation import Events, Period
from interaction_usage.evidence.questions import capacity, concurrency, explain
from tests.evidence.rows import table

FOLDER = Path(__file__).parents[1] / "vectors"
NAMES = sorted(path.name.removesuffix(".evidence.json") for path in FOLDER.glob("*.evidence.json"))
LIMITS = dict.fromkeys(("agent", "ticket-guidance", "mobile-web", "web-self-service"), 86_400)
CASES = [
    pytest.param(name, case, id=f"{name}-{number}")
    for name in NAMES
    for number, case in enumerate(json.loads((FOLDER / f"{name}.evidence.json").read_text()))
]


@cache
def events(name: str) -> Events:
    """Return the events of a vector."""
    lines = (FOLDER / f"{name}.ndjson").read_bytes().splitlines()
    return Events(ArrowSource(table(lines)), LIMITS)


def period(case: dict[str, Any]) -> Period:
    """Return the period that a case is about."""
    first, last = date.fromisoformat(case["from"]), date.fromisoformat(case["to"])
    return Period(first, last, case["tz"], datetime.fromisoformat(case["as_of"]))


@pytest.mark.parametrize(("name", "case"), CASES)
def test_explain(name: str, case: dict[str, Any]) -> None:
    """The maximum, its second, and exactly the sessions present at it."""
    found = explain(events(name), case["account"], case["series"], period(case))
    members = ("application", "session", "inferred", "corrected")
    del found["curve"]
    found["sessions"] = [{each: row[each] for each in members} for row in found["sessions"]]
    assert found == case["explain"]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_concurrency(name: str, case: dict[str, Any]) -> None:
    """The other ways to bill the same curve."""
    found = concurrency(events(name), case["account"], case["series"], period(case))
    assert found == case["concurrency"]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_capacity(name: str, case: dict[str, Any]) -> None:
    """What a licence would have meant."""
    licences = [row["sessions"] for row in case["capacity"]]
    found = capacity(events(name), case["account"], case["series"], period(case), licences)
    assert found == case["capacity"]


def test_there_are_vectors() -> None:
    """An empty folder would pass every test above."""
    assert len(NAMES) >= 5
