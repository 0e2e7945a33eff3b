"""A Redis of each module's own, and a dashboard on it."""

from collections.abc import Iterator

import pytest

from interaction_usage.servers.redis_server import redis_server
from tests.support.serving import Dashboard, dashboard


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """Yield the URL of a Redis of this module's own."""
    with redis_server() as running:
        yield running.url


@pytest.fixture(scope="module")
def served(redis_url: str) -> Iterator[Dashboard]:
    """Yield a dashboard that asks for tokens."""
    with dashboard(redis_url) as running:
        yield running
