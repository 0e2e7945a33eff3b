"""What corrections say for themselves: reasons, who made them, and whether they fit their event."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.evidence.preparation import Events, Period
from interaction_usage.evidence.questions import counter, explain
from interaction_usage.evidence.verification import Claim, verify
from tests.evidence.rows import table

FILE = Path(__file__).parents[1] / "vectors" / "corrections.ndjson"
LIMITS = dict.fromkeys(("agent", "ticket-guidance", "mobile-web", "web-self-service"), 86_400)
OCTOBER = Period(date(2026, 10, 1), date(2026, 10, 31), "UTC", datetime(2026, 11, 30, tzinfo=UTC))


def events(*lines: bytes) -> Events:
    """Return *lines* as the events of a question."""
    return Events(ArrowSource(table(lines)), LIMITS)


def test_reasons_are_shown_where_numbers_are_explained() -> None:
    """Of a corrected session that is present, and of a void that a counter sums."""
    asked = events(*FILE.read_bytes().splitlines())
    found = explain(asked, "fixed", "agent-sessions", OCTOBER)
    reasons = {
        each["session"]: [event["reason"] for event in each["events"] if "reason" in event]
        for each in found["sessions"]
    }
    assert reasons["no-stop"] == ["the stop was lost"]
    assert all(bool(reasons[each["session"]]) == each["corrected"] for each in found["sessions"])
    _, listed = counter(asked, "fixed", "runs", OCTOBER)
    assert [(each["void"], each.get("reason")) for each in listed if each["void"]] == [
        (True, "sent twice under two ids")
    ]


def event(number: str, kind: str, data: dict[str, Any], time: str = "09:00:00Z") -> bytes:
    """Return an event of 12 October."""
    return json.dumps(
        {
            "specversion": "1.0", "id": number, "source": "tests", "type": f"usage.{kind}",
            "subject": "acme", "time": f"2026-10-12T{time}", "data": data,
        }
    ).encode()  # fmt: skip


def void(kind: str, data: dict[str, Any], time: str = "09:00:00Z") -> bytes:
    """Return the void of the event 1, by jane, which describes it so."""
    named = {
        "source": "tests", "id": "1", "type": f"usage.{kind}", "time": f"2026-10-12T{time}",
        "data": data,
    }  # fmt: skip
    why = {"reason": "a mistake", "actor": "jane"}
    return event("v", "event.voided", {"event": named, **why}, "18:00:00Z")


CALL, SMS = {"minutes": 2.5, "call": "c"}, {"campaign": "summer"}
RUN = {"flow": "f", "application": "agent"}


@pytest.mark.parametrize(
    ("original", "described", "differing"),
    [
        (event("1", "call.minutes", CALL), void("call.minutes", {"minutes": 2.50}), []),
        (event("1", "call.minutes", CALL), void("call.minutes", {"minutes": 2}), ["minutes"]),
        (event("1", "call.minutes", CALL), void("call.minutes", {}), ["minutes"]),
        (event("1", "call.minutes", CALL), void("sms.sent", {}), ["type", "minutes"]),
        (event("1", "call.minutes", {}), void("call.minutes", {}, "09:00:01Z"), ["time"]),
        (event("1", "sms.sent", SMS), void("sms.sent", {"link": True}), []),
        (event("1", "sms.sent", SMS), void("sms.sent", {"link": False}), ["link"]),
        (event("1", "flow.run", RUN), void("flow.run", RUN | {"outcome": "completed"}), []),
        (
            event("1", "flow.run", RUN), void("flow.run", {"flow": "g", "application": "agent"}),
            ["flow"],
        ),
        (
            event("1", "assist.clicked", {"service": "chat"}),
            void("assist.clicked", {"service": "email"}), ["service"],
        ),
    ],
)  # fmt: skip
def test_a_void_that_does_not_fit_the_event_is_named(
    original: bytes, described: bytes, differing: list[str]
) -> None:
    """By what counts: other members of the data, and how a number is written, do not."""
    found = verify(events(original, described), {"acme": Claim({}, None, {})}, OCTOBER)
    rows = [(row["event"]["id"], row["differing"]) for row in found["mismatched_voids"]]
    assert rows == ([("1", differing)] if differing else [])
