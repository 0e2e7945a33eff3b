"""`usage send`: events a second to Apache Kafka, and through the embedded broker to a worker.

    python -m benchmarks.send [--short] [--events N]

A file of the mixed load is sent by the command as a process, several times. On Apache Kafka it is
timed from its start to its end, less what it takes for an empty file: the start of Python and the
first connection. Through the embedded broker, which `usage dev` and `usage demo` run, a worker
counts meanwhile, and it is timed from the first event that is counted to the last.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from redis.client import Redis

from benchmarks import ours
from benchmarks.load import mixed
from benchmarks.progress import say
from benchmarks.stage import Failed, renew_topics, running, stage, timed
from benchmarks.table import Row, markdown
from interaction_usage.servers.mock_broker import mock_broker
from interaction_usage.servers.redis_server import redis_server

_GOAL_APACHE, _GOAL_EMBEDDED = 100_000, 30_000
#: How often the file is sent to Apache Kafka: a broker that has just started is slow at first.
_TIMES = 5
#: Seconds in which a worker counts its first event.
_PATIENCE = 30.0


def _to_apache_kafka(lines: list[bytes]) -> Row:
    """Return the row of sending *lines* to Apache Kafka."""
    with stage() as at, _file(lines) as file:
        renew_topics(at.kafka)
        environment = ours.environment(at.kafka, at.url)
        start = _seconds(environment, Path(os.devnull))
        seconds = statistics.median(_seconds(environment, file) for _ in range(_TIMES))
        there = ours.ends_of_topics(at.kafka)
    if sum(there) != _TIMES * len(lines):
        raise Failed(f"{sum(there):,} of {_TIMES} times {len(lines):,} events are in Kafka")
    rate = len(lines) / (seconds - start)
    return Row(
        "send", "`usage send` to Apache Kafka", f"{_GOAL_APACHE / rate:.2f} of the goal",
        f"{rate:,.0f} events/s",
        f"goal {_GOAL_APACHE:,} events/s; {len(lines):,} events in {seconds:.1f} s, "
        f"of which {start:.1f} s are the start; the median of {_TIMES}",
    )  # fmt: skip


def _through_embedded_broker(lines: list[bytes]) -> Row:
    """Return the row of sending *lines* through the embedded broker, while a worker counts."""
    first, *others = lines
    with (
        mock_broker() as broker,
        redis_server() as server,
        Redis.from_url(server.url) as redis,
        tempfile.TemporaryDirectory(prefix="usage-benchmark-") as folder,
        _file([first]) as one,
        _file(others) as rest,
    ):
        environment = ours.environment(broker.bootstrap, server.url)
        log = Path(folder) / "log"
        with running(ours.WORKER, environment, log) as worker:
            _seconds(environment, one)  # the worker is there as soon as this is counted
            _until_counted(redis, 1)
            with running([*ours.SEND, str(rest)], environment, log):
                timing = timed(lambda: ours.taken(redis) - 1, len(others), {"worker": [worker.pid]})
    return Row(
        "send", "`usage send` through the embedded broker, until counted",
        f"{_GOAL_EMBEDDED / timing.rate:.2f} of the goal", f"{timing.rate:,.0f} events/s",
        f"goal {_GOAL_EMBEDDED:,} events/s; {timing.summary()}",
    )  # fmt: skip


def _until_counted(redis: Redis, count: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while ours.taken(redis) < count:
        if time.monotonic() > deadline:
            raise Failed(f"the worker counted nothing in {_PATIENCE:.0f} s")
        time.sleep(0.05)


@contextmanager
def _file(lines: list[bytes]) -> Iterator[Path]:
    """Yield a file with these *lines*."""
    with tempfile.NamedTemporaryFile(prefix="usage-benchmark-", suffix=".ndjson") as file:
        file.write(b"\n".join(lines) + b"\n")
        file.flush()
        yield Path(file.name)


def _seconds(environment: Mapping[str, str], file: Path) -> float:
    """Return how long `usage send` takes for *file*."""
    began = time.perf_counter()
    done = subprocess.run(
        [*ours.SEND, str(file)], env={**os.environ, **environment}, capture_output=True, check=False
    )
    if done.returncode:
        raise Failed(f"`usage send` failed: {done.stderr.decode().strip()}")
    return time.perf_counter() - began


def run(*, short: bool, events: int = 400_000) -> list[Row]:
    """Run everything of this benchmark and return its rows."""
    count = min(events, 100_000) if short else events
    lines = [value for _, _, value in mixed(count, seed=9)]
    say(f"send: {count:,} events to Apache Kafka")
    rows = [_to_apache_kafka(lines)]
    say(f"send: {count:,} events through the embedded broker")
    return [*rows, _through_embedded_broker(lines)]


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="at most 100,000 events")
    parser.add_argument("--events", type=int, default=400_000)
    print(markdown(run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
