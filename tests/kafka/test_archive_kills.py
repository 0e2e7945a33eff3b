"""The archive is killed at random moments, again and again: each record is there, and once.

`make archive-kills RUNS=200` makes many of these runs, here are a few. Each process is forked from
one that has imported everything, so that most kills hit the copying and not the start of Python;
and not from this one, for the runtime behind Delta Lake survives no fork. Meanwhile producers
publish, commit and abort transactions, a second process copies now and then, and compactions run
and are killed, too.
"""

import asyncio
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from interaction_usage import settings
from interaction_usage.archive import compaction, copying, upkeep
from interaction_usage.archive.archive import Archive
from interaction_usage.archive.errors import ArchiveError
from interaction_usage.archive.location import Location
from interaction_usage.archive.process import ArchiveProcess
from stream_app.broker import ensure_topics, spans
from tests.support.event_lines import flow

RUNS = int(os.environ.get("ARCHIVE_KILLS", "8"))
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])
SEED = int(os.environ.get("ARCHIVE_KILLS_SEED", "1"))


def config_of(system: Any, location: Location) -> settings.Settings:
    """Return the settings of a process that commits all the time."""
    read = settings.read({"USAGE_KAFKA": system.kafka.bootstrap, "USAGE_ARCHIVE": location.root})
    object.__setattr__(read, "archive_interval", 0.02)
    return read


def started(work: Callable[..., object], *arguments: Any) -> Any:
    """Run *work* in a process of its own; return the process."""
    child = PROCESSES.Process(target=work, args=arguments)
    child.start()
    return child


def ended(child: Any) -> None:
    """Kill a process, and wait until it is gone."""
    child.kill()
    child.join()


def copy(config: settings.Settings) -> None:
    """Copy for ever, in many small commits, and join them all the time."""
    copying._MAX_ROWS = 40  # type: ignore[misc]
    upkeep.INTERVAL_S, upkeep.SMALL_FILES = 0.05, 4  # type: ignore[misc]
    with suppress(ArchiveError):
        asyncio.run(ArchiveProcess(config).run())


def compact(location: Location) -> None:
    """Compact once."""
    with suppress(ArchiveError):
        compaction.compact(Archive.open(location), lambda *_: None)


@contextmanager
def publishing(bootstrap: str, rng: random.Random) -> Iterator[None]:
    """Publish meanwhile: plain records, and transactions of which some are aborted."""
    over = threading.Event()

    def publish() -> None:
        plain = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
        atomic = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"kills-{SEED}"})
        atomic.init_transactions(60)
        number = 0
        while not over.is_set():
            for _ in range(rng.randrange(1, 30)):
                number += 1
                plain.produce("usage.flows", flow(number), b"%d" % number)
            plain.flush(60)
            atomic.begin_transaction()
            for _ in range(rng.randrange(1, 10)):
                number += 1
                atomic.produce("usage.clicks", flow(number), b"%d" % number)
            atomic.flush(60)
            if rng.random() < 0.4:
                atomic.abort_transaction(60)
            else:
                atomic.commit_transaction(60)
            time.sleep(rng.uniform(0, 0.1))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def in_kafka(bootstrap: str) -> dict[tuple[str, int, int], bytes]:
    """Return the value of every committed record of the two topics."""
    found = {}
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "check", "isolation.level": "read_committed",
         "enable.auto.commit": False, "enable.partition.eof": True}
    )  # fmt: skip
    places = spans(bootstrap, ["usage.flows", "usage.clicks"])
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in places])
    left = len(places)
    while left:
        message = consumer.poll(30)
        assert message is not None
        if message.error():
            left -= 1
        else:
            place = (message.topic(), message.partition(), message.offset())
            found[place] = message.value()
    consumer.close()
    return found


@pytest.mark.timeout(60 + 30 * RUNS)
def test_killed_at_random_moments_it_copies_each_record_once(system: Any, tmp_path: Path) -> None:
    """The table has exactly the committed records of Kafka, by place and by value."""
    rng = random.Random(SEED)
    location = Location(str(tmp_path / "archive"))
    config = config_of(system, location)
    ensure_topics(system.kafka.bootstrap, copying.TOPICS, 3, 1)
    committed = 0
    with publishing(system.kafka.bootstrap, rng):
        for _ in range(RUNS):
            children = [started(copy, config)]
            if rng.random() < 0.3:
                children.append(started(copy, config))
            if rng.random() < 0.3 and committed:
                children.append(started(compact, location))
            time.sleep(rng.uniform(0.2, 3.5))
            for child in children:
                ended(child)
            committed = len(list(Path(location.root).glob("events/_delta_log/*.json")))
    asyncio.run(ArchiveProcess(config).once())
    table = (
        Archive.open(location).events.dataset().to_table(["topic", "partition", "offset", "value"])
    )
    columns = [table[name].to_pylist() for name in ("topic", "partition", "offset", "value")]
    archived = [((topic, part, at), value) for topic, part, at, value in zip(*columns, strict=True)]
    expected = in_kafka(system.kafka.bootstrap)
    print(f"{RUNS} runs, {committed} commits, {len(expected)} records")
    assert committed > RUNS / 2
    assert len(archived) == len(expected)
    assert dict(archived) == expected
