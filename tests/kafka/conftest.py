"""A whole system for each test."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from interaction_usage.servers.apache_kafka import ApacheKafka
from interaction_usage.servers.redis_server import redis_server
from tests.support.system import System


@pytest.fixture
def system(need_kafka: None, tmp_path: Path) -> Iterator[System]:
    """Yield a system that no other test has used."""
    with ExitStack() as running:
        broker = running.enter_context(ApacheKafka(tmp_path / "kafka"))
        store = running.enter_context(redis_server(tmp_path / "redis"))
        made = System(broker, store, tmp_path)
        yield made
        for worker in made.workers:
            worker.stop()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Return a function that waits until something holds."""

    def wait(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"after {seconds:g} s, still not: {what}"
            time.sleep(0.05)

    return wait
