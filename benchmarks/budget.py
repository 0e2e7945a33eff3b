"""Where an event's time goes: decode, fold, pack, and the script in Redis, each by itself.

    python -m benchmarks.budget [--events N] [--batch N]

Mixed load, one process, no Kafka: the stages are called one after the other on the same batches, as
a worker gets them from its twelve partitions. All is processor time, for Redis that of its process.
"""

import argparse
import asyncio
import time
from collections import defaultdict
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord
from redis.asyncio import Redis as AsyncRedis
from xxhash import xxh32_intdigest

from benchmarks.load import mixed
from benchmarks.stage import cpu_of
from rollups.events import Event
from rollups.fold import Placed, accounts_of, fold
from rollups.vocabulary import APPLICATIONS, DEFAULT_SESSION_LIMIT
from rollups.writer import Writer
from servers.redis_server import RedisServer, redis_server
from stream_app.codec import decode_all

PARTITIONS = 12
LIMITS = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)


class Stage(NamedTuple):
    """What a stage costs."""

    name: str
    micros: float  #: per event


def batches_of(
    records: list[tuple[str, bytes, bytes]], size: int
) -> list[tuple[str, int, list[bytes]]]:
    """Return (topic, partition, values) in batches, as fetched from the partitions in turn."""
    partitions: dict[tuple[str, int], list[bytes]] = defaultdict(list)
    for topic, key, value in records:
        partitions[topic, xxh32_intdigest(key) % PARTITIONS].append(value)
    cut = [
        (at, topic, number, values[at : at + size])
        for (topic, number), values in partitions.items()
        for at in range(0, len(values), size)
    ]
    return [(topic, number, values) for _, topic, number, values in sorted(cut, key=lambda b: b[0])]


def records_of(
    topic: str, partition: int, values: list[bytes], stamp: int
) -> list[ConsumerRecord[bytes, bytes]]:
    """Return *values* as a worker is handed them, published at *stamp*, in milliseconds."""
    return [
        ConsumerRecord(topic, partition, offset, stamp, 0, None, value, None, -1, len(value), ())
        for offset, value in enumerate(values)
    ]


async def measure(server: RedisServer, count: int, size: int) -> list[Stage]:
    """Return what each stage costs over *count* events."""
    batches = batches_of(mixed(count, seed=3), size)
    stamp = int(time.time() * 1000)
    decoded: list[list[Event]] = []
    decoding = 0.0
    for kept in (True, False):  # timed as a worker runs that has run for a while and keeps nothing
        for topic, number, values in batches:
            records = records_of(topic, number, values, stamp)
            began = time.process_time()
            outcomes = decode_all(topic, records)
            spent = time.process_time() - began
            if kept:
                decoded.append([event for event in outcomes if isinstance(event, Event)])
            else:
                decoding += spent
            del outcomes
    offsets: dict[str, int] = defaultdict(int)
    placed = []
    for (topic, number, _), events in zip(batches, decoded, strict=True):
        fence = f"{topic}/{number}"
        first = offsets[fence]
        offsets[fence] += len(events)
        placed.append(
            (fence, [Placed(first + i, event, stamp // 1000) for i, event in enumerate(events)])
        )
    began = time.process_time()
    parts = [
        fold([(fence, items)], LIMITS)
        for fence, batch in placed
        for items in accounts_of(batch).values()
    ]
    folding = time.process_time() - began
    began = time.process_time()
    for part in parts:
        part.packed()
    packing = time.process_time() - began
    async with AsyncRedis.from_url(server.url) as redis:
        writer = Writer(redis, LIMITS)
        await writer.prepare()
        began, before = time.process_time(), cpu_of(server.pid)
        for fence, batch in placed:
            await writer.apply(fence, batch, batch[-1].offset + 1)
        applying = time.process_time() - began
        script = cpu_of(server.pid) - before
    seconds = [
        ("decode and validate", decoding),
        ("fold", folding),
        ("pack", packing),
        ("Redis", script),
        ("apply in the worker: fold, pack, send", applying),
    ]
    print(f"{count:,} events in {len(placed):,} batches, {len(parts):,} parts of accounts")
    return [Stage(name, spent / count * 1e6) for name, spent in seconds]


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=240_000)
    parser.add_argument("--batch", type=int, default=5_000)
    arguments = parser.parse_args()
    with redis_server() as server:
        for stage in asyncio.run(measure(server, arguments.events, arguments.batch)):
            print(f"{stage.name:<36}{stage.micros:>8.2f} us an event")


if __name__ == "__main__":
    main()
