"""Faults: what can go wrong with a worker, the broker or Redis, each as one function.

A fault is done to a running system and leaves it able to go on. `Faults` chooses them from a seed,
so that a run can be had again.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions
from system import System

from servers.child import Child

#: A pause longer than the group's session timeout makes a worker a zombie.
SESSION_TIMEOUT = 6.0
MOST_WORKERS = 4


@dataclass
class Faults:
    """Does faults to `system`, one after the other, and keeps a diary."""

    system: System
    rng: random.Random
    diary: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    paused: list[tuple[float, int]] = field(default_factory=list)  #: (when to wake it, process id)

    def note(self, what: str) -> None:
        """Write a line into the diary."""
        self.diary.append(f"{time.monotonic() - self.begun:6.1f} s  {what}")

    def one(self) -> None:
        """Do one fault, chosen by the seed."""
        fault: Callable[[], None] = self.rng.choice(
            (
                self.kill_worker, self.kill_worker, self.stop_worker, self.add_worker,
                self.pause_worker, self.kill_broker, self.freeze_broker, self.kill_redis,
                self.freeze_redis, self.lose_writes, self.lose_writes, self.empty_redis,
                self.add_partitions,
            )
        )  # fmt: skip
        fault()

    # ------------------------------------------------------------------ workers

    @property
    def running(self) -> list[Child]:
        """The workers that run, paused ones included."""
        return [worker for worker in self.system.workers if worker.alive]

    def add_worker(self) -> None:
        """One more worker, if there are not too many."""
        if len(self.running) < MOST_WORKERS:
            self.note("a worker joins")
            self.system.start_worker()

    def kill_worker(self) -> None:
        """SIGKILL in the middle of whatever it does; another takes its place."""
        if workers := self.running:
            self.note("a worker is killed")
            self.rng.choice(workers).kill()
        if not self.running:
            self.add_worker()

    def stop_worker(self) -> None:
        """SIGTERM."""
        if len(self.running) > 1:
            self.note("a worker is stopped")
            chosen = self.rng.choice(self.running)
            os.kill(chosen.process.pid, signal.SIGCONT)
            chosen.stop()

    def pause_worker(self) -> None:
        """Stand still for longer than the session timeout, then go on as if nothing had been."""
        if workers := self.running:
            worker = self.rng.choice(workers)
            seconds = SESSION_TIMEOUT + self.rng.uniform(1, 4)
            self.note(f"a worker stands still for {seconds:.0f} s")
            os.kill(worker.process.pid, signal.SIGSTOP)
            self.paused.append((time.monotonic() + seconds, worker.process.pid))
            self.add_worker()

    def wake(self, *, everyone: bool = False) -> None:
        """Wake the workers whose time has come."""
        for when, pid in list(self.paused):
            if everyone or time.monotonic() >= when:
                self.paused.remove((when, pid))
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    continue
                self.note("a worker that stood still wakes up")

    # ------------------------------------------------------------------ the broker

    def kill_broker(self) -> None:
        """SIGKILL, and a restart on its data."""
        self.note("the broker is killed and restarted")
        self.system.kafka.kill()
        time.sleep(self.rng.uniform(0, 1.5))
        self.system.kafka.start()

    def freeze_broker(self) -> None:
        """It answers nothing for some seconds."""
        self._freeze(self.system.kafka.pid, "the broker")

    def add_partitions(self) -> None:
        """A topic gets one more partition, so that accounts move."""
        topic = self.rng.choice(("usage.sessions", "usage.flows", "usage.clicks"))
        admin = AdminClient({"bootstrap.servers": self.system.kafka.bootstrap, "log_level": 0})
        try:
            now = len(admin.list_topics(timeout=20).topics[topic].partitions)
            if now < 8:
                self.note(f"{topic} gets a partition more than {now}")
                asked: Any = admin.create_partitions([NewPartitions(topic, now + 1)])
                asked[topic].result(20)
        except (KafkaException, TimeoutError) as error:  # a broker that has just restarted
            self.note(f"the broker did not say whether {topic} has one more: {error!r}")

    # ------------------------------------------------------------------ Redis

    def kill_redis(self) -> None:
        """SIGKILL, and a restart from its append-only file."""
        self._await_rewrite()
        self.note("Redis is killed and restarted")
        self.system.redis.kill()
        time.sleep(self.rng.uniform(0, 1.5))
        self.system.redis.start()

    def freeze_redis(self) -> None:
        """It answers nothing for some seconds."""
        self._freeze(self.system.redis.pid, "Redis")

    def lose_writes(self) -> None:
        """It comes back without its last writes, cut off in the middle of a command."""
        share = self.rng.choice((0.999, 0.99, 0.9, 0.5))
        self._await_rewrite()
        self.note(f"Redis comes back with {share:.1%} of its append-only file")
        self.system.redis.kill()
        files = (self.system.folder / "redis" / "appendonlydir").glob("*.incr.aof")
        newest = max(files, key=lambda path: path.stat().st_mtime)
        os.truncate(newest, int(newest.stat().st_size * share))
        self.system.redis.start()

    def _await_rewrite(self) -> None:
        """Let a rewrite of the append-only file end: one crash after the other, not into it.

        A file cut short that is not the last one keeps Redis from starting, and says so.
        """
        with self.system.client() as client:
            deadline = time.monotonic() + 20
            while client.info("persistence")["aof_rewrite_in_progress"]:
                assert time.monotonic() < deadline, "a rewrite took more than 20 s"
                time.sleep(0.05)

    def empty_redis(self) -> None:
        """Somebody typed FLUSHALL, and restarted it."""
        if self.rng.random() < 0.5:
            return
        self.note("Redis is emptied and restarted")
        with self.system.client() as client:
            client.flushall()
        self.system.redis.kill()
        self.system.redis.start()

    def _freeze(self, pid: int, name: str) -> None:
        seconds = self.rng.uniform(0.5, 4)
        self.note(f"{name} answers nothing for {seconds:.1f} s")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)
