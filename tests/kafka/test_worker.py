"""Workers as processes: killed, stopped, more of them, refused, and beside transactions."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import Producer

from interaction_usage import settings
from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups
from interaction_usage.store.writer import Writer
from stream_app.broker import admin_client
from stream_app.errors import BrokerUnavailableError
from stream_app.sealing import Sealing, event_spans
from stream_app.topics import EVENT_TOPICS
from tests.support.event_lines import flow, traffic
from tests.support.reference import report_of, rollups_of

AS_OF = "2026-11-01T00:00:00Z"


def check_reports(system: Any, lines: list[bytes]) -> None:
    """Hold every account's report against the one of the pure code."""
    expected = rollups_of(lines)
    for account, rollups in expected.items():
        days = ("2026-09-30", "2026-10-03")
        report = system.report_here(account, *days, tz="Asia/Kathmandu", as_of=AS_OF)
        assert report == report_of(rollups, account, *days, "Asia/Kathmandu", AS_OF)


def test_workers_killed_in_the_middle_of_batches_lose_nothing_and_count_nothing_twice(
    system: Any, eventually: Callable[..., None]
) -> None:
    """Every kill leaves a batch half applied; the next worker's reports are exact anyway."""
    lines = list(traffic(20_000, seed=1, accounts=5))
    system.usage("send", "-", stdin=b"\n".join(lines + lines[:4000]))
    client = system.client()
    for kills in range(1, 4):
        worker = system.start_worker()

        def some_done(bound: int = kills * 4000) -> bool:
            return sum(at.offset for at in Rollups.live(client).positions().values()) >= bound

        eventually(some_done, f"{kills * 4000} records done")
        worker.kill()
    client.close()
    system.start_worker()
    system.catch_up()
    check_reports(system, lines)


def test_two_workers_share_the_partitions_and_one_takes_over(
    system: Any, eventually: Callable[..., None]
) -> None:
    """A second worker joins under load, the first ends in order; nothing is lost or doubled."""
    lines = list(traffic(12_000, seed=2, accounts=4))
    first = system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(lines[:6000]))
    with system.client() as client:  # one that still starts has no handler for the signal
        eventually(lambda: bool(Rollups.live(client).positions()), "the first worker counts")
    system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(lines[6000:9000]))
    began = time.monotonic()
    first.stop()
    assert time.monotonic() - began < 5
    assert first.process.returncode == 0
    system.usage("send", "-", stdin=b"\n".join(lines[9000:]))
    system.catch_up()
    check_reports(system, lines)


def test_a_worker_without_partitions_goes_along_and_takes_over(
    system: Any, eventually: Callable[..., None]
) -> None:
    """A partition of each topic is for a worker; one more switches to rebuilt rollups anyway."""
    partitions = len(EVENT_TOPICS)
    system.variables["USAGE_PARTITIONS"] = "1"
    lines = list(traffic(4_000, seed=6, accounts=4))
    system.usage("send", "-", stdin=b"\n".join(lines[:2000]))
    for _ in range(partitions + 1):
        system.start_worker()
    system.catch_up()
    with system.client() as client:
        eventually(lambda: client.zcard(keys.WORKERS) == partitions + 1, "all workers live")
    time.sleep(3)  # until the group has come to rest
    done = system.usage("rebuild")
    assert b"has not switched" not in done.stderr
    answer = [
        worker.log.read_text().count("The rollups were replaced") for worker in system.workers
    ]
    # Once each, or more often where one joins in the middle of another's rebalance.
    assert sorted(map(bool, answer)) == [False] + partitions * [True], system.log()
    rebalances = system.log().count("it is rebalancing")
    time.sleep(4)  # by now the group is at rest again
    assert system.log().count("it is rebalancing") - rebalances <= partitions + 1, system.log()
    system.usage("send", "-", stdin=b"\n".join(lines[2000:3000]))
    system.catch_up()
    for worker, joined in zip(system.workers, answer, strict=True):
        if joined:
            worker.kill()
    system.usage("send", "-", stdin=b"\n".join(lines[3000:]))
    system.catch_up()
    assert [worker.alive for worker in system.workers] == [not joined for joined in answer]
    check_reports(system, lines)


def test_the_faust_command_runs_the_same_worker(system: Any) -> None:
    """`faust -A stream_app worker` is a worker like any other."""
    system.start_worker((sys.executable, "-m", "faust", "-A", "stream_app", "worker", "-l", "warn"))
    system.usage("send", "-", stdin=flow("1"))
    system.catch_up()
    assert system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"] == 1


def test_a_worker_with_another_session_limit_refuses_and_points_to_a_rebuild(system: Any) -> None:
    """The rollups hold ends made with the recorded limit; mixing two would corrupt them."""
    system.start_worker()
    system.usage("send", "-", stdin=flow("1"))
    system.catch_up()
    system.variables["USAGE_SESSION_LIMIT_AGENT"] = "3600"
    done = system.usage("worker", code=1)
    assert b"agent 86400 s (set: 3600 s)" in done.stderr
    assert b"rebuild" in done.stderr


def test_only_committed_transactions_count_and_lag_still_reaches_zero(system: Any) -> None:
    """Aborted records and transaction markers take offsets, but are no events."""
    system.usage("send", "-", stdin=flow("plain"))
    system.start_worker()
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap, "transactional.id": "tests"})
    producer.init_transactions(30)
    for number, commit in enumerate((True, False, True, False)):
        producer.begin_transaction()
        for each in range(50):
            producer.produce("usage.flows", flow(f"{number}-{each}"), b"acme")
        producer.flush(30)  # an abort would purge what is not sent yet
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    system.catch_up()
    assert system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"] == 101


def test_what_lies_behind_an_open_transaction_is_lag_until_that_ends(system: Any) -> None:
    """Kafka shows nobody what was acknowledged behind it, so it is not counted, but published."""
    system.start_worker()
    producer = Producer({"bootstrap.servers": system.kafka.bootstrap, "transactional.id": "tests"})
    producer.init_transactions(30)
    system.usage("send", "-", stdin=flow("before"))
    system.catch_up()
    producer.begin_transaction()
    producer.produce("usage.flows", flow("never"), b"acme")
    producer.flush(30)
    system.usage("send", "-", stdin=flow("behind"))
    done = system.usage("lag", "--until-zero", "2", code=1)
    assert b"2 of these are blocked by an open producer transaction." in done.stderr
    assert b"After 2 s, 2 events are not yet in the rollups." in done.stderr
    assert b'"usage.flows":2' in system.usage("lag", "--json").stdout
    assert system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"] == 1
    producer.abort_transaction(30)
    system.catch_up()
    assert system.report("acme", "2026-10-01", "2026-10-01")["flow_runs"]["total"] == 2


async def eventually_some(entry: Sealing) -> None:
    """Look once; the leader of a topic that is new may not be known yet."""
    for _ in range(100):
        with suppress(BrokerUnavailableError):
            await entry.some()
            return
        await asyncio.sleep(0.1)
    raise AssertionError("Kafka does not answer")


def test_no_time_is_complete_before_an_open_transaction_has_ended(system: Any) -> None:
    """What it holds back was published before others' events that are counted, and comes later."""
    system.start_worker()
    config = settings.read(system.environment)
    servers = {"bootstrap.servers": config.kafka}
    producer = Producer({**servers, "transactional.id": "tests"})
    producer.init_transactions(30)
    system.catch_up()
    now = 1_000

    async def look(entry: Sealing, *seconds: int) -> None:
        nonlocal now
        for now in seconds:  # noqa: B007 (the clock looks at it)
            await eventually_some(entry)

    async def act() -> None:
        writer = Writer.of(system.redis.url, config.session_limits, 10, clock=time.time)
        spans = partial(event_spans, admin_client(config.kafka))
        entry = Sealing(writer, spans, clock=lambda: now)
        await writer.begin([])
        try:
            await look(entry, 1_000, 2_000)
            assert entry.complete == 2_000
            producer.begin_transaction()
            producer.produce("usage.flows", flow("held"), b"acme")
            producer.flush(30)
            await look(entry, 3_000, 4_000, 5_000)
            assert entry.complete == 2_000
            producer.commit_transaction(30)
            await asyncio.to_thread(system.catch_up)
            await look(entry, 6_000)
            assert entry.complete == 6_000
        finally:
            await writer.close()

    asyncio.run(act())


def test_a_worker_whose_place_in_the_group_cannot_be_kept_ends(
    system: Any, eventually: Callable[..., None]
) -> None:
    """aiokafka's coordination can die of a broker that is just starting; nobody else notices."""
    code = (
        "from aiokafka.consumer.group_coordinator import GroupCoordinator\n"
        "async def dies(self): raise AssertionError('Did we not perform bootstrap?')\n"
        "GroupCoordinator._GroupCoordinator__coordination_routine = dies\n"
        "from interaction_usage.commands.main import main; main(['worker'])"
    )
    worker = system.start_worker((sys.executable, "-c", code))
    eventually(lambda: not worker.alive, "the worker ended")
    assert worker.process.returncode == 1
    assert "it can no longer take part in the consumer group" in system.log()


def test_a_worker_ends_in_time_though_kafka_and_redis_are_away(system: Any) -> None:
    """SIGTERM does not wait for who never answers; what was in hand is read again."""
    worker = system.start_worker()
    system.usage("send", "-", stdin=flow("1"))
    system.catch_up()
    system.kafka.kill()
    system.redis.kill()
    time.sleep(1)
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < 5
    assert worker.process.returncode == 0
