"""Faults: what can go wrong with workers, the broker, topics, Redis and the way to it.

Each is one function. A fault that lasts has its end written down, so that others can fall into it.
`Faults` chooses them from a seed, so that a fault run can be had again.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewPartitions

from interaction_usage.servers.child import Child
from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups
from stream_app.broker import ensure_topics, topic_ids
from stream_app.errors import BrokerUnavailableError
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from tests.faults.flaky_link import Script
from tests.faults.operations import BUSY_TOPICS, Operations
from tests.faults.run import BROKER, REDIS

#: A pause longer than the group's session timeout makes a worker a zombie.
SESSION_TIMEOUT = 6.0
MOST_PARTITIONS = 4  # of a topic when it is created
LONG = 30.0
_MARKERS = 0.3  # seconds within which every partition has its marker of a transaction (65 ms seen)


@dataclass
class Faults(Operations):
    """Does faults to `system`, and keeps a diary."""

    def plan(self, count: int) -> list[Callable[[], None]]:
        """Draw *count* faults; in one fault run of eight, one of them is long."""
        weights = {
            self.kill_worker: 3, self.stop_worker: 1, self.add_worker: 2, self.pause_worker: 1,
            self.kill_broker: 2, self.freeze_broker: 1, self.add_partitions: 1,
            self.kill_redis: 2, self.freeze_redis: 1, self.lose_writes: 3, self.empty_redis: 1,
            self.slow_answers: 1, self.break_connections: 1, self.lose_an_answer: 2,
            self.rebuild: 3, self.restore: 3, self.take_a_right: 2, self.issue: 4,
        }  # fmt: skip
        weights |= {self.seal_days: 6} if self.seals else {
            self.recreate_topic: 2, self.replace_cluster: 1, self.upgrade: 2,
            self.delete_counted: 2, self.delete_uncounted: 1,
        }  # fmt: skip
        planned: list[Callable[[], None]] = self.rng.choices(
            [*weights], [*weights.values()], k=count
        )
        if self.rng.random() < 1 / 8:
            planned[self.rng.randrange(count)] = self.long_outage
        return planned

    # ------------------------------------------------------------------ workers

    def kill_worker(self) -> None:
        """SIGKILL in the middle of whatever it does; another takes its place."""
        if workers := self.running:
            self.note("a worker is killed")
            self.rng.choice(workers).kill()
        if not self.running:
            self.add_worker()

    def stop_worker(self) -> None:
        """SIGTERM."""
        if len(self.awake) > 1:
            self.note("a worker is stopped")
            self.rng.choice(self.awake).stop()

    def pause_worker(self) -> None:
        """Be suspended for longer than the session timeout, then go on as if nothing had been."""
        if workers := self.awake:
            worker = self.rng.choice(workers)
            seconds = SESSION_TIMEOUT + self.rng.uniform(1, 4)
            self.note(f"a worker is suspended for {seconds:.0f} s")
            worker.process.send_signal(signal.SIGSTOP)
            self._ends_in(seconds, worker, lambda: self._wake(worker))
            self.add_worker()

    def _wake(self, worker: Child) -> None:
        if worker.alive:
            self.note("a worker that was suspended wakes up")
            worker.process.send_signal(signal.SIGCONT)

    def replace_the_last(self) -> None:
        """Start a worker where none runs, as whoever watches over them does.

        If the last one refused the rollups for their layout, an operator upgrades them first: Redis
        may have lost the switch of an upgrade, with its last writes.
        """
        if not self.running:
            self.note("the last worker had ended by itself")
            if "usage upgrade" in self.system.workers[-1].log.read_text():
                self.upgrade_rollups()
            self.system.start_worker()

    # ------------------------------------------------------------------ the broker

    def kill_broker(self) -> None:
        """SIGKILL, and a restart on its data; also while transactions are open, but none ends.

        An Apache Kafka 4.3.1 that dies when a transaction is decided (PrepareCommit), but not every
        partition has its marker yet, comes back, says that it is complete (CompleteCommit), and
        never writes the markers that are missing: what is behind it there, nobody can ever read.
        """
        self._kill_broker(self.rng.choice((0, 0.5, 1.5, 5)))

    def _kill_broker(self, seconds: float) -> None:
        if not self._is_there(BROKER):
            return
        with self.publisher.ending:
            time.sleep(_MARKERS)  # of the transaction that ended last
            self.note(f"the broker is killed, for {seconds:g} s")
            self.system.kafka.kill()
        self._ends_in(seconds, BROKER, self._start_broker)

    def _start_broker(self) -> None:
        self.system.kafka.start()
        self.note("the broker is there again")

    def freeze_broker(self) -> None:
        """It answers nothing for some seconds."""
        self._freeze(BROKER, self.rng.uniform(0.5, 4))

    def add_partitions(self) -> None:
        """A topic gets one more partition, so that accounts move."""
        topic = self.rng.choice(BUSY_TOPICS)
        if not self._is_there(BROKER):
            return
        try:
            admin = self._admin()
            now = len(admin.list_topics(timeout=20).topics[topic].partitions)
            if now < 8:
                self.note(f"{topic} gets a partition more than {now}")
                asked: Any = admin.create_partitions([NewPartitions(topic, now + 1)])
                asked[topic].result(20)
        except (KafkaException, TimeoutError, KeyError) as error:
            self.note(f"the broker did not say whether {topic} has one more: {error!r}")

    def recreate_topic(self) -> None:
        """A topic is deleted, and created again some time later; what it held is sent again."""
        topic = self.rng.choice(BUSY_TOPICS)
        if self._is_away(topic) or not self._is_there(BROKER):
            return
        admin = self._admin()
        self._insist(lambda: _delete(admin, topic))
        self.note(f"{topic} is deleted")
        self._ends_in(self.rng.choice((0, 1, 4)), topic, lambda: self._create([topic]))

    def _create(self, topics: Sequence[str]) -> None:
        """Create *topics*, unless a worker did; what was published to others of that name is lost.

        The dead letters go with the cluster only, and that is replaced where no producer lives.
        """
        if not self._is_there(BROKER):
            return self._ends_in(1, topics[0], lambda: self._create(topics))
        partitions = self.rng.randint(1, MOST_PARTITIONS)
        self._insist(
            lambda: ensure_topics(
                self.system.kafka.bootstrap, [*topics, DEAD_LETTERS], partitions, 1
            )
        )
        self.note(f"{', '.join(topics)} created again, with {partitions} partitions")
        return self.publisher.begin_again(topics)

    def replace_cluster(self) -> None:
        """Another cluster, empty, at the same address; what the old one held is sent to it."""
        if not self._is_there(BROKER):
            return
        self.publisher.halt()
        self.was_replaced = True
        self.forget_issued()
        self.on_new_cluster()
        self.ends = [end for end in self.ends if end.of not in EVENT_TOPICS]
        self.note("the broker is replaced by a new cluster")
        self.system.kafka.kill()
        shutil.rmtree(self.system.kafka.folder / "data")
        self.system.kafka.start()
        self._create(EVENT_TOPICS)
        self.publisher.go_on()

    # ------------------------------------------------------------------ Redis

    def kill_redis(self) -> None:
        """SIGKILL, and a restart from its append-only file."""
        self._kill_redis(self.rng.choice((0, 0.5, 1.5, 5)))

    def _kill_redis(self, seconds: float) -> None:
        if not self._ready_to_crash():
            return
        self.note(f"Redis is killed, for {seconds:g} s")
        self.system.redis.kill()
        self._ends_in(seconds, REDIS, self._start_redis)

    def _start_redis(self) -> None:
        self.system.redis.start()
        self.note("Redis is there again")

    def freeze_redis(self) -> None:
        """It answers nothing for some seconds."""
        self._freeze(REDIS, self.rng.uniform(0.5, 4))

    def lose_writes(self) -> None:
        """It comes back without its last writes, cut off in the middle of a command."""
        share = self.rng.choice((0.999, 0.99, 0.9, 0.5))
        if not self._ready_to_crash():
            return
        before = self._active()
        self.system.redis.kill()
        files = (self.system.folder / "redis" / "appendonlydir").glob("*.incr.aof")
        newest = max(files, key=lambda path: path.stat().st_mtime)
        size = newest.stat().st_size
        self.note(f"Redis comes back with {share:.1%} of the {size:,} bytes of its newest file")
        os.truncate(newest, int(size * share))
        self.on_lost_writes()
        pause = self.rng.choice((0, 0, 1))
        self._ends_in(pause, REDIS, lambda: self._start_shortened_redis(before))

    def _start_shortened_redis(self, before: keys.Namespace) -> None:
        """Start it; where it lost which rollups are active, others may have counted further."""
        self._start_redis()
        if self.lost and self._active() != before:
            self.note("rollups from before are active again, which may have what was lost")
            self.lost.clear()

    def _active(self) -> keys.Namespace:
        with self.system.client() as client:
            return Rollups.of_any_layout(client).keys

    def empty_redis(self) -> None:
        """It comes back without its files."""
        if not self._ready_to_crash():
            return
        self.note("Redis comes back empty")
        self.system.redis.kill()
        shutil.rmtree(self.system.folder / "redis" / "appendonlydir")
        self.system.redis.start()

    def _ready_to_crash(self) -> bool:
        if not self._is_there(REDIS):
            return False
        self._await_rewrite()
        return True

    def _await_rewrite(self) -> None:
        """Let the workers begin a new append-only file: one crash after the other, not into it.

        A torn file that is written to, or one cut short that is not the last, may keep Redis from
        starting. Where no worker can reach it, none writes to it either.
        """
        deadline = time.monotonic() + 15
        with self.system.client() as client:
            while time.monotonic() < deadline:
                log = client.info("persistence")
                busy = log["aof_rewrite_in_progress"] or log["aof_rewrite_scheduled"]
                begun = client.get(keys.log_begun("")) == client.info("server")["run_id"].encode()
                if not busy and (begun or not self.awake or self.link.deaf):
                    return
                self.wait(0.05)
        self.note("no worker began a new append-only file within 15 s")

    # ------------------------------------------------------------------ the way to Redis

    def slow_answers(self) -> None:
        """Each answer of Redis takes up to a second longer."""
        most, seconds = self.rng.choice((0.05, 0.3, 1)), self.rng.uniform(2, 5)
        self.note(f"answers of Redis take up to {most:g} s longer for {seconds:.1f} s")
        self.link.delay = most
        self._ends_in(seconds, self.link, self._be_quick)

    def _be_quick(self) -> None:
        self.link.delay = 0.0

    def break_connections(self) -> None:
        """Connections to Redis break, some in the middle of a request."""
        chance, seconds = self.rng.choice((0.05, 0.3)), self.rng.uniform(2, 5)
        self.note(f"{chance:.0%} of the requests to Redis break off for {seconds:.1f} s")
        self.link.loss = chance
        self._ends_in(seconds, self.link, self._hold_connections)

    def _hold_connections(self) -> None:
        self.link.loss = 0.0

    def lose_an_answer(self) -> None:
        """Script calls of which a worker does not learn whether they were run."""
        ways = self.rng.choices([*Script], [6, 3, 3, 1, 1], k=self.rng.randint(1, 4))
        self.note(f"{len(ways)} answers to script calls are going to be lost")
        self.link.scripts.extend(ways)

    # ------------------------------------------------------------------ outages

    def long_outage(self) -> None:
        """The broker or Redis cannot be reached for 30 s, while other faults go on."""
        server, outage = self.rng.choice(
            (
                (BROKER, lambda: self._kill_broker(LONG)),
                (BROKER, lambda: self._freeze(BROKER, LONG)),
                (REDIS, lambda: self._kill_redis(LONG)),
                (REDIS, lambda: self._freeze(REDIS, LONG)),
                (REDIS, self._cut_off_redis),
            )
        )
        outage()
        self.long = server

    def _cut_off_redis(self) -> None:
        """Connections to Redis are taken, but nothing comes through."""
        self._is_there(REDIS)
        self.note(f"nothing comes through to Redis for {LONG:g} s")
        self.link.deaf = True
        self._ends_in(LONG, REDIS, self._connect_redis)

    def _connect_redis(self) -> None:
        self.link.deaf = False
        self.note("the workers reach Redis again")

    def _freeze(self, server: str, seconds: float) -> None:
        if not self._is_there(server):
            return
        self.note(f"{server} answers nothing for {seconds:.1f} s")
        pid = self.system.kafka.pid if server == BROKER else self.system.redis.pid
        os.kill(pid, signal.SIGSTOP)
        self._ends_in(seconds, server, lambda: self._thaw(server, pid))

    def _thaw(self, server: str, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        self.note(f"{server} answers again")


def _delete(admin: Any, topic: str) -> None:
    """Delete *topic*; return when it is gone. Raises BrokerUnavailableError."""
    try:
        old = topic_ids(admin, [topic]).get(topic)
        admin.delete_topics([topic])[topic].result(20)
        while old and topic_ids(admin, [topic]).get(topic) == old:
            time.sleep(0.05)
    except (KafkaException, TimeoutError) as error:
        raise BrokerUnavailableError(str(error)) from None
