"""Members of the consumer group that count for another Redis."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import keys
from stream_app.group_strangers import GroupWatch, client_id, strangers
from stream_app.kafka_state import DENIED, GroupState, Obstacle
from stream_app.obstacles import Obstacles
from stream_app.readiness import Readiness
from stream_app.telemetry import Telemetry, worker_name
from stream_app.write_gate import State


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Yield the URL of a Redis that knows the workers a:1 and b:2."""
    with redis_server() as running:
        with Redis.from_url(running.url) as redis:
            redis.zadd(keys.WORKERS, {"a:1": 1, "b:2": 1})
        yield running.url


def group(*names: str) -> GroupState:
    """Return a group with workers of these names."""
    clients = tuple(f"usage-worker-{name}" for name in names)
    return GroupState("stable", len(names), frozenset({"READ"}), clients=clients)


@pytest.mark.parametrize(
    ("clients", "found"),
    [
        ((), []),
        (("usage-worker-a:1", "usage-worker-b:2"), []),
        (("usage-worker-c:3", "usage-worker-a:1"), ["c:3"]),
        (("faust-0.15.3",), []),  # a worker of an earlier version has no name
        (("console-consumer",), ["console-consumer"]),
    ],
)
def test_who_is_a_stranger(clients: tuple[str, ...], found: list[str]) -> None:
    """Whoever reads the topics with the group and is no worker that Redis knows."""
    assert strangers(clients, {"a:1", "b:2"}) == found


def test_this_process_is_known_by_the_name_of_the_heartbeat() -> None:
    """Or else each worker would be a stranger to itself."""
    assert strangers([client_id()], [worker_name()]) == []


def judging(url: str) -> Callable[[float, GroupState], Obstacle | None]:
    """Return a function that judges a group at some second."""
    now = 0.0
    watch = GroupWatch(url, lambda: now)

    def judge(second: float, state: GroupState) -> Obstacle | None:
        nonlocal now
        now = second
        return watch.judge("usage", state)

    return judge


def test_a_stranger_is_one_that_stays(url: str) -> None:
    """A worker that joins has no heartbeat yet; it gets some seconds, also a second time."""
    judge = judging(url)
    assert judge(0, group("a:1", "c:3")) is None
    assert judge(19, group("a:1", "c:3")) is None
    assert judge(19.5, group("a:1", "b:2")) is None
    assert judge(20, group("a:1", "c:3")) is None
    assert "c:3 reads as the consumer group usage" in str(judge(40, group("a:1", "c:3", "d:4")))
    assert "c:3, d:4 read as the consumer" in str(judge(60, group("c:3", "d:4")))
    assert judge(61, group("a:1")) is None


def test_a_worker_that_shares_a_group_is_ready(url: str) -> None:
    """It counts what it gets; the log, `usage doctor` and the dashboard say what it does not."""
    judge = judging(url)
    judge(0, group("c:3"))
    obstacle = judge(30, group("c:3"))
    assert obstacle is not None
    obstacles = Obstacles()
    obstacles.asked([obstacle])
    gate: Any = SimpleNamespace(state=State.OPEN)
    readiness = Readiness(gate, Telemetry(), obstacles)
    readiness.starting = ""
    assert readiness.reasons() == []
    assert obstacles.current() == [obstacle]


def test_a_denied_group_comes_before_strangers(url: str) -> None:
    """Nothing is known of its members."""
    judge = judging(url)
    assert "to join the group usage" in str(judge(0, GroupState(error=DENIED)))


def test_a_redis_that_is_away_makes_no_stranger() -> None:
    """Its workers are unknown then."""
    judge = judging("redis://127.0.0.1:1/0")
    assert judge(0, group("a:1")) is None
    assert judge(100, group("a:1")) is None
