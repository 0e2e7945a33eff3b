"""Plain Faust: an ordinary agent with one Redis write per event. At least once."""

import faust
import orjson
from redis.asyncio import Redis

from benchmarks.peers.counted import FOLDER, GROUP, HEAD, KAFKA, REDIS, TOPICS, counted

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
    """Count each event."""
    async for value in stream:
        account, field, amount = counted(orjson.loads(value))
        await redis.hincrby(HEAD + account, field, amount)


if __name__ == "__main__":
    app.main()
