"""A slot in which something changes at every second: one change more, wherever it comes."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from redis.client import Redis

from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store.reads import Rollups
from rollups.events import Event, SessionStarted, SessionStopped
from rollups.fold import OffsetEvent
from rollups.timestamps import SECOND
from tests.rollups.drawing import NOON
from tests.store.redis_side import DAY, write

SLOT = NOON // 900


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Yield one server: what the script does is the same on all."""
    with redis_server() as running:
        yield running


def event(at: int, second: int, data: Any) -> OffsetEvent:
    """Return an event of acme at a second after noon."""
    return OffsetEvent(at, Event("test", str(at), "acme", (NOON + second) * SECOND, data))


@pytest.mark.parametrize("kind", ["starts", "stops"])
def test_a_change_of_a_full_slot_comes_to_what_all_changes_come_to(
    server: RedisServer, kind: str
) -> None:
    """300 sessions start, or stop, at a second each; what comes then adds, cancels or leads."""
    rng = random.Random(7)
    moved = 0 if kind == "starts" else -900  # so that all stops are in the slot, from its beginning
    stops = [
        (400 + n if kind == "starts" else n, SessionStopped(f"s{n}", "agent")) for n in range(300)
    ]
    starts = [(100 + n + moved, SessionStarted(f"s{n}", "agent")) for n in range(300)]
    later = [(at, SessionStarted(f"new {at}", "agent")) for at in (50, 0, 899, 250)]
    later += [
        (at, SessionStopped(name, "agent")) for at, name in ((150, "new 50"), (251, "new 250"))
    ]
    if kind == "starts":  # stops at seconds of starts cancel them
        full = starts
        singles = [(rng.randrange(201, 700), data) for _, data in rng.sample(stops, 15)] + later
    else:
        full, singles = starts + stops[:270], rng.sample(stops[270:], 15)
    changes: Counter[int] = Counter()
    with Redis.from_url(server.url) as redis:
        redis.flushall()
        for number, some in enumerate([full, *([each] for each in singles)]):
            placed = [event(1_000 * number + at, *each) for at, each in enumerate(some)]
            write(server.url, [("t/0", placed)], DAY)
            for second, data in some:
                changes[second] += 1 if isinstance(data, SessionStarted) else -1
            rollups = Rollups.live(redis)
            in_slot = {at: each for at, each in changes.items() if 0 <= at < 900 and each}
            kept = [(NOON + at, each) for at, each in sorted(in_slot.items())]
            assert rollups.changes("acme", SLOT, SLOT + 1)["agent"] == kept
            curve = rollups.read("acme", SLOT, SLOT + 1).curves["agent"]
            levels = list(accumulate(in_slot.get(at, 0) for at in range(900)))
            assert (curve.nets, curve.rises) == ([levels[-1]], [max(levels)])
