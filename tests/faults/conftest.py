"""A whole system for each fault run, whose Redis keeps its data."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from interaction_usage.servers.redis_server import redis_server
from tests.support.shared_broker import SharedBroker
from tests.support.system import System

#: Of so many fault runs one has a broker that none has used: without Kafka's own topics, that is.
_NEW_BROKER = 8


@pytest.fixture
def fault_run(
    need_kafka: None, shared_broker: SharedBroker, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[System]:
    """Yield a system whose Redis keeps its data."""
    seed = getattr(request.node, "callspec", None) and request.node.callspec.params.get("seed")
    is_new = seed is not None and seed % _NEW_BROKER == 0
    broker = shared_broker.new() if is_new else shared_broker.without_topics()
    with redis_server(tmp_path / "redis") as store:
        made = System(broker, store, tmp_path)
        yield made
        made.kill_workers()
