"""By hand: a confluent-kafka consumer that decodes each event's JSON and drops it.

It counts nothing and keeps nothing: the most that a consumer in Python could reach. With the
argument `ordinary` it has librdkafka's own settings, and sleeps most of a backlog's time.
"""

import sys

import orjson
from confluent_kafka import Consumer
from redis.client import Redis

from benchmarks.peers.counted import FETCH, GROUP, KAFKA, REDIS, TAKEN, TOPICS


def main() -> None:
    """Run until killed."""
    fetch = {} if "ordinary" in sys.argv else FETCH
    consumer = Consumer(
        {"bootstrap.servers": KAFKA, "group.id": GROUP, "auto.offset.reset": "earliest", **fetch}
    )
    consumer.subscribe(TOPICS)
    redis = Redis.from_url(REDIS)
    while True:
        messages = consumer.consume(10_000, timeout=0.1)
        decoded = 0
        for message in messages:
            decoded += "subject" in orjson.loads(message.value())
        if decoded:
            redis.incrby(TAKEN, decoded)


if __name__ == "__main__":
    main()
