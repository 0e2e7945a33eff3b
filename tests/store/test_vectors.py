"""The vectors: event files that must give these reports, by pure code alone and through Redis."""

from functools import cache
from random import Random
from typing import Any

import pytest

from interaction_usage.reports.model import Counts
from rollups.catalog import SERIES_ROWS, STARTED
from tests.rollups import oracle
from tests.rollups.delivery import Batches, in_order, tangled
from tests.store.redis_side import DAY, read, write
from tests.support import reference_model, vector_files

SEEDS = (1, 2)


@cache
def cases(name: str) -> list[vector_files.Expected]:
    """Return the reports that a vector must give."""
    return list(vector_files.expected(name))


def deliver(name: str, seed: int) -> Batches:
    """Return a vector's batches: as written for seed 0, else shuffled, doubled, cut, re-read."""
    topics = vector_files.placed(name)
    batches: Batches = []
    for topic, log in topics.items():
        events = [item.event for item in log]
        if seed:
            one = tangled(events, seed, batch=Random(seed).choice([20, 100, 400]))
            batches += [(fence.replace("t/", f"{topic}/"), placed) for fence, placed in one]
        else:
            batches += in_order(events, f"{topic}/0")
    if seed:
        _interleave(batches, Random(seed))
    return batches


def _interleave(batches: Batches, rng: Random) -> None:
    """Mix the batches of all partitions; those of one partition keep their order."""
    queues: dict[str, Batches] = {}
    for batch in batches:
        queues.setdefault(batch[0], []).append(batch)
    fences = [fence for fence, _ in batches]
    rng.shuffle(fences)
    batches[:] = [queues[fence].pop(0) for fence in fences]


@pytest.mark.parametrize("seed", [0, *SEEDS])
@pytest.mark.parametrize("name", vector_files.NAMES)
def test_by_pure_code_alone(name: str, seed: int) -> None:
    """Events in, report out, without a server."""
    accounts: dict[str, reference_model.Account] = {}
    for fence, placed in deliver(name, seed):
        reference_model.apply_events(accounts, fence, placed, DAY)
    for case in cases(name):
        reading = reference_model.read(accounts[case.account], *case.period.slots)
        assert vector_files.members_of(case, reading) == case.report


@pytest.mark.parametrize("seed", [0, *SEEDS])
@pytest.mark.parametrize("name", vector_files.NAMES)
def test_through_redis(server: Any, redis: Any, name: str, seed: int) -> None:
    """The same reports from the store: from daily counters, and read by slot."""
    write(server.url, deliver(name, seed))
    deep = seed != 0
    for case in cases(name):
        reading = read(redis, case.account, *case.period.slots, by_slot=deep, flows=deep)
        assert vector_files.members_of(case, reading) == case.report


@pytest.mark.parametrize("name", vector_files.NAMES)
def test_sessions_started_are_those_of_the_evidence(name: str) -> None:
    """A series has the sessions of its applications, each where it starts."""
    accounts: dict[str, reference_model.Account] = {}
    for fence, placed in deliver(name, 1):
        reference_model.apply_events(accounts, fence, placed, DAY)
    found = list(vector_files.evidence(name))
    assert found
    for case in found:
        totals = reference_model.read(accounts[case.account], *case.period.slots).totals
        series = next(row for row in SERIES_ROWS if row.id == case.series)
        assert sum(totals.get(STARTED[each], 0) for each in series.applications) == case.started


@pytest.mark.parametrize("name", vector_files.NAMES)
def test_sessions_are_those_that_the_events_tell_of(redis: Any, server: Any, name: str) -> None:
    """By application, in every period that the vector has a report of."""
    write(server.url, deliver(name, 2))
    events = [item.event for log in vector_files.placed(name).values() for item in log]
    for case in cases(name):
        mine = [event for event in events if event.account == case.account]
        days = case.period.timezone, case.period.first, case.period.last
        expected = oracle.sessions(mine, *days)
        reading = read(redis, case.account, *case.period.slots)
        assert Counts.of(reading.totals).sessions == expected


def test_there_are_vectors() -> None:
    """An empty folder would pass every test above."""
    assert len(vector_files.NAMES) >= 5
    assert all(cases(name) for name in vector_files.NAMES)
