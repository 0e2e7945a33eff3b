"""What the benchmarks run on: one broker, one Redis, and processes that are timed from outside."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from redis.client import Redis

from benchmarks import ours
from interaction_usage.servers.apache_kafka import ApacheKafka
from interaction_usage.servers.redis_server import redis_server

PARTITIONS = 12
#: Seconds between two looks at how far a process is.
LOOK = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")

RawRecord = tuple[str, bytes, bytes]  #: topic, key, value


class Stage(NamedTuple):
    """A broker and a Redis with an append-only file, and a folder that goes with them."""

    folder: Path
    kafka: str  #: bootstrap servers
    kafka_pid: int
    url: str  #: of Redis
    redis_pid: int
    redis: Redis


@contextmanager
def stage() -> Iterator[Stage]:
    """Run the servers; everything they wrote is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="usage-benchmark-") as name,
        redis_server(Path(name) / "redis") as redis,
        ApacheKafka(Path(name) / "kafka") as kafka,
        Redis.from_url(redis.url) as client,
    ):
        yield Stage(Path(name), kafka.bootstrap, kafka.pid, redis.url, redis.pid, client)


class Failed(Exception):
    """A process that was to be timed ended or was suspended; the text is one sentence."""


class Timing(NamedTuple):
    """How fast a run was, and the seconds of processor time that each process took in it."""

    events: int
    seconds: float
    cpu: dict[str, float]
    memory: float = 0  #: the most the process had, in MiB; 0 where that was not asked for

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    def summary(self) -> str:
        """Return the processor time of an event and each process's share of it, in a few words."""
        total = sum(self.cpu.values())
        shares = ", ".join(f"{name} {used / (total or 1):.0%}" for name, used in self.cpu.items())
        each = total / self.events * 1_000_000
        answer = f"{each:.1f} µs CPU an event ({shares}), {total / self.seconds:.2f} cores"
        return f"{answer}, {self.memory:,.0f} MiB" if self.memory else answer


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process with its output in *log*; it is gone afterwards."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def timed(
    taken: Callable[[], int],
    total: int,
    processes: Mapping[str, Sequence[int]],
    patience: float = 60.0,
) -> Timing:
    """Return the rate from the first of *total* events that *taken* tells of to the last.

    *processes* are the process ids whose processor time counts, by name. Raises Failed when
    nothing moves for *patience* seconds.
    """
    pids = [pid for group in processes.values() for pid in group]
    first = _wait(taken, 1, pids, patience)
    began, cpu = time.perf_counter(), _cpu(processes)
    if first >= total:
        raise Failed(f"{total} events were over at the first look; take more")
    _wait(taken, total, pids, patience)
    seconds = time.perf_counter() - began
    used = {name: after - cpu[name] for name, after in _cpu(processes).items()}
    return Timing(total - first, seconds, used)


def _wait(taken: Callable[[], int], wanted: int, pids: Sequence[int], patience: float) -> int:
    """Return what *taken* says as soon as that is at least *wanted*; all *pids* must live on."""
    last, moved = 0, time.monotonic()
    while (now := taken()) < wanted:
        if now != last:
            last, moved = now, time.monotonic()
        if any(_stat(pid)[0] == "Z" for pid in pids):
            raise Failed("it ended by itself")
        if time.monotonic() > moved + patience:
            raise Failed(f"it was suspended at {now:,} events for {patience:.0f} s")
        time.sleep(LOOK)
    return now


def _cpu(processes: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the seconds of processor time that each has taken since it started."""
    return {name: sum(map(cpu_of, pids)) for name, pids in processes.items()}


def cpu_of(pid: int) -> float:
    """Return the seconds of processor time that a process has taken since it started."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _stat(pid: int) -> list[str]:
    """Return what the kernel tells of a process, from its state on (proc(5), `stat`)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        raise Failed("it ended by itself") from None


def peak_memory(pid: int) -> float:
    """Return the most memory that a process has had so far, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def publish(kafka: str, records: Iterable[RawRecord], *, at_once: bool = False) -> None:
    """Publish *records*; with *at_once*, in one transaction, so that all appear together."""
    settings: dict[str, object] = {
        "bootstrap.servers": kafka,
        "linger.ms": 20,
        "queue.buffering.max.messages": 500_000,
    }
    if at_once:
        settings |= {"transactional.id": "benchmark", "transaction.timeout.ms": 600_000}
    producer = Producer(settings)
    if at_once:
        producer.init_transactions(30)
        producer.begin_transaction()
    for topic, key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(120)
    if left:
        raise Failed(f"{left} events could not be published")
    if at_once:
        producer.commit_transaction(60)


def renew_topics(kafka: str) -> None:
    """Have the event topics exist and be empty."""
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    there = [name for name in ours.EVENT_TOPICS if name in admin.list_topics(timeout=10).topics]
    if there:
        for deleted in admin.delete_topics(there, operation_timeout=30).values():
            deleted.result()
    while any(name in admin.list_topics(timeout=10).topics for name in there):
        time.sleep(0.1)
    ours.ensure_topics(kafka, list(ours.EVENT_TOPICS), PARTITIONS, 1)


def until_joined(kafka: str, workers: int) -> None:
    """Wait until the consumer group is stable and has as many members as workers."""
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    since = None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        [asked] = admin.describe_consumer_groups([ours.GROUP], request_timeout=5).values()
        try:
            group = asked.result()
            ready = group.state.name == "STABLE" and len(group.members) == workers
        except Exception:  # there is no such group yet
            ready = False
        since = (since or time.monotonic()) if ready else None
        if since and time.monotonic() > since + 3:
            return
        time.sleep(0.2)
    raise Failed(f"{workers} workers did not all join their group in 60 s")
