"""Ingestion: one worker against plain Faust, on the same broker, Redis and events.

    python -m benchmarks.ingestion [--events N] [--plain N]

The peer is an idiomatic Faust agent: JSON decoded, one Redis write per event, nothing validated,
nothing made safe against duplicates. Both runs are timed from the first record taken to the last
one in Redis, so that start-up does not count. Prints rates, their ratio, and the worker's memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer
from redis.client import Redis

from benchmarks.load import mixed
from servers.apache_kafka import ApacheKafka
from servers.redis_server import redis_server
from stream_app.broker import ensure_topics
from stream_app.topics import EVENT_TOPICS

PARTITIONS = 12
PLAIN_TOPIC = "plain"


def publish(kafka: str, records: list[tuple[str, bytes, bytes]], topic: str | None = None) -> None:
    """Publish (topic, key, value), all on *topic* if one is given."""
    producer = Producer(
        {"bootstrap.servers": kafka, "linger.ms": 20, "queue.buffering.max.messages": 500_000}
    )
    for own, key, value in records:
        while True:
            try:
                producer.produce(topic or own, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(120) == 0


def timed(count: object, total: int) -> float:
    """Return events per second between the first and the last of *total* that *count* sees."""
    while not (first := count()):  # type: ignore[operator]
        time.sleep(0.01)
    began = time.perf_counter()
    while (now := count()) < total:  # type: ignore[operator]
        time.sleep(0.01)
    return (now - first) / (time.perf_counter() - began)


def worker_rate(kafka: str, url: str, records: list[tuple[str, bytes, bytes]]) -> tuple[float, int]:
    """Return the rate of one worker in events per second, and its memory in KiB at the end."""
    publish(kafka, records)
    environment = {**os.environ, "USAGE_KAFKA": kafka, "USAGE_REDIS": url}
    command = [sys.executable, "-m", "commands.main", "worker"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    client = Redis.from_url(url)
    try:
        rate = timed(lambda: sum(map(int, client.hvals("u:position"))), len(records))
        status = Path(f"/proc/{process.pid}/status")
        memory = [line for line in status.read_text().splitlines() if "VmRSS" in line]
        return rate, int(memory[0].split()[1])
    finally:
        process.terminate()
        process.wait()
        client.close()


def plain_rate(kafka: str, url: str, records: list[tuple[str, bytes, bytes]]) -> float:
    """Return the rate of plain Faust in events per second."""
    ensure_topics(kafka, [PLAIN_TOPIC], PARTITIONS, 1)
    publish(kafka, records, PLAIN_TOPIC)
    environment = {**os.environ, "PLAIN_KAFKA": kafka, "PLAIN_REDIS": url}
    command = [sys.executable, "-m", "benchmarks.plain_faust", "worker", "-l", "error"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    client = Redis.from_url(url)
    try:
        return timed(lambda: sum(map(int, client.hvals("plain"))), len(records))
    finally:
        process.terminate()
        process.wait()
        client.close()


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--plain", type=int, default=15_000)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server(Path(folder) / "redis") as redis,
        ApacheKafka(Path(folder) / "kafka") as kafka,
    ):
        ensure_topics(kafka.bootstrap, list(EVENT_TOPICS), PARTITIONS, 1)
        plain = plain_rate(kafka.bootstrap, redis.url, mixed(arguments.plain, seed=1))
        ours, memory = worker_rate(kafka.bootstrap, redis.url, mixed(arguments.events, seed=2))
    print(f"plain Faust, a Redis write per event {plain:>10,.0f} events/s")
    print(f"usage worker, everything on          {ours:>10,.0f} events/s")
    print(f"ratio                                {ours / plain:>10,.1f}")
    print(f"memory of the worker at the end      {memory / 1024:>10,.0f} MiB")


if __name__ == "__main__":
    main()
