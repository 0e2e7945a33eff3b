"""Faust with `take`: up to 1,000 events at a time, one Redis pipeline for them. At least once."""

import faust
import orjson
from redis.asyncio import Redis

from benchmarks.peers.counted import FOLDER, GROUP, KAFKA, REDIS, TOPICS, Sums, add, queue

app = faust.App(
    GROUP,
    broker=f"kafka://{KAFKA}",
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
    datadir=FOLDER,
)
redis = Redis.from_url(REDIS)


@app.agent(app.topic(*TOPICS, value_type=bytes, value_serializer="raw"))
async def count(stream):  # type: ignore[no-untyped-def]
    """Count events by the batch."""
    async for values in stream.take(1000, within=0.1):
        sums: Sums = {}
        for value in values:
            add(sums, orjson.loads(value))
        async with redis.pipeline(transaction=True) as pipe:
            queue(pipe, sums, len(values))
            await pipe.execute()


if __name__ == "__main__":
    app.main()
