"""Corrections in Redis: what is remembered of them, for how long, and what is listed."""

import asyncio
from typing import Any

from interaction_usage.store import backup, keys
from interaction_usage.store.client import connect
from interaction_usage.store.pending_voids import count_pending, pending_voids
from interaction_usage.store.reads import Rollups
from interaction_usage.store.writer import Writer
from rollups.catalog import STARTED
from rollups.events import (
    CallMinutes,
    Event,
    EventVoided,
    OriginalEvent,
    SessionCorrected,
    SessionStarted,
    SessionStopped,
)
from rollups.fold import SEALED_AFTER, OffsetEvent
from rollups.slots import SLOT_SECONDS, block_of
from rollups.timestamps import DAY_SECONDS, SECOND
from tests.rollups.delivery import in_order
from tests.rollups.drawing import NOON
from tests.store.redis_side import deliver, read, write, writing

SLOT = NOON // SLOT_SECONDS
DAY = NOON // DAY_SECONDS
VOIDS = keys.FIRST.voids("acme", block_of(DAY))
PENDING = keys.FIRST.pending_voids("acme")


def event(name: str, second: int, data: Any) -> Event:
    """Return an event of acme."""
    return Event("test", name, "acme", second * SECOND, data)


def call(number: int) -> Event:
    """Return a call of as many thousandths of a minute."""
    return event(str(number), NOON, CallMinutes(number))


def void_of(name: str, original: Event, second: int = NOON + 60) -> Event:
    """Return a void of *original*."""
    named = OriginalEvent(original.source, original.id, original.time, original.data)
    return event(f"void-{name}", second, EventVoided(named, f"reason {name}", "ops"))


def corrected(start: int | None, stop: int | None, second: int = NOON + 60) -> Event:
    """Return a correction of the session `s`."""
    start_at, stop_at = (None if each is None else each * SECOND for each in (start, stop))
    return event("correction", second, SessionCorrected("s", "agent", start_at, stop_at, "why"))


def minutes(redis: Any) -> int:
    """Return the thousandths of minutes that were counted around noon."""
    return read(redis, "acme", SLOT - 96, SLOT + 96).totals.get("call.minutes", 0)


def test_a_void_is_listed_until_the_event_is_there(server: Any, redis: Any) -> None:
    """[void]      pending, minus 7
    [void][event]  neither
    """
    write(server.url, in_order([void_of("a", call(7)), void_of("b", call(7))]))
    rollups = Rollups.live(redis)
    assert (minutes(redis), count_pending(rollups, "acme")) == (-7, 1)
    [pending] = pending_voids(rollups, "acme")
    assert (pending.type, pending.source, pending.id) == ("usage.call.minutes", "test", "7")
    assert (pending.time, pending.amounts) == (NOON * SECOND, {"call.minutes": 7})
    assert (pending.reason, pending.actor, pending.void_id) == ("reason a", "ops", "void-a")
    write(server.url, in_order([call(7)], "other/0"))
    assert (minutes(redis), count_pending(rollups, "acme")) == (0, 0)
    assert list(pending_voids(rollups, "acme")) == []
    assert redis.hlen(VOIDS) == 1


def test_a_thousand_voids_of_one_micro_batch_are_exact(server: Any, redis: Any) -> None:
    """Which are more than one script takes; half of them come before their events."""
    calls = [call(number) for number in range(1, 1001)]
    voids = [void_of(each.id, each) for each in calls]
    write(server.url, in_order([*calls[:500], *voids]))
    assert minutes(redis) == -sum(range(501, 1001))
    assert count_pending(Rollups.live(redis), "acme") == 500
    write(server.url, in_order(calls, "again/0"))
    assert (minutes(redis), count_pending(Rollups.live(redis), "acme")) == (0, 0)


def test_long_names_and_any_character_are_kept(server: Any, redis: Any) -> None:
    """Names of kilobytes, quotes, other scripts; and the order is that of their code points."""
    original = Event("/ä🛟" * 900, '"\\' * 900, "acme", NOON * SECOND, CallMinutes(1))
    named = OriginalEvent(original.source, original.id, original.time, original.data)
    voids = [
        Event(source, "v", "acme", NOON * SECOND, EventVoided(named, source[:10]))
        for source in ("🛟", "é" * 3, "z", "éé")
    ]
    write(server.url, in_order(voids))
    [pending] = pending_voids(Rollups.live(redis), "acme")
    assert (pending.source, pending.id) == (original.source, original.id)
    assert pending.void_source == "z"
    write(server.url, in_order([Event("Z", "v", "acme", NOON * SECOND, voids[0].data)], "b/0"))
    [pending] = pending_voids(Rollups.live(redis), "acme")
    assert (pending.void_source, minutes(redis)) == ("Z", -1)


def sealing(server: Any, *events: Event, then: tuple[Event, ...]) -> list[str]:
    """Apply *events*, seal everything, and return which of *then* are refused after that."""

    async def run() -> list[str]:
        async with writing(server.url) as writer:
            now = NOON + 120
            writer.clock = lambda: now
            placed = [OffsetEvent(number, each) for number, each in enumerate(events)]
            assert await deliver(writer, "t/0", placed) == []
            now += SEALED_AFTER + 1
            assert await writer.seal(["acme"], now) > 0
            placed = [OffsetEvent(100 + number, each) for number, each in enumerate(then)]
            return [item.event.id for item in await deliver(writer, "t/0", placed)]

    return asyncio.run(run())


def test_sealing_drops_what_only_a_later_void_would_need(server: Any, redis: Any) -> None:
    """What is pending stays in the sums, and listed; nothing of the day is voided any more."""
    refused = sealing(
        server,
        call(5), void_of("5", call(5)), void_of("7", call(7)), call(11),
        then=(void_of("again", call(5)), call(7), void_of("11", call(11))),
    )  # fmt: skip
    assert refused == ["void-again", "7", "void-11"]
    assert not redis.exists(VOIDS)
    assert (minutes(redis), redis.hlen(PENDING)) == (4, 1)
    assert count_pending(Rollups.live(redis), "acme") == 1


def test_a_corrected_session_is_remembered_as_long_as_a_day_of_it_is_open(
    server: Any, redis: Any
) -> None:
    """A removed one too: its start, sent under another id, does not bring it back."""

    def level(writer: Writer) -> int:
        return read(redis, "acme", SLOT, SLOT + 1).curves["agent"].nets[0]

    async def run() -> None:
        async with writing(server.url) as writer:
            now = NOON + 120
            writer.clock = lambda: now
            first = [event("a", NOON, SessionStarted("s", "agent")), corrected(None, None)]
            await deliver(writer, "t/0", [OffsetEvent(n, each) for n, each in enumerate(first)])
            again = [event("b", NOON + 1, SessionStarted("s", "agent"))]
            await deliver(writer, "t/0", [OffsetEvent(7, each) for each in again])
            assert level(writer) == 0
            assert redis.hget("u:{acme}", "z") == b"1"
            now += SEALED_AFTER + 1
            await writer.seal(["acme"], now)
            assert redis.hget("u:{acme}", "z") is None

    asyncio.run(run())


def test_a_correction_is_refused_whole_where_one_of_two_days_is_sealed(
    server: Any, redis: Any
) -> None:
    """s [day 0 (sealed) --- day 3 (open)): neither end moves, and it is not removed."""
    later = NOON + 3 * DAY_SECONDS
    session = [
        event("start", NOON, SessionStarted("s", "agent")),
        event("stop", later, SessionStopped("s", "agent")),
    ]
    corrections = [corrected(None, None, later), corrected(later - 60, later + 60, later)]

    async def run() -> list[int]:
        async with writing(server.url) as writer:
            now = later
            writer.clock = lambda: now
            placed = [OffsetEvent(number, each) for number, each in enumerate(session)]
            await deliver(writer, "t/0", placed)
            now += 30 * DAY_SECONDS
            await deliver(writer, "t/0", [OffsetEvent(7, event("on", later, CallMinutes(1)))])
            now += 6 * DAY_SECONDS
            await writer.seal(["acme"], now)
            before = read(redis, "acme", SLOT, SLOT + 400, by_slot=True)
            placed = [OffsetEvent(8 + number, each) for number, each in enumerate(corrections)]
            refused = [each.offset for each in await deliver(writer, "t/0", placed)]
            assert read(redis, "acme", SLOT, SLOT + 400, by_slot=True) == before
            return refused

    assert asyncio.run(run()) == [8, 9]


def test_a_correction_of_a_forgotten_session_leaves_the_sealed_day(server: Any, redis: Any) -> None:
    """s [day 0 (sealed)): nothing tells it from a new session, so that is what it is on day 40."""
    session = [
        event("start", NOON, SessionStarted("s", "agent")),
        event("stop", NOON + 600, SessionStopped("s", "agent")),
    ]
    later = NOON + 40 * DAY_SECONDS

    async def run() -> list[int]:
        async with writing(server.url) as writer:
            now = NOON + 700
            writer.clock = lambda: now
            placed = [OffsetEvent(number, each) for number, each in enumerate(session)]
            await deliver(writer, "t/0", placed)
            now = later
            await writer.seal(["acme"], now)
            assert redis.hget("u:{acme}", "z") is None
            before = read(redis, "acme", SLOT, SLOT + 96, by_slot=True)
            moved = [OffsetEvent(8, corrected(later - 60, later, later))]
            refused = [each.offset for each in await deliver(writer, "t/0", moved)]
            assert read(redis, "acme", SLOT, SLOT + 96, by_slot=True) == before
            whole = read(redis, "acme", SLOT, later // SLOT_SECONDS + 1)
            assert whole.totals[STARTED["agent"]] == 2
            return refused

    assert asyncio.run(run()) == []


def test_a_backup_has_the_corrections(server: Any, redis: Any) -> None:
    """What is restored takes the same events as what was there."""
    events = [
        call(5), void_of("5", call(5)), void_of("7", call(7)),
        event("start", NOON, SessionStarted("s", "agent")), corrected(NOON, NOON + 60),
    ]  # fmt: skip

    async def run() -> None:
        async with writing(server.url) as writer:
            await writer.check_limits()
            [(fence, placed)] = in_order(events)
            await writer.apply(fence, placed)

    asyncio.run(run())
    with connect(server.url) as client:
        found = [backup.unpack(backup.pack(record)[4:]) for record in backup.records(client)]
        client.flushall()
        backup.restore(client, found)
        rollups = Rollups.live(client)
        assert count_pending(rollups, "acme") == 1
        assert [void.id for void in pending_voids(rollups, "acme")] == ["7"]
        assert client.hlen(rollups.keys.voids("acme", block_of(DAY))) == 1
        sessions = client.hgetall(rollups.keys.sessions("acme", 0))
        assert [len(record) for record in sessions.values()] == [34]
