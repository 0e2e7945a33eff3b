"""How long it takes until events are counted again after something was away.

Measured from the moment the server answers again (or the worker is killed), until the events that
are published then are in the rollups: until no partition's position is behind its end.
"""

import json
import time

from interaction_usage import settings
from stream_app.broker import admin_client
from stream_app.lag import partition_progress
from stream_app.topics import TOPIC_OF
from tests.support.event_lines import flow, traffic
from tests.support.system import System

#: Seconds.
AFTER_A_KILLED_WORKER, AFTER_REDIS, AFTER_THE_BROKER = 15.0, 5.0, 5.0
#: How long a server is away: long enough for clients to have grown patient.
AWAY = 5.0
#: So many that every partition of the busy topics gets some.
EVENTS = 500


def run_workers(fault_run: System, count: int) -> None:
    """Start workers, and return when they share the partitions and have counted something."""
    fault_run.usage("send", "-", stdin=flow("first"))
    for _ in range(count):
        fault_run.start_worker()
    with fault_run.client() as client:
        deadline = time.monotonic() + 30
        while len(list(client.scan_iter("*:worker:*"))) < count:
            assert time.monotonic() < deadline, fault_run.last_words()
            time.sleep(0.1)
    fault_run.usage("send", "-", stdin=b"\n".join(traffic(EVENTS, seed=1, accounts=4)))
    fault_run.catch_up()


def seconds_until_counted(fault_run: System, seed: int) -> float:
    """Publish events, and return how long it took until they are counted."""
    begun = time.monotonic()
    lines = [json.loads(line) for line in traffic(EVENTS, seed=seed, accounts=4)]
    fault_run.publish(
        [
            (TOPIC_OF[answer["type"]], str(number).encode(), json.dumps(answer).encode(), None)
            for number, answer in enumerate(lines)
        ]
    )
    config = settings.read(fault_run.environment)
    with fault_run.client() as client:
        admin = admin_client(config.kafka)
        while any(reach.behind for reach in partition_progress(admin, client).values()):
            assert time.monotonic() < begun + 60, f"still not counted\n{fault_run.last_words()}"
            time.sleep(0.02)
    return time.monotonic() - begun


def hold(took: float, bound: float, fault_run: System) -> None:
    """Tell how long it *took*, and hold it against the bound."""
    print(f"counted again after {took:.2f} s")
    assert took < bound, f"{took:.1f} s\n{fault_run.last_words()}"


def test_the_partitions_of_a_killed_worker_are_taken_over_in_time(fault_run: System) -> None:
    """The group notices after the session timeout that it is gone."""
    run_workers(fault_run, 2)
    fault_run.workers[0].kill()
    hold(seconds_until_counted(fault_run, 2), AFTER_A_KILLED_WORKER, fault_run)


def test_counting_goes_on_soon_after_redis_is_back(fault_run: System) -> None:
    """It was killed, and restarts from its append-only file some seconds later."""
    run_workers(fault_run, 2)
    fault_run.redis.kill()
    time.sleep(AWAY)
    fault_run.redis.start()
    hold(seconds_until_counted(fault_run, 2), AFTER_REDIS, fault_run)


def test_counting_goes_on_soon_after_the_broker_is_back(fault_run: System) -> None:
    """It was killed, and restarts on its data some seconds later."""
    run_workers(fault_run, 2)
    fault_run.kafka.kill()
    time.sleep(AWAY)
    fault_run.kafka.start()
    hold(seconds_until_counted(fault_run, 2), AFTER_THE_BROKER, fault_run)
