"""Sealing: after 35 days without change a day keeps its sums and drops what only a change needs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from delivery import PUBLISHED
from drawing import NOON
from redis.client import Redis
from redis_side import DAY, deliver, read, writing

from rollups import state
from rollups.events import Event, FlowRun, SessionStarted, SessionStopped, SmsSent
from rollups.fold import MOST_EVENTS, SEALED_AFTER, Placed, stretches
from rollups.instants import SECOND
from rollups.reads import Position
from rollups.watermark import complete
from rollups.writer import Writer

D = 86_400
NOW = PUBLISHED + 500 * D  # on the clock
SLOT = NOON // 900


def event(name: str, second: int, data: Any) -> Event:
    """Return an event of acme."""
    return Event("test", name, "acme", second * SECOND, data)


def sms(name: str, second: int = NOON) -> Event:
    """Return an SMS of acme."""
    return event(name, second, SmsSent())


def with_writer(server: Any, act: Callable[[Writer], Awaitable[Any]]) -> Any:
    """Return what *act* gives with a writer to *server*."""

    async def run() -> Any:
        async with writing(server.url) as writer:
            return await act(writer)

    return asyncio.run(run())


def refused(server: Any, told: list[tuple[Event, int]], batch: int = 100) -> list[int]:
    """Return which of *told*, (event, days after the first), are refused; by the rule, too."""
    placed = [Placed(i, what, PUBLISHED + days * D) for i, (what, days) in enumerate(told)]
    pieces = [placed[at : at + batch] for at in range(0, len(placed), batch)]

    async def act(writer: Writer) -> list[Placed]:
        return [item for piece in pieces for item in await deliver(writer, "t/0", piece)]

    by_script = [item.offset for item in with_writer(server, act)]
    accounts: dict[str, state.Account] = {}
    by_rule = [
        item.offset for piece in pieces for item in state.apply_events(accounts, "t/0", piece, DAY)
    ]
    assert by_script == by_rule
    return by_script


STARTS = SessionStarted("s", "agent")
STOPS = SessionStopped("s", "agent")


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize(
    ("told", "gone"),
    [
        # counted [0 -- 35 d) open, then sealed
        ([(sms("a"), 0), (sms("b"), 34), (sms("c"), 69)], [2]),
        ([(sms("a"), 0), (sms("b"), 35)], [1]),
        # each event keeps its day open for another 35 days
        ([(sms("a"), 0), (sms("b"), 30), (sms("c"), 60), (sms("d"), 90)], []),
        # a refused event keeps nothing open
        ([(sms("a"), 0), (sms("b"), 36), (sms("c"), 37)], [1, 2]),
        # a day that was never touched takes events of any age
        ([(sms("a"), 0), (sms("b", NOON - 400 * D), 90)], []),
        # an event told before is known, not refused
        ([(sms("a"), 0), (sms("b"), 20), (sms("a"), 40), (sms("b"), 54)], []),
        # other days are other days, also in the midst of a batch
        ([(sms("a"), 0), (sms("b", NOON + 40 * D), 40), (sms("c"), 40), (sms("d"), 41)], [2, 3]),
        # a start, long after it a stop: the inferred end lies in a sealed day
        ([(event("a", NOON, STARTS), 0), (event("b", NOON + 40 * D, STOPS), 40)], [1]),
        # the same, but the day of the inferred end was kept open
        (
            [
                *((event("a", NOON, STARTS), 0), (sms("b", NOON + D), 20)),
                (event("c", NOON + 40 * D, STOPS), 40),
            ],
            [],
        ),
        # a session that was forgotten: its stop is one whose start has not arrived
        ([(event("a", NOON, STARTS), 0), (event("b", NOON + 90 * D, STOPS), 90)], []),
    ],
)
def test_an_event_for_a_sealed_day_is_refused(
    server: Any, redis: Redis, told: list[tuple[Event, int]], gone: list[int], batch: int
) -> None:
    """However the records are cut into batches, and by the records' own timestamps."""
    assert refused(server, told, batch) == gone


def keys_of(redis: Redis, kind: str) -> int:
    """Return how many keys of that kind acme has."""
    return len(list(redis.scan_iter(f"u:{{acme}}:{kind}:*", count=1000)))


def test_a_sealed_day_reads_the_same_and_keeps_only_its_sums(server: Any, redis: Redis) -> None:
    """Deltas, identities and sessions go; (net, rise) and counters stay."""
    events = [
        *(event(f"a{n}", NOON + 60 * n, SessionStarted(f"s{n}", "agent")) for n in range(300)),
        *(event(f"o{n}", NOON + 90 * n, SessionStopped(f"s{n}", "agent")) for n in range(200)),
        *(event(f"f{n}", NOON + 50 * n, FlowRun("f", "mobile-web")) for n in range(300)),
    ]
    placed = [Placed(offset, what, PUBLISHED) for offset, what in enumerate(events)]

    async def act(writer: Writer) -> list[int]:
        await writer.apply("t/0", placed)
        before = report()
        due = PUBLISHED + SEALED_AFTER
        calls = ((due - 1, NOW), (due, NOW + D), (due, NOW + 2 * D - 1), (due, NOW + 2 * D))
        sealed = [await writer.seal(["acme"], *call) for call in (*calls, (due, NOW + 9 * D))]
        assert report() == before
        assert (keys_of(redis, "x"), keys_of(redis, "d")) == (0, 0)
        assert keys_of(redis, "i") > 0  # of use until the next epoch ends
        for now in (NOW, NOW + D):
            await writer.seal(["acme"], PUBLISHED + 71 * D, now)
        assert report() == before
        return sealed

    def report() -> Any:
        return read(redis, "acme", SLOT - 96, SLOT + 300, by_slot=True, flows=True)

    # two days of events, and the day in which the sessions without a stop end
    assert with_writer(server, act) == [0, 0, 0, 2, 0]
    assert {kind: keys_of(redis, kind) for kind in "xiz"} == {"x": 0, "i": 0, "z": 0}
    assert redis.hkeys("u:{acme}") == [b"f:t/0", b"s:647"]


def test_what_is_sealed_stays_sealed_without_its_keys(server: Any, redis: Redis) -> None:
    """One bit a day is left, which refuses the same as the rule did."""

    async def act(writer: Writer) -> Any:
        await writer.apply("t/0", [Placed(0, sms("a"), PUBLISHED)])
        for now in (NOW, NOW + D):
            await writer.seal(["acme"], PUBLISHED + SEALED_AFTER, now)
        late = Placed(1, sms("b"), PUBLISHED + 50 * D)
        other = Placed(2, sms("c", NOON + D), PUBLISHED + 50 * D)
        return (await writer.apply("t/0", [late, other])).held, late

    held, late = with_writer(server, act)
    assert [(item.placed, item.since) for item in held] == [(late, 0)]


def test_a_day_that_is_touched_is_not_sealed(server: Any, redis: Redis) -> None:
    """A topic is copied from elsewhere with timestamps of long ago, while live traffic goes on."""
    # due at once, by the live records; marked [now ---- touched, marked anew ---- sealed)

    async def act(writer: Writer) -> list[int]:
        sealed = []
        for hours in (0, 20, 40, 60, 83, 84):
            if hours < 80:
                at = PUBLISHED + hours
                await writer.apply("t/0", [Placed(hours, sms(str(hours)), at)])
            sealed.append(await writer.seal(["acme"], PUBLISHED + 400 * D, NOW + hours * 3600))
        return sealed

    assert with_writer(server, act) == [0, 0, 0, 0, 0, 1]


def test_memory_does_not_grow_with_the_months(server: Any, redis: Redis) -> None:
    """The same traffic every day: no more is kept for changes after 200 days than after 130."""
    sizes = []

    async def act(writer: Writer) -> None:
        for day in range(200):
            at = NOON + day * D
            placed = [
                Placed(20 * day + n, event(f"{day}-{n}", at + n, data), at)
                for n in range(20)
                for data in (SessionStarted(f"{day}-{n}", "agent"),)
            ]
            await writer.apply("t/0", placed)
            await writer.seal(["acme"], at, at)
            sizes.append({kind: keys_of(redis, kind) for kind in "xiz"})

    with_writer(server, act)
    assert sizes[-1] == sizes[-71]
    assert sizes[-1]["x"] <= 39


def test_months_of_records_in_one_batch_are_cut(server: Any, redis: Redis) -> None:
    """[0 -- 35 d)[35 d -- ...): no two records of a part could seal a day for each other."""
    days = (0, 10, 34, 35, 36, 80, 10)
    placed = [Placed(i, sms(str(i)), PUBLISHED + day * D) for i, day in enumerate(days)]
    cut = [
        [item.offset for _, its in piece for item in its] for piece in stretches([("t", placed)])
    ]
    assert cut == [[0, 1, 2], [3, 4], [5], [6]]


def test_a_part_of_several_partitions_is_cut_alike(server: Any, redis: Redis) -> None:
    """a: 0, 1 d | 40 d   b: 41 d | 0: each keeps its own order, and no piece spans 35 days."""
    a, b = (
        [Placed(i, sms(f"{name}{i}"), PUBLISHED + day * D) for i, day in enumerate(days)]
        for name, days in (("a", (0, 1, 40)), ("b", (41, 0)))
    )
    cut = [
        [(n, [i.offset for i in its]) for n, its in piece]
        for piece in stretches([("a", a), ("b", b)])
    ]
    assert cut == [[("a", [0, 1])], [("a", [2]), ("b", [0])], [("b", [1])]]


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("first", [10, MOST_EVENTS - 1, MOST_EVENTS, MOST_EVENTS + 1])
def test_a_part_has_so_many_events_at_most(first: int, close: bool) -> None:
    """More would hold up everybody else in Redis, and Lua hands over no more to a command."""
    placed = [Placed(i, sms(str(i)), PUBLISHED) for i in range(2 * MOST_EVENTS + 1)]
    portions = [("a", placed[:first]), ("b", placed[first:])]
    pieces = list(stretches(portions, close=close))
    assert [sum(len(its) for _, its in piece) for piece in pieces] == [MOST_EVENTS] * 2 + [1]
    assert [item for piece in pieces for _, its in piece for item in its] == placed
    assert all(its for piece in pieces for _, its in piece)


@pytest.mark.parametrize(
    ("positions", "upto"),
    [
        ({}, None),
        ({"a": Position(10, 500), "b": Position(20, 700)}, 700),  # none is behind
        ({"a": Position(9, 500), "b": Position(20, 700)}, 500),  # a is
        ({"a": Position(9, 500), "b": Position(19, 400)}, 400),  # both are
        ({"a": Position(10, 500), "b": Position(0)}, None),  # b was never read
        ({"a": Position(10, 500), "b": Position(20, 99_999)}, 1000),  # a wrong clock
    ],
)
def test_up_to_when_everything_is_counted(positions: dict[str, Position], upto: int | None) -> None:
    """No partition that is behind could still bring an earlier record."""
    found = complete(positions, [("a", 0, 10), ("b", 5, 20)], now=1000)
    assert found == upto if upto is not None else found < 0
