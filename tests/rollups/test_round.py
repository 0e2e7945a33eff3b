"""Rounds of batches of several topic-partitions: each event once, also where a run breaks off."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from delivery import Batches, in_order, tangled
from drawing import ACCOUNTS, NOON, sets_of_events
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.client import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis_side import DAY, laid_open, read, write, writing

from rollups.events import Event, SmsSent
from rollups.fold import MOST_EVENTS, SEALED_AFTER, Placed
from rollups.instants import SECOND
from rollups.writer import Applied, Taken, Writer
from servers.redis_server import RedisServer, redis_server

NOON_SLOT = NOON // 900
#: A record of the time of the events, and one for which their day is sealed.
THEN, LATE = NOON + 60, NOON + 60 + SEALED_AFTER


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Yield one server: these tests break off what is said to it, step by step."""
    with redis_server(flavour=request.param) as running:
        yield running


def sms(number: object, account: str = "acme") -> Event:
    """Return an SMS of *account* with an identity of its own."""
    return Event("test", str(number), account, NOON * SECOND, SmsSent())


def log(*events: Event, first: int = 0, recorded: int = THEN) -> list[Placed]:
    """Place *events* at offsets from *first* on."""
    return [Placed(first + i, event, recorded) for i, event in enumerate(events)]


def messages(redis: Redis, account: str = "acme") -> int:
    """Return how many SMS were counted around noon."""
    return read(redis, account, NOON_SLOT - 96, NOON_SLOT + 96).totals.get("sms.link", 0)


def with_writer(url: str, act: Callable[[Writer], Coroutine[Any, Any, Any]]) -> Any:
    """Run *act* with a writer that has just started."""

    async def run() -> Any:
        async with writing(url) as writer:
            return await act(writer)

    return asyncio.run(run())


def run_round(url: str, *batches: Taken) -> list[Applied]:
    """Apply *batches* in one round."""

    async def act(writer: Writer) -> list[Applied]:
        return await writer.round(batches).run()

    applied: list[Applied] = with_writer(url, act)
    return applied


def rounds_of(batches: Batches, seed: int) -> list[list[Taken]]:
    """Put *batches* together in rounds at random, no partition twice in one, in their order."""
    rng, rounds = Random(seed), list[list[Taken]]()
    for fence, placed in batches:
        its = Taken(fence, placed, placed[-1].offset + 1, placed[-1].recorded)
        if rounds and fence not in {one.fence for one in rounds[-1]} and rng.random() < 0.8:
            rounds[-1].append(its)
        else:
            rounds.append([its])
    return rounds


@given(sets_of_events(), st.integers(0, 1 << 32))
@settings(deadline=None, max_examples=60)
def test_rounds_of_any_batches_are_as_each_event_once(
    server: Any, events: list[Event], seed: int
) -> None:
    """Shuffled, repeated, spread over partitions, cut anyhow and put together anyhow."""
    with Redis.from_url(server.url) as redis:
        redis.flushall()
        write(server.url, in_order(events))
        expected = [laid_open(redis, account) for account in ACCOUNTS]
        redis.flushall()
        batches = tangled(events, seed)

        async def act(writer: Writer) -> None:
            for its in rounds_of(batches, seed):
                await writer.round(its).run()

        with_writer(server.url, act)
        assert [laid_open(redis, account) for account in ACCOUNTS] == expected
        reached: dict[str, int] = {}
        for fence, placed in batches:
            reached[fence] = max(reached.get(fence, 0), placed[-1].offset + 1)
        stored = redis.hgetall("u:position")
        assert {name.decode(): int(told.split()[0]) for name, told in stored.items()} == reached


def test_a_repeat_in_another_partition_of_the_round_counts_once(server: Any, redis: Redis) -> None:
    """a: [x][y]  b: [y][x], at once."""
    x, y = sms("x"), sms("y")
    run_round(server.url, Taken("a/0", log(x, y), 2), Taken("b/0", log(y, x), 2))
    assert messages(redis) == 2


def test_a_batch_with_a_held_event_is_counted_up_to_it_and_the_others_move(
    server: Any, redis: Redis
) -> None:
    """a: [fine][sealed][fine]  b: [fine], of one account; a's rest would be lost otherwise."""
    run_round(server.url, Taken("a/0", log(sms("first")), 1, THEN))
    late = [sms("on its way"), sms("late"), sms("later", "other")]
    batches = (
        Taken("a/0", log(late[0], first=1) + log(*late[1:], first=2, recorded=LATE), 4, LATE),
        Taken("b/0", log(sms("other")), 1, THEN),
    )
    held, fine = run_round(server.url, *batches)
    assert [item.placed.event.id for item in held.held] == ["late"]
    assert held.held[0].since == LATE
    assert fine.held == ()
    assert redis.hgetall("u:position") == {b"a/0": b"2 %d" % LATE, b"b/0": b"1 %d" % THEN}
    assert messages(redis) == 3


def test_a_round_in_which_redis_refuses_moves_no_position(server: Any, redis: Redis) -> None:
    """One account cannot be written; a position behind it would lose its events."""
    redis.set("u:{bad}", "no hash")

    async def act(writer: Writer) -> None:
        its = writer.round([Taken("a/0", log(sms(1), sms(2, "bad")), 2)])
        with pytest.raises(Exception, match="WRONGTYPE"):
            await its.run()
        assert not redis.exists("u:position")
        redis.delete("u:{bad}")
        await its.run()

    with_writer(server.url, act)
    assert (messages(redis), messages(redis, "bad")) == (1, 1)
    assert redis.hget("u:position", "a/0") == b"2 "


@pytest.mark.parametrize("events", [1, MOST_EVENTS + 1], ids=["one stretch", "two stretches"])
def test_a_run_that_breaks_off_between_its_steps_is_repeated_whole(
    server: Any, redis: Redis, events: int
) -> None:
    """acme: [stretch][rest], other: [sealed]: the connection ends while `other` is looked at.

    The first stretch of acme is applied by then. The repeat skips it, and must not take that for
    the rest, which would be lost.
    """
    run_round(server.url, Taken("b/0", log(sms("first", "other")), 1, THEN))

    async def act(writer: Writer) -> list[Applied]:
        [node] = writer.nodes.all
        whole = node.run

        async def breaks_once(connection: Any, script: str, *calls: Any) -> list[Any]:
            if calls[0][1][-1] == "ask":
                node.run = whole  # type: ignore[method-assign]
                raise RedisConnectionError("broken on purpose")
            return await whole(connection, script, *calls)

        node.run = breaks_once  # type: ignore[method-assign]
        its = writer.round(
            [
                Taken("a/0", log(*map(sms, range(events))), events, THEN),
                Taken("b/0", log(sms("late", "other"), first=1, recorded=LATE), 2, LATE),
            ]
        )
        with pytest.raises(RedisConnectionError):
            await its.run()
        return await its.run()

    told = with_writer(server.url, act)
    assert messages(redis) == events
    assert [len(its.held) for its in told] == [0, 1]
    assert redis.hget("u:position", "a/0") == b"%d %d" % (events, THEN)


@pytest.mark.parametrize("step", range(4))
def test_a_run_that_breaks_off_anywhere_counts_once_when_repeated(
    server: Any, redis: Redis, step: int
) -> None:
    """The answer to one of its calls is lost, though it was run: apply, apply again, advance."""
    repeats = [sms(number) for number in range(3)]
    run_round(server.url, Taken("c/0", log(*repeats), 3, THEN))

    async def act(writer: Writer) -> list[Applied]:
        [node] = writer.nodes.all
        whole, made = node.run, 0

        async def breaks(connection: Any, script: str, *calls: Any) -> list[Any]:
            nonlocal made
            answers = await whole(connection, script, *calls)
            made += 1
            if made == step + 1:
                raise RedisConnectionError("broken on purpose")
            return answers

        node.run = breaks  # type: ignore[method-assign]
        its = writer.round(
            [
                Taken("a/0", log(*repeats, sms("a"), sms("b", "other")), 5, THEN),
                Taken("b/0", log(sms("c"), sms("a")), 2, THEN),
            ]
        )
        for _ in range(2):
            try:
                return await its.run()
            except RedisConnectionError:
                pass
        pytest.fail("it broke off twice")

    with_writer(server.url, act)
    assert (messages(redis), messages(redis, "other")) == (5, 1)
    assert redis.hget("u:position", "a/0") == b"5 %d" % THEN
    assert redis.hget("u:position", "b/0") == b"2 %d" % THEN


def test_a_repeat_takes_nothing_for_applied_that_redis_told_before_it_lost_it(
    server: Any, redis: Redis
) -> None:
    """[apply][apply again without the repeat] answered, [position] not; then Redis is empty.

    No position was acknowledged, so nothing tells the writer of the loss. It must apply everything
    again: also the repeat, which is known no more.
    """
    run_round(server.url, Taken("c/0", log(sms("repeat")), 1, THEN))

    async def act(writer: Writer) -> list[Applied]:
        [node] = writer.nodes.all
        whole = node.run

        async def dies(connection: Any, script: str, *calls: Any) -> list[Any]:
            if script != "advance":
                return await whole(connection, script, *calls)
            node.run = whole  # type: ignore[method-assign]
            redis.flushall()
            raise RedisConnectionError("broken on purpose")

        node.run = dies  # type: ignore[method-assign]
        its = writer.round([Taken("a/0", log(sms("repeat"), sms("new")), 2, THEN)])
        with pytest.raises(RedisConnectionError):
            await its.run()
        return await its.run()

    with_writer(server.url, act)
    assert redis.hget("u:position", "a/0") == b"2 %d" % THEN
    assert messages(redis) == 2


def test_an_account_is_listed_again_on_a_new_connection(server: Any, redis: Redis) -> None:
    """The list may be lost where the scripts are not: Redis 6.2, and replicas, keep those."""

    async def scene() -> None:
        writer = Writer.of(server.url, DAY, 5.0)
        await writer.prepare()
        await writer.apply("a/0", log(sms(1)))
        redis.delete("u:accounts")
        redis.client_kill_filter(_type="normal", skipme=True)
        for _ in range(3):  # each of the writer's connections breaks once
            with suppress(RedisError):
                await writer.apply("a/0", log(sms(2), first=1))
        await writer.apply("a/0", log(sms(2), first=1))
        await writer.close()

    asyncio.run(scene())
    assert redis.smembers("u:accounts") == {b"acme"}
    assert messages(redis) == 2
