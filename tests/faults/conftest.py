"""A whole system for each fault run, whose Redis keeps its data."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from interaction_usage.servers.apache_kafka import ApacheKafka
from interaction_usage.servers.redis_server import redis_server
from tests.support.system import System


@pytest.fixture
def fault_run(need_kafka: None, tmp_path: Path) -> Iterator[System]:
    """Yield a system whose Redis keeps its data."""
    with ExitStack() as running:
        broker = running.enter_context(ApacheKafka(tmp_path / "kafka", authorizer=True))
        store = running.enter_context(redis_server(tmp_path / "redis"))
        made = System(broker, store, tmp_path)
        yield made
        made.kill_workers()
        made.kafka.kill()  # nothing of it is needed any more, and an orderly end takes a second
