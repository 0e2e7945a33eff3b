"""The processes that `usage demo` runs: a broker, Redis, a worker and the dashboard."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interaction_usage import env_file, prefixes, settings

if TYPE_CHECKING:
    pass

_DASHBOARD_PORT = 8080
_COMMAND = (sys.executable, "-m", "interaction_usage.commands.main")


class Servers:
    """Everything that runs, until *running* ends; its logs are in *folder*."""

    def __init__(self, running: ExitStack, folder: Path) -> None:
        from confluent_kafka import Producer
        from redis.client import Redis

        from interaction_usage.servers.child import Child
        from interaction_usage.servers.mock_broker import mock_broker
        from interaction_usage.servers.redis_server import redis_server
        from stream_app.broker import ensure_topics
        from stream_app.ledger import KafkaLedger
        from stream_app.topics import TOPICS

        self.kafka = running.enter_context(mock_broker()).bootstrap
        store = running.enter_context(redis_server())
        self.redis_url = store.url
        environment = {name: text for name, text in os.environ.items() if name[:6] != "USAGE_"}
        environment |= {
            "USAGE_KAFKA": self.kafka, "USAGE_REDIS": store.url, env_file.VARIABLE: "",
            **prefixes.environment(),
        }  # fmt: skip
        config = settings.read(environment)
        ensure_topics(self.kafka, TOPICS, 4, 1)
        self.worker: Child = Child("The worker", folder / "worker.log")
        self.worker.start([*_COMMAND, "worker"], lambda: True, environment=environment)
        running.callback(self.worker.stop)
        self.redis: Any = Redis.from_url(store.url)
        running.callback(self.redis.close)
        self.ledger: KafkaLedger = KafkaLedger(config, self.redis)
        self.producer = Producer({"bootstrap.servers": self.kafka, "linger.ms": 5, "log_level": 0})
        self.dashboard = _start_dashboard(running, folder, environment)


def _start_dashboard(running: ExitStack, folder: Path, environment: dict[str, str]) -> str:
    """Start the dashboard, open to this machine, and return its address."""
    from interaction_usage.servers.child import Child
    from interaction_usage.servers.ports import free_port, is_free

    port = _DASHBOARD_PORT if is_free(_DASHBOARD_PORT) else free_port()
    child = Child("The dashboard", folder / "dashboard.log")
    command = [*_COMMAND, "serve", "--open", "--port", str(port)]
    child.start(command, lambda: not is_free(port), environment=environment)
    running.callback(child.stop)
    return f"http://127.0.0.1:{port}/"
