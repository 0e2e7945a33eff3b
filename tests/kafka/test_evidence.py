"""Evidence through the whole system: the vectors from Kafka and the archive, and what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from rollups.events import Event, FlowRun
from rollups.fold import OffsetEvent
from stream_app.broker import ensure_topics
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from tests.evidence.test_vectors import FOLDER, NAMES
from tests.store.redis_side import write
from tests.support.event_lines import flow
from tests.support.sealing import seal

CONFLICT = (
    b'{"specversion":"1.0","id":"job-1","source":"cases/conflict","type":"usage.sms.sent",'
    b'"subject":"conflict","time":"2026-10-01T10:00:00Z","data":{"link":true}}',
    b'{"specversion":"1.0","id":"job-1","source":"cases/conflict","type":"usage.assist.clicked",'
    b'"subject":"conflict","time":"2026-10-01T10:00:01Z","data":{"service":"chat"}}',
)
OCTOBER = ("--from", "2026-10-01", "--to", "2026-10-31", "--as-of", "2027-01-01T00:00:00Z")
DAY = ("--from", "2026-10-01", "--to", "2026-10-01", "--as-of", "2027-01-01T00:00:00Z")


def send(system: Any, *lines: bytes) -> None:
    """Publish events, and wait until they are counted or refused."""
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()


def as_json(system: Any, *arguments: str, code: int = 0) -> Any:
    """Return the JSON that a command prints."""
    return json.loads(system.usage(*arguments, "--format", "json", code=code).stdout)


def check_case(system: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Hold all three explanations of a case against what they must be; return what they are of."""
    asked = (
        case["account"], "--from", case["from"], "--to", case["to"], "--tz", case["tz"],
        "--as-of", case["as_of"], "--series", case["series"],
    )  # fmt: skip
    found = as_json(system, "explain", *asked)
    members = ("application", "session", "inferred", "corrected")
    short = [{name: each[name] for name in members} for each in found["sessions"]]
    assert found["agrees"]
    assert short == case["explain"]["sessions"]
    assert all(each["events"] for each in found["sessions"])
    assert all(found[name] == case["explain"][name] for name in ("max", "at", "seconds_at_max"))
    other = as_json(system, "concurrency", *asked)
    assert {name: other[name] for name in case["concurrency"]} == case["concurrency"]
    licences = ",".join(str(row["sessions"]) for row in case["capacity"])
    assert as_json(system, "capacity", *asked, "--sessions", licences) == case["capacity"]
    made_from: dict[str, Any] = found["made_from"]
    return made_from


def test_the_vectors_from_kafka_and_from_the_archive(system: Any, tmp_path: Path) -> None:
    """The same answers before anything is archived, from an archive and Kafka's tail, and later."""
    system.start_worker()
    lines = {name: (FOLDER / f"{name}.ndjson").read_bytes().splitlines() for name in NAMES}
    cases = {name: json.loads((FOLDER / f"{name}.evidence.json").read_text())[0] for name in NAMES}
    send(system, *(line for name in NAMES for line in lines[name]))
    for case in cases.values():
        made_from = check_case(system, case)
        assert made_from["archive"] is None
    verified = as_json(system, "verify", *OCTOBER)
    assert verified["agrees"]
    assert verified["cells"] > 1_000
    assert [each["account"] for each in verified["conflicts"]] == []

    system.variables["USAGE_ARCHIVE"] = str(tmp_path / "archive")
    system.usage("archive", "once")
    send(system, *lines["tangled"][:50], flow("later", time="2026-10-01T12:00:00Z"))
    for case in cases.values():
        made_from = check_case(system, case)
        assert made_from["archive"]["records"] >= sum(map(len, lines.values()))
    verified = as_json(system, "verify", *OCTOBER)
    assert verified["agrees"]
    assert sum(row["duplicates"] for row in verified["records"]) >= 50
    for row in verified["records"]:
        parts = ("applied", "duplicates", "refused", "voided")
        assert row["read"] == sum(row[name] for name in parts)
    assert [each["account"] for each in verified["pending_voids"]] == []


def test_what_waits_to_be_counted_is_left_out(system: Any) -> None:
    """Report and evidence are of the same records, whatever was published since."""
    worker = system.start_worker()
    send(system, flow("one", time="2026-10-01T11:00:00Z"))
    worker.stop()
    system.usage("send", "-", stdin=flow("two", time="2026-10-01T11:00:00Z"))
    found = as_json(system, "explain", "acme", *DAY, "--counter", "runs")
    assert (found["sum"], found["agrees"], len(found["events"])) == (1, True, 1)
    assert as_json(system, "verify", *DAY)["agrees"]


def test_a_number_that_differs_is_named(system: Any) -> None:
    """An event in the rollups that Kafka does not have: exit 1, and the cells."""
    system.start_worker()
    send(system, flow("one", time="2026-10-01T11:00:00Z"))
    second = 1_790_852_400 * 1_000_000
    extra = Event("nobody", "1", "acme", second, FlowRun("two", "agent"))
    write(system.redis.url, [("forged/0", [OffsetEvent(0, extra)])])
    found = as_json(system, "verify", "acme", *DAY, code=1)
    cells = {row["cell"]: (row["events"], row["rollups"]) for row in found["differences"]}
    assert cells["flow completed two"] == (0, 1)
    assert cells["outcome.completed"] == (1, 2)
    said = system.usage("verify", "acme", *DAY, code=1)
    assert b"flow completed two is 0 from the events" in said.stdout + said.stderr
    assert b"Traceback" not in said.stderr
    said = system.usage("explain", "acme", *DAY, "--counter", "runs", code=1)
    assert b"The sum of runs is 1 by these events, but 2 in the rollups" in said.stderr


def test_numbers_that_are_lost_with_their_fences_are_named(system: Any) -> None:
    """What is before the positions must be counted, though the account knows nothing of it."""
    system.start_worker()
    send(system, flow("one", time="2026-10-01T11:00:00Z"))
    system.usage("account", "set", "acme", "--name", "Acme Ltd")
    with system.client() as redis:
        redis.delete(*redis.keys("u:{acme}*"))
    found = as_json(system, "verify", "acme", *DAY, code=1)
    cells = {row["cell"]: (row["events"], row["rollups"]) for row in found["differences"]}
    assert cells["outcome.completed"] == (1, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_a_conflict_of_identities_is_named_and_no_difference(system: Any, order: int) -> None:
    """Whichever of the two was counted."""
    ensure_topics(system.kafka.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], 4, 1)
    system.start_worker()
    for line in CONFLICT[::order]:
        send(system, line)
    for again in range(2):  # the other one first, too: duplicates of either change nothing
        found = as_json(system, "verify", *DAY)
        assert found["differences"] == []
        [conflict] = found["conflicts"]
        assert (conflict["source"], conflict["id"]) == ("cases/conflict", "job-1")
        assert {each["type"] for each in conflict["events"]} == {
            "usage.sms.sent", "usage.assist.clicked",
        }  # fmt: skip
        if not again:
            send(system, *CONFLICT)
    assert b"a producer must not reuse an id" in system.usage("verify", *DAY).stdout


def test_what_was_refused_is_not_counted_and_has_a_dead_letter(system: Any) -> None:
    """An event for a sealed day, and one that is no event at all."""
    system.start_worker()
    send(system, flow("a", time="2026-10-01T11:00:00Z"))
    assert seal(system, "acme") == 1
    send(system, flow("late", time="2026-10-01T12:00:00Z"), flow("b", time="2026-10-02T12:00:00Z"))
    system.publish([("usage.flows", None, b"nonsense", [])])
    system.catch_up()
    assert system.dead_letters()["counts"] == {"sealed": 1, "malformed": 1}
    found = as_json(system, "verify", *OCTOBER)
    assert found["agrees"]
    [row] = found["records"]
    assert (row["read"], row["applied"], row["refused"]) == (3, 2, 1)
    assert found["refused_without_dead_letter"] == []


def test_typing_mistakes_are_answered_in_a_sentence(system: Any) -> None:
    """An unknown account or counter, no events at all, a period to come."""
    system.start_worker()
    send(system, flow("a", time="2026-10-01T11:00:00Z"))
    said = system.usage("explain", "acne", *DAY, code=1).stderr
    assert b"Did you mean 'acme'?" in said
    said = system.usage("explain", "acme", *DAY, "--counter", "click.chat", code=1).stderr
    assert said.strip() == b"Error: There is no counter 'click.chat'; did you mean clicks.chat?"
