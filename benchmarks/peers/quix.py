"""Quix Streams with a sink: what a checkpoint holds goes to Redis by pipelines. At least once."""

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch
from redis.client import Redis

from benchmarks.peers.counted import FETCH, FOLDER, GROUP, KAFKA, REDIS, TOPICS, Sums, add, queue


class _Counters(BatchingSink):  # type: ignore[misc]
    """The counters in Redis."""

    def setup(self) -> None:
        """Connect."""
        self._redis = Redis.from_url(REDIS)

    def write(self, batch: SinkBatch) -> None:
        """Count the records of one partition and write their sums."""
        sums: Sums = {}
        for item in batch:
            add(sums, item.value)
        with self._redis.pipeline(transaction=True) as pipe:
            queue(pipe, sums, batch.size)
            pipe.execute()


def main() -> None:
    """Run until killed."""
    app = Application(
        broker_address=KAFKA,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        consumer_extra_config=FETCH,
        commit_interval=0.5,
        state_dir=FOLDER,
        loglevel="ERROR",
    )
    counters = _Counters()
    for name in TOPICS:
        app.dataframe(app.topic(name, value_deserializer="json")).sink(counters)
    app.run()


if __name__ == "__main__":
    main()
