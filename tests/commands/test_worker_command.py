"""`usage worker`: whether it is alive, and its probes, while Kafka and Redis are away."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result

from interaction_usage.servers.ports import free_port
from tests.commands.conftest import NOWHERE

Usage = Callable[..., Result]


@pytest.fixture(autouse=True)
def _own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(address: str) -> bool:
    """Tell whether anybody answers there."""
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_worker_is_alive_whether_servers_are_there_or_not(
    usage: Usage, process: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    """By its file and its port; it is not ready, and says why."""
    assert usage("worker", "--alive").exit_code == 1
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    worker = process(
        "worker", environment={"USAGE_REDIS": f"redis://{NOWHERE}/0",
                               "USAGE_HEALTH_PORT": f"127.0.0.1:{port}"},
    )  # fmt: skip
    try:
        until(lambda: answers(address))
        until(lambda: usage("worker", "--alive").exit_code == 0)
        until(lambda: "waits for Redis" in httpx.get(f"{address}/readyz").text)
        assert httpx.get(f"{address}/readyz").status_code == 503
    finally:
        worker.terminate()
        worker.communicate(timeout=20)
    assert worker.returncode == 0
    done = usage("worker", "--alive")
    assert done.exit_code == 1
    assert "No worker is alive on this host" in done.stderr


def test_a_port_that_is_taken_ends_the_worker(
    process: Callable[..., "subprocess.Popen[bytes]"], served_port: int
) -> None:
    """In a line that names the setting."""
    worker = process("worker", environment={"USAGE_HEALTH_PORT": f"127.0.0.1:{served_port}"})
    _, err = worker.communicate(timeout=60)
    assert worker.returncode == 1
    assert b"USAGE_HEALTH_PORT" in err
    assert b"Traceback" not in err


@pytest.fixture
def served_port() -> Any:
    """Yield a port on which somebody listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]
