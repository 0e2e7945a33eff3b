"""Sealing: 35 days after its last change a day keeps its sums, and drops what a change needs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.client import Redis

from interaction_usage.store import keys
from interaction_usage.store.reads import Position
from interaction_usage.store.writer import Writer
from rollups.events import Event, FlowRun, SessionStarted, SessionStopped, SmsSent
from rollups.fold import MOST_EVENTS, SEALED_AFTER, OffsetEvent, halves, stretches
from rollups.timestamps import SECOND
from rollups.watermark import CaughtUp
from tests.rollups.drawing import NOON
from tests.store.redis_side import DAY, deliver, read, writing
from tests.support import reference_model
from tests.support.examples import examples

D = 86_400
NOW = NOON + 500 * D  # on the clock, as the first event is read
SLOT = NOON // 900


def event(name: str, second: int, data: Any) -> Event:
    """Return an event of acme."""
    return Event("test", name, "acme", second * SECOND, data)


def sms(name: str, second: int = NOON) -> Event:
    """Return an SMS of acme."""
    return event(name, second, SmsSent())


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Return the second it is."""
        return self.now


def with_writer(server: Any, act: Callable[[Writer, Clock], Awaitable[Any]]) -> Any:
    """Return what *act* gives with a writer to *server*, and its clock."""

    async def run() -> Any:
        async with writing(server.url) as writer:
            writer.clock = clock = Clock()
            return await act(writer, clock)

    return asyncio.run(run())


def refused(server: Any, answer: list[tuple[Event, int]], batch: int = 100) -> list[int]:
    """Return which of *reported*, (event, days after the first), are refused; by the rule, too.

    What is due is sealed before each event.
    """
    placed = [OffsetEvent(i, what) for i, (what, _) in enumerate(answer)]
    rule: dict[str, reference_model.Account] = {}
    by_rule: list[int] = []

    async def act(writer: Writer, clock: Clock) -> list[int]:
        by_script = []
        at = 0
        while at < len(placed):
            clock.now = NOW + answer[at][1] * D
            await writer.seal(["acme"], clock.now)
            for account in rule.values():
                account.seal(clock.now - SEALED_AFTER, DAY)
            together = [i for i in range(at, len(placed)) if answer[i][1] == answer[at][1]][:batch]
            piece = placed[at : at + len(together)]
            by_script += [item.offset for item in await deliver(writer, "t/0", piece)]
            gone = reference_model.apply_events(rule, "t/0", piece, DAY, clock.now)
            by_rule.extend(item.offset for item in gone)
            at += len(together)
        return by_script

    by_script: list[int] = with_writer(server, act)
    assert by_script == by_rule
    return by_script


STARTS = SessionStarted("s", "agent")
STOPS = SessionStopped("s", "agent")


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        # applied [0 -- 35 d) open, then sealed
        ([(sms("a"), 0), (sms("b"), 34), (sms("c"), 69)], [2]),
        ([(sms("a"), 0), (sms("b"), 35)], [1]),
        # each event keeps its day open for another 35 days
        ([(sms("a"), 0), (sms("b"), 30), (sms("c"), 60), (sms("d"), 90)], []),
        # a refused event keeps nothing open
        ([(sms("a"), 0), (sms("b"), 36), (sms("c"), 37)], [1, 2]),
        # a day that was never touched takes events of any age
        ([(sms("a"), 0), (sms("b", NOON - 400 * D), 90)], []),
        # a repeat keeps nothing open, and is refused once its day is sealed
        ([(sms("a"), 0), (sms("a"), 20), (sms("b"), 36), (sms("a"), 40)], [2, 3]),
        # other days are other days, also in the midst of a batch
        ([(sms("a"), 0), (sms("b", NOON + 40 * D), 40), (sms("c"), 40), (sms("d"), 40)], [2, 3]),
        # a start, long after it a stop: the session was forgotten with its days, so nothing changes
        ([(event("a", NOON, STARTS), 0), (event("b", NOON + 40 * D, STOPS), 40)], []),
        # the same, but the day of the inferred end was kept open: refused, for the sealed day of
        # its start says that this session has no stop
        (
            [
                *((event("a", NOON, STARTS), 0), (sms("b", NOON + D), 20)),
                (event("c", NOON + 40 * D, STOPS), 40),
            ],
            [2],
        ),
        # a stop within the 35 days keeps the day of the start open, and so does not come too late
        (
            [
                *((event("a", NOON, STARTS), 0), (event("b", NOON + D, STOPS), 30)),
                (sms("c"), 60),
            ],
            [],
        ),
        # the day of its stop was kept open, that of its start was not: an earlier start is refused
        (
            [
                *((event("a", NOON, STARTS), 0), (event("b", NOON + 3 * D, STOPS), 0)),
                *((sms("c", NOON + 3 * D), 20), (event("d", NOON - 3 * D, STARTS), 40)),
            ],
            [3],
        ),
        # a start whose inferred end lies in a sealed day, though its own day is new
        ([(sms("a"), 0), (event("b", NOON - D, STARTS), 40)], [1]),
    ],
)
def test_an_event_for_a_sealed_day_is_refused(
    server: Any, redis: Redis, answer: list[tuple[Event, int]], gone: list[int], batch: int
) -> None:
    """However the records are cut into batches, and by the worker's clock alone."""
    assert refused(server, answer, batch) == gone


def keys_of(redis: Redis, kind: str) -> int:
    """Return how many keys of that kind acme has."""
    return len(list(redis.scan_iter(f"u:{{acme}}:{kind}:*", count=1000)))


def test_a_sealed_day_reads_the_same_and_keeps_only_the_sums(server: Any, redis: Redis) -> None:
    """Deltas, identities and sessions go; (net, rise) and counters stay."""
    events = [
        *(event(f"a{n}", NOON + 60 * n, SessionStarted(f"s{n}", "agent")) for n in range(300)),
        *(event(f"o{n}", NOON + 90 * n, SessionStopped(f"s{n}", "agent")) for n in range(200)),
        *(event(f"f{n}", NOON + 50 * n, FlowRun("f", "mobile-web")) for n in range(300)),
    ]
    placed = [OffsetEvent(offset, what) for offset, what in enumerate(events)]

    async def act(writer: Writer, clock: Clock) -> list[int]:
        await writer.apply("t/0", placed)
        before = report()
        due = NOW + SEALED_AFTER
        sealed = [await writer.seal(["acme"], second) for second in (due - 1, due, due, due + D)]
        assert report() == before
        return sealed

    def report() -> Any:
        return read(redis, "acme", SLOT - 96, SLOT + 300, by_slot=True, flows=True)

    # two days of events, and the day in which the sessions without a stop end
    assert with_writer(server, act) == [0, 2, 0, 0]
    assert {kind: keys_of(redis, kind) for kind in "xizd"} == dict.fromkeys("xizd", 0)
    assert sorted(redis.hkeys("u:{acme}")) == [b"f:t/0", b"k:647", b"s:647"]


def test_what_one_open_day_needs_is_kept(server: Any, redis: Redis) -> None:
    """Sessions that reach into it, and the identities of its block of days; the rest goes."""
    stops_b = SessionStopped("b", "agent")
    # days:  NOON: a [x----x)   b [x------------- NOON + 2 d: click, kept open
    placed = [
        OffsetEvent(offset, what)
        for offset, what in enumerate(
            [
                event("1", NOON, SessionStarted("a", "agent")),
                event("2", NOON + 60, SessionStopped("a", "agent")),
                event("3", NOON, SessionStarted("b", "agent")),
                event("4", NOON + 2 * D, SessionStopped("b", "agent")),
                sms("5", NOON - 40 * D),
            ]
        )
    ]

    async def act(writer: Writer, clock: Clock) -> None:
        await writer.apply("t/0", placed)
        clock.now += 20 * D
        await writer.apply("t/0", [OffsetEvent(5, sms("6", NOON + 2 * D))])
        await writer.seal(["acme"], NOW + SEALED_AFTER)
        assert sum(map(redis.hlen, redis.scan_iter("u:{acme}:z:*", count=1000))) == 1
        assert sum(map(redis.scard, redis.scan_iter("u:{acme}:i:*", count=1000))) == 5
        # b is known still: another stop, an earlier one, moves its end
        at = NOON + D + 60
        found = [
            await deliver(writer, "t/0", [OffsetEvent(6, event("7", NOON + 2 * D - 60, stops_b))]),
            await deliver(writer, "t/0", [OffsetEvent(7, event("8", at, stops_b))]),
        ]
        assert [len(entry) for entry in found] == [0, 1]  # the day between is sealed: b's old end

    with_writer(server, act)
    curve = read(redis, "acme", SLOT, SLOT + 300).curves["agent"]
    assert [place for place, net in enumerate(curve.nets) if net] == [0, 191]


@given(st.data())
@settings(deadline=None, max_examples=examples(25))
def test_forgetting_sessions_loses_none_that_is_needed(server: Any, data: st.DataObject) -> None:
    """Tables shrink bucket by bucket; what is left is found, and grows again."""
    count = data.draw(st.integers(1, 900))
    kept = data.draw(st.integers(0, count))
    more = data.draw(st.integers(0, 300))
    starts = [event(f"a{n}", NOON + n, SessionStarted(f"s{n}", "agent")) for n in range(count)]
    stops = [
        event(f"o{n}", NOON + (9 * D if n < kept else 2 * n + 1), SessionStopped(f"s{n}", "agent"))
        for n in range(count)
    ]
    late = [event(f"l{n}", NOON + 9 * D - 1, SessionStopped(f"s{n}", "agent")) for n in range(kept)]
    new = [event(f"n{n}", NOON + 9 * D, SessionStarted(f"t{n}", "agent")) for n in range(more)]

    async def act(writer: Writer, clock: Clock) -> tuple[int, int]:
        for key in [key async for key in writer.nodes.of("acme").redis.scan_iter("u:{acme}*")]:
            await writer.nodes.of("acme").redis.unlink(key)
        await writer.apply("t/0", [OffsetEvent(n, what) for n, what in enumerate(starts + stops)])
        clock.now += 20 * D
        keep_open = [sms("open", NOON + 9 * D)] if kept else []
        await writer.apply("t/1", [OffsetEvent(n, what) for n, what in enumerate(keep_open)])
        await writer.seal(["acme"], NOW + SEALED_AFTER)
        client = writer.nodes.of("acme").redis
        left = int(await client.hget("u:{acme}", "z") or 0)
        buckets = int(await client.hget("u:{acme}", "zb") or 1)
        assert buckets <= max(1, -(-left // 40))
        await writer.apply("t/2", [OffsetEvent(n, what) for n, what in enumerate([*late, *new])])
        return left, int(await client.hget("u:{acme}", "z") or 0)

    assert with_writer(server, act) == (kept, kept + more)


def test_a_day_is_closed_before_it_is_packed(server: Any, redis: Redis) -> None:
    """A worker dies in between; what comes then is refused, and the next one seals the day."""

    async def act(writer: Writer, clock: Clock) -> list[Any]:
        await writer.apply("t/0", [OffsetEvent(0, sms("a"))])
        node = writer.nodes.of("acme")
        whole = node.run

        async def dies(connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
            if script == "seal":
                raise OSError("killed")
            return await whole(connection, script, *calls, **more)

        node.run = dies  # type: ignore[method-assign]
        with pytest.raises(OSError, match="killed"):
            await writer.seal(["acme"], NOW + SEALED_AFTER)
        node.run = whole  # type: ignore[method-assign]
        assert read(redis, "acme", SLOT, SLOT + 96).totals == {"sms.link": 1}
        found = [len(await deliver(writer, "t/0", [OffsetEvent(1, sms("b"))]))]
        clock.now += 90 * D
        return [*found, await writer.seal(["acme"], NOW)]

    assert with_writer(server, act) == [1, 1]
    assert read(redis, "acme", SLOT, SLOT + 96).totals == {"sms.link": 1}
    assert keys_of(redis, "d") == 0


def test_two_workers_that_seal_one_account_lose_nothing(server: Any, redis: Redis) -> None:
    """Each packs what it read; the second sees that the block's string is another one by then."""
    placed = [OffsetEvent(n, sms(str(n), NOON + n * D)) for n in range(60)]

    async def act(writer: Writer, clock: Clock) -> int:
        await writer.apply("t/0", placed)
        async with writing(server.url) as other:
            pair = (it.seal(["acme"], NOW + SEALED_AFTER) for it in (writer, other))
            return sum(await asyncio.gather(*pair))

    assert with_writer(server, act) == 60
    assert read(redis, "acme", SLOT - 96, SLOT + 70 * 96).totals == {"sms.link": 60}
    assert (keys_of(redis, "d"), keys_of(redis, "i")) == (0, 0)


def test_nothing_is_sealed_while_the_rollups_are_rebuilt(server: Any, redis: Redis) -> None:
    """The new ones take over which days are sealed."""

    async def act(writer: Writer, clock: Clock) -> list[int]:
        await writer.apply("t/0", [OffsetEvent(0, sms("a"))])
        redis.set(keys.REBUILD, "somebody")
        first = await writer.seal(["acme"], NOW + SEALED_AFTER)
        redis.delete(keys.REBUILD)
        return [first, await writer.seal(["acme"], NOW + SEALED_AFTER)]

    assert with_writer(server, act) == [0, 1]


def test_memory_does_not_grow_with_the_months(server: Any, redis: Redis) -> None:
    """The same traffic every day: no more is kept for changes after 200 days than after 130."""
    sizes = []

    async def act(writer: Writer, clock: Clock) -> None:
        for day in range(200):
            clock.now = NOON + day * D
            placed = [
                OffsetEvent(20 * day + n, event(f"{day}-{n}", clock.now + n, data))
                for n in range(20)
                for data in (SessionStarted(f"{day}-{n}", "agent"),)
            ]
            await writer.apply("t/0", placed)
            await writer.seal(["acme"], clock.now)
            sizes.append({kind: keys_of(redis, kind) for kind in "xiz"})

    with_writer(server, act)
    assert sizes[-1] == sizes[-65]  # two blocks of 32 days before
    assert sizes[-1]["x"] <= 39


@pytest.mark.parametrize("first", [10, MOST_EVENTS - 1, MOST_EVENTS, MOST_EVENTS + 1])
def test_a_part_has_so_many_events_at_most(first: int) -> None:
    """More would hold up everybody else in Redis, and Lua hands over no more to a command."""
    placed = list(range(2 * MOST_EVENTS + 1))
    pieces = list(stretches([("a", placed[:first]), ("b", placed[first:])]))
    assert [sum(len(entry) for _, entry in piece) for piece in pieces] == [MOST_EVENTS] * 2 + [1]
    assert [offset for piece in pieces for _, entry in piece for offset in entry] == placed
    assert all(entry for piece in pieces for _, entry in piece)


@pytest.mark.parametrize("sizes", [(2,), (1, 1), (5,), (1, 4), (4, 1), (3, 3, 3)])
def test_halves_keep_the_order_of_each_partition(sizes: tuple[int, ...]) -> None:
    """None is empty, and nothing is lost between them."""
    portions = [(f"t/{name}", list(range(size))) for name, size in enumerate(sizes)]
    first, second = halves(portions)
    assert first
    assert second
    for name, items in portions:
        both = [
            item for half in (first, second) for n, entry in half if n == name for item in entry
        ]
        assert both == items


def test_everything_is_counted_up_to_a_look_that_was_caught_up_with() -> None:
    """[look at 100: ends 10, 20]  [at 200: one is behind]  [at 300: both are there]."""
    caught_up = CaughtUp()
    ends = {"a": (0, 10), "b": (5, 20)}
    caught_up.observe(100, {}, ends)
    assert caught_up.second is None
    caught_up.observe(200, {"a": Position(9), "b": Position(20)}, ends)
    assert caught_up.second is None
    caught_up.observe(300, {"a": Position(10), "b": Position(20)}, {"a": (0, 99), "b": (5, 99)})
    assert caught_up.second == 100
    caught_up.observe(400, {"a": Position(98), "b": Position(99)}, {"a": (0, 999), "b": (5, 999)})
    assert caught_up.second == 100
    # what Kafka deleted will not come, and a topic that is no more has nothing to come
    caught_up.observe(500, {"a": Position(98)}, {"a": (99, 999)})
    assert caught_up.second == 300
