"""A fault run: what takes part in it, its diary, and when the faults end that last."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from interaction_usage.servers.child import Child
from stream_app.errors import BrokerUnavailableError
from tests.faults.flaky_link import FlakyLink
from tests.faults.publisher import Publisher
from tests.support.system import System

MOST_WORKERS = 4
BROKER, REDIS = "the broker", "Redis"


class End(NamedTuple):
    """The end of a fault that lasts: when it is due, what it ends, and how."""

    due: float
    of: object
    act: Callable[[], None]


class Lost(NamedTuple):
    """The offsets [first, end) of a topic-partition that Kafka deleted uncounted."""

    topic: str
    partition: int
    topic_id: str
    first: int
    end: int


@dataclass
class Run:
    """Everything that takes part in a fault run of `system`, and its diary."""

    system: System
    rng: random.Random
    link: FlakyLink
    publisher: Publisher
    diary: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    ends: list[End] = field(default_factory=list)
    long: str = ""  #: which server is away for long
    #: Whether days are sealed, and so no topic is deleted, nor any record.
    seals: bool = False
    was_upgraded: bool = False  #: from a layout without the counters of sessions
    lost: list[Lost] = field(default_factory=list)
    was_replaced: bool = False  #: whether the cluster was
    on_new_cluster: Callable[[], None] = lambda: None  #: called where nothing is left of the old
    on_lost_writes: Callable[[], None] = lambda: None  #: called where Redis has lost its last ones

    def note(self, what: str) -> None:
        """Write a line into the diary."""
        self.diary.append(f"{time.monotonic() - self.begun:6.1f} s  {what}")

    # ------------------------------------------------------------- what has an end

    def wait(self, seconds: float) -> None:
        """Let *seconds* pass, in which faults end whose time has come."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.end_what_is_due()
            time.sleep(min(left, 0.05))

    def end_what_is_due(self) -> None:
        """End the faults whose time has come."""
        for end in self._in_order():
            if end in self.ends and time.monotonic() >= end.due:
                self._end(end)

    def sit_out(self) -> None:
        """Let everything last as long as it should."""
        while self.ends:
            self.wait(0.1)

    def end_all(self) -> None:
        """End every fault."""
        while self.ends:
            self._end(self._in_order()[0])
        self.link.calm()

    def _in_order(self) -> list[End]:
        return sorted(self.ends, key=lambda end: end.due)

    def _end(self, end: End) -> None:
        self.ends.remove(end)
        if end.of == self.long:
            self.long = ""
        end.act()

    def _ends_in(self, seconds: float, of: object, act: Callable[[], None]) -> None:
        self.ends.append(End(time.monotonic() + seconds, of, act))

    def _is_there(self, server: str) -> bool:
        """End what keeps *server* away, for the next fault needs it; not so a long outage."""
        if server == self.long:
            return False
        for end in self._in_order():
            if end in self.ends and end.of == server:
                self._end(end)
        return True

    def _is_away(self, server: str) -> bool:
        return any(end.of == server for end in self.ends)

    # ------------------------------------------------------------------ workers

    @property
    def running(self) -> list[Child]:
        """The workers that run, those that be suspended included."""
        return [worker for worker in self.system.workers if worker.alive]

    @property
    def awake(self) -> list[Child]:
        """The workers that run and do not be suspended."""
        still = [end.of for end in self.ends]
        return [worker for worker in self.running if worker not in still]

    def add_worker(self) -> None:
        """One more worker, if there are not too many."""
        if len(self.running) < MOST_WORKERS:
            self.note("a worker joins")
            self.system.start_worker()

    def _admin(self) -> Any:
        return AdminClient({"bootstrap.servers": self.system.kafka.bootstrap, "log_level": 0})

    def _insist(self, act: Callable[[], None]) -> None:
        """Do *act* until the broker answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return act()
            except (BrokerUnavailableError, KafkaException, TimeoutError):
                assert time.monotonic() < deadline, "the broker did not answer for 60 s"
                time.sleep(0.1)
