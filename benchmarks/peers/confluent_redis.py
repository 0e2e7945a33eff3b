"""By hand: a confluent-kafka consumer that counts per consumed batch, one pipeline for each.

At least once: it commits after the pipeline, and counts again what it had not committed.
"""

import orjson
from confluent_kafka import Consumer
from redis.client import Redis

from benchmarks.peers.counted import FETCH, GROUP, KAFKA, REDIS, TOPICS, Sums, add, queue


def main() -> None:
    """Run until killed."""
    consumer = Consumer(
        {
            "bootstrap.servers": KAFKA,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **FETCH,
        }
    )
    consumer.subscribe(TOPICS)
    redis = Redis.from_url(REDIS)
    while True:
        messages = consumer.consume(10_000, timeout=0.1)
        if not messages:
            continue
        sums: Sums = {}
        for message in messages:
            add(sums, orjson.loads(message.value()))
        with redis.pipeline(transaction=True) as pipe:
            queue(pipe, sums, len(messages))
            pipe.execute()
        consumer.commit(asynchronous=True)


if __name__ == "__main__":
    main()
