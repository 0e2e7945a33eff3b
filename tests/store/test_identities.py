"""Identities: an event is remembered with the UTC day of its own time, as long as that is open."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from interaction_usage.servers.redis_server import RedisServer
from interaction_usage.store.client import connect
from interaction_usage.store.reads import Rollups
from rollups.events import Event, SmsSent
from rollups.fold import SEALED_AFTER, OffsetEvent
from rollups.slots import SLOTS_PER_DAY
from tests.store.redis_side import deliver, writing
from tests.support import reference_model
from tests.support.reference import LIMITS

DAY = 86_400


def sms(offset: int, time: int) -> OffsetEvent:
    """Return the same event again at another place."""
    return OffsetEvent(offset, Event("s", "same", "acme", time * 1_000_000, SmsSent()))


def counted(server: RedisServer, batches: Sequence[Sequence[OffsetEvent]]) -> tuple[int, int]:
    """Return how many messages count after *batches*, by the script and by the pure rule."""

    async def write() -> None:
        async with writing(server.url, LIMITS) as writer:
            for batch in batches:
                await writer.apply("t/0", batch)

    asyncio.run(write())
    accounts: dict[str, reference_model.Account] = {}
    for batch in batches:
        reference_model.apply_events(accounts, "t/0", batch, LIMITS)
    with connect(server.url) as client:
        reading = Rollups.live(client).read("acme", 0, 400 * SLOTS_PER_DAY)
    pure = reference_model.read(accounts["acme"], 0, 400 * SLOTS_PER_DAY)
    return reading.totals["sms.link"], pure.totals["sms.link"]


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize(
    ("first", "second", "times"),
    [
        # UTC days:  | 0 ------------ | 1 ------------ |
        (0, 0, 1),
        (0, DAY - 1, 1),
        (DAY - 1, DAY, 2),  # another day is another event
        (0, 40 * DAY, 2),
    ],
)
def test_the_same_pair_on_one_day_is_the_same_event(
    redis: Any, server: RedisServer, first: int, second: int, times: int, cut: int
) -> None:
    """Whichever comes first, in one batch or in two."""
    for order in ((first, second), (second, first)):
        redis.flushall()
        both = [sms(place, time) for place, time in enumerate(order)]
        batches = [both[:cut], both[cut:]] if cut < 2 else [both]
        assert counted(server, batches) == (times, times)


def test_a_repeat_counts_once_or_is_refused_as_sealed(redis: Any, server: RedisServer) -> None:
    """open: no effect; sealed: refused, and still without one."""

    async def run() -> list[int]:
        refused = []
        async with writing(server.url, LIMITS) as writer:
            now = 400 * DAY
            writer.clock = lambda: now
            for offset in range(4):
                refused.append(len(await deliver(writer, "t/0", [sms(offset, time=DAY)])))
                now += 30 * DAY
                await writer.seal(["acme"], now)
        return refused

    assert SEALED_AFTER == 35 * DAY
    # applied at 400 d; a repeat at 430 d keeps nothing open, so the day is sealed at 460 d
    assert asyncio.run(run()) == [0, 0, 1, 1]
    with connect(server.url) as client:
        reading = Rollups.live(client).read("acme", 0, 400 * SLOTS_PER_DAY)
    assert reading.totals["sms.link"] == 1


#: Two (source, id) whose unkeyed 64-bit XXH3, of source, line feed and id, are equal: made in a
#: second by running the hash backwards.
CRAFTED = (("a", ".O,3j"), ("A=x+[", "')"))


def test_nobody_can_craft_two_events_that_meet(redis: Any, server: RedisServer) -> None:
    """A click that would make another event disappear without a dead letter: both count."""
    placed = [
        OffsetEvent(offset, Event(source, name, "acme", DAY * 1_000_000, SmsSent()))
        for offset, (source, name) in enumerate(CRAFTED)
    ]
    assert counted(server, [placed]) == (2, 2)
    assert counted(server, [placed[:1], placed[1:]]) == (2, 2)
