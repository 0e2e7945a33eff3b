"""Identities: remembered for 35 days of the records' own time, whatever the events' time is."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis_side import writing
from reference import LIMITS

from rollups import connect, state
from rollups.events import Event, SmsSent
from rollups.fold import REMEMBERED, Placed, epoch_of
from rollups.reads import Rollups
from rollups.slots import SLOTS_PER_DAY
from servers.redis_server import RedisServer

DAY = 86_400


def sms(offset: int, *, recorded: int, time: int) -> Placed:
    """Return the same event again at another place, published at *recorded*, in seconds."""
    return Placed(offset, Event("s", "same", "acme", time * 1_000_000, SmsSent()), recorded)


def counted(server: RedisServer, batches: Sequence[Sequence[Placed]]) -> tuple[int, int]:
    """Return how many messages count after *batches*, by the script and by the pure rule."""

    async def write() -> None:
        async with writing(server.url, LIMITS) as writer:
            for batch in batches:
                await writer.apply("t/0", batch)

    asyncio.run(write())
    accounts: dict[str, state.Account] = {}
    for batch in batches:
        state.apply_events(accounts, "t/0", batch, LIMITS)
    with connect.client(server.url) as client:
        reading = Rollups.live(client).read("acme", 0, 400 * SLOTS_PER_DAY)
    pure = state.read(accounts["acme"], 0, 400 * SLOTS_PER_DAY)
    return reading.totals["sms.link"], pure.totals["sms.link"]


@pytest.mark.parametrize(
    ("later", "times"),
    [
        (0, 1),
        (1, 1),
        (34 * DAY, 1),
        (REMEMBERED, 1),
        (2 * REMEMBERED + 1, 2),
        (-34 * DAY, 1),
    ],
)
def test_the_same_event_published_again(
    redis: Any, server: RedisServer, later: int, times: int
) -> None:
    """Within 35 days it is the same event, whatever its time says, and before or after."""
    at = 100 * DAY
    batches = [[sms(0, recorded=at, time=DAY)], [sms(1, recorded=at + later, time=50 * DAY)]]
    assert counted(server, batches) == (times, times)


@pytest.mark.parametrize("cut", [1, 2])
def test_a_producer_that_stamps_its_event_anew_is_not_counted_twice(
    redis: Any, server: RedisServer, cut: int
) -> None:
    """`source` and `id` are the identity, also where `time` names another day."""
    placed = [sms(0, recorded=DAY, time=DAY), sms(1, recorded=DAY + 9, time=2 * DAY)]
    assert counted(server, [placed[:cut], placed[cut:]] if cut < 2 else [placed]) == (1, 1)


def test_epochs_follow_the_records_and_are_as_long_as_identities_are_remembered() -> None:
    """[0 -- 35 d)[35 d -- 70 d): neighbours in time are in neighbouring epochs."""
    assert (epoch_of(0), epoch_of(REMEMBERED - 1), epoch_of(REMEMBERED)) == (0, 0, 1)
    assert epoch_of(-1) == -1
