"""Issued reports on a real Kafka: stored for ever, numbered without a gap or a double."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import xlrd
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from interaction_usage import settings
from interaction_usage.store import keys
from interaction_usage.store.gaps import accept, record
from rollups.gaps import Acceptance, Gap
from stream_app.ledger import KafkaLedger
from tests.support.event_lines import event, flow
from tests.support.system import System
from tests.support.zone_database import VERSION, changed_zone

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
    system: System, eventually: Callable[..., None], tmp_path: Path
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
    assert "as a changed time zone leaves it. To leave it out, pass --gap" in said
    assert issue(system, "acme", *NOVEMBER, "--gap") == "acme-000002"
    system.usage("account", "set", "acme", "--timezone", "Europe/Paris")
    said = issue(system, "acme", "--month", "2025-12", code=1)
    assert "6 h from 2025-11-30T23:00:00Z to 2025-12-01T05:00:00Z would be on acme-000002" in said
    assert issue(system, "acme", "--month", "2025-12", "--overlap") == "acme-000003"
    revised = issue(system, "acme", *OCTOBER, "--revises", "acme-000001")
    assert revised == "acme-000004"
    assert listed(system)[-1]["revises"] == "acme-000001"
    with changed_zone(tmp_path, "Europe/Paris", "Europe/London"):
        again = system.usage("reports", "show", "acme-000001", "--reproduce", code=1).stderr
        now = system.usage("reports", "diff", "acme-000001", code=1).stdout
    for text in (again.decode(), now.decode()):
        assert f"the time zone database is {VERSION}, and was " in text
        assert "it moves the period in Europe/Paris" in text
    system.usage("reports", "show", "acme-000001", "--reproduce")
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


def test_what_redis_lost_of_gaps_and_accounts_is_read_before_a_report_is_issued(
    system: System, eventually: Callable[..., None]
) -> None:
    """After a failover a node has not its last writes, and no worker has read them again yet."""
    worker = system.start_worker()
    published(system)
    eventually(is_ready(system), "October may be issued")
    worker.stop()
    tables = keys.GAPS, keys.GAPS_READ, keys.settings("acme"), keys.ledger("")
    with system.client() as redis:
        before = {key: redis.hgetall(key) for key in tables}
        ledger = KafkaLedger(settings.read(system.environment), redis)
        gap = Gap("usage.flows", 0, "", 10, 12, None, int(time.time()), "rebuild")
        [lost] = record(ledger, [gap])
        system.usage("account", "set", "acme", "--name", "Acme Ltd")

        def fail_over() -> None:
            for key, found in before.items():
                redis.delete(key)
                if found:
                    redis.hset(key, mapping=found)

        fail_over()
        assert "Kafka deleted up to 2 events uncounted" in issue(system, "acme", *OCTOBER, code=1)
        accept(ledger, [lost], Acceptance("a test", "a test", int(time.time())))
        fail_over()
        assert issue(system, "acme", *OCTOBER) == "acme-000001"
    assert json.loads(shown(system, "acme-000001"))["name"] == "Acme Ltd"


def differences(system: System, number: str, code: int) -> dict[str, Any]:
    """Return what `usage reports diff` says."""
    done = system.usage("reports", "diff", number, "--format", "json", code=code)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_late_events_are_named_with_what_they_changed(
    system: System, eventually: Callable[..., None]
) -> None:
    """Runs add up, a session moves the peak, a repeat and another month change nothing."""
    system.start_worker()
    published(system)
    eventually(is_ready(system), "October may be issued")
    assert issue(system, "acme", *OCTOBER) == "acme-000001"
    assert differences(system, "acme-000001", 0)["events"] == []
    said = system.usage("reports", "show", "acme-000001", "--reproduce").stderr
    assert b"the same bytes from 36 records" in said

    late = {"session": "late", "application": "agent"}
    lines = [
        flow(1, time="2025-10-05T12:00:00Z"),  # a repeat
        flow("november", time="2025-11-05T12:00:00Z"),
        flow("late 1", time="2025-10-05T12:00:00Z"),
        flow("late 2", time="2025-10-06T12:00:00Z"),
        event("c", "session.started", late, time="2025-10-06T09:30:00Z"),
        event("d", "session.stopped", late, time="2025-10-06T09:40:00Z"),
        event("e", "call.minutes", {"minutes": 1.5}, time="2025-10-31T23:59:59Z"),
    ]
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()
    found = differences(system, "acme-000001", 1)
    assert list(found)[:4] == ["number", "changed", "cells", "events"]
    cells = {each["path"]: (each["issued"], each["now"]) for each in found["cells"]}
    assert cells["flow_runs.total"] == (30, 32)
    assert cells["dnis.call_minutes"] == (0, 1.5)
    assert cells["concurrency.agent.max"] == (3, 4)
    assert found["explained"]
    assert found["without_events"] == found["gone"] == []
    assert sorted(each["id"] for each in found["events"]) == ["c", "d", "e", "late 1", "late 2"]
    for path in ("flow_runs.total", "dnis.call_minutes", "sessions.agent.started"):
        changes = [
            change["after"] - change["before"]
            for each in found["events"]
            for change in each["changes"]
            if change["path"] == path
        ]
        assert sum(changes) == cells[path][1] - cells[path][0]
    [peak] = [each for each in found["peaks"] if each["path"] == "concurrency.agent.max"]
    assert [(each["id"], each["max"]) for each in peak["without"]] == [("c", 3)]
    for each in found["events"]:
        assert each["topic"].startswith("usage.")
    text = system.usage("reports", "diff", "acme-000001", code=1).stdout.decode()
    assert "Interaction Flows Run: Total  30 issued, 32 now" in text
    assert "without c of tests alone: 3" in text
    system.usage("reports", "show", "acme-000001", "--reproduce")
    assert issue(system, "acme", *OCTOBER, "--revises", "acme-000001") == "acme-000002"
    assert differences(system, "acme-000002", 0)["events"] == []
    sheet = sheet_of(shown(system, "acme-000002", "xls"), "Changes since revision 1")
    assert ["Interaction Flows Run: Total", "30", "32"] in [row[:3] for row in sheet]
    assert [row[4] for row in sheet if row[0] == "e of tests"] == [
        "DNIS Service: Call Now minutes 0.0 to 1.5"
    ]
    assert json.loads(shown(system, "acme-000002"))["revises"] == "acme-000001"
    system.usage("reports", "show", "acme-000002", "--reproduce")
    delete_everything(system, "usage.flows")
    said = system.usage("reports", "show", "acme-000001", "--reproduce", code=1).stderr
    assert b"Kafka deleted the offsets 0 to" in said
    assert b"Interaction Flows Run: Total 30 issued, 0 now" in said


def sheet_of(content: bytes, name: str) -> list[list[Any]]:
    """Return the rows of a sheet."""
    sheet = xlrd.open_workbook(file_contents=content).sheet_by_name(name)
    return [sheet.row_values(row) for row in range(sheet.nrows)]


def delete_everything(system: System, topic: str) -> None:
    """Delete all records of a topic."""
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    count = len(admin.list_topics(topic, timeout=10).topics[topic].partitions)
    ends = [TopicPartition(topic, number, -1) for number in range(count)]
    for deleted in admin.delete_records(ends).values():
        deleted.result(20)
