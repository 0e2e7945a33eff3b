"""A ledger without Kafka: topics as lists, applied to Redis by the tables of the product."""

import time
from collections import defaultdict
from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple
from uuid import uuid4

from interaction_usage.store.errors import LedgerUnavailableError
from interaction_usage.store.ledger import Table
from rollups.watermark import OffsetRange


class MemoryRecord(NamedTuple):
    """A record of a topic."""

    offset: int
    key: bytes
    value: bytes


class MemoryLedger:
    """Publishes to lists; *refusing* makes it refuse everything, as where Kafka is away."""

    def __init__(self, redis: Any) -> None:
        self.redis = redis
        self.topic_id = uuid4().hex[:8]
        self.topics: dict[str, list[MemoryRecord]] = defaultdict(list)
        self.refusing = False
        self._lock = Lock()

    def now_ms(self) -> int:
        """Return the time, in milliseconds."""
        return time.time_ns() // 1_000_000

    def sync(self, table: Table) -> str:
        """Apply everything that is published, after adopting what Redis alone has."""
        if self.refusing:
            raise LedgerUnavailableError("Kafka at nowhere:1: no broker answered")
        place, topic = f"{table.topic}/0@{self.topic_id}", self.topics[table.topic]
        if place not in table.positions(self.redis):
            published = {each.key.decode().partition("/")[0] for each in topic}
            for key, value in list(table.unpublished(self.redis, published)):
                self.append(table, key, value)
            table.begin(self.redis, place)
        at, end = table.positions(self.redis)[place], len(topic)
        table.apply(self.redis, place, topic[at:end], OffsetRange(at, end))
        return place

    def sync_all(self, tables: Sequence[Table]) -> None:
        """Do the same for several tables."""
        for table in tables:
            self.sync(table)

    def publish(self, table: Table, records: Sequence[tuple[str, bytes]]) -> None:
        """Publish *records* and apply them."""
        for key, value in records:
            self.append(table, key, value)
        self.sync(table)

    def dead_letter_ends(self) -> dict[str, int]:
        """Return what a Kafka without that topic does."""
        return {}

    def append(self, table: Table, key: str, value: bytes) -> None:
        """Publish a record, and crash before it is applied."""
        topic = self.topics[table.topic]
        with self._lock:
            topic.append(MemoryRecord(len(topic), key.encode(), value))
