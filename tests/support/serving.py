"""A dashboard that really listens, in a thread of the tests."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from interaction_usage.commands.serve import listening
from interaction_usage.dashboard import tokens
from interaction_usage.dashboard.app import create_app
from interaction_usage.dashboard.connections import Server
from interaction_usage.dashboard.corrections import Corrections
from interaction_usage.dashboard.health import Places
from interaction_usage.dashboard.limits import MAX_CONNECTIONS
from interaction_usage.dashboard.refused import RefusedEvents
from interaction_usage.evidence.arrow_source import ArrowSource
from interaction_usage.explanations.service import Explainer
from interaction_usage.store.client import connect
from interaction_usage.store.worker_registry import HEARTBEAT_TTL_S
from tests.evidence.rows import table
from tests.support.memory_ledger import MemoryLedger


@dataclass
class Dashboard:
    """A dashboard and the Redis behind it."""

    url: str
    redis: Any
    ledger: MemoryLedger
    app: Any
    server: Server
    clients: list[httpx.Client] = field(default_factory=list)

    def token(self, account: str | None = None, **more: Any) -> str:
        """Return a new token, an operator's without an account."""
        return tokens.create(self.ledger, account, 1_700_000_000, **more)

    def client(self, token: str | None = None, **more: Any) -> httpx.Client:
        """Return a client, with a token as programs send it."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, **more)
        self.clients.append(client)
        return client

    def get(self, path: str, token: str | None = None, **query: str) -> httpx.Response:
        """Return what is answered under a path of the API."""
        with self.client(token) as client:
            return client.get(f"/api{path}", params=query)

    def get_json(self, path: str, **query: str) -> Any:
        """Return the JSON that an operator is answered."""
        answer = self.get(path, self.token(), **query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def dashboard(
    redis_url: str,
    *,
    is_open: bool = False,
    places: Callable[[], Places] | None = None,
    connections: int = MAX_CONNECTIONS,
    corrections: Corrections | None = None,
    lines: Sequence[bytes] | None = None,
    hides_sessions: bool = False,
    refused: RefusedEvents | None = None,
) -> Iterator[Dashboard]:
    """Yield a dashboard on the Redis at *redis_url*; it is gone when the block ends.

    Its evidence is made of *lines*, which `filling.fill` wrote.
    """
    redis = connect(redis_url, socket_timeout=5)
    ledger = MemoryLedger(redis)
    app = create_app(
        redis, ledger, open_to_all=is_open, lifetime=HEARTBEAT_TTL_S, places=places,
        connections=connections, explainer=lines and explainer_of(redis, lines),
        hides_sessions=hides_sessions, corrections=corrections, refused=refused,
    )  # fmt: skip
    server = Server(app, connections)
    stack = ExitStack()
    listener = stack.enter_context(listening("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server._serve([listener])), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        running = Dashboard(
            f"http://127.0.0.1:{listener.getsockname()[1]}", redis, ledger, app, server
        )
        yield running
    finally:
        for client in running.clients:
            client.close()
        app.state.broadcast.end()
        server.should_exit = True
        thread.join(10)
        stack.close()
        redis.close()


def explainer_of(redis: Any, lines: Sequence[bytes]) -> Explainer:
    """Return what explains numbers by the events in *lines*."""
    said = f"Made from {len(lines):,} records in Kafka; there is no archive (USAGE_ARCHIVE)."
    source = ArrowSource(table(lines), made_from={"sentence": said})

    @contextmanager
    def opened(*_: Any) -> Iterator[Callable[[Any], ArrowSource]]:
        yield lambda _ends: source

    return Explainer(redis, opened, 20.0)
