"""What rules are judged by, read in two ways: of any days, and by one script of the last ones."""

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Any

from interaction_usage.store.alert_reads import Numbers, Wanted, read, signatures
from interaction_usage.store.alert_recent import read_recent
from interaction_usage.store.reads import Rollups
from rollups.catalog import METRICS, SERIES
from rollups.range_snapshot import RangeSnapshot
from rollups.slots import slot_of
from tests.store.redis_side import writing
from tests.support.event_lines import event, flow, traffic
from tests.support.filling import fill

BEGIN = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
HOUR = 3_600
NAMES = [f"account-{number}" for number in range(8)]


def wanted(rng: random.Random, now: int) -> Wanted:
    """Return what some rules of an account would have read, its name apart."""
    one = Wanted("", now, last_change=rng.random() < 0.5)
    if rng.random() < 0.8:
        first = slot_of(now - rng.randrange(30 * HOUR))
        names = rng.sample([*SERIES, *METRICS], rng.randint(1, 4))
        one = one._replace(months=((first, slot_of(now) + 1),), of_months=tuple(sorted(names)))
    if rng.random() < 0.8:
        curve = slot_of(now - rng.randrange(3 * HOUR)), slot_of(now) + 2
        series = rng.sample(SERIES, rng.randint(1, 3))
        one = one._replace(curve=curve, series=tuple(sorted(series)))
    return one


def said(one: Wanted, numbers: Numbers | None) -> Any:
    """Return what *numbers* say of what was *wanted*; beside it they may have more."""
    assert numbers is not None
    months = [
        of_month(one, span, each) for span, each in zip(one.months, numbers.months, strict=True)
    ]
    carry = {name: numbers.carry[name] for name in one.series}
    return months, carry, dict(numbers.changes), numbers.last_change


def of_month(one: Wanted, span: tuple[int, int], snapshot: RangeSnapshot) -> Any:
    """Return the carry, curves and amounts of a span, which a snapshot may reach beyond."""
    lead, size = span[0] - snapshot.first, span[1] - span[0]
    found = {}
    for name in one.of_months:
        if name in SERIES:
            nets, rises = snapshot.curves[name]
            carry = snapshot.carry[name] + sum(nets[:lead])
            found[name] = carry, [*nets[lead:]][:size], [*rises[lead:]][:size]
        else:
            amounts = snapshot.by_slot.get(name, [0] * (lead + size))
            found[name] = [*amounts[lead:]][:size]
    return found


def test_both_ways_read_the_same(server: Any, redis: Any) -> None:
    """Of accounts with and without usage, around midnight and within a day, whatever is wanted."""
    fill(server.url, traffic(1_200, seed=4, accounts=6, corrections=True))
    rollups, rng = Rollups.live(redis), random.Random(4)
    for hours in (0, 23, 25, 49, (int(time.time()) - BEGIN) // HOUR):
        now = BEGIN + hours * HOUR + 30
        shapes = [wanted(rng, now) for _ in range(6)]
        each = [one._replace(account=name) for one in shapes for name in NAMES]
        recent, whole = read_recent(rollups, each), read(rollups, each)
        for one, found, expected in zip(each, recent, whole, strict=True):
            assert said(one, found) == said(one, expected)


def test_sealed_days_are_left_to_the_other_way(server: Any, redis: Any) -> None:
    """Their numbers are not where those of open days are; nor are they while a day is closed."""
    fill(server.url, [flow("1", time="2026-10-01T10:00:00Z")])

    async def seal() -> None:
        async with writing(server.url) as writer:
            await writer.seal(["acme"], int(time.time()) + 40 * 24 * HOUR)

    now = BEGIN + 12 * HOUR
    one = Wanted("acme", now, ((slot_of(BEGIN), slot_of(now) + 1),), ("runs.agent",))
    rollups = Rollups.live(redis)
    [before] = read_recent(rollups, [one])
    asyncio.run(seal())
    assert read_recent(rollups, [one]) == [None]
    [after] = read(rollups, [one])
    assert said(one, before) == said(one, after)
    tomorrow = one._replace(
        now=now + 24 * HOUR, months=((slot_of(BEGIN) + 96, slot_of(BEGIN) + 97),)
    )
    assert read_recent(rollups, [tomorrow]) != [None]


def test_an_account_that_changes_is_noticed(server: Any, redis: Any) -> None:
    """By its signature alone; that of the others stays."""
    fill(server.url, [flow(name, subject=name) for name in NAMES])
    rollups = Rollups.live(redis)
    before = signatures(rollups, NAMES)
    assert signatures(rollups, NAMES) == before
    data = {"session": "s", "application": "agent"}
    fill(server.url, [event("s", "session.started", data, subject=NAMES[3])], log="1")
    after = signatures(rollups, NAMES)
    assert [one != other for one, other in zip(before, after, strict=True)] == [
        name == NAMES[3] for name in NAMES
    ]
