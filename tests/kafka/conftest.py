"""A system for each test: a Redis of its own, and a broker without topics that they share."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interaction_usage.servers.redis_server import redis_server
from tests.support.shared_broker import SharedBroker
from tests.support.system import System


@pytest.fixture
def system(need_kafka: None, shared_broker: SharedBroker, tmp_path: Path) -> Iterator[System]:
    """Yield a system that looks as if no other test had used it."""
    with redis_server(tmp_path / "redis") as store:
        made = System(shared_broker.without_topics(), store, tmp_path)
        yield made
        made.kill_workers()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Return a function that waits until something holds."""

    def wait(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"after {seconds:g} s, still not: {what}"
            time.sleep(0.05)

    return wait
