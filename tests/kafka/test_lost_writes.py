"""Redis that forgets, and topics that begin again: the worker notices by itself and reads again."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.event_lines import flow, traffic
from tests.support.reference import report_of, rollups_of

AS_OF = "2026-11-01T00:00:00Z"


def check_reports(system: Any, lines: list[bytes]) -> None:
    """Hold every account's report against the one of the pure code."""
    for account, rollups in rollups_of(lines).items():
        days = ("2026-10-01", "2026-10-02")
        report = system.report_here(account, *days, as_of=AS_OF)
        assert report == report_of(rollups, account, *days, "UTC", AS_OF)


def cut_the_append_only_file(folder: Path, share: float) -> None:
    """Take the end off the file with the newest writes, in the middle of a command."""
    files = sorted((folder / "appendonlydir").glob("*.incr.aof"))
    content = files[-1].read_bytes()
    files[-1].write_bytes(content[: int(len(content) * share)])


def test_writes_that_redis_lost_are_read_again(system: Any) -> None:
    """The second half of the append-only file is cut off under a running worker."""
    lines = list(traffic(6_000, seed=3, accounts=4, corrections=True))
    system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(lines[:5000]))
    system.catch_up()
    system.redis.kill()
    cut_the_append_only_file(system.folder / "redis", 0.5)
    system.redis.start()
    system.usage("send", "-", stdin=b"\n".join(lines[5000:]))
    system.catch_up()
    check_reports(system, lines)
    assert "Redis lost writes it had acknowledged" in system.log()


def test_an_idle_worker_notices_lost_writes_without_a_new_event(
    system: Any, eventually: Callable[..., None]
) -> None:
    """Nothing need be published for the rollups to come back."""
    lines = list(traffic(2_000, seed=4, accounts=3))
    system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()
    client = system.client()
    client.flushall()
    system.redis.kill()
    system.redis.start()
    eventually(lambda: client.exists("u:accounts"), "the rollups begin to come back")
    client.close()
    system.catch_up()
    check_reports(system, lines)


def test_a_worker_that_starts_on_an_empty_redis_rebuilds_it(system: Any) -> None:
    """What was committed to Kafka does not hide what Redis no longer has."""
    lines = list(traffic(2_000, seed=5, accounts=3))
    worker = system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()
    worker.stop()
    client = system.client()
    client.flushall()
    client.close()
    system.start_worker()
    system.catch_up()
    check_reports(system, lines)


def test_a_topic_created_again_is_read_from_the_beginning(
    system: Any, eventually: Callable[..., None]
) -> None:
    """Its offsets begin at 0 again, below the fences of the old one; no new event is skipped."""
    old = [flow(f"old {number}") for number in range(300)]
    new = [flow(f"new {number}") for number in range(40)]
    system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(old))
    system.catch_up()
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    admin.delete_topics(["usage.flows"])["usage.flows"].result(30)
    eventually(
        lambda: "usage.flows" not in admin.list_topics(timeout=10).topics, "the topic is gone"
    )
    system.usage("send", "-", stdin=b"\n".join(new))
    system.catch_up()
    total = system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"]
    assert total == len(old) + len(new)


def test_a_topic_that_lost_what_was_counted_ends_the_worker(
    system: Any, eventually: Callable[..., None]
) -> None:
    """Its offsets would be used again, below the fences; the sentence says what to do."""
    worker = system.start_worker()
    system.usage("send", "-", stdin=flow("1"))
    system.catch_up()
    worker.stop()
    with system.client() as client:
        name = next(name for name in client.hkeys("u:position") if b"flows" in name)
        client.hset("u:position", name, 1_000_000)
    again = system.start_worker()
    eventually(lambda: not again.alive, "the worker ended")
    assert again.process.returncode == 1
    assert "was counted up to 1000000" in system.log()
    assert "rebuild the rollups" in system.log()


def test_a_flushall_under_running_workers_is_noticed(
    system: Any, eventually: Callable[..., None]
) -> None:
    """It breaks no connection: the scripts of both workers see that the secret is gone."""
    admin: Any = AdminClient({"bootstrap.servers": system.kafka.bootstrap, "log_level": 0})

    def both_have_partitions() -> bool:
        try:
            group = admin.describe_consumer_groups([system.group])[system.group].result(10)
        except KafkaException:  # it has no coordinator yet
            return False
        return [bool(member.assignment.topic_partitions) for member in group.members] == [True] * 2

    lines = list(traffic(3_000, seed=6, accounts=5))
    system.variables["USAGE_PARTITIONS"] = "4"
    for _ in range(2):
        system.start_worker()
    eventually(both_have_partitions, "both workers have partitions")  # or one has nothing to notice
    system.usage("send", "-", stdin=b"\n".join(lines[:2_000]))
    system.catch_up()
    with system.client() as client:
        client.flushall()
    system.usage("send", "-", stdin=b"\n".join(lines[2_000:]))
    deadline = time.monotonic() + 60
    while "Redis lost everything it had" not in system.log():
        assert time.monotonic() < deadline, system.log()
        time.sleep(0.1)
    system.catch_up()
    check_reports(system, lines)


def test_a_flushall_is_noticed_by_an_idle_worker(
    system: Any, eventually: Callable[..., None]
) -> None:
    """By the positions that it writes once a second: nothing need be published."""
    lines = list(traffic(1_000, seed=7, accounts=3))
    system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(lines))
    system.catch_up()
    with system.client() as client:
        client.flushall()
        eventually(lambda: client.exists("u:accounts"), "the rollups begin to come back")
    system.catch_up()
    check_reports(system, lines)
