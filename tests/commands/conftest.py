"""Commands run in this process against a real Redis, or as processes where that matters."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result

from interaction_usage.commands import connection
from interaction_usage.commands.main import main
from interaction_usage.servers.mock_broker import mock_broker
from interaction_usage.servers.redis_server import redis_server

#: An address where nothing listens.
NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """Yield the URL of a Redis of this module's own."""
    with redis_server() as running:
        yield running.url


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """Yield the address of an embedded broker of this module's own."""
    with mock_broker() as running:
        yield running.bootstrap


@pytest.fixture
def usage(redis_url: str, broker: str) -> Callable[..., Result]:
    """Return a function that runs `usage` with some arguments in this process."""

    def run(*arguments: str, kafka: str = broker, redis: str = redis_url, **more: Any) -> Result:
        environment = {"USAGE_KAFKA": kafka, "USAGE_REDIS": redis}
        return CliRunner().invoke(main, arguments, env=environment, **more)

    return run


@pytest.fixture
def process(redis_url: str) -> Callable[..., "subprocess.Popen[bytes]"]:
    """Return a function that starts `usage` as a process of its own."""

    def start(
        *arguments: str,
        kafka: str = NOWHERE,
        environment: Mapping[str, str] | None = None,
        **more: Any,
    ) -> "subprocess.Popen[bytes]":
        servers = {"USAGE_KAFKA": kafka, "USAGE_REDIS": redis_url}
        environment = {**os.environ, **servers, **(environment or {})}
        command = [sys.executable, "-m", "interaction_usage.commands.main", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=environment, **(pipes | more))

    return start


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a change refused soon where Kafka is away."""
    monkeypatch.setattr(connection, "PATIENCE_S", 0.5)
