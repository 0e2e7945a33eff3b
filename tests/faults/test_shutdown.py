"""SIGTERM in the middle of the work: what is under way is finished and committed, no more begun."""

import signal
import sys
import time

from confluent_kafka import Consumer, TopicPartition

from interaction_usage.store.reads import Rollups
from stream_app.topics import EVENT_TOPICS
from tests.faults.flaky_link import FlakyLink
from tests.support.event_lines import traffic
from tests.support.reference import report_of, rollups_of
from tests.support.system import System

EVENTS = 1_000  # of each of three parts: counted, under way, and waiting behind that
DAYS, AS_OF = ("2026-10-01", "2026-10-02"), "2026-11-01T00:00:00Z"


def positions(fault_run: System) -> dict[tuple[str, int], int]:
    """Return where the rollups end, for partitions of which something is counted."""
    with fault_run.client() as client:
        found = Rollups.live(client).positions()
    places = ((name.partition("@")[0].rpartition("/"), at.offset) for name, at in found.items())
    return {(topic, int(number)): offset for (topic, _, number), offset in places if offset}


def committed(fault_run: System) -> dict[tuple[str, int], int]:
    """Return what the group has committed."""
    consumer = Consumer(
        {"bootstrap.servers": fault_run.kafka.bootstrap, "group.id": fault_run.group}
    )
    try:
        asked = [TopicPartition(topic, number) for topic in EVENT_TOPICS for number in range(4)]
        found = consumer.committed(asked, timeout=20)
    finally:
        consumer.close()
    return {(at.topic, at.partition): at.offset for at in found if at.offset > 0}


def test_a_worker_reported_to_end_finishes_and_commits_what_is_under_way(fault_run: System) -> None:
    """Redis is out of reach, so a micro-batch waits; then it is back, with more behind it."""
    lines = list(traffic(3 * EVENTS, seed=8, accounts=6))
    fault_run.usage("send", "-", stdin=b"\n".join(lines[:EVENTS]))
    with FlakyLink(fault_run.redis.port, 1, print) as link:
        fault_run.worker_variables["USAGE_REDIS"] = f"redis://127.0.0.1:{link.port}/0"
        worker = fault_run.start_worker()
        fault_run.catch_up()
        link.deaf = True
        for part in (lines[EVENTS : 2 * EVENTS], lines[2 * EVENTS :]):
            fault_run.usage("send", "-", stdin=b"\n".join(part))
            time.sleep(1.5)
        before = positions(fault_run)
        began = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        link.deaf = False
        worker.process.wait(10)
        took = time.monotonic() - began
    after = positions(fault_run)
    counted = sum(before.values()), sum(after.values())
    print(f"ended after {took:.2f} s; counted {counted[0]} before, {counted[1]} in the end")
    assert took < 5
    assert worker.process.returncode == 0
    assert counted[0] < counted[1] < 3 * EVENTS
    assert committed(fault_run) == after
    fault_run.worker_variables.clear()
    fault_run.start_worker()
    fault_run.catch_up()
    for account, rollups in rollups_of(lines).items():
        report = fault_run.report_here(account, *DAYS, as_of=AS_OF)
        assert report == report_of(rollups, account, *DAYS, "UTC", AS_OF)


def test_a_worker_that_ends_with_an_error_is_gone_though_the_client_hangs(
    fault_run: System,
) -> None:
    """Its thread would go on sending heartbeats, and keep partitions that nobody counts then."""
    code = (
        "import asyncio\n"
        "from aiokafka import AIOKafkaConsumer\n"
        "from aiokafka.consumer.group_coordinator import GroupCoordinator\n"
        "async def dies(self): raise AssertionError('Did we not perform bootstrap?')\n"
        "async def hangs(self): await asyncio.sleep(1000)\n"
        "GroupCoordinator._GroupCoordinator__coordination_routine = dies\n"
        "AIOKafkaConsumer.stop = hangs\n"
        "from interaction_usage.commands.main import main; main(['worker'])"
    )
    worker = fault_run.start_worker((sys.executable, "-c", code))
    assert worker.process.wait(40) == 1
    assert "it can no longer take part in the consumer group" in fault_run.log()
    assert "Shutdown timed out" in fault_run.log()
