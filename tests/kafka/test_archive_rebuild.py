"""A rebuild takes from the archive what Kafka no longer has: the bill is the one it was."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from stream_app.broker import spans
from stream_app.topics import EVENT_TOPICS
from tests.kafka.test_rebuild import AS_OF, DAYS, check_reports
from tests.support.event_lines import flow, traffic

#: Seconds in which a lost Redis of these few events has its bills again, on a busy machine.
RECOVERY_S = 120


@pytest.fixture
def archived(system: Any, tmp_path: Path) -> list[bytes]:
    """Return the lines that are counted and archived, and that Kafka has deleted."""
    system.variables["USAGE_ARCHIVE"] = str(tmp_path / "archive")
    lines = list(traffic(3_000, seed=11, accounts=6))
    system.start_worker()
    for begin in range(0, 3_000, 1_000):
        system.usage("send", "-", stdin=b"\n".join(lines[begin : begin + 1_000]))
        system.usage("archive", "once")
    system.catch_up()
    system.usage("archive", "compact")
    delete_everything(system)
    return lines


def delete_everything(system: Any) -> None:
    """Have Kafka delete all events, as retention does."""
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap, "log_level": 0})
    ends = {place: span.end for place, span in spans(system.kafka.bootstrap, EVENT_TOPICS).items()}
    asked = [TopicPartition(*place, end) for place, end in ends.items() if end]
    for deleted in admin.delete_records(asked).values():
        deleted.result(10)


def test_the_rollups_are_verified_from_the_archive(system: Any, archived: list[bytes]) -> None:
    """Kafka has the last events alone."""
    more = list(traffic(300, seed=12, accounts=6))
    system.usage("send", "-", stdin=b"\n".join(more))
    system.catch_up()
    done = system.usage("rebuild", "--verify")
    assert done.stderr.endswith(b"6 accounts match the topics exactly.\n")
    assert b"3,300 records" in system.usage("rebuild").stderr
    system.catch_up()
    check_reports(system, archived + more)
    del system.variables["USAGE_ARCHIVE"]
    assert b"Kafka has deleted events" in system.usage("rebuild", "--verify", code=1).stderr


def test_redis_is_lost_and_kafka_has_the_last_days_alone(
    system: Any, archived: list[bytes], eventually: Callable[..., None], tmp_path: Path
) -> None:
    """Workers go on and say what they miss; a rebuild brings every byte of every bill back."""
    more = list(traffic(300, seed=12, accounts=6))
    system.usage("send", "-", stdin=b"\n".join(more))
    system.catch_up()
    bills = export_all(system, tmp_path / "before")
    assert len(bills) == 6
    client = system.client()
    client.flushall()
    system.redis.kill()
    system.redis.start()
    began = time.monotonic()
    system.usage("send", "-", stdin=more[0])  # a duplicate, which a worker finds an empty Redis by
    eventually(lambda: len(read_gaps(system)) > 0, "the gaps are recorded", 120)
    system.catch_up()
    assert all(gap["accepted"] is None for gap in read_gaps(system))
    command = ["export", "account-1", "--from", DAYS[0], "--to", DAYS[1], "--format", "json"]
    before = json.loads(system.usage(*command, "-o", "-").stdout)
    assert before["completeness"]["status"] == "incomplete"
    done = system.usage("rebuild")
    assert b"is filled from the archive: usage.flows/" in done.stderr
    system.catch_up()
    assert export_all(system, tmp_path / "after") == bills
    took = time.monotonic() - began
    check_reports(system, archived + more)
    gaps = read_gaps(system)
    assert {gap["accepted"]["reason"] for gap in gaps} == {"filled from the archive"}
    assert system.usage("rebuild", "--verify").stderr.endswith(b"match the topics exactly.\n")
    client.close()
    print(f"from an empty Redis to the same bills: {took:.1f} s")
    assert took < RECOVERY_S


def export_all(system: Any, folder: Path) -> dict[str, bytes]:
    """Return every account's report as JSON, as of one instant, by the name of its file.

    Without its end: what is complete since when, and which gaps were filled.
    """
    folder.mkdir()
    days = ("--from", DAYS[0], "--to", DAYS[1], "--as-of", AS_OF)
    system.usage("export", "--all", *days, "--format", "json", "-d", str(folder))
    parts = {
        path.name: path.read_bytes().partition(b'"completeness": {') for path in folder.iterdir()
    }
    assert all(end for _, _, end in parts.values())
    return {name: numbers for name, (numbers, _, _) in parts.items()}


def read_gaps(system: Any) -> list[dict[str, Any]]:
    """Return what `usage gaps list` says."""
    found: list[dict[str, Any]] = json.loads(system.usage("gaps", "list", "--json").stdout)
    return found


def test_events_of_a_topic_that_was_created_again_are_counted(
    system: Any, archived: list[bytes], eventually: Callable[..., None]
) -> None:
    """The archive has them under the id that the topic had."""
    for worker in system.workers:
        worker.kill()
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap, "log_level": 0})
    admin.delete_topics(["usage.flows"])["usage.flows"].result(10)
    eventually(lambda: "usage.flows" not in admin.list_topics(timeout=5).topics, "it is deleted")
    more = [flow(f"new {number}", subject="account-1") for number in range(50)]
    system.start_worker()
    eventually(lambda: "usage.flows" in admin.list_topics(timeout=5).topics, "it is created")
    system.usage("send", "-", stdin=b"\n".join(more))
    system.catch_up()
    system.usage("rebuild", "--verify")
    system.client().flushall()
    system.usage("rebuild")
    system.catch_up()
    check_reports(system, archived + more)


def test_what_is_not_archived_either_is_named(system: Any, archived: list[bytes]) -> None:
    """Only that, and nothing is switched."""
    system.usage("send", "-", stdin=b"\n".join(flow(f"late {n}") for n in range(40)))
    system.catch_up()
    delete_everything(system)
    done = system.usage("rebuild", "--verify", code=1).stderr.decode()
    assert "Kafka has deleted events that were published: usage.flows/" in done
    assert "offsets 0 to" not in done
