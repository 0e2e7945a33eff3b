"""What operators see of the deployment, and nobody else does."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from interaction_usage.dashboard.health import Looks
from interaction_usage.servers.redis_server import RedisServer, redis_server
from rollups.watermark import Reach
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard

BROKER = "kafka-7.internal.example:9093"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Yield a Redis of this module's own."""
    with redis_server() as running:
        yield running


@pytest.fixture(scope="module")
def served(server: RedisServer) -> Iterator[Dashboard]:
    """Yield a dashboard of one account with an event."""
    fill(server.url, [flow(1, subject="acme")])
    with dashboard(server.url) as running:
        yield running


@pytest.fixture(params=["kafka-away", "worker-waits", "lag"])
def trouble(
    request: pytest.FixtureRequest, served: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return a reason why the numbers are stale, whose sentence says more than customers see."""
    looks = Looks()
    waiting = f"Redis at {BROKER}: refused" if request.param == "worker-waits" else ""
    looks.workers(0, {"w": {"counted": 3, "waiting_for": waiting}})
    for second in (0, 9):
        looks.topics(second, {("usage.flows", 0): Reach(1, 1 + second, 1 + second)})
    if request.param == "kafka-away":
        looks.kafka_is_away(f"{BROKER}: no broker answered")
    health = looks.health(9)
    monkeypatch.setattr(served.app.state.watch, "health", lambda: health)
    monkeypatch.setattr(served.app.state.broadcast, "_health", lambda: health)
    return str(request.param)


def streamed(served: Dashboard, token: str) -> Any:
    """Return the first object of an account's stream."""
    with (
        served.client(token) as client,
        client.stream("GET", "/api/accounts/acme/live/stream") as stream,
    ):
        return next(json.loads(line[6:]) for line in stream.iter_lines() if line[:5] == "data:")


def test_addresses_and_causes_are_for_operators(served: Dashboard, trouble: str) -> None:
    """An account's token gets the same reason in a neutral sentence, and no number of others."""
    for look in (
        lambda token: served.get("/accounts/acme/live", token).json(),
        lambda token: streamed(served, token),
    ):
        operator, customer = look(served.token()), look(served.token("acme"))
        assert operator["stale"]["reason"] == customer["stale"]["reason"] == trouble
        assert re.search(rf"{BROKER}|9 events", operator["stale"]["message"])
        assert operator["stream"]["workers"] == 1
        assert customer["stale"]["message"] == (
            "New usage is delayed; the numbers may be out of date"
        )
        assert customer["stream"] == {"workers": None, "events_per_second": None, "lag": None}
        assert BROKER not in json.dumps(customer)


@pytest.mark.parametrize("path", ["/login", "/docs", "/openapi.json", "/nothing", "/api/accounts"])
def test_whoever_has_no_token_learns_nothing_of_the_deployment(
    served: Dashboard, server: RedisServer, path: str
) -> None:
    """No address, no path, no version of what it is made of."""
    answer = served.client().get(path)
    text = answer.text + json.dumps(dict(answer.headers))
    port = server.url.rpartition(":")[2].partition("/")[0]
    for inside in (BROKER, f":{port}", "redis://", "site-packages", "uvicorn", "Traceback"):
        assert inside not in text, inside
