"""Issued reports on a real Kafka: stored for ever, numbered without a gap or a double."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from interaction_usage.store import keys
from tests.support.event_lines import event, flow
from tests.support.system import System

OCTOBER = ("--month", "2025-10")
NOVEMBER = ("--month", "2025-11")


def published(system: System) -> None:
    """Publish some usage of October 2025 and wait until it is counted."""
    lines = [flow(n, time="2025-10-05T12:00:00Z") for n in range(30)]
    for number in range(3):
        data = {"session": f"s{number}", "application": "agent"}
        lines.append(event(f"a{number}", "session.started", data, time="2025-10-06T09:00:00Z"))
        lines.append(event(f"b{number}", "session.stopped", data, time="2025-10-06T10:00:00Z"))
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()


def issue(system: System, *arguments: str, code: int = 0) -> str:
    """Issue a report; return its number, or what is said where there is none."""
    done = system.usage("reports", "issue", *arguments, code=code)
    return (done.stderr if code else done.stdout).decode().strip()


def listed(system: System) -> list[dict[str, Any]]:
    """Return what `usage reports list` says."""
    found: list[dict[str, Any]] = json.loads(
        system.usage("reports", "list", "--format", "json").stdout
    )
    return found


def shown(system: System, number: str, file_format: str = "json") -> bytes:
    """Return the bytes of an issued report."""
    return system.usage("reports", "show", number, "--format", file_format).stdout


def is_ready(system: System) -> Callable[[], bool]:
    """Return what tells whether a report of acme may be issued."""

    def look() -> bool:
        found = json.loads(
            system.usage("reports", "preview", "acme", *OCTOBER, "--format", "json").stdout
        )
        return not found["obstacles"]

    return look


def test_an_issued_report_never_changes_and_outlives_redis(
    system: System, eventually: Callable[..., None]
) -> None:
    """The bytes of the manifest, whatever arrives later, and from Kafka alone."""
    worker = system.start_worker()
    published(system)
    eventually(is_ready(system), "October may be issued")
    assert issue(system, "acme", *OCTOBER) == "acme-000001"
    assert issue(system, "acme", *OCTOBER) == "acme-000001"
    [entry] = listed(system)
    assert list(entry) == ["number", "account", "from", "to", "timezone", "issued_at", "revises"]
    manifest = json.loads(system.usage("reports", "show", "acme-000001", "--manifest").stdout)
    content = {name: shown(system, "acme-000001", name) for name in ("json", "xls", "csv")}
    assert sha256(content["json"]).hexdigest() == manifest["json_sha256"]
    assert sha256(content["xls"]).hexdigest() == manifest["xls_sha256"]
    report = json.loads(content["json"])
    assert json.dumps(report, sort_keys=True, separators=(",", ":")).encode() == content["json"]
    assert report["completeness"]["status"] == "issued"
    assert report["concurrency"]["agent"]["max"] == 3
    assert b"Report number,acme-000001" in content["csv"]
    assert sum(each["end"] for each in manifest["offsets"]) == 36
    exported = system.usage("export", "acme", *OCTOBER, "--format", "json", "-o", "-").stdout
    assert json.loads(exported)["completeness"]["status"] == "issued"

    system.usage("send", "-", stdin=flow("late", time="2025-10-07T12:00:00Z"))
    system.catch_up()
    exported = system.usage("export", "acme", *OCTOBER, "--format", "json", "-o", "-").stdout
    assert json.loads(exported)["completeness"]["status"] == "provisional"
    worker.stop()
    with system.client() as redis:
        redis.flushall()
    system.start_worker()
    system.catch_up()
    eventually(lambda: listed(system) == [entry], "the report is back")
    assert {name: shown(system, "acme-000001", name) for name in content} == content


def test_operators_at_once_make_one_report_of_a_period(
    system: System, eventually: Callable[..., None]
) -> None:
    """Six issue October, then six each November and December."""
    system.start_worker()
    published(system)
    eventually(is_ready(system), "October may be issued")
    months = [OCTOBER] * 6
    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(lambda month: issue(system, "acme", *month), months))
    assert numbers == ["acme-000001"] * 6
    [entry] = listed(system)
    assert entry["number"] == "acme-000001"
    assert issue(system, "acme", *NOVEMBER) == "acme-000002"


def test_months_of_another_zone_leave_a_gap_or_overlap(
    system: System, eventually: Callable[..., None]
) -> None:
    """Paris, then New York: 5 hours are on no report; back to Paris, 6 hours are on two."""
    system.start_worker()
    published(system)
    system.usage("account", "set", "acme", "--timezone", "Europe/Paris")
    eventually(is_ready(system), "October may be issued")
    issue(system, "acme", *OCTOBER)
    system.usage("account", "set", "acme", "--timezone", "America/New_York")
    said = issue(system, "acme", *NOVEMBER, code=1)
    assert "5 h from 2025-10-31T23:00:00Z to 2025-11-01T04:00:00Z would be on no report" in said
    assert issue(system, "acme", *NOVEMBER, "--gap") == "acme-000002"
    system.usage("account", "set", "acme", "--timezone", "Europe/Paris")
    said = issue(system, "acme", "--month", "2025-12", code=1)
    assert "6 h from 2025-11-30T23:00:00Z to 2025-12-01T05:00:00Z would be on acme-000002" in said
    assert issue(system, "acme", "--month", "2025-12", "--overlap") == "acme-000003"
    revised = issue(system, "acme", *OCTOBER, "--revises", "acme-000001")
    assert revised == "acme-000004"
    assert listed(system)[-1]["revises"] == "acme-000001"
    said = issue(system, "acme", *OCTOBER, "--revises", "acme-000001", code=1)
    assert "it was revised already, by acme-000004" in said


def test_a_report_is_not_issued_too_early(system: System) -> None:
    """A month that goes on is refused, and so is one without a worker."""
    published_before = [flow(n, time="2025-10-05T12:00:00Z") for n in range(3)]
    worker = system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(published_before))
    system.catch_up()
    month = f"{datetime.now(UTC):%Y-%m}"
    assert "No report was issued" in issue(system, "acme", "--month", month, code=1)
    worker.kill()
    with system.client() as redis:
        redis.delete(keys.PROGRESS)
    assert "it is incomplete: No worker" in issue(system, "acme", *OCTOBER, code=1)
    assert listed(system) == []
