"""Producers of several kinds, who do not rest until Kafka has acknowledged all that counts.

Exactly what counts must be in the rollups or the dead letters in the end. What was published to a
topic that was deleted, or to a cluster that is no more, is published again; what came after that is
not, so that a new event that is skipped shows.
"""

import json
import queue
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import Producer

from stream_app.topics import EVENT_TOPICS, TOPIC_OF
from tests.support.event_lines import event, flow

#: No outage of a fault run lasts as long as a producer tries.
PATIENCE = 120
#: Milliseconds that a record's timestamp may lie after its event: ten years.
_YEARS_MS = 10 * 365 * 86_400_000

#: A partition that has only just come up may refuse a producer's first batch and take the second,
#: for it knows nothing of that producer; librdkafka concludes that it has the first one, too, and
#: says that it was delivered (`rd_kafka_handle_idempotent_Produce_success`).
_ONE_AFTER_THE_OTHER = {"max.in.flight.requests.per.connection": 1}


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


class _Halted(Exception):
    """Kafka is about to be another one."""


def broken_record(number: int) -> bytes:
    """Return a record that is no event, or an event of an account that is not valid."""
    if number % 2:
        return b"broken %d" % number
    subject = f"account-{number % 8}"
    return event(f"broken {number}", "flow.run", {"application": "agent"}, subject=subject)


class Publisher(threading.Thread):
    """Publishes lines as several kinds of producers do, over about `seconds`."""

    def __init__(
        self, kafka: str, lines: list[bytes], broken: int, seed: int, seconds: float
    ) -> None:
        super().__init__(daemon=True)
        self.kafka = kafka
        self.rng = random.Random(seed)
        self.errors: list[str] = []
        self.hurry = False  #: whether to publish what is left at once, and end
        self._place = {line: _place(json.loads(line)) for line in lines}
        for number in range(broken):
            line, topic = broken_record(number), EVENT_TOPICS[number % len(EVENT_TOPICS)]
            self._place[line] = (topic, b"?", 1) if number % 2 else _place(json.loads(line))
        self._acknowledged: dict[bytes, float] = {}  # when it was handed to its last producer
        self._kept: dict[bytes, float] = {}  # the second by the clock by which Kafka had it
        self.places: dict[bytes, set[Place]] = defaultdict(set)  #: where Kafka has it
        self.deleted: set[str] = set()  #: topics of which Kafka deletes records
        self._begun_again: dict[str, float] = {}  # topic to the second at which it was the last
        self._again: queue.SimpleQueue[tuple[Collection[str], float]] = queue.SimpleQueue()
        #: Held while a transaction ends; see `Faults.kill_broker`.
        self.ending = threading.Lock()
        self._go_on, self._at_rest = threading.Event(), threading.Event()
        self._go_on.set()
        todo = self._drawn(list(self._place))
        self._pause = seconds * 50 / len(todo)  # after each 50 lines
        self._todo = todo

    def _drawn(self, lines: list[bytes]) -> list[bytes]:
        """Return the lines in any order, with some of them, or all, a second time."""
        rng = self.rng
        again = rng.sample(lines, int(len(lines) * rng.choice((0.2, 0.2, 1))))
        rng.shuffle(lines)
        todo = lines + again
        if rng.random() < 0.7:
            rng.shuffle(todo)
        return todo

    @property
    def was_begun_again(self) -> bool:
        """Whether a topic was created again, so that what it had before is gone."""
        return bool(self._begun_again)

    @property
    def reported_errors(self) -> list[str]:
        """What went wrong for producers, and how often."""
        return [f"{count} x {error}" for error, count in Counter(self.errors).most_common()]

    # -------------------------------------------------------- called from outside

    def begin_again(self, topics: Collection[str]) -> None:
        """Publish again what was published to *topics* until now: they were created again."""
        self._begun_again |= dict.fromkeys(topics, time.time())
        self._again.put((topics, time.monotonic()))

    def published_before(self, second: float) -> list[bytes]:
        """Return what Kafka had before a *second* on the clock; no topic of it was deleted."""
        since = self._begun_again
        return [
            line
            for line, when in self._kept.copy().items()  # while the thread goes on
            if since.get(self._place[line][0], 0.0) < when < second
        ]

    def halt(self) -> None:
        """Let no producer live; return when none does."""
        self._at_rest.clear()
        self._go_on.clear()
        assert self._at_rest.wait(150), "a producer did not come to its end"

    def go_on(self) -> None:
        """Publish again."""
        self._go_on.set()

    # ------------------------------------------------------------------ publishing

    def run(self) -> None:
        """Publish everything, in pieces by different producers, until nothing is to be done."""
        todo = self._todo
        size = len(todo) // 8 + 1
        while True:
            self._rest()
            todo += self._lost()
            if todo:
                piece, todo = todo[:size], todo[size:]
                todo += self._publish(piece)
            elif self.hurry and self._again.empty():
                self._at_rest.set()
                return
            else:
                time.sleep(0.05)

    def _rest(self) -> None:
        if not self._go_on.is_set():
            self._at_rest.set()
            self._go_on.wait()

    def _lost(self) -> list[bytes]:
        """Return what was published to topics that are no more."""
        found: list[bytes] = []
        while not self._again.empty():
            topics, until = self._again.get()
            for line, when in list(self._acknowledged.items()):
                if when < until and self._place[line][0] in topics:
                    del self._acknowledged[line]
                    self.places.pop(line, None)
                    found.append(line)
        self.rng.shuffle(found)
        return found

    def _publish(self, piece: list[bytes]) -> list[bytes]:
        """Publish *piece* by one producer; return what was not acknowledged."""
        begun = time.monotonic()
        way = self._in_transactions if self.rng.random() < 0.25 else self._plainly
        try:
            way(piece)
        except Exception as error:  # a producer that failed for good; the next one does it
            self.errors.append(f"{type(error).__name__}: {error}")
        return [line for line in piece if self._acknowledged.get(line, 0.0) < begun]

    def _plainly(self, piece: list[bytes]) -> None:
        compression = self.rng.choice(("none", "gzip", "lz4", "zstd", "snappy"))
        producer = self._producer({"compression.type": compression, "enable.idempotence": True})
        try:
            self._hand_over(producer, piece, self._reported)
            while producer.flush(0.1):
                self._look_up()
        finally:
            producer.purge()
            producer.flush(5)

    def _in_transactions(self, piece: list[bytes]) -> None:
        """Publish in transactions; before each comes one that is aborted."""
        name = f"fault run-{self.rng.getrandbits(32)}"
        patience = {"message.timeout.ms": 20_000, "transaction.timeout.ms": 20_000}
        producer = self._producer({"transactional.id": name, **patience})
        producer.init_transactions(60)
        for begin in range(0, len(piece), 400):
            self._look_up()
            answer: dict[bytes, tuple[float, Place]] = {}
            try:
                self._abort_one(producer, f"{name} {begin}")
                producer.begin_transaction()
                self._hand_over(producer, piece[begin : begin + 400], partial(self._noted, answer))
                with self.ending:
                    producer.commit_transaction(60)
            except Exception:
                with suppress(Exception), self.ending:  # else it ends by itself, after its timeout
                    producer.abort_transaction(5)
                raise
            for line, (when, place) in answer.items():
                self._acknowledged[line], self._kept[line] = when, time.time()
                self.places[line].add(place)

    def _abort_one(self, producer: Any, name: str) -> None:
        producer.begin_transaction()
        for number in range(20):
            account = f"account-{number % 2}"  # the reference has it, without these events
            producer.produce("usage.flows", flow(f"aborted {name} {number}", subject=account))
        producer.flush(60)  # else they would be purged, and there would be nothing to abort
        with self.ending:
            producer.abort_transaction(60)

    def _producer(self, more: dict[str, Any]) -> Any:
        return Producer(
            {
                "bootstrap.servers": self.kafka, "message.timeout.ms": PATIENCE * 1000,
                "log_level": 0, "acks": "all", "linger.ms": 5, **_ONE_AFTER_THE_OTHER, **more,
            }
        )  # fmt: skip

    def _hand_over(self, producer: Any, lines: Iterable[bytes], answer: Any) -> None:
        """Give *lines* to *producer*; some producers stamp them by clocks that are years ahead."""
        any_clock = self.rng.random() < 0.5
        for number, line in enumerate(lines):
            topic, subject, happened = self._place[line]
            key = subject if self.rng.random() < 0.8 else b"%d" % self.rng.randrange(100)
            stamp = happened + self.rng.randrange(_YEARS_MS) if any_clock else 0
            done = partial(answer, line, time.monotonic())
            producer.produce(topic, line, key, on_delivery=done, timestamp=stamp)
            if number % 50 == 0:
                producer.poll(0 if self.hurry else self._pause)
                self._look_up()

    def _look_up(self) -> None:
        if not self._go_on.is_set():
            raise _Halted

    def _reported(self, line: bytes, when: float, error: Any, message: Any) -> None:
        if error:
            self.errors.append(str(error))
        else:
            self._acknowledged[line] = when
            self._kept[line] = time.time()
            self.places[line].add(_place_of(message))

    def _noted(
        self,
        answer: dict[bytes, tuple[float, Place]],
        line: bytes,
        when: float,
        error: Any,
        message: Any,
    ) -> None:
        if not error:
            answer[line] = when, _place_of(message)


def _place_of(message: Any) -> Place:
    return Place(message.topic(), message.partition(), message.offset())


def _place(answer: dict[str, Any]) -> tuple[str, bytes, int]:
    """Return the topic and the account of an event, and the millisecond after it happened."""
    happened = datetime.fromisoformat(answer["time"]).timestamp()
    return TOPIC_OF[answer["type"]], answer["subject"].encode(), int(happened * 1000) + 1
