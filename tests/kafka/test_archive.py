"""The archive on a real Kafka: each record once, whatever is killed, aborted, recreated or away."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from interaction_usage.archive.archive import Archive
from interaction_usage.archive.location import Location
from tests.support.event_lines import event, flow, traffic
from tests.support.system import USAGE


@pytest.fixture
def archive(system: Any, tmp_path: Path) -> Location:
    """Return where the archive of the system will be."""
    location = Location(str(tmp_path / "archive"))
    system.variables["USAGE_ARCHIVE"] = location.root
    system.variables["USAGE_ARCHIVE_INTERVAL"] = "1"
    return location


def rows(location: Location, *columns: str) -> list[tuple[Any, ...]]:
    """Return these columns of the events, sorted."""
    table = Archive.open(location).events.dataset().to_table(list(columns))
    return sorted(zip(*(table[name].to_pylist() for name in columns), strict=True))


def values(location: Location) -> list[bytes]:
    """Return the values of the records, sorted."""
    return [value for (value,) in rows(location, "value")]


def status(system: Any) -> dict[str, Any]:
    """Return what `usage archive status --json` says."""
    answer: dict[str, Any] = json.loads(system.usage("archive", "status", "--json").stdout)
    return answer


def test_every_record_is_copied_once(system: Any, archive: Location) -> None:
    """Of all topics, in both modes, refused ones and dead letters too; a second run adds none."""
    lines = [*traffic(2_000, seed=3), b"not an event"]
    system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(lines[:-1]))
    system.publish([("usage.flows", b"k", lines[-1], [("h", b"1")])])
    system.catch_up()
    assert system.usage("archive", "once").stderr == b"2,002 records archived.\n"
    assert values(archive) == sorted(lines)
    assert system.usage("archive", "once").stderr == b"0 records archived.\n"
    assert values(archive) == sorted(lines)
    outcomes = [outcome for (outcome,) in rows(archive, "outcome")]
    assert (outcomes.count("accepted"), outcomes.count("malformed")) == (2_000, 1)
    dead = Archive.open(archive).dead_letters.dataset().to_table().to_pylist()
    assert [(one["kind"], one["reason"], one["refused_topic"]) for one in dead] == [
        ("dead-letter", "malformed", "usage.flows")
    ]
    found = status(system)
    assert sum(one["behind"] for one in found["partitions"]) == 0
    assert found["gaps"] == []


def test_aborted_records_are_not_copied_and_open_ones_wait(system: Any, archive: Location) -> None:
    """As for a worker: what is not committed was not published."""
    system.usage("send", "-", stdin=flow("plain"))
    producer = Producer(
        {"bootstrap.servers": system.kafka.bootstrap, "transactional.id": f"t-{system.group}"}
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("usage.flows", flow("aborted"), b"k")
    producer.flush(20)
    producer.abort_transaction(20)
    producer.begin_transaction()
    producer.produce("usage.flows", flow("open"), b"k")
    producer.flush(20)
    system.usage("archive", "once")
    assert values(archive) == [flow("plain")]
    producer.commit_transaction(20)
    system.usage("archive", "once")
    assert values(archive) == sorted([flow("plain"), flow("open")])
    assert system.usage("archive", "once").stderr == b"0 records archived.\n"


def test_a_recreated_topic_is_archived_from_offset_0(
    system: Any, archive: Location, eventually: Callable[..., None]
) -> None:
    """Offsets begin at 0 once more, and are other records: the topic's id tells them apart."""
    system.usage("send", "-", stdin=flow("first"))
    system.usage("archive", "once")
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap, "log_level": 0})
    admin.delete_topics(["usage.flows"])["usage.flows"].result(10)
    eventually(lambda: "usage.flows" not in admin.list_topics(timeout=5).topics, "it is deleted")
    system.usage("send", "-", stdin=flow("second"))
    system.usage("archive", "once")
    assert values(archive) == sorted([flow("first"), flow("second")])
    places = rows(archive, "topic_id", "offset")
    assert len({topic_id for topic_id, _ in places}) == 2
    assert {offset for _, offset in places} == {0}


def test_offsets_deleted_before_they_were_archived_are_recorded(
    system: Any, archive: Location
) -> None:
    """Once, however often it is noticed; the rest is copied."""
    lines = [flow(number) for number in range(20)]
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.usage("archive", "once")
    system.usage("send", "-", stdin=b"\n".join(flow(number) for number in range(20, 40)))
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap, "log_level": 0})
    place = next(one for one in status(system)["partitions"] if one["behind"] > 2)
    cut = place["archived"] + 2
    ask = TopicPartition(place["topic"], place["partition"], cut)
    for deleted in admin.delete_records([ask]).values():
        deleted.result(10)
    system.usage("archive", "once")
    system.usage("archive", "once")
    [gap] = status(system)["gaps"]
    assert (gap["first"], gap["end"]) == (place["archived"], cut)
    assert len(values(archive)) == 38
    shown = system.usage("archive", "status").stderr.decode()
    assert f"Missing: usage.flows/{place['partition']}, offsets" in shown


def test_compaction_changes_no_row(system: Any, archive: Location) -> None:
    """Files become few; every row is there once, and copying goes on behind."""
    sent = []
    for number in range(6):
        lines = list(traffic(50, seed=number))
        sent += lines
        system.usage("send", "-", stdin=b"\n".join(lines))
        system.usage("archive", "once")
    before = rows(archive, "topic", "partition", "offset", "value", "timestamp", "account")
    earlier = Archive.open(archive)
    done = system.usage("archive", "compact").stderr.decode()
    assert done == "6 files joined into 1; 0 old files removed.\n"
    assert rows(archive, "topic", "partition", "offset", "value", "timestamp", "account") == before
    assert earlier.events.dataset().to_table().num_rows == 300  # files of before are still there
    assert "0 files joined" in system.usage("archive", "compact").stderr.decode()
    system.usage("send", "-", stdin=flow("after"))
    system.usage("archive", "once")
    assert values(archive) == sorted([*sent, flow("after")])


def test_two_at_once_copy_nothing_twice(
    system: Any, archive: Location, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """They get in each other's way, and no more."""
    system.usage("send", "-", stdin=b"\n".join(traffic(500, seed=1)))
    command = [*USAGE, "archive", "run"]
    logs = [tmp_path / f"archive-{number}.log" for number in range(2)]
    both = []
    for log in logs:
        with log.open("wb") as errors:
            both.append(subprocess.Popen(command, env=system.environment, stderr=errors))
    try:
        eventually(
            lambda: all("Archiving to" in log.read_text("utf-8") for log in logs),
            "both have begun", 100,
        )  # fmt: skip
        for number in range(2, 6):
            system.usage("send", "-", stdin=b"\n".join(traffic(500, seed=number)))
        eventually(
            lambda: os.path.isdir(f"{archive.root}/gaps/_delta_log")
            and len(values(archive)) >= 2_500,
            "everything is archived", 200,
        )  # fmt: skip
    finally:
        for process in both:
            process.terminate()
        codes = [process.wait(30) for process in both]
    assert codes == [0, 0], [log.read_text("utf-8") for log in logs]
    expected = sorted(line for number in range(1, 6) for line in traffic(500, seed=number))
    assert values(archive) == expected


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"USAGE_ARCHIVE": ""}, b"USAGE_ARCHIVE is not set"),
        ({"USAGE_ARCHIVE": "archive"}, b"USAGE_ARCHIVE must be the absolute path"),
        ({"USAGE_ARCHIVE": "/proc/archive"}, b"Archive: "),
        ({"USAGE_KAFKA": "127.0.0.1:1"}, b"Kafka at 127.0.0.1:1: "),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    system: Any, archive: Location, variables: dict[str, str], said: bytes
) -> None:
    """Exit code 1, one line."""
    system.usage("send", "-", stdin=event(1, "sms.sent", {}))
    system.variables |= variables
    done = system.usage("archive", "once", code=1)
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1, done.stderr


def test_there_is_no_archive_yet(system: Any, archive: Location) -> None:
    """The sentence says what creates one."""
    done = system.usage("archive", "status", code=1)
    assert b"there is no archive at" in done.stderr
    assert b"usage archive run" in done.stderr
