"""`usage reports issue` is killed between Kafka's acknowledgement and the read-back."""

import json
import subprocess
import time
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from interaction_usage.store.issued_table import REPORTS, entries
from stream_app.broker import ensure_topics
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from tests.faults.flaky_link import FlakyLink
from tests.support.caught_up import caught_up
from tests.support.system import USAGE, System

MONTHS = [f"2025-{month:02}" for month in range(1, 10)]


def issue(system: System, month: str) -> tuple[str, str]:
    """Issue the report of a month; return its number, and what is said about it."""
    done = system.usage("reports", "issue", "acme", "--month", month, "--gap")
    return done.stdout.decode().strip(), done.stderr.decode()


def killed_behind_the_acknowledgement(
    system: System, link: FlakyLink, consumer: Any, month: str
) -> bool:
    """Issue a month and kill that as soon as Kafka has it; return whether Redis has it not."""
    place = TopicPartition(REPORTS.topic, 0)
    before = consumer.get_watermark_offsets(place, 10)[1]
    environment = system.environment | {"USAGE_REDIS": f"redis://127.0.0.1:{link.port}/0"}
    child = subprocess.Popen(
        [*USAGE, "reports", "issue", "acme", "--month", month, "--gap"],
        env=environment, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while consumer.get_watermark_offsets(place, 10)[1] == before:
        assert child.poll() is None, child.stderr and child.stderr.read()
        assert time.monotonic() < deadline
    link.deaf = True  # what it read back does not come to Redis any more
    child.kill()
    child.communicate()
    link.deaf = False
    with system.client() as client:
        return month not in [entry.first[:7] for entry in entries(client, "acme")]


def test_a_kill_behind_the_acknowledgement_leaves_one_report(system: System) -> None:
    """Nobody knows that it is issued; issued again, the period has its number, and no second."""
    ensure_topics(system.kafka.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], 1, 1)
    system.usage("account", "set", "acme", "--timezone", "Europe/Paris")
    with system.client() as client:
        caught_up(client)
    first, _ = issue(system, "2024-12")
    consumer: Any = Consumer({"bootstrap.servers": system.kafka.bootstrap, "group.id": "kills"})
    notes: list[str] = []
    killed = []
    with FlakyLink(system.redis.port, 1, notes.append) as link:  # type: ignore[union-attr]
        for month in MONTHS:
            if killed_behind_the_acknowledgement(system, link, consumer, month):
                killed.append(month)
            if killed:
                break
    assert killed, "the read-back was always faster"
    position = consumer.get_watermark_offsets(TopicPartition(REPORTS.topic, 0), 10)[1]
    for month in killed:
        number, said = issue(system, month)
        assert "It was issued before" in said
        assert issue(system, month) == (number, said)
    assert consumer.get_watermark_offsets(TopicPartition(REPORTS.topic, 0), 10)[1] == position
    consumer.close()
    listed = json.loads(system.usage("reports", "list", "acme", "--format", "json").stdout)
    numbers = [each["number"] for each in listed]
    assert numbers == [f"acme-{ordinal:06}" for ordinal in range(1, position + 1)]
    assert first == numbers[0]
    assert len({each["from"] for each in listed}) == len(listed)
    newest, said = issue(system, "2025-10")
    assert (newest, "Issued: 2025-10-01" in said) == (f"acme-{position + 1:06}", True)
