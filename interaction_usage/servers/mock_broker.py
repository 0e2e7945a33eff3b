"""A Kafka broker inside this process: librdkafka's mock cluster, for the demo and quick tests.

It speaks the real protocol on a real port, consumer groups included, and is there at once. What
it is not: it keeps nothing on disk, answers no CreateTopics (a topic comes into being, with 4
partitions, when its metadata is asked for), and of a partition it remembers only the newest 5 MiB.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Producer

from interaction_usage.servers.child import ServerError

PARTITIONS = 4  # of every topic, fixed in librdkafka
_EMERGENCIES_ONLY = (
    0  # a syslog level; otherwise each start and each client that leaves is reported
)


@dataclass(frozen=True)
class MockBroker:
    """A running mock broker on 127.0.0.1."""

    port: int

    @property
    def bootstrap(self) -> str:
        """What a client calls its bootstrap server, `127.0.0.1:PORT`."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def mock_broker() -> Iterator[MockBroker]:
    """A running mock broker until the block ends; its records are gone then.

    Raises ServerError when it does not come up.
    """
    # The broker lives in the threads of this client and ends with it. Nothing is ever queued for
    # its application, so it needs no polling.
    owner = Producer(
        {
            "bootstrap.servers": "127.0.0.1:1",  # must be given; the mock cluster replaces it
            "test.mock.num.brokers": 1,
            "log_level": _EMERGENCIES_ONLY,
        }
    )
    brokers = list(owner.list_topics(timeout=10).brokers.values())
    if not brokers:
        raise ServerError("librdkafka's mock broker did not start.")
    try:
        yield MockBroker(brokers[0].port)
    finally:
        del owner
