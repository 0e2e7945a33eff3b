"""Corrections and issued reports take from the archive what Kafka no longer has."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kafka.test_archive_rebuild import delete_everything
from tests.kafka.test_issued_reports import OCTOBER, differences, is_ready, issue, published
from tests.support.event_lines import event, flow
from tests.support.system import System


def test_an_issued_report_is_followed_to_events_that_kafka_deleted(
    system: System, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Made again byte for byte; late events are named, wherever they stand; originals are found."""
    system.variables["USAGE_ARCHIVE"] = str(tmp_path / "archive")
    system.start_worker()
    published(system)
    eventually(is_ready(system), "October may be issued")
    assert issue(system, "acme", *OCTOBER) == "acme-000001"
    late = {"session": "late", "application": "agent"}
    lines = [
        event("c", "session.started", late, time="2025-10-06T09:30:00Z"),
        flow("late 1", time="2025-10-05T12:00:00Z"),
    ]
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.usage("archive", "once")
    system.catch_up()
    delete_everything(system)
    lines = [
        event("d", "session.stopped", late, time="2025-10-06T09:40:00Z"),
        flow("late 2", time="2025-10-05T12:00:00Z"),
    ]
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()
    said = system.usage("reports", "show", "acme-000001", "--reproduce").stderr
    assert b"the same bytes from 36 records" in said
    found = differences(system, "acme-000001", 1)
    assert (found["explained"], found["gone"]) == (True, [])
    assert sorted(each["id"] for each in found["events"]) == ["c", "d", "late 1", "late 2"]
    for number in (7, "late 2"):  # one in the archive, one in Kafka
        assert void(system, str(number)).startswith("acme: void of usage.flow.run of 2025-10-05T12")
    assert "Did you mean 'late 1' or 'late 2'?" in void(system, "late1", code=1)
    check_without_the_archive(system)


def check_without_the_archive(system: System) -> None:
    """What Kafka deleted is named."""
    del system.variables["USAGE_ARCHIVE"]
    said = system.usage("reports", "show", "acme-000001", "--reproduce", code=1).stderr.decode()
    assert "Kafka deleted the offsets 0 to " in said
    assert differences(system, "acme-000001", 1)["gone"]
    said = void(system, "7", code=1)
    assert "There is no event of acme with the source" in said
    assert "It may be among what is not there any more: Kafka deleted the offsets 0 to" in said
    system.variables["USAGE_ARCHIVE"] = str(system.folder / "nothing-there")
    assert differences(system, "acme-000001", 1)["gone"]


def void(system: System, event_id: str, code: int = 0) -> str:
    """Return what `usage correct event` says that it would change."""
    done = system.usage(
        "correct", "event", "acme", "--source", "tests", "--id", event_id, "--reason", "a test",
        "--dry-run", code=code,
    )  # fmt: skip
    return (done.stderr if code else done.stdout).decode()


def test_a_session_is_found_in_the_archive(system: Any, tmp_path: Path) -> None:
    """Nothing of it is counted yet, so it is looked for among the events."""
    system.variables["USAGE_ARCHIVE"] = str(tmp_path / "archive")
    worker = system.start_worker()
    system.usage("send", "-", stdin=flow(1, time="2025-10-05T12:00:00Z"))
    system.catch_up()
    worker.stop()
    data = {"session": "s-4711", "application": "agent"}
    system.usage("send", "-", stdin=event("a", "session.started", data))
    system.usage("archive", "once")
    delete_everything(system)
    words = ["correct", "session", "acme", "agent"]
    more = ["--remove", "--reason", "a test", "--dry-run"]
    said = system.usage(*words, "s-4711", *more, code=1).stderr
    assert b"The session's events are not counted yet" in said
    said = system.usage(*words, "s-471", *more, code=1).stderr
    assert b"Did you mean 's-4711'?" in said
    rows = json.loads(system.usage("archive", "status", "--json").stdout)["tables"]
    assert rows[0]["rows"] == 2
