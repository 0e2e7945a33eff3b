"""Where an event's time goes: parse, decode, divide, fold, pack, send, and the script in Redis.

    python -m benchmarks.budget [--short] [--events N]

Mixed load in micro-batches of twelve partitions, as a worker makes them, without Kafka: it begins
with record batches as a fetch brings them. All is processor time, for Redis that of its process;
what a worker costs beyond it is receiving those batches, Faust, and being disturbed.
"""

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.types import TP
from redis.asyncio import Redis as AsyncRedis

from benchmarks.load import mixed
from benchmarks.stage import cpu_of
from benchmarks.table import Row, markdown
from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store.micro_batch import PartitionBatch
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT
from rollups.fold import MOST_EVENTS, Folding
from stream_app import bounded_fetch
from stream_app.decode_batch import DecodedRecords
from stream_app.fetched_batch import Assignment, FetchedBatch
from stream_app.worker_process import tune_garbage_collection

PARTITIONS = 12
#: Records that a fetch brings of one partition: about a megabyte.
_FETCHED = 4_500
LIMITS = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)

#: Records of a record batch, as a producer with a linger of some milliseconds sends them.
_BATCH = 60


class Fetched(NamedTuple):
    """Record batches of one topic-partition, as their bytes come from the broker."""

    tp: TP
    raw: bytes
    begins: int

    def batch(self) -> FetchedBatch:
        """Return the records in them."""
        records = fetcher.MemoryRecords(self.raw)
        # No transaction was aborted, nothing is deserialized, checksums are checked as in a worker.
        parts = fetcher.PartitionRecords(
            self.tp, records, [], self.begins, None, None, True, fetcher.READ_COMMITTED
        )
        found = parts.take(len(self.raw) * 2)
        while not parts.is_done:
            found += parts.take(len(self.raw) * 2)
        ends = parts.next_fetch_offset
        return FetchedBatch(self.tp, found, self.begins, ends, Assignment(0, 0))


def micro_batches_of(count: int) -> Iterator[list[Fetched]]:
    """Yield batches of the partitions of one number, with *count* events in all."""
    partitions: dict[TP, list[tuple[bytes, bytes]]] = defaultdict(list)
    for topic, key, value in mixed(count, seed=3):
        partitions[TP(topic, crc32(key) % PARTITIONS)].append((key, value))
    longest = max(map(len, partitions.values()))
    for at in range(0, longest, _FETCHED):
        for number in range(PARTITIONS):
            batches = [
                Fetched(tp, _raw(rows[at : at + _FETCHED], at), at)
                for tp, rows in partitions.items()
                if tp.partition == number and len(rows) > at
            ]
            if batches:
                yield batches


def _raw(rows: Sequence[tuple[bytes, bytes]], offset: int) -> bytes:
    """Return record batches of *rows*, the first of which is at *offset*."""
    stamp, batches = int(time.time() * 1000), []
    for begin in range(0, len(rows), _BATCH):
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
        for place, (key, value) in enumerate(rows[begin : begin + _BATCH]):
            builder.append(place, stamp, key, value, [])
        built = builder.build()
        batches.append((offset + begin).to_bytes(8) + built[8:])
    return b"".join(batches)


class Clock:
    """Adds up the processor time of each stage."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._since = time.process_time()

    def is_over(self, stage: str) -> None:
        """Count what passed since the last call for *stage*."""
        now = time.process_time()
        self.spent[stage] += now - self._since
        self._since = now


async def measure(server: RedisServer, count: int) -> list[Row]:
    """Return what each stage costs over *count* events."""
    bounded_fetch.install()
    micro_batches = list(micro_batches_of(count))
    tune_garbage_collection()
    clock, parts, script = Clock(), 0, 0.0
    async with AsyncRedis.from_url(server.url) as redis:
        writer = Writer(redis, LIMITS, clock=time.time)
        await writer.prepare()
        secret = writer.secret
        for batches in micro_batches:
            clock.is_over("")
            fetched = [each.batch() for each in batches]
            clock.is_over("parse record batches")
            decoded = [DecodedRecords(batch.tp, batch.records) for batch in fetched]
            folding = Folding(secret, LIMITS, lambda _: MOST_EVENTS)
            for batch, records in zip(fetched, decoded, strict=True):
                fence = f"{batch.tp.topic}/{batch.tp.partition}"
                for offsets, events in records.chunks():
                    clock.is_over("decode and validate")
                    folding.add(fence, offsets, events)
                    clock.is_over("fold")
            packed = [sums.delta().packed() for found in folding.sums.values() for sums in found]
            clock.is_over("pack")
            parts += len(packed)
            taken = [
                PartitionBatch(f"{batch.tp.topic}/{batch.tp.partition}", records, batch.ends, 0)
                for batch, records in zip(fetched, decoded, strict=True)
            ]
            prepared = writer.micro_batch(taken)
            await prepared.prepare()
            before = cpu_of(server.pid)
            clock.is_over("")
            await prepared.run()
            clock.is_over("send to Redis, and take the answers")
            script += cpu_of(server.pid) - before
    named = {**clock.spent, "Redis: check and apply": script}
    named.pop("")
    note = f"{count:,} events, {parts:,} account deltas"
    return [
        Row("budget", stage, "", f"{spent / count * 1e6:.2f} µs an event", note)
        for stage, spent in named.items()
    ]


def run(*, short: bool, events: int | None = None) -> list[Row]:
    """Run everything of this benchmark and return its rows."""
    with redis_server() as server:
        return asyncio.run(measure(server, events or (240_000 if short else 600_000)))


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="240,000 events, not 600,000")
    parser.add_argument("--events", type=int)
    arguments = parser.parse_args()
    print(markdown(run(short=arguments.short, events=arguments.events)))


if __name__ == "__main__":
    main()
