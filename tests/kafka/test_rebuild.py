"""`usage rebuild`: new rollups beside the old, compared, switched to, under live traffic."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from interaction_usage.commands.main import main
from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups
from stream_app.broker import spans_of
from stream_app.rebuild.run import Rebuild
from stream_app.topic_reader import TopicReader
from tests.support.event_lines import event, flow, traffic
from tests.support.reference import report_of, rollups_of

AS_OF = "2026-11-01T00:00:00Z"
DAYS = ("2026-10-01", "2026-10-02")


def check_reports(system: Any, lines: list[bytes]) -> None:
    """Hold every account's report against the one of the pure code."""
    for account, rollups in rollups_of(lines).items():
        report = system.report_here(account, *DAYS, as_of=AS_OF)
        assert report == report_of(rollups, account, *DAYS, "UTC", AS_OF)


def filled(system: Any, count: int = 4000) -> list[bytes]:
    """Have a worker count some traffic; return its lines."""
    lines = list(traffic(count, seed=5, accounts=6, corrections=True))
    system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()
    return lines


def test_live_traffic_goes_on_while_the_rollups_are_rebuilt(system: Any) -> None:
    """A producer never pauses; verify and rebuild both come to their end, and nothing is lost."""
    lines = filled(system)
    more = [flow(f"live {n}", subject=f"account-{n % 6}") for n in range(30_000)]
    over = threading.Event()
    sent: list[bytes] = []

    def produce() -> None:
        producer = Producer({"bootstrap.servers": system.kafka.bootstrap, "linger.ms": 5})
        for line in more:
            if over.is_set():
                break
            producer.produce("usage.flows", line, b"k")
            sent.append(line)
            if len(sent) % 20 == 0:
                producer.poll(0.02)
        producer.flush(20)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        verified = system.usage("rebuild", "--verify")
        assert verified.stderr.endswith(b"6 accounts match the topics exactly.\n")
        rebuilt = system.usage("rebuild")
    finally:
        over.set()
        thread.join()
    assert rebuilt.stderr.startswith(b"Reports now use the new rollups: ")
    assert b"has not switched" not in rebuilt.stderr
    system.catch_up()
    check_reports(system, lines + sent)
    client = system.client()
    assert Rollups.live(client).keys.name == "u3"
    names = list(client.scan_iter(count=1000))
    left = [name for name in names if not name.startswith((b"u3:", b"usage:", b"{usage:"))]
    client.close()
    assert left == []


def test_verify_names_what_differs_and_changes_nothing(system: Any) -> None:
    """Somebody meddled with Redis; a rebuild repairs it."""
    lines = filled(system)
    client = system.client()
    day = 20_727  # 2026-10-01
    client.hdel(keys.FIRST.day("account-1", day), "1")
    five = (40 << 56 | 5).to_bytes(8, "big")  # in the slot of 10:00
    client.hset(keys.FIRST.day("account-2", day), "sms.link", five)
    done = system.usage("rebuild", "--verify", code=1)
    answer = done.stdout.decode().splitlines()
    assert any(line.startswith("account-1: agent, 2026-10-01T") for line in answer), answer
    assert any(line.startswith("account-2: sms.link, 2026-10-01T") for line in answer), answer
    assert {line.partition(":")[0] for line in answer} == {"account-1", "account-2"}
    assert b"2 of 6 accounts differ" in done.stderr
    assert Rollups.live(client).keys == keys.FIRST
    assert list(client.scan_iter("u2:*")) == []
    client.close()
    system.usage("rebuild")
    check_reports(system, lines)
    system.usage("rebuild", "--verify")


def test_a_rebuild_changes_a_session_limit(system: Any, eventually: Callable[..., None]) -> None:
    """Workers with the old limit end with a sentence; ones with the new limit go on."""
    filled(system, 300)
    system.variables["USAGE_SESSION_LIMIT_AGENT"] = "3600"
    done = system.usage("rebuild")
    assert b"Reports now use the new rollups" in done.stderr
    eventually(lambda: not system.workers[0].alive, "the worker with the old limit ends")
    assert "built with other session limits: agent 3600 s (set: 86400 s)" in system.log()
    system.start_worker()
    system.usage("send", "-", stdin=flow("after"))
    system.catch_up()
    assert system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"] == 1


def test_without_the_beginning_it_refuses_unless_reported_otherwise(system: Any) -> None:
    """Retention deleted the first records of a partition; the old rollups still count them."""
    filled(system, 600)
    client = system.client()
    before = set(client.scan_iter("u:*", count=1000))
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    deleted = admin.delete_records([TopicPartition("usage.flows", 0, 10)])
    for each in deleted.values():
        each.result(10)
    done = system.usage("rebuild", code=1)
    assert b"usage.flows/0, offsets 0 to 9" in done.stderr
    assert b"--incomplete" in done.stderr
    client.hset(keys.FIRST.positions, "usage.clicks/0@an-earlier-one", "1700 1790000000")
    done = system.usage("rebuild", code=1)
    assert b"usage.clicks/0, offsets 0 to 1,699" in done.stderr
    client.hdel(keys.FIRST.positions, "usage.clicks/0@an-earlier-one")
    assert set(client.scan_iter("u:*", count=1000)) == before
    assert b"not counted" in system.usage("rebuild", "--incomplete").stderr
    assert Rollups.live(client).keys.name == "u2"
    [gap] = json.loads(system.usage("gaps", "list", "--json").stdout)
    missing = [gap[name] for name in ("topic", "partition", "first", "end", "since", "found_by")]
    assert missing == ["usage.flows", 0, 0, 10, None, "rebuild"]
    system.usage("gaps", "accept", gap["id"], "--reason", "billed before")
    assert b"not counted" not in system.usage("rebuild", "--incomplete").stderr  # it is known
    client.close()


def test_only_one_rebuild_at_a_time(system: Any) -> None:
    """The second says so; what a killed one left is cleared away by the next."""
    filled(system, 300)
    client = system.client()
    client.set(keys.REBUILD, "somebody", ex=60)
    assert b"Another rebuild is running" in system.usage("rebuild", code=1).stderr
    client.delete(keys.REBUILD)
    client.set(keys.GENERATION, 1)
    client.set("u2:{acme}:p:1", "left behind")
    system.usage("rebuild")
    assert Rollups.live(client).keys.name == "u3"
    assert client.exists("u2:{acme}:p:1") == 0
    client.close()


def test_a_worker_that_is_asleep_while_the_rollups_are_switched(
    system: Any, eventually: Callable[..., None]
) -> None:
    """It wakes up, switches by itself, and what it wrote into the old ones is not missing."""
    lines = filled(system, 1500)
    sleeper = system.workers[0].process.pid
    system.start_worker()
    time.sleep(4)  # the group is at rest
    os.kill(sleeper, signal.SIGSTOP)
    try:
        system.usage("send", "-", stdin=b"\n".join(lines))
        system.usage("rebuild")
    finally:
        os.kill(sleeper, signal.SIGCONT)
    system.usage("send", "-", stdin=flow("after", subject="account-0"))
    system.catch_up()
    check_reports(system, [*lines, flow("after", subject="account-0")])
    system.usage("rebuild", "--verify")


def test_verify_names_an_identity_that_two_events_share(system: Any) -> None:
    """One counts, whichever is read first; so the rollups may differ, and nobody is to blame."""
    first = event("job-1", "sms.sent", {"link": True}, subject="conflict")
    second = event("job-1", "assist.clicked", {"service": "chat"}, subject="conflict")
    system.start_worker()
    system.usage("send", "-", stdin=first)
    system.catch_up()
    system.usage("send", "-", stdin=second)
    system.catch_up()
    report = system.report("conflict", "2026-10-01", "2026-10-01")
    assert (report["sms"]["messages_with_link"], report["assistance"]["chat"]) == (1, 0)
    with system.client() as client:  # the topics read in another order would say the same
        client.hdel(keys.FIRST.day("conflict", 20_727), "sms.link")
    done = system.usage("rebuild", "--verify", code=1)
    answer = done.stdout.decode()
    assert "conflict: one source and id for two events: source tests, id job-1, at usage." in answer
    assert "usage.sms/" in answer
    assert "usage.clicks/" in answer


BAD = b"no event at all"


def letters(system: Any) -> list[tuple[str, str]]:
    """Return where each open refused record came from and why it was refused, in order."""
    found = system.dead_letters()["newest"]
    return sorted((answer["origin"], answer["reason"]) for answer in found)


def stored_letters(system: Any) -> int:
    """Return how many records stand in the topic of dead letters."""
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    return sum(span.end for span in spans_of(admin, ["usage.dead-letters"]).values())


def test_what_no_worker_has_refused_yet_is_refused_by_the_rebuild(system: Any) -> None:
    """The workers begin behind it, so nobody else would; --verify publishes nothing."""
    worker = system.start_worker()
    system.publish([("usage.flows", b"k", value, None) for value in (flow("1"), BAD)])
    system.catch_up()
    worker.stop()
    [(refused, _)] = letters(system)
    topic, partition, offset = refused.split("/")
    system.publish([("usage.flows", b"k", value, None) for value in (flow("2"), BAD, flow("3"))])
    system.usage("rebuild", "--verify")
    assert stored_letters(system) == 1
    system.variables["USAGE_SESSION_LIMIT_AGENT"] = "3600"
    system.usage("rebuild")
    system.start_worker()
    system.catch_up()
    again = f"{topic}/{partition}/{int(offset) + 2}"
    assert letters(system) == [(refused, "malformed"), (again, "malformed")]
    assert stored_letters(system) == 2
    assert system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"] == 3


def test_a_rebuild_refuses_what_has_the_offsets_of_records_that_kafka_lost(system: Any) -> None:
    """The worker ended for it: below the position there are records now that nobody looked at."""
    worker = system.start_worker()
    places = [("usage.flows", key) for key in (b"k", b"acme")]
    system.publish([(*place, flow("1"), None) for place in places])
    system.catch_up()
    worker.stop()
    system.publish([(*place, BAD, None) for place in places])
    with system.client() as client:
        positions = client.hgetall(keys.FIRST.positions)
        lost_much, lost_little = (name for name, answer in positions.items() if answer[:1] == b"1")
        # Kafka's end is still far below; a producer had made what it sent again before the loss.
        client.hset(keys.FIRST.positions, lost_much, "1000000 4000000000")
        # Kafka has got on since, to just where it was.
        client.hset(keys.FIRST.positions, lost_little, "2 1700000000")
    system.usage("rebuild")
    system.start_worker()
    system.catch_up()
    assert sorted(reason for _, reason in letters(system)) == ["malformed", "malformed"]


def test_a_rebuild_of_rollups_of_another_layout_refuses_everything_again(system: Any) -> None:
    """Another version may have taken for valid what this one refuses."""
    worker = system.start_worker()
    system.publish([("usage.flows", b"k", value, None) for value in (flow("1"), BAD)])
    system.catch_up()
    worker.stop()
    with system.client() as client:
        client.set(keys.FIRST.limits, b'{"layout":1,"agent":86400}')
    system.usage("rebuild")
    assert stored_letters(system) == 2
    assert len(letters(system)) == 1


def test_what_kafka_deletes_under_a_rebuild_ends_it(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild that went on behind it would lose events from the bills in silence."""
    lines = filled(system, 600)
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    add_partitions = TopicReader.add_partitions

    def delete_and_add(reader: TopicReader, starts: Any) -> None:
        """Have Kafka delete records after the rebuild has looked for the first ones."""
        for each in admin.delete_records([TopicPartition("usage.flows", 0, 10)]).values():
            each.result(10)
        add_partitions(reader, starts)

    monkeypatch.setattr(TopicReader, "add_partitions", delete_and_add)
    done = CliRunner().invoke(main, ["rebuild"], env=system.environment)
    assert done.exit_code == 1
    assert (
        "Kafka deleted the next records while they were being read: usage.flows/0 at offset 0. "
        "The active rollups are unchanged.\n"
    ) in done.output
    with system.client() as client:
        assert Rollups.live(client).keys == keys.FIRST
        assert list(client.scan_iter("u2:*")) == []
    check_reports(system, lines)


@pytest.mark.parametrize("holder", ["another", None])
def test_a_rebuild_that_slept_while_another_one_ran_switches_nothing(
    system: Any, monkeypatch: pytest.MonkeyPatch, holder: str | None
) -> None:
    """What it made may be dropped in part; that the other one has come to its end changes nothing.

    It sleeps for more than the lock's minute before the very last step.
    """
    lines = filled(system, 300)
    client = system.client()
    whole = Rebuild.catch_up_with_active

    async def sleep_and_catch_up(rebuild: Rebuild, answer: Any) -> None:
        """Catch up, and find the lock to be another's, or nobody's."""
        await whole(rebuild, answer)
        client.delete(keys.REBUILD)
        if holder:
            client.set(keys.REBUILD, holder, ex=60)

    monkeypatch.setattr(Rebuild, "catch_up_with_active", sleep_and_catch_up)
    done = CliRunner().invoke(main, ["rebuild"], env=system.environment)
    assert done.exit_code == 1
    assert "lost its lock; another one may have started. Nothing was switched." in done.output
    assert client.get(keys.REBUILD) == (holder.encode() if holder else None)
    assert Rollups.live(client).keys == keys.FIRST
    assert list(client.scan_iter("u2:*")) == []
    client.close()
    check_reports(system, lines)


def test_a_rebuild_that_lost_the_lock_does_not_take_it_back(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends at the next piece after the renewal that failed, and leaves the other one alone."""
    filled(system, 300)
    client = system.client()
    whole = Rebuild.catch_up

    async def sleep_and_catch_up(rebuild: Rebuild, answer: Any) -> int:
        """Find the lock to be another's, and have it renewed before the first piece."""
        client.set(keys.REBUILD, "another", ex=60)
        await asyncio.sleep(0.5)
        return await whole(rebuild, answer)

    monkeypatch.setattr("stream_app.rebuild.lock._RENEWAL", 0.1)
    monkeypatch.setattr(Rebuild, "catch_up", sleep_and_catch_up)
    done = CliRunner().invoke(main, ["rebuild"], env=system.environment)
    assert done.exit_code == 1
    assert "another one may have started" in done.output
    assert client.get(keys.REBUILD) == b"another"
    client.close()
