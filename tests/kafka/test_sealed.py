"""An event for a sealed day, through Kafka: refused with its reason, and the report stays."""

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from interaction_usage.commands.main import main
from interaction_usage.store.reads import Rollups
from stream_app.broker import admin_client, committed_offsets, ensure_topics
from stream_app.sealed_rejections import read_sealed_rejections
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from tests.support.event_lines import flow
from tests.support.sealing import seal

DAY_MS = 86_400_000
#: 2026-01-10T12:00:00Z
BEGAN = 1_768_046_400_000
REASON = "it would change a day that is sealed: when it was read, nothing had been counted"


def make_topics(system: Any) -> None:
    """Create the topics, so that a partition of one can be written to."""
    ensure_topics(system.kafka.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], 4, 1)


def publish(system: Any, *answer: tuple[bytes, float], partition: int = 0) -> None:
    """Publish flow runs to one partition, each with a timestamp so many days after the first."""
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap})
    for line, days in answer:
        at = BEGAN + int(days * DAY_MS)
        producer.produce("usage.flows", line, b"acme", partition=partition, timestamp=at)
    assert producer.flush(20) == 0


def run(name: str, day: str = "2026-01-10") -> bytes:
    """Return a flow run of acme."""
    return flow(name, time=f"{day}T11:00:00Z")


def test_an_event_for_a_sealed_day_is_a_dead_letter_and_the_report_stays(system: Any) -> None:
    """In one batch with others, after a restart, and however often it is read again."""
    make_topics(system)
    worker = system.start_worker()
    publish(system, (run("a"), 0), (run("b"), 34))
    system.catch_up()
    assert seal(system, "acme") == 1
    publish(system, (run("late 1"), 70), (run("c", "2026-02-20"), 71))
    system.catch_up()
    worker.stop()
    publish(system, (run("late 2"), 72), (run("d", "2026-02-20"), 72), (run("b"), 73))
    system.start_worker()
    system.catch_up()
    report = system.report("acme", "2026-01-10", "2026-02-20")
    assert report["flow_runs"]["total"] == 4
    found = system.dead_letters()
    assert found["counts"] == {"sealed": 3}  # the repeat of b, too: what would tell it is forgotten
    assert REASON in str(found)
    verified = system.usage("rebuild", "--verify")
    assert b"1 account matches the topics exactly" in verified.stderr


@pytest.mark.parametrize("way", ["rebuild", "empty Redis"])
def test_what_was_refused_stays_refused_where_the_topics_are_read_again(
    system: Any, way: str
) -> None:
    """The bill of that day is the one it was; a rebuild goes on refusing what is for it."""
    make_topics(system)
    worker = system.start_worker()
    publish(system, (run("a"), 0))
    system.catch_up()
    assert seal(system, "acme") == 1
    publish(system, (run("late 1"), 1), (run("b", "2026-02-20"), 50), partition=1)
    system.catch_up()
    if way == "rebuild":
        worker.stop()
        publish(system, (run("late 2"), 3), partition=2)  # no worker has seen it
        system.usage("rebuild")
        system.start_worker()
    else:
        system.redis.kill()
        shutil.rmtree(system.folder / "redis" / "appendonlydir")
        system.redis.start()
    system.catch_up()
    assert system.report("acme", "2026-01-10", "2026-02-20")["flow_runs"]["total"] == 2
    assert system.dead_letters()["counts"] == {"sealed": 2 if way == "rebuild" else 1}
    publish(system, (run("late 3"), 4), partition=3)
    system.catch_up()
    late = 1 if way == "rebuild" else 0  # nothing in an empty Redis knows that the day was sealed
    assert system.dead_letters()["counts"] == {"sealed": 1 + 2 * late}
    system.usage("rebuild", "--verify")


def test_what_is_refused_while_a_rebuild_begins_is_not_counted_by_it(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither among the refusals that the rebuild has read, nor in the new rollups."""
    make_topics(system)
    system.start_worker()
    publish(system, (run("a"), 0))
    system.catch_up()
    assert seal(system, "acme") == 1

    def read_and_wait(*arguments: Any, **named: Any) -> Any:
        found = read_sealed_rejections(*arguments, **named)
        publish(system, (run("late"), 1))
        system.catch_up()
        return found

    monkeypatch.setattr("stream_app.rebuild.run.read_sealed_rejections", read_and_wait)
    done = CliRunner().invoke(main, ["rebuild"], env=system.environment)
    assert done.exit_code == 0, done.output
    system.catch_up()
    assert system.report("acme", "2026-01-10", "2026-01-10")["flow_runs"]["total"] == 1
    assert system.dead_letters()["counts"] == {"sealed": 1}


def copied(system: Any) -> tuple[Path, Any]:
    """Return a copy of what Redis keeps, and what the group has committed by then."""
    system.redis.stop()
    before = system.folder / "before"
    shutil.copytree(system.folder / "redis", before)
    committed = committed_offsets(admin_client(system.kafka.bootstrap), system.group)
    system.redis.start()
    return before, committed


def test_a_refusal_that_redis_forgot_before_kafka_has_the_commit_stays(
    system: Any,
) -> None:
    """Redis and the group's commit are both behind the event; only its dead letter knows."""
    make_topics(system)
    worker = system.start_worker()
    publish(system, (run("a"), 0))
    system.catch_up()
    worker.stop()
    before, committed = copied(system)
    assert seal(system, "acme") == 1
    worker = system.start_worker()
    publish(system, (run("late"), 1))
    system.catch_up()
    worker.kill()
    assert system.dead_letters()["counts"] == {"sealed": 1}
    system.redis.kill()
    shutil.rmtree(system.folder / "redis")
    shutil.copytree(before, system.folder / "redis")
    system.redis.start()
    set_committed(system, committed)
    system.start_worker()
    system.catch_up()
    assert system.report("acme", "2026-01-10", "2026-01-10")["flow_runs"]["total"] == 1
    assert system.dead_letters()["counts"] == {"sealed": 1}


def test_a_report_is_made_again_with_what_was_refused_after_it(
    system: Any, eventually: Callable[..., None]
) -> None:
    """It bills an event that Redis forgot, and that came for a sealed day when it was read again.

    What was refused before the report was issued stays left out.
    """
    make_topics(system)
    worker = system.start_worker()
    publish(system, (run("a"), 0))
    system.catch_up()
    assert seal(system, "acme") == 1
    publish(system, (run("late"), 1))
    system.catch_up()
    assert system.dead_letters()["counts"] == {"sealed": 1}
    publish(system, (run("b", "2026-02-10"), 40))
    system.catch_up()
    worker.stop()
    before, committed = copied(system)
    worker = system.start_worker()
    publish(system, (run("forgotten", "2026-02-10"), 41))
    system.catch_up()
    months = ("--from", "2026-01-01", "--to", "2026-02-28")
    preview = ("reports", "preview", "acme", *months, "--format", "json")
    eventually(
        lambda: not json.loads(system.usage(*preview).stdout)["obstacles"], "it may be issued"
    )
    number = system.usage("reports", "issue", "acme", *months).stdout.decode().strip()
    worker.kill()
    system.redis.kill()
    shutil.rmtree(system.folder / "redis")
    shutil.copytree(before, system.folder / "redis")
    system.redis.start()
    assert seal(system, "acme") == 1
    set_committed(system, committed)
    system.start_worker()
    system.catch_up()
    assert system.dead_letters()["counts"] == {"sealed": 2}
    eventually(
        lambda: system.usage("reports", "show", number, code=None).returncode == 0, "it is back"
    )
    assert json.loads(system.usage("reports", "show", number).stdout)["flow_runs"]["total"] == 3
    again = system.usage("reports", "show", number, "--reproduce").stderr
    assert b"the same bytes from 3 records of events" in again
    differences = json.loads(
        system.usage("reports", "diff", number, "--format", "json", code=1).stdout
    )
    [named] = differences["refused"]
    assert (named["id"], named["reason"], named["topic"]) == ("forgotten", "sealed", "usage.flows")
    assert {"path": "flow_runs.total", "before": 3, "after": 2} in named["changes"]
    assert (differences["without_events"], differences["events"]) == ([], [])
    assert differences["explained"]
    said = system.usage("reports", "diff", number, code=1).stdout.decode()
    assert f"at offset {named['offset']}: counted then, refused as sealed since\n" in said


def set_committed(system: Any, committed: dict[tuple[str, int], int]) -> None:
    """Have the group's commits be these again."""
    consumer = Consumer({"bootstrap.servers": system.kafka.bootstrap, "group.id": system.group})
    try:
        offsets = [TopicPartition(*place, offset) for place, offset in committed.items()]
        deadline = time.monotonic() + 30
        while True:
            try:
                consumer.commit(offsets=offsets, asynchronous=False)
                return
            except KafkaException:  # the worker that was killed is still a member
                assert time.monotonic() < deadline
                time.sleep(0.5)
    finally:
        consumer.close()


def test_the_clocks_of_producers_change_no_number(system: Any) -> None:
    """One event of 100 minutes, again and again, with timestamps years apart and in any order."""
    make_topics(system)
    system.start_worker()
    rng = random.Random(5)
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap})
    now = int(time.time() * 1000)
    stamps = [now, *(now - days * DAY_MS for days in (140, 75, 0, 3, 36, 150))]
    line = run("once", "2026-06-28")
    for _ in range(3):
        rng.shuffle(stamps)
        for stamp in stamps:
            to = rng.randrange(4)
            producer.produce("usage.flows", line, b"k", partition=to, timestamp=stamp)
            producer.flush(10)
        system.catch_up()
    assert system.report("acme", "2026-06-01", "2026-06-30")["flow_runs"]["total"] == 1
    with system.client() as client:
        assert Rollups.live(client).sealed("acme") == {}
