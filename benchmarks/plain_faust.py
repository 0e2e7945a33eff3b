"""The peer: an ordinary Faust agent with one Redis write per event."""

import os

import faust
import orjson
from redis.asyncio import Redis

app = faust.App(
    "plain",
    broker=f"kafka://{os.environ['PLAIN_KAFKA']}",
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
    datadir=f"/tmp/plain-faust-{os.getpid()}",
)
redis = Redis.from_url(os.environ["PLAIN_REDIS"])


@app.agent(app.topic("plain", value_type=bytes, value_serializer="raw"))
async def count(stream):  # type: ignore[no-untyped-def]
    """Count each event of each account."""
    async for value in stream:
        event = orjson.loads(value)
        await redis.hincrby("plain", f"{event['subject']} {event['type']}", 1)


if __name__ == "__main__":
    app.main()
