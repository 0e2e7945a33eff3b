"""Freshness: from a producer's send to the moment a live read of the rollups shows the event.

    python -m benchmarks.freshness [--short] [--seconds N]

A producer in a process of its own, with confluent-kafka's ordinary settings, sends 1,000 events a
second, evenly spaced. Every tenth starts a session of one account; the others are the mixed load.
Meanwhile the level of that account is read in a loop. Sessions of one account are counted in the
order they were sent in, so the level tells how many of them can be seen. The time between two
reads, which bounds the resolution, is in the table.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import NamedTuple

from confluent_kafka import Producer
from redis.client import Redis

from benchmarks import ours
from benchmarks.load import mixed
from benchmarks.progress import say
from benchmarks.stage import Failed, renew_topics, running, stage, until_joined
from benchmarks.table import Row, markdown

RATE = 1_000  #: events per second
_EVERY = 10  #: one of so many is looked for
_ACCOUNT = "looked-at"
_WARM_UP = 2  #: seconds of load before the first event that is looked for
_PERIOD = 0.004  #: seconds between two reads, unless a read takes longer
_PATIENCE = 30.0
_P50_GOAL, _P99_GOAL = 150, 500


def _probe(number: int, sent: float) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"probe-{number}",
            "source": "benchmark",
            "type": "usage.session.started",
            "subject": _ACCOUNT,
            "time": datetime.fromtimestamp(sent, UTC).isoformat().replace("+00:00", "Z"),
            "data": {"session": f"probe-{number}", "application": "agent"},
        }
    ).encode()


def _produce(kafka: str, seconds: int, line: Connection) -> None:
    """Send the load and tell when each event that is looked for was sent (monotonic seconds)."""
    others = mixed(RATE * (seconds + _WARM_UP), seed=7)
    producer = Producer({"bootstrap.servers": kafka})
    producer.list_topics(timeout=10)
    line.send("ready")
    line.recv()
    sent: list[float] = []
    began = time.monotonic()
    for number, (topic, key, value) in enumerate(others):
        due = began + number / RATE
        while (now := time.monotonic()) < due:
            producer.poll(min(due - now, 0.001))
        if number % _EVERY == 0 and number >= RATE * _WARM_UP:
            probe = _probe(len(sent), time.time())
            sent.append(time.monotonic())
            producer.produce("usage.sessions", probe, _ACCOUNT.encode())
        else:
            producer.produce(topic, value, key)
        producer.poll(0)
    producer.flush(30)
    line.send((sent, time.monotonic() - began))


class Seen(NamedTuple):
    """When each event that was looked for was seen, and the pauses between the reads."""

    at: list[float]
    pauses: list[float]


def _watch(redis: Redis, wanted: int, seconds: float) -> Seen:
    """Read the level in a loop until *wanted* sessions are seen. Raises Failed after a while."""
    seen: list[float] = []
    pauses: list[float] = []
    last = read = time.monotonic()
    deadline = last + seconds + _PATIENCE
    while len(seen) < wanted:
        level = ours.level(redis, _ACCOUNT, "agent", int(time.time()) + 1)
        now = time.monotonic()
        seen += [now] * (level - len(seen))
        pauses.append(now - read)
        read = now
        if now > deadline:
            raise Failed(f"after {_PATIENCE:.0f} s only {len(seen)} of {wanted} were seen")
        time.sleep(max(0.0, last + _PERIOD - now))
        last = max(now, last + _PERIOD)
    return Seen(seen, pauses)


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def run(*, short: bool, seconds: int | None = None) -> list[Row]:
    """Run everything of this benchmark and return its rows."""
    seconds = seconds or (10 if short else 20)
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    say(f"freshness: {RATE:,} events/s for {seconds} s")
    with stage() as at:
        renew_topics(at.kafka)
        environment = ours.environment(at.kafka, at.url)
        with running(ours.WORKER, environment, at.folder / "worker.log"):
            producer = spawning.Process(target=_produce, args=(at.kafka, seconds, there))
            producer.start()
            try:
                here.recv()
                until_joined(at.kafka, 1)
                here.send("go")
                seen = _watch(at.redis, RATE * seconds // _EVERY, seconds + _WARM_UP)
                sent, took = here.recv()
            finally:
                producer.terminate()
                producer.join()
    late = [(after - before) * 1000 for before, after in zip(sent, seen.at, strict=True)]
    rate = RATE * (seconds + _WARM_UP) / took
    resolution = statistics.mean(seen.pauses) * 1000
    say(f"freshness: {len(late)} sessions looked for, {rate:,.0f} events/s")
    note = f"{rate:,.0f} events/s for {seconds} s; read every {resolution:.1f} ms on average"
    goals = {0.5: _P50_GOAL, 0.95: 0, 0.99: _P99_GOAL}
    return [
        Row(
            "freshness", f"send to live read, p{share * 100:.0f}",
            f"{_percentile(late, share) / goal:.2f} of the goal" if goal else "",
            f"{_percentile(late, share):,.0f} ms",
            f"goal {goal} ms; {note}" if goal else note,
        )
        for share, goal in goals.items()
    ]  # fmt: skip


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="10 seconds, not 20")
    parser.add_argument("--seconds", type=int, help="how long events are looked for")
    arguments = parser.parse_args()
    print(markdown(run(short=arguments.short, seconds=arguments.seconds)))


if __name__ == "__main__":
    main()
