"""The processes of `usage demo`: a broker, Redis, a worker, the dashboard, alerts, an archive."""

import os
import re
import secrets
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.request import urlopen

from interaction_usage import env_file, prefixes, settings
from interaction_usage.archive.published import EXTRA

if TYPE_CHECKING:
    from interaction_usage.servers.child import Child

_DASHBOARD_PORT: Final = 8080
_COMMAND: Final = (sys.executable, "-m", "interaction_usage.commands.main")
_ARCHIVED: Final = re.compile(r'^usage_archive_records_total{table="events"} (\S+)$', re.M)
#: Seconds between two questions to the archive process, and of patience with its answer.
_ASK_S: Final = 0.25
_PATIENCE_S: Final = 2.0


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
            "USAGE_ARCHIVE": str(folder / "archive"), "USAGE_ARCHIVE_INTERVAL": "1",
            "USAGE_ALERTS_SECRET": secrets.token_hex(32),
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
        # Each flush sends at once. Until then batches grow: the broker answers a fetch with one.
        self.producer = Producer(
            {"bootstrap.servers": self.kafka, "linger.ms": 1000, "log_level": 0}
        )
        self.dashboard = _start_dashboard(running, folder, environment)
        alerts = Child("The alerts", folder / "alerts.log")
        alerts.start([*_COMMAND, "alerts", "run"], lambda: True, environment=environment)
        running.callback(alerts.stop)
        self.archive = _Archive(running, folder, environment)


class _Archive:
    """The archive process: with it, events can be explained that the broker no longer has."""

    def __init__(self, running: ExitStack, folder: Path, environment: dict[str, str]) -> None:
        self._running, self._folder, self._environment = running, folder, environment
        self._child: Child | None = None
        self._port = 0
        self._asked_at = 0.0
        self._copied = 0

    def start(self) -> None:
        """Start it, where its packages are installed."""
        from interaction_usage.servers.child import Child
        from interaction_usage.servers.ports import free_port

        if any(find_spec(name) is None for name in EXTRA):
            return
        self._port = free_port()
        environment = self._environment | {"USAGE_HEALTH_PORT": f"127.0.0.1:{self._port}"}
        self._child = Child("The archive", self._folder / "archive.log")
        self._child.start([*_COMMAND, "archive", "run"], lambda: True, environment=environment)
        self._running.callback(self._child.stop)

    def copied(self, published: int) -> int:
        """Return how many of the *published* events need no broker any more."""
        if self._child is None or not self._child.alive:
            return published
        if time.monotonic() - self._asked_at > _ASK_S:
            try:
                with urlopen(f"http://127.0.0.1:{self._port}/metrics", None, _PATIENCE_S) as answer:
                    found = _ARCHIVED.search(answer.read().decode())
                self._copied = int(float(found[1])) if found else 0
            except OSError:
                pass  # it is starting, or busy
            self._asked_at = time.monotonic()
        return self._copied


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
