"""The live object and its stream, over real Redis."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interaction_usage.servers.redis_cluster import redis_cluster
from interaction_usage.servers.redis_server import RedisServer, redis_server
from tests.support.event_lines import event
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard


@pytest.fixture(scope="module", params=["alone", "cluster"])
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a Redis of this module's own, and then of a cluster."""
    with redis_cluster() if request.param == "cluster" else redis_server() as running:
        yield running.url


SERIES = ("agent-sessions", "agent", "ticket-guidance", "mobile-web", "web-self-service")


def started(session: str, ago: float, application: str = "agent", account: str = "live") -> bytes:
    """Return the start of a session some seconds ago."""
    when = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    content = {"session": session, "application": application}
    return event(f"{session}-on", "session.started", content, time=when, subject=account)


def stopped(session: str, ago: float, application: str = "agent", account: str = "live") -> bytes:
    """Return the stop of a session some seconds ago."""
    when = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    content = {"session": session, "application": application}
    return event(f"{session}-off", "session.stopped", content, time=when, subject=account)


def events(served: Dashboard, account: str, ready: threading.Event | None = None) -> Iterator[Any]:
    """Yield the objects of an account's stream."""
    with (
        served.client(served.token()) as client,
        client.stream("GET", f"/api/accounts/{account}/live/stream") as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line[6:])
                if ready:
                    ready.set()


def test_the_live_object(served: Dashboard, redis_url: str) -> None:
    """Sessions now, the peak of this hour and its second, open ones, the oldest of them."""
    fill(
        redis_url,
        [
            started("a", 5 * 3600), started("b", 30), stopped("b", 10),
            started("m", 20, "mobile-web"), started("t", 6, "ticket-guidance"),
        ],
        log="one",
    )  # fmt: skip
    content = served.get_json("/accounts/live/live")
    series = content["series"]
    assert tuple(series) == SERIES
    assert [series[name]["now"] for name in SERIES] == [2, 1, 1, 1, 0]
    assert [series[name]["open"] for name in SERIES] == [2, 1, 1, 1, 0]
    assert [series[name]["open_long"] for name in SERIES] == [1, 1, 0, 0, 0]
    assert series["web-self-service"]["peak_at"] is None
    oldest = datetime.fromisoformat(series["agent"]["oldest_began"])
    assert abs((datetime.now(UTC) - oldest).total_seconds() - 5 * 3600) < 10
    assert all(len(levels) == 3600 for levels in content["curve"]["levels"].values())
    assert content["curve"]["from"] + 3599 == int(
        datetime.fromisoformat(content["as_of"]).timestamp()
    )
    assert [content["curve"]["levels"][name][-1] for name in SERIES] == [2, 1, 1, 1, 0]
    assert max(content["curve"]["levels"]["agent"]) == 2


def test_the_peak_is_the_one_that_a_report_has(served: Dashboard) -> None:
    """One code path or not: this hour's peak so far is the last hour of the report."""
    content = served.get_json("/accounts/live/live")
    today = content["as_of"][:10]
    report = served.get_json("/accounts/live/dashboard/concurrency", **{"from": today, "to": today})
    hour = datetime.fromisoformat(content["hour"]["from"]).hour
    peaks = report["heat"]["peaks"]
    assert {name: content["series"][name]["peak"] for name in SERIES} == {
        name: peaks[name][0][hour] for name in SERIES
    }


def test_a_session_that_begins_is_in_the_stream_within_a_second(
    served: Dashboard, redis_url: str
) -> None:
    """From the write into Redis to the event at the viewer; its curve is the tail only."""
    ready = threading.Event()

    def begin() -> float:
        assert ready.wait(10)
        fill(redis_url, [started("new", 0, "web-self-service")], log="two")
        return time.monotonic()

    with ThreadPoolExecutor() as pool:
        written = pool.submit(begin)
        stream = events(served, "live", ready)
        first = next(stream)
        assert len(first["curve"]["levels"]["agent"]) == 3600
        for content in stream:
            assert len(content["curve"]["levels"]["agent"]) < 60
            if content["series"]["web-self-service"]["now"] == 1:
                break
        assert time.monotonic() - written.result() < 1.0
        stream.close()


def test_a_late_event_corrects_the_curve_of_who_watches(served: Dashboard, redis_url: str) -> None:
    """A session of ten minutes ago is reported of now: the event's curve begins there."""
    ready = threading.Event()
    late = [started("late", 900, "mobile-web"), stopped("late", 600, "mobile-web")]

    def tell() -> None:
        assert ready.wait(10)
        fill(redis_url, late, log="three")

    with ThreadPoolExecutor() as pool:
        pool.submit(tell)
        stream = events(served, "live", ready)
        next(stream)
        content = next(
            content for content in stream if len(content["curve"]["levels"]["agent"]) > 60
        )
        stream.close()
    now = datetime.fromisoformat(content["as_of"]).timestamp()
    assert now - content["curve"]["from"] == pytest.approx(900, abs=3)
    then = content["curve"]["levels"]["mobile-web"][:600]
    assert sum(level == 1 for level in then) == pytest.approx(300, abs=2)


def test_all_viewers_get_the_same_from_one_look(served: Dashboard) -> None:
    """Twenty viewers: each gets the whole first, then the same events; then none are kept."""
    with ThreadPoolExecutor(20) as pool:

        def view() -> list[Any]:
            stream = events(served, "live")
            content = [next(stream) for _ in range(4)]
            stream.close()
            return content

        seen = [task.result() for task in [pool.submit(view) for _ in range(20)]]
    by_second: dict[str, set[str]] = {}
    for content in seen:
        assert len(content[0]["curve"]["levels"]["agent"]) == 3600
        for each in content[1:]:
            by_second.setdefault(each["as_of"], set()).add(json.dumps(each["series"]))
    assert all(len(versions) == 1 for versions in by_second.values())
    deadline = time.monotonic() + 5
    while served.app.state.broadcast.viewers and time.monotonic() < deadline:
        time.sleep(0.05)
    assert served.app.state.broadcast.viewers == 0


@pytest.mark.parametrize(
    ("by", "end"),
    [
        ("bearer", "revoked"), ("cookie", "revoked"), ("bearer", "expired"), ("cookie", "expired"),
        ("cookie", "logged out"),
    ],
)  # fmt: skip
def test_a_token_that_ends_takes_the_streams_with_it(served: Dashboard, by: str, end: str) -> None:
    """Not only new requests: within seconds whoever watches is let go."""
    from interaction_usage.dashboard import logins, tokens

    token = served.token("live", expires=int(time.time()) + 3 if end == "expired" else None)
    with served.client(token if by == "bearer" else None) as client:
        if by == "cookie":
            assert client.post("/login", data={"token": token}).status_code == 303
        with client.stream("GET", "/api/accounts/live/live/stream") as stream:
            lines = stream.iter_lines()
            next(line for line in lines if line.startswith("data: "))
            if end == "revoked":
                tokens.revoke(served.ledger, tokens.digest_of(token)[:10], 1_700_000_001)
            elif end == "logged out":
                logins.end(served.redis, client.cookies["usage_login"])
            began = time.monotonic()
            assert list(lines) is not None  # reads to the end, which comes
            assert time.monotonic() - began < 8


def test_redis_away_is_said_in_the_stream_and_over_when_it_is_back(tmp_path: Any) -> None:
    """The last numbers stay, with the reason; nobody has to connect again."""
    server = RedisServer(tmp_path)
    server.start()
    try:
        fill(server.url, [started("a", 30)])
        with (
            dashboard(server.url, is_open=True) as served,
            served.client() as client,
            client.stream("GET", "/api/accounts/live/live/stream") as stream,
        ):
            content = (json.loads(line[6:]) for line in stream.iter_lines() if line[:5] == "data:")
            assert next(content)["series"]["agent"]["now"] == 1
            time.sleep(1.2)  # the append-only file is flushed once a second
            server.kill()
            away = next(each for each in content if (each["stale"] or {})["reason"] == "redis-away")
            assert away["series"]["agent"]["now"] == 1
            answer = served.get("/accounts/live/live")
            assert answer.status_code == 503
            assert "Redis" in answer.json()["detail"]
            server.start()
            back = next(
                each for each in content if (each["stale"] or {}).get("reason") != "redis-away"
            )
            assert back["series"]["agent"]["now"] == 1
    finally:
        server.stop()
