"""Adjustments on a real Kafka: the next report bills what changed of an earlier one, once."""

import csv
import json
from collections.abc import Callable
from io import StringIO
from typing import Any

from tests.kafka.test_issued_reports import (
    OCTOBER,
    differences,
    is_ready,
    issue,
    published,
    sheet_of,
    shown,
)
from tests.support.event_lines import event, flow
from tests.support.system import System


def adjustments(system: System, number: str) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Return what an issued report adjusts, by report and path."""
    return lines_of(json.loads(shown(system, number)))


def lines_of(report: dict[str, Any]) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Return (difference, billed before, now, events) by report and path."""
    return {
        each["number"]: {
            cell["path"]: (cell["difference"], cell["billed"], cell["now"], cell["events"])
            for cell in each["cells"]
        }
        for each in report.get("adjustments", ())
    }


def send(system: System, *lines: bytes) -> None:
    """Publish events and wait until they are counted."""
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()


def test_the_next_report_bills_what_changed_of_an_earlier_one(
    system: System, eventually: Callable[..., None]
) -> None:
    """October changes twice, and November and December bill each change once."""
    system.start_worker()
    published(system)
    eventually(is_ready(system), "October may be issued")
    assert issue(system, "acme", *OCTOBER) == "acme-000001"
    late = {"session": "late", "application": "agent"}
    send(
        system,
        flow(1, time="2025-10-05T12:00:00Z"),  # a repeat
        flow("late 1", time="2025-10-05T12:00:00Z"),
        flow("late 2", time="2025-10-06T12:00:00Z"),
        event("c", "session.started", late, time="2025-10-06T09:30:00Z"),
        event("d", "session.stopped", late, time="2025-10-06T09:40:00Z"),
        event("e", "call.minutes", {"minutes": 1.5}, time="2025-10-31T23:59:59Z"),
        flow("n", time="2025-11-05T12:00:00Z"),
    )
    november = ("acme", "--month", "2025-11")
    preview = ("reports", "preview", *november)
    without = json.loads(system.usage(*preview, "--format", "json").stdout)
    assert "adjustments" not in without["report"]  # the account's setting is to revise
    system.usage("account", "set", "acme", "--late-usage", "adjust")
    expected = {
        "flow_runs.total": (2, 30, 32, 2),
        "flow_runs.by_application.agent": (2, 30, 32, 2),
        "concurrency.agent-sessions.max": (1, 3, 4, 1),
        "concurrency.agent-sessions.average": (1, 3, 4, 2),
        "concurrency.agent.max": (1, 3, 4, 1),
        "concurrency.agent.average": (1, 3, 4, 2),
        "dnis.call_minutes": (1.5, 0, 1.5, 1),
        "sessions.agent.started": (1, 3, 4, 1),
    }
    found = json.loads(system.usage(*preview, "--format", "json").stdout)
    assert lines_of(found["report"])["acme-000001"].items() >= expected.items()
    text = system.usage(*preview).stdout.decode()
    assert "Adjustment of acme-000001, 2025-10-01 to 2025-10-31" in text
    assert "DNIS Service: Call Now minutes  +1.5 (0 billed, 1.5 now; 1 event)" in text

    assert issue(system, *november) == "acme-000002"
    assert lines_of(found["report"]) == adjustments(system, "acme-000002")
    rows = list(csv.reader(StringIO(shown(system, "acme-000002", "csv").decode("utf-8-sig"))))
    assert ["DNIS Service: Call Now minutes", "1.500", "0.000", "1.500", "1"] in rows
    sheet = sheet_of(shown(system, "acme-000002", "xls"), "Adjustments")
    assert ["Interaction Flows Run: Total", 2, 30, 32, 2] in sheet
    assert "with an adjustment of acme-000001" in shown(system, "acme-000002", "csv").decode()
    system.usage("reports", "show", "acme-000002", "--reproduce")
    assert differences(system, "acme-000001", 1)["adjusted"][0]["number"] == "acme-000002"

    # One of the late runs is voided: what was billed with acme-000002 is the measure now.
    reason = ("--reason", "it was a test")
    system.usage("correct", "event", "acme", "--source", "tests", "--id", "late 2", *reason)
    assert "bills what differs from it already" in issue(
        system, "acme", *OCTOBER, "--revises", "acme-000001", code=1
    )
    assert issue(system, "acme", "--month", "2025-12") == "acme-000003"
    assert adjustments(system, "acme-000003") == {
        "acme-000001": {
            "flow_runs.total": (-1, 32, 31, 1),
            "flow_runs.by_application.agent": (-1, 32, 31, 1),
        }
    }
    # A revision of the report that adjusts takes its place, and adjusts what it adjusted.
    send(system, flow("n 2", time="2025-11-06T12:00:00Z"))
    assert issue(system, *november, "--revises", "acme-000002") == "acme-000004"
    again = adjustments(system, "acme-000004")["acme-000001"]
    assert {path: each[0] for path, each in again.items()} == {
        path: each[0] for path, each in adjustments(system, "acme-000002")["acme-000001"].items()
    }
    assert issue(system, "acme", "--month", "2026-01") == "acme-000005"
    assert adjustments(system, "acme-000005") == {}
    for number in range(1, 6):
        system.usage("reports", "show", f"acme-{number:06}", "--reproduce")
