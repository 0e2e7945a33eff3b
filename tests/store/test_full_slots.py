"""A slot in which something changes at every second: one change more, wherever it comes."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.client import Redis

from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store import keys, slot_deltas
from interaction_usage.store.reads import Rollups
from interaction_usage.store.record_layout import PIECES_MARK, ApplyAnswer
from rollups.events import (
    Event,
    EventVoided,
    OriginalEvent,
    SessionStarted,
    SessionStopped,
    SmsSent,
)
from rollups.fold import OffsetEvent
from rollups.timestamps import SECOND
from tests.rollups.drawing import NOON
from tests.store.redis_side import DAY, noted_answers, write, writing

SLOT = NOON // 900


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Yield one server: what the script does is the same on all."""
    with redis_server() as running:
        yield running


def event(at: int, second: int, data: Any) -> OffsetEvent:
    """Return an event of acme at a second after noon."""
    return OffsetEvent(at, Event("test", str(at), "acme", (NOON + second) * SECOND, data))


def stored(redis: Redis) -> Any:
    """Return the deltas of the slot as they are stored."""
    day = SLOT // 96
    return redis.hget(keys.FIRST.slot_deltas("acme", day), f"0.{SLOT - 96 * day}")


def one_at_a_time() -> list[OffsetEvent]:
    """Return events of which each start is a delta, and each stop takes one away again.

    The first and its stop are alone in their piece.
    """
    found: list[tuple[int, Any]] = [
        (second, SessionStarted(f"s{second}", "agent")) for second in (700, *range(100, 167))
    ]
    found.append((700, SessionStopped("s100", "agent")))
    found += [(second, SessionStopped(f"s{second - 1}", "agent")) for second in range(110, 116)]
    return [event(at, *each) for at, each in enumerate(found)]


def test_the_number_of_deltas_says_how_they_are_stored(server: RedisServer) -> None:
    """In pieces above so many, and in one list again below; one by one, or all at once."""
    placed = one_at_a_time()
    with Redis.from_url(server.url) as redis:
        redis.flushall()
        deltas: Counter[int] = Counter()
        are_in_pieces = []
        for item in placed:
            write(server.url, [("t/0", [item])], DAY)
            is_start = isinstance(item.event.data, SessionStarted)
            deltas[item.event.time // SECOND - NOON] += 1 if is_start else -1
            content = sorted((at, each) for at, each in deltas.items() if each)
            assert stored(redis) == slot_deltas.pack(content)
            assert slot_deltas.unpack(stored(redis)) == content
            are_in_pieces.append(stored(redis)[0] == PIECES_MARK)
        assert are_in_pieces == [at in range(64, 71) for at in range(len(placed))]
        one_by_one = stored(redis)
        redis.flushall()
        write(server.url, [("t/0", placed)], DAY)
        assert stored(redis) == one_by_one


@pytest.mark.parametrize(("slots", "is_too_much"), [(6, False), (7, True)])
def test_one_script_changes_so_many_pieces_and_no_more(
    server: RedisServer, slots: int, is_too_much: bool
) -> None:
    """A start changes two series, now and a day later: 60 pieces of a slot. 400 are most."""
    full = [event(at, 12 * at, SessionStarted(f"s{at}", "agent")) for at in range(75 * slots)]
    each_piece = [
        event(10_000 + at, 60 * at, SessionStarted(f"x{at}", "agent")) for at in range(15 * slots)
    ]

    async def run() -> bool:
        async with writing(server.url) as writer:
            answers = noted_answers(writer)
            await writer.apply("t/0", full)
            writer.delta_sizes.limits.clear()
            await writer.apply("t/0", each_piece)
            return [ApplyAnswer.TOO_MUCH] in answers

    with Redis.from_url(server.url) as redis:
        redis.flushall()
        assert asyncio.run(run()) == is_too_much
        peak = Rollups.live(redis).read("acme", SLOT, SLOT + slots).curves["agent"]
        assert sum(peak.nets) == 90 * slots


CHANGES = st.integers(-1_000_000, 1_000_000).filter(bool)


@given(st.dictionaries(st.integers(0, 899), CHANGES, min_size=1, max_size=900))
def test_deltas_are_unpacked_as_they_were_packed(deltas: dict[int, int]) -> None:
    """However many, and of whatever size."""
    content = sorted(deltas.items())
    assert slot_deltas.unpack(slot_deltas.pack(content)) == content


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
            assert stored(redis) == slot_deltas.pack(sorted(in_slot.items()))
            curve = rollups.read("acme", SLOT, SLOT + 1).curves["agent"]
            levels = list(accumulate(in_slot.get(at, 0) for at in range(900)))
            assert (curve.nets, curve.rises) == ([levels[-1]], [max(levels)])


def test_a_counter_has_one_record_of_each_slot_in_their_order(server: RedisServer) -> None:
    """The same slot again, a later one, one in between."""
    day, seconds = SLOT // 96, (0, 1, 1_800, 1_801, 900, 901)
    with Redis.from_url(server.url) as redis:
        redis.flushall()
        for number, second in enumerate(seconds):
            write(server.url, [("t/0", [event(number, second, SmsSent())])], DAY)
        records = redis.hget(keys.FIRST.day("acme", day), "sms.link")
        first = SLOT - 96 * day
        assert records == b"".join(
            slot.to_bytes(1) + (2).to_bytes(7) for slot in (first, first + 1, first + 2)
        )


def test_counters_beside_a_void_stay_in_their_slots(server: RedisServer) -> None:
    """One delta with both, of two slots; the event of the first one is taken back."""
    original = OriginalEvent("test", "0", NOON * SECOND, SmsSent())
    placed = [event(0, 0, SmsSent()), event(1, 900, SmsSent())]
    placed.append(event(2, 60, EventVoided(event=original, reason="twice")))
    with Redis.from_url(server.url) as redis:
        redis.flushall()
        write(server.url, [("t/0", placed)], DAY)
        read = Rollups.live(redis).read("acme", SLOT - 48, SLOT + 2, by_slot=True)
        assert list(read.by_slot["sms.link"]) == [0] * 49 + [1]
