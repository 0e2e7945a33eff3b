"""What a worker counts of itself since its start: for its heartbeat, and for `worker_metrics`."""

import os
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from prometheus_client import Histogram

from interaction_usage import monitoring
from stream_app.waits import Waits

#: Seconds between two heartbeats of a worker.
HEARTBEAT = 0.5


def worker_name() -> str:
    """Return a name for this process that no other on any host has."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass
class Telemetry:
    """Counts of records since the worker's start."""

    counted: int = 0  #: events in the rollups, duplicates included
    duplicates: int = 0  #: of these, events that another record had reported
    batches: int = 0
    refused: Counter[str] = field(default_factory=Counter)  #: by reason
    waits: Waits = field(default_factory=Waits)
    recoveries: Counter[str] = field(default_factory=Counter)  #: by cause
    deleted: int = 0  #: offsets that Kafka had deleted before they were counted
    events: Histogram = field(default_factory=monitoring.MICRO_BATCH_EVENTS.histogram)
    preparing: Histogram = field(default_factory=monitoring.PREPARE_SECONDS.histogram)
    writing: Histogram = field(default_factory=monitoring.WRITE_SECONDS.histogram)
    waiting_for: str = ""  #: what it waits for; empty while it works
    rollups: str = ""  #: the namespace that it writes
    obstacles: Callable[[], list[str]] = list  #: what it may not use in Kafka, a sentence each

    def add_batch(self, events: int) -> None:
        """Note that a batch with so many valid events is in the rollups."""
        self.batches += 1
        self.counted += events

    def encoded(self) -> bytes:
        """Return the counts as JSON."""
        return orjson.dumps(
            {
                "counted": self.counted,
                "duplicates": self.duplicates,
                "batches": self.batches,
                "refused": dict(self.refused),
                "waiting_for": self.waiting_for,
                "rollups": self.rollups,
                "obstacles": self.obstacles(),
            }
        )
