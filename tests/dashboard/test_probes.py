"""`/healthz` and `/readyz`: for whoever asks, quick, and true to whether Redis answers."""

import time
from collections.abc import Callable

from interaction_usage.servers.redis_server import redis_server
from tests.support.serving import Dashboard, dashboard


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_token_is_needed(served: Dashboard) -> None:
    """GET and HEAD; nothing is said of the deployment."""
    client = served.client()
    until(lambda: client.get("/readyz").status_code == 200)
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "reasons": []}
    assert client.head("/healthz").status_code == 200
    assert client.post("/healthz").status_code == 405
    assert "cache-control" in client.get("/readyz").headers


def test_a_server_whose_redis_is_away_is_alive_and_not_ready() -> None:
    """Also where it does not refuse connections but hangs; and ready again when it answers."""
    with redis_server() as redis, dashboard(redis.url) as served:
        client = served.client()
        until(lambda: client.get("/readyz").status_code == 200)
        redis.kill()
        until(lambda: client.get("/readyz").status_code == 503)
        assert client.get("/readyz").json() == {
            "status": "not-ready", "reasons": ["Redis does not answer"]
        }  # fmt: skip
        assert client.get("/healthz").status_code == 200
        redis.start()
        until(lambda: client.get("/readyz").status_code == 200)


def test_a_busy_server_is_alive(served: Dashboard) -> None:
    """All places of an address may be taken: the probe comes from there, and needs none."""
    guard = served.app.middleware_stack
    while not hasattr(guard, "_places"):
        guard = getattr(guard, "_app", None) or guard.app
    guard._places._by_visitor["127.0.0.1"] += 1_000
    try:
        assert served.client().get("/healthz").status_code == 200
        assert served.client().get("/api/accounts").status_code == 429
    finally:
        del guard._places._by_visitor["127.0.0.1"]
