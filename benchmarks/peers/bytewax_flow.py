"""Bytewax: its Kafka input, a step that decodes, an output that writes a batch per pipeline.

At least once: it snapshots its place every 10 seconds and counts again what came after it.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from redis.client import Redis

from benchmarks.peers.counted import FETCH, FOLDER, KAFKA, REDIS, TOPICS, Sums, add, queue


class _Writer(StatelessSinkPartition):  # type: ignore[misc]
    """Writes the batches that reach one worker."""

    def __init__(self) -> None:
        self._redis = Redis.from_url(REDIS)

    def write_batch(self, items: list[dict[str, Any]]) -> None:
        """Count *items* and write their sums."""
        sums: Sums = {}
        for event in items:
            add(sums, event)
        with self._redis.pipeline(transaction=True) as pipe:
            queue(pipe, sums, len(items))
            pipe.execute()


class _Counters(DynamicSink):  # type: ignore[misc]
    """The counters in Redis."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Writer:
        """Return the part of one worker."""
        return _Writer()


def main() -> None:
    """Run until killed."""
    flow = Dataflow("counts")
    records = kop.input("events", flow, brokers=[KAFKA], topics=TOPICS, add_config=FETCH)
    events = op.map("decode", records.oks, lambda record: orjson.loads(record.value))
    op.output("counters", events, _Counters())
    init_db_dir(Path(FOLDER), 1)
    cli_main(flow, recovery_config=RecoveryConfig(FOLDER), epoch_interval=timedelta(seconds=10))


if __name__ == "__main__":
    main()
