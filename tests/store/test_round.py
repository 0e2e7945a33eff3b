"""Micro-batches of several topic-partitions: each event once, also where a run breaks off."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import nullcontext, suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.client import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store import nodes
from interaction_usage.store.errors import LostSecretError
from interaction_usage.store.micro_batch import ApplyResult, PartitionBatch, SealedEvent
from interaction_usage.store.record_layout import ApplyAnswer
from interaction_usage.store.writer import Writer
from rollups.events import Event, SessionStarted, SmsSent
from rollups.fold import MOST_EVENTS, SEALED_AFTER, OffsetEvent
from rollups.timestamps import SECOND
from tests.rollups.delivery import Batches, in_order, tangled
from tests.rollups.drawing import ACCOUNTS, NOON, sets_of_events
from tests.store.redis_side import DAY, laid_open, read, tiny_tables, write, writing
from tests.support.examples import examples

NOON_SLOT = NOON // 900
#: The timestamp of a record.
THEN = NOON + 60


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Yield one server: these tests break off what is said to it, step by step."""
    with redis_server(flavour=request.param) as running:
        yield running


def sms(number: object, account: str = "acme") -> Event:
    """Return an SMS of *account* with an identity of its own."""
    return Event("test", str(number), account, NOON * SECOND, SmsSent())


def log(*events: Event, first: int = 0) -> list[OffsetEvent]:
    """Place *events* at offsets from *first* on."""
    return [OffsetEvent(first + i, event) for i, event in enumerate(events)]


def messages(redis: Redis, account: str = "acme") -> int:
    """Return how many SMS were counted around noon."""
    return read(redis, account, NOON_SLOT - 96, NOON_SLOT + 96).totals.get("sms.link", 0)


def with_writer(url: str, act: Callable[[Writer], Coroutine[Any, Any, Any]]) -> Any:
    """Run *act* with a writer that has just started."""

    async def run() -> Any:
        async with writing(url) as writer:
            return await act(writer)

    return asyncio.run(run())


def run_micro_batch(url: str, *batches: PartitionBatch) -> list[ApplyResult]:
    """Apply *batches* in one micro-batch."""

    async def act(writer: Writer) -> list[ApplyResult]:
        return await writer.micro_batch(batches).run()

    applied: list[ApplyResult] = with_writer(url, act)
    return applied


def micro_batches_of(batches: Batches, seed: int) -> list[list[PartitionBatch]]:
    """Put *batches* into micro-batches at random, no partition twice in one, in order."""
    rng, micro_batches = Random(seed), list[list[PartitionBatch]]()
    for fence, placed in batches:
        batch = PartitionBatch.of(fence, placed, placed[-1].offset + 1)
        if (
            micro_batches
            and fence not in {one.fence for one in micro_batches[-1]}
            and rng.random() < 0.8
        ):
            micro_batches[-1].append(batch)
        else:
            micro_batches.append([batch])
    return micro_batches


@pytest.mark.parametrize("tables", [nullcontext, tiny_tables], ids=["", "tiny tables"])
@given(sets_of_events(), st.integers(0, 1 << 32), st.integers(1, 9))
@settings(deadline=None, max_examples=examples(60))
def test_micro_batches_of_any_batches_are_as_each_event_once(
    server: Any, tables: Any, events: list[Event], seed: int, size: int
) -> None:
    """Shuffled, repeated, spread over partitions, cut anyhow and put together anyhow."""
    with Redis.from_url(server.url) as redis, tables():
        redis.flushall()
        write(server.url, in_order(events))
        expected = [laid_open(redis, account) for account in ACCOUNTS]
        redis.flushall()
        batches = tangled(events, seed)

        async def act(writer: Writer) -> None:
            for batches_of_one in micro_batches_of(batches, seed):
                writer.delta_sizes.limits = dict.fromkeys(ACCOUNTS, size)
                await writer.micro_batch(batches_of_one).run()

        with_writer(server.url, act)
        assert [laid_open(redis, account) for account in ACCOUNTS] == expected
        reached: dict[str, int] = {}
        for fence, placed in batches:
            reached[fence] = max(reached.get(fence, 0), placed[-1].offset + 1)
        stored = redis.hgetall("u:position")
        assert {name.decode(): int(answer.split()[0]) for name, answer in stored.items()} == reached


def test_a_repeat_in_another_partition_of_the_micro_batch_counts_once(
    server: Any, redis: Redis
) -> None:
    """a: [x][y]  b: [y][x], at once."""
    x, y = sms("x"), sms("y")
    first, _ = run_micro_batch(
        server.url, PartitionBatch.of("a/0", log(x, y), 2), PartitionBatch.of("b/0", log(y, x), 2)
    )
    assert messages(redis) == 2
    assert first.duplicates == 2


def test_duplicates_are_those_of_the_micro_batch_and_of_earlier_ones(
    server: Any, redis: Redis
) -> None:
    """a: [x] before; then a: [x][y][y][z], of which two are; what is read again is none."""
    x, y, z = sms("x"), sms("y"), sms("z")
    run_micro_batch(server.url, PartitionBatch.of("a/0", log(x), 1))
    batch = PartitionBatch.of("a/0", log(x, y, y, z, first=1), 5)
    assert run_micro_batch(server.url, batch)[0].duplicates == 2
    assert run_micro_batch(server.url, batch)[0].duplicates == 0
    assert messages(redis) == 3


async def seal_everything(writer: Writer, *accounts: str) -> None:
    """Seal all days there are."""
    await writer.seal(accounts, int(writer.clock()) + 2 * SEALED_AFTER)


def test_what_is_for_a_sealed_day_is_refused_before_anything_behind_it_is_written(
    server: Any, redis: Redis
) -> None:
    """a: [fine][sealed][fine]  b: [fine][sealed], all of one account but for the last of a.

    The fences pass over what is refused; so until that is on record, they stay where they are.
    """
    run_micro_batch(server.url, PartitionBatch.of("a/0", log(sms("first")), 1, THEN))
    tomorrow = Event("test", "tomorrow", "acme", (NOON + 86_400) * SECOND, SmsSent())
    seen: list[tuple[str, int]] = []

    async def refuse(sealed: Sequence[SealedEvent]) -> None:
        seen.extend((fence, item.offset) for fence, item in sealed)
        assert redis.hget("u:{acme}", "f:a/0") == b"0"
        assert redis.hget("u:position", "a/0").split()[0] == b"1"

    async def act(writer: Writer) -> list[ApplyResult]:
        await seal_everything(writer, "acme")
        batches = (
            PartitionBatch.of(
                "a/0", log(tomorrow, sms("late"), sms("other", "other"), first=1), 4, THEN
            ),
            PartitionBatch.of("b/0", log(tomorrow, sms("late")), 2, THEN),
        )
        return await writer.micro_batch(batches).run(refuse)

    assert with_writer(server.url, act) == [ApplyResult(3, 1, 1), ApplyResult(2, 1, 1)]
    assert sorted(seen) == [("a/0", 2), ("b/0", 1)]
    assert redis.hgetall("u:position") == {b"a/0": b"4 %d" % THEN, b"b/0": b"2 %d" % THEN}
    assert read(redis, "acme", NOON_SLOT - 96, NOON_SLOT + 192).totals == {"sms.link": 2}
    assert messages(redis, "other") == 1


def test_where_it_cannot_be_refused_nothing_behind_it_is_written(server: Any, redis: Redis) -> None:
    """Kafka is away, or the assignment is over; the repeat refuses it again."""
    run_micro_batch(server.url, PartitionBatch.of("a/0", log(sms("first")), 1, THEN))
    tomorrow = Event("test", "tomorrow", "acme", (NOON + 86_400) * SECOND, SmsSent())
    seen = []

    async def fails_once(sealed: Sequence[SealedEvent]) -> None:
        seen.append(len(sealed))
        if len(seen) == 1:
            raise OSError("broken on purpose")

    async def act(writer: Writer) -> None:
        await seal_everything(writer, "acme")
        micro_batch = writer.micro_batch(
            [PartitionBatch.of("a/0", log(sms("late"), tomorrow, first=1), 3, THEN)]
        )
        with pytest.raises(OSError, match="on purpose"):
            await micro_batch.run(fails_once)
        assert redis.hget("u:{acme}", "f:a/0") == b"0"
        assert redis.hget("u:position", "a/0") == b"1 %d" % THEN
        await micro_batch.run(fails_once)

    with_writer(server.url, act)
    assert seen == [1, 1]
    assert redis.hget("u:position", "a/0") == b"3 %d" % THEN
    assert read(redis, "acme", NOON_SLOT, NOON_SLOT + 192).totals == {"sms.link": 2}


def test_a_timestamp_ahead_of_the_clock_is_not_kept(server: Any, redis: Redis) -> None:
    """Microseconds taken for milliseconds: the year 58,000."""
    run_micro_batch(server.url, PartitionBatch.of("a/0", log(sms("first")), 1, 1_791_201_600_000))
    offset, second = redis.hget("u:position", "a/0").split()
    assert (offset, int(second) <= time.time()) == (b"1", True)


def test_a_micro_batch_in_which_redis_refuses_moves_no_position(server: Any, redis: Redis) -> None:
    """One account cannot be written; a position behind it would lose its events."""
    redis.set("u:{bad}", "no hash")

    async def act(writer: Writer) -> None:
        micro_batch = writer.micro_batch([PartitionBatch.of("a/0", log(sms(1), sms(2, "bad")), 2)])
        with pytest.raises(Exception, match="WRONGTYPE"):
            await micro_batch.run()
        assert not redis.exists("u:position")
        redis.delete("u:{bad}")
        await micro_batch.run()

    with_writer(server.url, act)
    assert (messages(redis), messages(redis, "bad")) == (1, 1)
    assert redis.hget("u:position", "a/0") == b"2 "


@pytest.mark.parametrize("events", [1, MOST_EVENTS + 1], ids=["one stretch", "two stretches"])
def test_a_run_that_breaks_off_between_the_steps_is_repeated_whole(
    server: Any, redis: Redis, events: int
) -> None:
    """acme: [stretch][rest], other: [known]: the connection ends before the second call.

    The first stretch of acme is applied by then. The repeat skips it, and must not take that for
    the rest, which would be lost.
    """
    run_micro_batch(server.url, PartitionBatch.of("b/0", log(sms("first", "other")), 1, THEN))

    async def act(writer: Writer) -> None:
        [node] = writer.nodes.all
        whole, made = node.run, 0

        async def breaks_once(connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
            nonlocal made
            made += 1
            if made == 2:
                raise RedisConnectionError("broken on purpose")
            return await whole(connection, script, *calls, **more)

        node.run = breaks_once  # type: ignore[method-assign]
        micro_batch = writer.micro_batch(
            [
                PartitionBatch.of("a/0", log(*map(sms, range(events))), events, THEN),
                PartitionBatch.of("c/0", log(sms("first", "other")), 1, THEN),
            ]
        )
        with pytest.raises(RedisConnectionError):
            await micro_batch.run()
        await micro_batch.run()

    with_writer(server.url, act)
    assert (messages(redis), messages(redis, "other")) == (events, 1)
    assert redis.hget("u:position", "a/0") == b"%d %d" % (events, THEN)


@pytest.mark.parametrize("step", range(4))
def test_a_run_that_breaks_off_anywhere_counts_once_when_repeated(
    server: Any, redis: Redis, step: int
) -> None:
    """The answer to one of its calls is lost, though it was run: apply, apply again, advance."""
    repeats = [sms(number) for number in range(3)]
    run_micro_batch(server.url, PartitionBatch.of("c/0", log(*repeats), 3, THEN))

    async def act(writer: Writer) -> list[ApplyResult]:
        [node] = writer.nodes.all
        whole, made = node.run, 0

        async def breaks(connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
            nonlocal made
            answers = await whole(connection, script, *calls, **more)
            made += 1
            if made == step + 1:
                raise RedisConnectionError("broken on purpose")
            return answers

        node.run = breaks  # type: ignore[method-assign]
        micro_batch = writer.micro_batch(
            [
                PartitionBatch.of("a/0", log(*repeats, sms("a"), sms("b", "other")), 5, THEN),
                PartitionBatch.of("b/0", log(sms("c"), sms("a")), 2, THEN),
            ]
        )
        for _ in range(2):
            try:
                return await micro_batch.run()
            except RedisConnectionError:
                pass
        pytest.fail("it broke off twice")

    with_writer(server.url, act)
    assert (messages(redis), messages(redis, "other")) == (5, 1)
    assert redis.hget("u:position", "a/0") == b"5 %d" % THEN
    assert redis.hget("u:position", "b/0") == b"2 %d" % THEN


def test_a_repeat_takes_nothing_for_applied_that_redis_reported_before_it_lost_it(
    server: Any, redis: Redis
) -> None:
    """[apply][apply again without the repeat] answered, [position] not; then Redis is empty.

    No position was acknowledged; that the secret is gone tells of the loss. Everything is applied
    again, hashed again: also the repeat, which is known no more.
    """
    run_micro_batch(server.url, PartitionBatch.of("c/0", log(sms("repeat")), 1, THEN))

    async def act(writer: Writer) -> list[ApplyResult]:
        [node] = writer.nodes.all
        whole = node.run

        async def dies(connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
            if script != "advance":
                return await whole(connection, script, *calls, **more)
            node.run = whole  # type: ignore[method-assign]
            redis.flushall()
            raise RedisConnectionError("broken on purpose")

        node.run = dies  # type: ignore[method-assign]
        micro_batch = writer.micro_batch(
            [PartitionBatch.of("a/0", log(sms("repeat"), sms("new")), 2, THEN)]
        )
        with pytest.raises(RedisConnectionError):
            await micro_batch.run()
        with pytest.raises(LostSecretError):
            await micro_batch.run()
        await writer.begin(["a/0"])
        return await micro_batch.run()

    with_writer(server.url, act)
    assert redis.hget("u:position", "a/0") == b"2 %d" % THEN
    assert messages(redis) == 2


@pytest.mark.parametrize("size", [9, 2, 1])
def test_a_micro_batch_takes_two_round_trips(server: Any, redis: Redis, size: int) -> None:
    """One for its accounts, which lists the new ones on the way, and one for the positions.

    However many deltas an account has.
    """
    trips: list[list[str]] = []

    async def scene() -> None:
        writer = Writer.of(server.url, DAY, 5.0, clock=time.time)
        await writer.prepare()
        writer.delta_sizes.limits["acme"] = size
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nodes, "execute", noting(nodes.execute))
            await writer.apply("a/0", log(*map(sms, range(4)), sms(4, "other")), ends=5)
        await writer.close()

    def noting(execute: Any) -> Any:
        async def noted(connection: Any, *commands: Any, **options: Any) -> Any:
            trips.append([command[0] for command in commands])
            return await execute(connection, *commands, **options)

        return noted

    asyncio.run(scene())
    assert trips == [["SADD", *["EVALSHA"] * (-(-4 // size) + 1)], ["EVALSHA"]]
    assert redis.smembers("u:accounts") == {b"acme", b"other"}
    assert (messages(redis), messages(redis, "other")) == (4, 1)


def test_behind_what_was_not_applied_nothing_is(server: Any, redis: Redis) -> None:
    """a: [0][1][2][3][4][5] in deltas of two, sent at once; 2 and 5 are known from before.

    [2][3] is answered with what is known. If [4][5] were applied then, its fence would pass over 3,
    and 3 would be skipped. That 5 is known is answered already.
    """
    run_micro_batch(server.url, PartitionBatch.of("b/0", log(sms(2), sms(5)), 2))
    seen = []

    async def act(writer: Writer) -> list[ApplyResult]:
        [node] = writer.nodes.all
        whole = node.run

        async def noted(connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
            answers = await whole(connection, script, *calls, **more)
            if script == "apply":
                codes = [ApplyAnswer(answer[0]).name for answer in answers]
                seen.append((codes, redis.hget("u:{acme}", "f:a/0"), messages(redis)))
            return answers

        node.run = noted  # type: ignore[method-assign]
        writer.delta_sizes.limits["acme"] = 2
        batch = PartitionBatch.of("a/0", log(*map(sms, range(6)), sms(6)), 7)
        return await writer.micro_batch([batch]).run()

    assert with_writer(server.url, act)[0].duplicates == 2
    assert seen == [
        (["APPLIED", "KNOWN", "KNOWN", "TOO_EARLY"], b"1", 4),
        (["APPLIED", "APPLIED", "APPLIED"], b"6", 7),
    ]


def test_of_a_delta_with_a_duplicate_no_identity_is_left(server: Any, redis: Redis) -> None:
    """Whatever bucket it is in."""
    with tiny_tables():
        run_micro_batch(server.url, PartitionBatch.of("b/0", log(*map(sms, range(40))), 40))
        before = laid_open(redis, "acme")

        async def act(writer: Writer) -> None:
            [node] = writer.nodes.all
            whole = node.run

            async def looks(connection: Any, script: str, *calls: Any, **more: Any) -> list[Any]:
                answers = await whole(connection, script, *calls, **more)
                if script == "apply" and answers[0][0] == ApplyAnswer.KNOWN:
                    assert len(answers[0]) == 3
                    assert laid_open(redis, "acme") == before
                return answers

            node.run = looks  # type: ignore[method-assign]
            events = log(*map(sms, range(20, 22)), *map(sms, range(100, 120)))
            [result] = await writer.micro_batch([PartitionBatch.of("a/0", events, 22)]).run()
            assert result.duplicates == 2

        with_writer(server.url, act)
        assert messages(redis) == 60


def test_what_is_behind_too_much_is_cut_as_well(server: Any, redis: Redis) -> None:
    """Sessions in 200 slots, some of which are known: halves are tried, and nothing gets lost."""
    events = [
        Event(
            "test",
            f"s{n}",
            "acme",
            (NOON + 900 * (n % 200)) * SECOND,
            SessionStarted(str(n), "agent"),
        )
        for n in range(900)
    ]
    run_micro_batch(server.url, PartitionBatch.of("b/0", log(*events[::7]), len(events[::7])))

    async def act(writer: Writer) -> list[ApplyResult]:
        writer.delta_sizes.limits["acme"] = 300
        return await writer.micro_batch([PartitionBatch.of("a/0", log(*events), 900)]).run()

    assert with_writer(server.url, act)[0].duplicates == len(events[::7])
    found = read(redis, "acme", NOON_SLOT, NOON_SLOT + 300)
    assert found.totals["sessions.agent"] == 900


def test_an_account_whose_listing_failed_is_listed_with_the_next_try(
    server: Any, redis: Redis
) -> None:
    """Its events may be counted meanwhile, but no position has moved over them."""

    async def act(writer: Writer) -> None:
        redis.set("u:accounts", "no set")
        micro_batch = writer.micro_batch([PartitionBatch.of("a/0", log(sms(1)), 1, THEN)])
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await micro_batch.run()
        assert not redis.hexists("u:position", "a/0")
        redis.delete("u:accounts")
        await micro_batch.run()

    with_writer(server.url, act)
    assert redis.smembers("u:accounts") == {b"acme"}
    assert (messages(redis), redis.hexists("u:position", "a/0")) == (1, True)


def test_an_account_is_listed_again_on_a_new_connection(server: Any, redis: Redis) -> None:
    """The list may be lost where the scripts are not: Redis 6.2, and replicas, keep those."""

    async def scene() -> None:
        writer = Writer.of(server.url, DAY, 5.0, clock=time.time)
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
