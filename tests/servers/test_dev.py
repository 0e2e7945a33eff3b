"""`usage dev`: two lines when both servers are ready, and nothing left when it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from confluent_kafka.admin import AdminClient

REPOSITORY = Path(__file__).parents[2]
COMMAND = [
    sys.executable,
    "-c",
    "from interaction_usage.commands.dev import dev; dev(prog_name='usage dev')",
]


class Dev:
    """A running `usage dev` and the two addresses it printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        self.kafka = process.stdout.readline().strip().removeprefix("USAGE_KAFKA=")
        self.redis = process.stdout.readline().strip().removeprefix("USAGE_REDIS=")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        self.servers = [int(pid) for pid in children.read_text().split()]

    def end(self, by: signal.Signals) -> tuple[int, str, str]:
        """Sends the signal; returns the exit code and what else came on stdout and stderr."""
        self.process.send_signal(by)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@contextmanager
def _dev(*arguments: str) -> Iterator[Dev]:
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Dev(process)
        finally:
            process.terminate()


def _wait_until_gone(pids: list[int], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still running: {pids}"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a zombie has ended; only nobody has asked for its exit code


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_both_are_ready_when_the_lines_come_and_gone_after_a_signal(by: signal.Signals):
    """It prints exactly two lines on stdout; Ctrl-C and SIGTERM end it and its servers with 0."""
    with _dev() as dev:
        assert re.fullmatch(r"127\.0\.0\.1:\d+", dev.kafka)
        with redis.Redis.from_url(dev.redis) as client:
            assert client.ping()
        admin = AdminClient({"bootstrap.servers": dev.kafka, "log_level": 0})
        assert admin.list_topics(timeout=5).brokers
        assert dev.end(by)[:2] == (0, "")
        _wait_until_gone(dev.servers)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_nothing_runs_on_when_it_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Its servers end by themselves when `usage dev` gets no chance to end them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # its temporary folder stays; here it is cleared
    with _dev() as dev:
        assert dev.servers
        dev.end(signal.SIGKILL)
        _wait_until_gone(dev.servers)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_ends_when_a_server_does():
    """A server that dies is named in one line on stderr, with exit code 1."""
    with _dev() as dev:
        os.kill(dev.servers[0], signal.SIGKILL)
        _, err = dev.process.communicate(timeout=20)
        assert dev.process.returncode == 1
        assert re.search(r"^Error: The Redis server .* was killed by SIGKILL\.$", err, re.M)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_apache_kafka_keeps_the_data_in_the_folder(need_kafka: None, tmp_path: Path):
    """With --kafka apache and --data the second run has the Redis key and the cluster again."""
    clusters = set()
    for run in ("first", "second"):
        with _dev("--kafka", "apache", "--data", str(tmp_path)) as dev:
            admin = AdminClient({"bootstrap.servers": dev.kafka, "log_level": 0})
            clusters.add(admin.list_topics(timeout=5).cluster_id)
            with redis.Redis.from_url(dev.redis, decode_responses=True) as client:
                client.rpush("runs", run)
                runs = client.lrange("runs", 0, -1)
            assert dev.end(signal.SIGTERM)[0] == 0
            _wait_until_gone(dev.servers)
    assert runs == ["first", "second"]
    assert len(clusters) == 1


def test_a_port_for_the_embedded_broker_is_wrong_usage():
    """The embedded broker picks its own port: exit code 2 and what to use instead."""
    run = subprocess.run(
        [*COMMAND, "--kafka-port", "9092"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "--kafka apache" in run.stderr
