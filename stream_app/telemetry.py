"""What a worker's heartbeat carries: counts since its start, for people to look at."""

import os
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

#: Seconds between two heartbeats of a worker.
HEARTBEAT = 0.5


def worker_name() -> str:
    """Return a name for this process that no other on any host has."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass
class Telemetry:
    """Counts of records since the worker's start."""

    counted: int = 0  #: events in the rollups, duplicates included
    duplicates: int = 0  #: of these, counted before and so without effect
    batches: int = 0
    refused: Counter[str] = field(default_factory=Counter)  #: by reason
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
