"""Whether what is shown is as new as it looks: looks by hand, under a clock moved by hand."""

from typing import Any

import pytest
from redis.client import Redis

from interaction_usage.dashboard.health import PATIENCE, Looks, heartbeats_of_workers
from interaction_usage.store import keys
from rollups.gaps import Acceptance, Gap
from rollups.watermark import Reach

ALIVE = {"w1": {"counted": 0, "waiting_for": ""}}
PLACE = ("usage.flows", 0)


def at(counted: int, end: int, blocked: int = 0) -> Reach:
    """Return how far a partition is counted, the last *held* offsets behind a transaction."""
    return Reach(counted, end - blocked, end)


def reason(looks: Looks, now: float) -> str | None:
    """Return why the numbers are stale at *now*."""
    stale = looks.health(now).stale
    return stale.reason if stale else None


def test_events_per_second_are_what_all_workers_grew_by() -> None:
    """Two workers, 30 and 70 a second; one that joins with a million counted adds nothing."""
    looks = Looks()
    for second in range(11):
        answer: dict[str, Any] = {"a": {"counted": 30 * second}, "b": {"counted": 70 * second + 5}}
        if second > 5:
            answer["c"] = {"counted": 1_000_000}
        looks.workers(second, answer)
    assert looks.health(10).events_per_second == 100.0
    assert looks.health(10).workers == 3


def test_a_worker_that_starts_again_takes_nothing_away() -> None:
    """Its count begins at 0 again; the rate is never negative."""
    looks = Looks()
    for second, counted in enumerate([500, 600, 0, 100]):
        looks.workers(second, {"a": {"counted": counted}})
    assert looks.health(3).events_per_second == pytest.approx(200 / 3, abs=0.1)


def test_no_worker() -> None:
    """Nothing new is counted, whatever Kafka says."""
    looks = Looks()
    looks.workers(0, {})
    looks.topics(0, {PLACE: at(5, 5)})
    assert reason(looks, 0) == "no-worker"
    looks.workers(1, ALIVE)
    assert reason(looks, 1) is None


def test_open_gaps_are_the_operators_to_see() -> None:
    """Until each is accepted; a customer's numbers are no older because of them."""
    looks = Looks()
    looks.workers(0, ALIVE)
    gap = Gap("usage.flows", 0, "", 1, 2, None, 3, "worker")
    looks.gaps([gap])
    assert reason(looks, 0) == "gaps"
    assert looks.health(0).for_customers().stale is None
    looks.gaps([gap._replace(accepted=Acceptance("a test", "ann", 1))])
    assert reason(looks, 0) is None


def test_a_worker_that_waits_says_for_what() -> None:
    """Only if all of them wait: while one works, something is counted."""
    looks = Looks()
    waits = {"counted": 0, "waiting_for": "Redis: refused"}
    looks.workers(0, {"a": waits})
    assert reason(looks, 0) == "worker-waits"
    looks.workers(1, {"a": waits, **ALIVE})
    assert reason(looks, 1) is None


def test_events_in_flight_are_no_lag() -> None:
    """Under steady traffic the newest are always on their way; that is not being behind."""
    looks = Looks()
    for second in range(20):
        looks.workers(second, ALIVE)
        looks.topics(second, {PLACE: at(100 * second, 100 * second + 100)})
    assert reason(looks, 19) is None
    assert looks.health(19).lag == 100


def test_falling_behind_is_reported_with_how_old_the_numbers_are() -> None:
    """Counted up to what was there at 2 s; at 12 s, that is 10 s old."""
    looks = Looks()
    for second in range(13):
        looks.workers(second, ALIVE)
        looks.topics(second, {PLACE: at(min(100 * second, 200), 100 * second)})
    stale = looks.health(12).stale
    assert stale is not None
    assert stale.reason == "lag"
    assert stale.message == "1,000 events are not counted yet; what is shown is 10 s old"


def test_what_an_open_transaction_holds_back_is_said_to_be_held() -> None:
    """Nobody can count it, and yet it is published; the sentence says whose turn it is."""
    looks = Looks()
    for second in range(6):
        looks.workers(second, ALIVE)
        looks.topics(second, {PLACE: at(7, 10, blocked=3) if second else at(7, 7)})
    stale = looks.health(5).stale
    assert stale is not None
    assert stale.message == (
        "3 events are not counted yet; a transaction of a producer is open; "
        "what is shown is 5 s old"
    )


def test_one_partition_that_is_suspended_is_seen_beside_a_busy_one() -> None:
    """A sum over the partitions would hide it."""
    looks = Looks()
    other = ("usage.flows", 1)
    for second in range(13):
        looks.workers(second, ALIVE)
        looks.topics(second, {PLACE: at(1, 2), other: at(1000 * second, 1000 * second)})
    assert reason(looks, 12) == "lag"


def test_kafka_away_and_back() -> None:
    """What is published is unknown, and so is the lag; then it is known again."""
    looks = Looks()
    looks.workers(0, ALIVE)
    looks.topics(0, {PLACE: at(1, 1)})
    looks.kafka_is_away("no broker answered")
    assert (reason(looks, 1), looks.health(1).lag) == ("kafka-away", None)
    looks.topics(2, {PLACE: at(1, 1)})
    assert (reason(looks, 2), looks.health(2).lag) == (None, 0)


def test_what_kafka_denies_is_not_kafka_away() -> None:
    """In words and by its reason, whoever noticed it: the dashboard itself, or a worker."""
    looks = Looks()
    looks.workers(0, ALIVE)
    looks.kafka_is_away("Kafka does not allow this client to READ the topic t", "kafka-denied")
    stale = looks.health(1).stale
    assert stale == ("kafka-denied", "Kafka does not allow this client to READ the topic t")
    looks.topics(2, {PLACE: at(1, 1)})
    looks.workers(2, {"w1": {**ALIVE["w1"], "obstacles": ["The topic t does not exist. Create"]}})
    assert looks.health(2).stale == ("worker-waits", "The topic t does not exist. Create")


def test_warnings_are_for_operators() -> None:
    """They name the insides of the deployment."""
    looks = Looks()
    looks.warnings = ("Kafka deletes events of usage.flows after 7 days",)
    assert looks.health(1).warnings == looks.warnings
    assert looks.health(1).for_customers().warnings == ()


def test_a_worker_is_silent_before_the_word_is_gone(redis_url: str) -> None:
    """Its word lives ten seconds; after three without a new one it counts as gone."""
    with Redis.from_url(redis_url) as redis:
        redis.zadd(keys.WORKERS, {"loud": 1, "silent": 2, "gone": 3})
        redis.set(keys.worker("loud"), b'{"counted":7}', ex=10)
        redis.set(keys.worker("silent"), b'{"counted":8}', px=int((10 - PATIENCE) * 1000) - 500)
        assert heartbeats_of_workers(redis, 10) == {"loud": {"counted": 7}}
