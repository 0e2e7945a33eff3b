"""The fault run when everything goes wrong: whatever was acknowledged is counted once or refused.

    make faults SEED=7 RUNS=10 EVENTS=40000

runs other fault runs than the ones that `make test` runs. A failure tells its seed and its diary.
"""

import os
import random
import time
import traceback

import pytest

from interaction_usage.store.reads import Rollups
from stream_app.broker import ensure_topics
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from tests.faults.auditor import Auditor
from tests.faults.faults import MOST_PARTITIONS, Faults
from tests.faults.flaky_link import FlakyLink
from tests.faults.outcome import Outcome
from tests.faults.publisher import Publisher
from tests.support.event_lines import traffic
from tests.support.system import System

FIRST_SEED = int(os.environ.get("FAULTS_SEED", "1"))
RUNS = int(os.environ.get("FAULTS_RUNS", "1"))
EVENTS = int(os.environ.get("FAULTS_EVENTS", "12000"))
FAULTS = int(os.environ.get("FAULTS_EACH", "10"))
BROKEN = 40
#: Seconds that a fault and the pause after it take, for the publisher to be busy as long.
EACH = 2.0
#: Seconds within which everything is counted once the faults are over.
SETTLED_S = 120.0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_a_run_of_faults_leaves_every_report_exact(fault_run: System, seed: int) -> None:
    """Faults in random order while events come; then every report equals the reference."""
    rng = random.Random(seed)
    lines = list(traffic(EVENTS, seed=seed, accounts=8, corrections=True))
    diary: list[str] = []
    with FlakyLink(fault_run.redis.port, seed, lambda what: faults.note(what)) as link:
        publisher = Publisher(fault_run.kafka.bootstrap, lines, BROKEN, seed, EACH * FAULTS)
        faults = Faults(fault_run, rng, link, publisher, diary, seals=rng.random() < 0.3)
        auditor = Auditor(fault_run.redis.url, publisher, seed)
        faults.on_new_cluster = auditor.forget_gaps
        try:
            with auditor:
                live_through(faults, seed)
                settle(faults)
                faults.stop_operators()
            Outcome(faults, auditor, lines, BROKEN).check()
            faults.check_issued()
            faults.note(f"reports made meanwhile: {dict(auditor.statuses)}")
        except Exception as error:
            why = "".join(traceback.format_exception(error, limit=-3))
            answer = [
                f"seed {seed}",
                *diary,
                *publisher.reported_errors,
                fault_run.last_words(),
                why,
            ]
            raise AssertionError("\n".join(answer)) from None
        finally:
            faults.abandon_operators()
    print("\n".join([f"seed {seed}", *diary, *publisher.reported_errors]))


def live_through(faults: Faults, seed: int) -> None:
    """Do the faults while the publisher publishes; return when it has published everything."""
    fault_run, rng, publisher = faults.system, faults.rng, faults.publisher
    fault_run.worker_variables["USAGE_REDIS"] = f"redis://127.0.0.1:{faults.link.port}/0"
    partitions = rng.randint(1, MOST_PARTITIONS)
    ensure_topics(fault_run.kafka.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], partitions, 1)
    workers = rng.choice((1, 1, 2, 4))
    faults.note(f"topics of {partitions} partitions, {workers} workers")
    for _ in range(workers):
        fault_run.start_worker()
    publisher.start()
    await_first_count(fault_run)
    faults.back_up()
    faults.start_operators(seed)
    for fault in faults.plan(FAULTS):
        faults.wait(rng.uniform(0.3, 2.5))
        faults.replace_the_last()
        fault()
    faults.sit_out()
    faults.end_all()
    publisher.hurry = True
    publisher.join(200)
    assert not publisher.is_alive(), "the publisher never came to its end"
    faults.note("everything is published")


def await_first_count(fault_run: System) -> None:
    """Wait until something is counted, for most faults do nothing to what is not there yet."""
    deadline = time.monotonic() + 60
    with fault_run.client() as client:
        while not Rollups.live(client).accounts():
            assert time.monotonic() < deadline, "nothing is counted"
            time.sleep(0.05)


def settle(faults: Faults) -> None:
    """Wait until all is counted or refused; a worker that ends is started again, as anywhere."""
    fault_run = faults.system
    deadline = time.monotonic() + SETTLED_S
    while time.monotonic() < deadline:
        faults.replace_the_last()
        done = fault_run.usage("lag", "--until-zero", "10", code=None)
        if done.returncode == 0:
            faults.note("settled")
            return
        time.sleep(1)
    answer = (done.stdout + done.stderr).decode()
    raise AssertionError(f"not settled after {SETTLED_S:.0f} s: {answer}")
