"""One Apache Kafka for many tests: each finds it without topics, as a new one would be.

Starting a broker takes six seconds of processor time, deleting its topics some milliseconds.
Consumer groups and transactional ids stay, so each test has a group of its own. A broker that a
test ended, or left in a state in which its topics cannot be deleted, is replaced by a new one.
"""

import time
from pathlib import Path
from shutil import rmtree

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from interaction_usage.servers.apache_kafka import ApacheKafka

#: Seconds that the broker may take to delete topics.
_PATIENCE_S = 30.0


class SharedBroker:
    """A broker that is started when a test first needs one, and again after a test has ended it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = 0
        self._broker: ApacheKafka | None = None

    def without_topics(self) -> ApacheKafka:
        """Return the running broker, with no topic but Kafka's own."""
        if self._broker is not None and self._broker.alive:
            try:
                delete_acls(self._broker.bootstrap)
                _delete_topics(self._broker)
            except (KafkaException, AssertionError, TimeoutError):
                self.kill()
        if self._broker is None or not self._broker.alive:
            return self.new()
        return self._broker

    def new(self) -> ApacheKafka:
        """Return a broker that no test has used, which takes the place of the one before."""
        self.kill()
        self._started += 1
        self._broker = ApacheKafka(self._folder / f"kafka-{self._started}", authorizer=True)
        self._broker.start()
        return self._broker

    def kill(self) -> None:
        """End the broker at once: nothing of it is needed any more."""
        if self._broker is not None:
            self._broker.kill()
            rmtree(self._broker.folder, ignore_errors=True)


def delete_acls(bootstrap: str) -> None:
    """Let everybody do everything again."""
    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY,
        AclPermissionType.ANY,
    )  # fmt: skip
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for deleted in admin.delete_acls([everything]).values():
        deleted.result(10)


def _delete_topics(broker: ApacheKafka) -> None:
    """Delete all topics but Kafka's own, and wait until none of them is left."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    deadline = time.monotonic() + _PATIENCE_S
    asked: set[str] = set()
    while names := [name for name in admin.list_topics(timeout=10).topics if name[:2] != "__"]:
        assert time.monotonic() < deadline, f"still there: {names}"
        if new := [name for name in names if name not in asked]:
            for deleted in admin.delete_topics(new).values():
                deleted.result(10)
            asked.update(new)
        time.sleep(0.01)
