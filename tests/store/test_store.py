"""The store's contract, on a real Redis and a real Valkey: the Lua rule is the Python rule."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.client import Redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisError

from interaction_usage.reports.build import Account, build, period
from interaction_usage.store import keys
from interaction_usage.store.address import is_cluster
from interaction_usage.store.client import connect
from interaction_usage.store.errors import (
    LayoutDiffersError,
    LostSecretError,
    LostWritesError,
    SecretMissingError,
    SessionLimitsDifferError,
)
from interaction_usage.store.micro_batch import ApplyResult
from interaction_usage.store.range_assembly import flows_by_slot
from interaction_usage.store.reads import Position, Rollups
from interaction_usage.store.writer import Writer
from rollups.events import CallMinutes, Event, FlowRun, SessionStarted, SessionStopped, SmsSent
from rollups.fold import SEALED_AFTER, OffsetEvent
from rollups.slots import days_touched
from rollups.timestamps import SECOND
from tests.rollups import oracle
from tests.rollups.delivery import Batches, in_order, tangled
from tests.rollups.drawing import ACCOUNTS, NOON, limits, sets_of_events
from tests.store.redis_side import DAY, laid_open, nonempty, read, write, writing
from tests.support import reference_model
from tests.support.examples import examples

NOON_SLOT = NOON // 900  # slot 48 of its UTC day


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Redis]:
    """Yield a client for tests that empty the server once an example, not once a test."""
    with connect(server.url) as connected:
        yield connected


def sms(number: int, second: int = NOON, account: str = "acme") -> Event:
    """Return an SMS of *account* with an identity of its own."""
    return Event("test", str(number), account, second * SECOND, SmsSent())


def log(events: list[Event], first: int = 0) -> list[OffsetEvent]:
    """Place *events* at offsets from *first* on."""
    return [OffsetEvent(first + i, event) for i, event in enumerate(events)]


def messages(redis: Redis, account: str = "acme") -> int:
    """Return how many SMS were counted around noon."""
    return read(redis, account, NOON_SLOT - 96, NOON_SLOT + 96).totals.get("sms.link", 0)


# ------------------------------------------------------------- the Lua rule and the Python rule


@given(st.data(), st.sampled_from([NOON, NOON + 12 * 3600, 0, 1_798_761_600]), limits())
@settings(deadline=None, max_examples=examples(30))
def test_the_script_does_what_the_python_rule_does(
    server: Any, client: Redis, data: st.DataObject, around: int, limits: dict[str, int]
) -> None:
    """After every batch of any delivery, every reading of every account is the same."""
    client.flushall()
    events = data.draw(sets_of_events(around, size=30))
    batches = tangled(events, data.draw(st.integers(0, 2**32)))
    middle = around // 900
    spans = data.draw(
        st.lists(st.tuples(st.integers(-300, 300), st.integers(0, 300)), min_size=1, max_size=3)
    )

    async def run() -> None:
        async with writing(server.url, limits) as writer:
            rule: dict[str, reference_model.Account] = {}
            for fence, placed in batches:
                await writer.apply(fence, placed)
                reference_model.apply_events(rule, fence, placed, limits)
                for first, length in spans:
                    compare(client, rule, middle + first, middle + first + length)
            assert Rollups.live(client).accounts() == sorted(rule)

    asyncio.run(run())


def compare(redis: Redis, rule: dict[str, reference_model.Account], first: int, end: int) -> None:
    """Assert that the store reads as the rule does, and its daily counters as its slots."""
    for name in ACCOUNTS:
        deep = read(redis, name, first, end, by_slot=True, flows=True)
        expected = reference_model.read(rule.get(name, reference_model.Account()), first, end)
        assert nonempty(deep) == nonempty(expected)
        # A pending void may leave amounts that cancel each other.
        sums = {metric: sum(amounts) for metric, amounts in deep.by_slot.items()}
        assert deep.totals == {metric: total for metric, total in sums.items() if total}
        shallow = read(redis, name, first, end)
        assert shallow == deep._replace(by_slot={}, flows={})


@given(sets_of_events(size=40), st.integers(0, 2**32), limits())
@settings(deadline=None, max_examples=examples(20))
def test_what_is_kept_is_canonical(
    server: Any, client: Redis, events: list[Event], seed: int, limits: dict[str, int]
) -> None:
    """Byte for byte the same keys, fields and lists, whatever order the events came in."""
    dumps = []
    for batches in (in_order(events), tangled(events, seed), tangled(events[::-1], seed, batch=1)):
        client.flushall()
        write(server.url, batches, limits)
        dumps.append([laid_open(client, name) for name in ACCOUNTS])
    assert dumps[0] == dumps[1] == dumps[2]


@given(sets_of_events(size=25), st.integers(0, 2**32))
@settings(deadline=None, max_examples=examples(12))
def test_from_the_beginning_into_empty_rollups(
    server: Any, client: Redis, events: list[Event], seed: int
) -> None:
    """The same topics read again change nothing, and rebuild the same after everything is lost."""
    batches = tangled(events, seed)
    dumps: list[Any] = []
    client.flushall()
    for lose in (False, False, True):
        if lose:
            client.flushall()
        write(server.url, batches)
        dumps.append([laid_open(client, name) for name in ACCOUNTS])
    assert dumps[0] == dumps[1] == dumps[2]


@given(sets_of_events(size=25), limits(), st.integers(-300_000, 300_000))
@settings(deadline=None, max_examples=examples(12))
def test_the_level_at_a_second(
    server: Any, client: Redis, events: list[Event], limits: dict[str, int], shift: int
) -> None:
    """How many sessions are present then, counted from their intervals one by one."""
    client.flushall()
    write(server.url, in_order(events), limits)
    edges = [event.time // SECOND + step for event in events[:3] for step in (-1, 0, 1)]
    for name in ACCOUNTS:
        present = oracle.intervals([event for event in events if event.account == name], limits)
        for second in (NOON + shift, *edges):
            expected = {
                curve: sum(
                    start <= second < stop for part in parts for start, stop in present[part]
                )
                for curve, parts in oracle.CURVES.items()
            }
            assert Rollups.live(client).levels(name, second) == expected


# ------------------------------------------------------------------------------------- fences


def test_a_part_below_the_fence_changes_nothing(server: Any, redis: Redis) -> None:
    """The whole batch again, and parts of it."""
    ten = log([sms(n) for n in range(10)])
    write(server.url, [("t/0", ten)])
    once = laid_open(redis, "acme")
    write(server.url, [("t/0", ten), ("t/0", ten[:3]), ("t/0", ten[4:])])
    assert laid_open(redis, "acme") == once
    assert messages(redis) == 10


def test_a_part_that_reaches_over_the_fence_is_folded_again(server: Any, redis: Redis) -> None:
    """Only what lies above the fence is counted; other accounts in the batch are not held up."""
    # applied [0 ---- 5)   again    [3 ---- 9)
    events = [sms(n, account="ab"[n % 2]) for n in range(9)]
    write(server.url, [("t/0", log(events)[:5]), ("t/0", log(events)[3:])])
    assert (messages(redis, "a"), messages(redis, "b")) == (5, 4)


def test_a_fence_alone_is_enough(server: Any, redis: Redis) -> None:
    """At or below it nothing is counted, even what no identity would betray."""
    write(server.url, [("t/0", log([sms(1)], first=5)), ("t/0", log([sms(2)], first=5))])
    assert messages(redis) == 1
    write(server.url, [("t/0", log([sms(2), sms(3)], first=5))])
    assert messages(redis) == 2


def test_each_partition_has_the_own_fence(server: Any, redis: Redis) -> None:
    """The same offsets of another partition, or another topic, are other records."""
    batches = [(fence, log([sms(n)])) for n, fence in enumerate(("t/0", "t/1", "s/0"))]
    write(server.url, batches)
    assert messages(redis) == 3


def test_an_identity_counts_once_in_whatever_partition(server: Any, redis: Redis) -> None:
    """A producer's second try may land anywhere; what is new in its batch counts."""
    batches: Batches = [("t/0", log([sms(1), sms(2)])), ("t/1", log([sms(2), sms(3), sms(1)]))]
    assert write(server.url, batches) == [ApplyResult(2, 0), ApplyResult(3, 2)]
    assert messages(redis) == 3


def test_redis_drops_nothing_by_itself(server: Any, redis: Redis) -> None:
    """No key expires on a clock; what is no longer needed goes when its days are sealed."""
    start = Event("t", "a", "acme", NOON * SECOND, SessionStarted("s", "agent"))
    run = Event("t", "b", "acme", NOON * SECOND, FlowRun("f", "agent"))
    write(server.url, [("t/0", log([start, run, *(sms(n) for n in range(500))]))])
    assert {redis.ttl(key) for key in redis.scan_iter(count=1000)} == {-1}


def test_a_batch_without_news_moves_the_fence(server: Any, redis: Redis) -> None:
    """All of its events are known, and yet it is done with."""
    write(server.url, [("t/0", log([sms(1)])), ("t/1", log([sms(1)], first=41))])
    assert redis.hget(keys.FIRST.head("acme"), "f:t/1") == b"41"


# ---------------------------------------------------------------------------- Redis in trouble


def test_scripts_that_redis_has_forgotten_are_loaded_again(server: Any, redis: Redis) -> None:
    """After SCRIPT FLUSH, as after a restart, the same writer goes on."""

    async def run() -> None:
        async with writing(server.url) as writer:
            for number in range(3):
                redis.script_flush()
                await writer.apply("t/0", log([sms(number)], first=number))
                redis.script_flush()
                await writer.advance({"t/0": Position(number + 1)})

    asyncio.run(run())
    assert messages(redis) == 3
    assert Rollups.live(redis).positions() == {"t/0": Position(3)}


def test_a_writer_whose_redis_lost_everything_rebuilds_it(server: Any, redis: Redis) -> None:
    """A failover took the last writes and the scripts: replay by the same writer repairs it all."""

    async def run() -> None:
        async with writing(server.url) as writer:
            await writer.apply("t/0", log([sms(1)]))
            redis.flushall()
            redis.script_flush()
            if not is_cluster(server.url):  # there the script may not look at the secret
                with pytest.raises(LostSecretError):
                    await writer.apply("t/0", log([sms(1)]))
                await writer.begin(["t/0"])
            await writer.apply("t/0", log([sms(1)]))

    asyncio.run(run())
    assert messages(redis) == 1
    assert Rollups.live(redis).exists("acme")
    assert Rollups.live(redis).accounts() == ["acme"]


def test_a_writer_begins_where_the_rollups_end(server: Any, redis: Redis) -> None:
    """Positions that Redis does not know are at 0."""

    async def run() -> dict[str, int]:
        async with writing(server.url) as writer:
            await writer.advance({"t/0": Position(7), "t/1": Position(9)})
            return await writer.begin(["t/1", "t/2"])

    assert asyncio.run(run()) == {"t/1": 9, "t/2": 0}


def lose_positions(redis: Any) -> None:
    """Have the positions be those of a while ago: there are none."""
    for key in list(redis.scan_iter(f"{keys.FIRST.positions}*", count=1000)):
        redis.delete(key)


@pytest.mark.parametrize(
    ("lose", "left"),
    [
        (lambda redis: redis.flushall(), 0),
        (lose_positions, 1),
    ],
)
def test_writes_that_redis_lost_are_noticed_on_a_new_connection(
    server: Any, redis: Redis, lose: Callable[[Any], Any], left: int
) -> None:
    """All of them, or the last: nothing is applied on top of the hole until the writer begins."""

    async def run() -> None:
        async with writing(server.url) as writer:
            await writer.begin(["t/0"])
            await writer.apply("t/0", log([sms(1)]))
            await writer.advance({"t/0": Position(1)})
            lose(redis)
            for node in writer.nodes.all:
                await node.redis.connection_pool.disconnect()
            with pytest.raises(LostWritesError, match="t/0 is at 0, not 1"):
                await writer.apply("t/0", log([sms(2)], first=1))
            assert messages(redis) == left
            assert await writer.begin(["t/0"]) == {"t/0": 0}
            await writer.apply("t/0", log([sms(1), sms(2)]))

    asyncio.run(run())
    assert messages(redis) == 2
    assert Rollups.live(redis).accounts() == ["acme"]


def test_a_connection_that_failed_the_check_is_not_used(server: Any, redis: Redis) -> None:
    """Every call after lost writes raises, not only the first ones.

    redis-py keeps a connection in its pool, and takes it for ready, unless an error of its own is
    raised while it connects.
    """

    async def run() -> None:
        async with writing(server.url) as writer:
            await writer.begin(["t/0"])
            await writer.apply("t/0", log([sms(1)]), 1)
            redis.flushall()
            for node in writer.nodes.all:
                await node.redis.connection_pool.disconnect()
            for _ in range(9):  # more than there are connections in the pool
                with pytest.raises(LostWritesError):
                    await writer.apply("t/0", log([sms(2)], first=1), 2)

    asyncio.run(run())
    assert messages(redis) == 0


def test_rollups_without_their_secret_are_not_written(server: Any, redis: Redis) -> None:
    """Somebody deleted it: no repeat of what is there would be recognised."""
    write(server.url, [("t/0", log([sms(1)]))])
    for key in list(redis.scan_iter(f"{keys.FIRST.secret}*", count=1000)):
        redis.delete(key)

    async def run() -> None:
        writer = Writer.of(server.url, DAY, 10.0, clock=time.time)
        try:
            with pytest.raises(SecretMissingError, match="usage rebuild"):
                await writer.prepare()
        finally:
            await writer.close()

    asyncio.run(run())


def test_an_error_of_redis_is_raised_and_a_repeat_repairs(server: Any, redis: Redis) -> None:
    """One account cannot be written; the other is, and neither is counted twice afterwards."""
    redis.set(keys.FIRST.head("b"), "in the way")
    batch: Batches = [("t/0", log([sms(1, account="a"), sms(2, account="b")]))]
    with pytest.raises(RedisError):
        write(server.url, batch)
    redis.delete(keys.FIRST.head("b"))
    write(server.url, batch)
    assert (messages(redis, "a"), messages(redis, "b")) == (1, 1)


def test_two_writers_of_one_account(server: Any, redis: Redis) -> None:
    """A worker that lost its partitions and goes on: whatever the two do, it counts once."""
    batches = tangled([sms(n) for n in range(200)], seed=7, batch=10)

    async def run() -> None:
        async def work() -> None:
            async with writing(server.url) as writer:
                for fence, placed in batches:
                    await writer.apply(fence, placed)

        await asyncio.gather(*(work() for _ in range(3)))

    asyncio.run(run())
    assert messages(redis) == 200


# ------------------------------------------------------------------------------------- growth


def encodings(redis: Redis, pattern: str) -> set[bytes]:
    """Return how Redis keeps the values of the keys like *pattern*."""
    return {redis.object("encoding", key) for key in redis.scan_iter(pattern, count=1000)}


@pytest.mark.parametrize("batch", [50, 700, 5000])
def test_many_identities_stay_in_small_sets(server: Any, redis: Redis, batch: int) -> None:
    """5,000 of one account-day: sets of integers, none above 512, and every one is found again."""
    events = [sms(n, second=NOON + n % 3600) for n in range(5000)]
    batches = [("t/0", log(events[at : at + batch], first=at)) for at in range(0, 5000, batch)]
    write(server.url, batches)
    buckets = list(redis.scan_iter("u:{acme}:i:*", count=1000))
    sizes = [redis.scard(key) for key in buckets]
    assert sum(sizes) == 5000
    assert max(sizes) <= 512
    assert encodings(redis, "u:{acme}:i:*") == {b"intset"}
    once = laid_open(redis, "acme")
    again = write(server.url, [("t/1", placed) for _, placed in batches])
    assert sum(applied.duplicates for applied in again) == 5000
    assert laid_open(redis, "acme") == once


@pytest.mark.parametrize("batch", [50, 700, 5000])
def test_many_sessions_stay_in_small_hashes(server: Any, redis: Redis, batch: int) -> None:
    """5,000 sessions stay packed, and each is found again by its stop."""
    starts = [
        Event("test", f"a{n}", "acme", (NOON + n) * SECOND, SessionStarted(f"s{n}", "agent"))
        for n in range(5000)
    ]
    stops = [
        Event("test", f"o{n}", "acme", (NOON + 5000 + n) * SECOND, SessionStopped(f"s{n}", "agent"))
        for n in range(5000)
    ]
    for fence, events in (("t/0", starts), ("t/1", stops)):
        write(
            server.url,
            [(fence, log(events[at : at + batch], at)) for at in range(0, 5000, batch)],
        )
        assert encodings(redis, "u:{acme}:z:*") == {b"listpack"}
        assert redis.hget(keys.FIRST.head("acme"), "z") == b"5000"
        assert sum(map(redis.hlen, redis.scan_iter("u:{acme}:z:*", count=1000))) == 5000
    # each [n ---- n + 5000), so nobody is left, and nowhere is an inferred end
    end = NOON + 10_000
    reading = read(redis, "acme", NOON_SLOT, end // 900 + 1)
    assert sum(reading.curves["agent"].nets) == 0
    assert read(redis, "acme", NOON_SLOT + 96, NOON_SLOT + 192).curves["agent"] == (
        [0] * 96,
        [0] * 96,
    )
    once = laid_open(redis, "acme")
    write(server.url, [("t/2", log(starts + stops))])
    assert laid_open(redis, "acme") == once


def test_a_session_that_ends_leaves_no_empty_keys(server: Any, redis: Redis) -> None:
    """The inferred end's day is as if it had never been there."""
    # s [12:00 ---- ... ---- inferred, the next day)   then   s [12:00 -- 12:05)
    start = Event("t", "1", "acme", NOON * SECOND, SessionStarted("s", "agent"))
    stop = Event("t", "2", "acme", (NOON + 300) * SECOND, SessionStopped("s", "agent"))
    write(server.url, [("t/0", log([start, stop]))])
    at_once = laid_open(redis, "acme")
    redis.flushall()
    write(server.url, [("t/0", log([start])), ("t/0", log([stop], first=1))])
    assert laid_open(redis, "acme") == at_once
    assert not redis.exists(f"u:{{acme}}:x:{NOON // 86_400 + 1}")


# ------------------------------------------------------------------------------ edges of time


@pytest.mark.parametrize("second", [0, -1, -86_400 * 33, -62_135_596_800, 253_402_214_400])
def test_any_age_is_counted(server: Any, redis: Redis, second: int) -> None:
    """Before 1970, in the year 1, in the year 9999."""
    start = Event("t", "1", "acme", second * SECOND, SessionStarted("s", "agent"))
    stop = Event("t", "2", "acme", (second + 5) * SECOND, SessionStopped("s", "agent"))
    write(server.url, [("t/0", log([stop, start, sms(3, second=second)]))])
    slot = second // 900
    reading = read(redis, "acme", slot, slot + 2)
    assert reading.totals == {"sms.link": 1, "sessions.agent": 1}
    assert max(reading.curves["agent"].rises) == 1
    assert reading.carry["agent"] == 0
    assert read(redis, "acme", slot + 2, slot + 300).carry["agent"] == 0


def test_what_was_carried_in_long_ago(server: Any, redis: Redis) -> None:
    """A session that began blocks, days and slots before is in every carry in between."""
    # s [noon ------------------------------------------ 100 days later)
    start = Event("t", "1", "acme", NOON * SECOND, SessionStarted("s", "mobile-web"))
    stop_second = NOON + 100 * 86_400
    stop = Event("t", "2", "acme", stop_second * SECOND, SessionStopped("s", "mobile-web"))
    write(server.url, [("t/0", log([start, stop]))])
    for later in (1, 95, 96, 31 * 96, 32 * 96, 64 * 96 + 5, 100 * 96):
        slot = NOON_SLOT + later
        assert read(redis, "acme", slot, slot).carry["mobile-web"] == 1
    for elsewhere in (NOON_SLOT, NOON_SLOT + 100 * 96 + 1, NOON_SLOT + 200 * 96):
        assert read(redis, "acme", elsewhere, elsewhere + 1).carry["mobile-web"] == 0


def test_sums_stay_exact_when_large(server: Any, redis: Redis) -> None:
    """The longest call there may be, as often as a day could hold."""
    call = CallMinutes(100_000_000_000)
    events = [Event("t", str(n), "acme", NOON * SECOND, call) for n in range(2000)]
    odd = Event("t", "odd", "acme", NOON * SECOND, CallMinutes(1))
    write(server.url, [("t/0", log([*events, odd])), ("t/1", log([odd]))])
    for first, end in ((NOON_SLOT, NOON_SLOT + 1), (NOON_SLOT - 48, NOON_SLOT + 48)):
        reading = read(redis, "acme", first, end, by_slot=True)
        assert reading.totals == {"call.minutes": 200_000_000_000_001}
        amounts = [0] * (end - first)
        amounts[NOON_SLOT - first] = 200_000_000_000_001
        assert reading.by_slot == {"call.minutes": amounts}


@pytest.mark.parametrize("flow", ["f", "1.c:f", "Rückruf 🛟", "\x7f\n", "x" * 200, "{}:*"])
def test_any_flow_name_is_kept(server: Any, redis: Redis, flow: str) -> None:
    """By outcome, over whole days and their edges."""
    runs = [
        Event("t", str(n), "acme", (NOON + n * 43_200) * SECOND, FlowRun(flow, "agent", outcome))
        for n, outcome in enumerate(["completed", "abandoned", "completed"])
    ]
    write(server.url, [("t/0", log(runs))])
    reading = read(redis, "acme", NOON_SLOT, NOON_SLOT + 200, flows=True)
    assert reading.flows == {f"c:{flow}": 2, f"a:{flow}": 1}


# ------------------------------------------------------------------------------------ reading


def calls(redis: Any) -> int:
    """Return how many commands were sent so far, to all nodes together, but for INFO."""
    clustered = isinstance(redis, RedisCluster)
    nonempty = redis.info("commandstats", **({"target_nodes": "primaries"} if clustered else {}))
    return sum(
        stat["calls"]
        for stats in (nonempty.values() if clustered else [nonempty])
        for name, stat in stats.items()
        if not name.endswith("info")
    )


def commands(redis: Redis, first: int, end: int) -> int:
    """Return how many commands one reading sends."""
    before = calls(redis)
    read(redis, "acme", first, end, by_slot=True, flows=True)
    return calls(redis) - before


def test_a_reading_costs_what_the_days_cost(server: Any, redis: Redis) -> None:
    """As many commands with thousands of events as with one a day."""
    spans = [(NOON_SLOT, NOON_SLOT), (NOON_SLOT, NOON_SLOT + 1), (NOON_SLOT - 60, NOON_SLOT + 999)]
    events = [sms(n, second=NOON + 40 * n) for n in range(4000)]
    write(server.url, [("t/0", log(events[::999]))])
    few = [commands(redis, *span) for span in spans]
    write(server.url, [("t/0", log(events, first=5))])
    assert [commands(redis, *span) for span in spans] == few
    month, year = (commands(redis, 0, days * 96) for days in (31, 365))
    assert year < 13 * month


def seal_everything(server: Any) -> None:
    """Seal all days of acme, a long time after anything was applied."""

    async def seal() -> None:
        async with writing(server.url) as writer:
            await writer.seal(["acme"], int(writer.clock()) + 2 * SEALED_AFTER)

    asyncio.run(seal())


def interrupt(redis: Any, meanwhile: Callable[[], Any]) -> None:
    """Have something happen between the look at the head and the rest, in the next read."""
    made = redis.pipeline

    def pipeline(transaction: bool = True) -> Any:
        if transaction:
            redis.pipeline = made
            meanwhile()
        return made(transaction=transaction)

    redis.pipeline = pipeline


def test_a_micro_batch_that_opens_a_day_is_read_whole_or_not(server: Any, redis: Any) -> None:
    """It comes while a report is being read, with one event for an open day and one for a new."""
    # read: head |--- written: sms, sms ---| days [noon, noon + 1 day]
    write(server.url, [("t/0", log([sms(1)]))])
    more = log([sms(2), sms(3, second=NOON + 86_400)], first=1)
    interrupt(redis, lambda: write(server.url, [("t/0", more)]))
    assert read(redis, "acme", NOON_SLOT - 96, NOON_SLOT + 192).totals == {"sms.link": 3}


def test_a_day_that_is_sealed_while_it_is_read_is_there_once(server: Any, redis: Any) -> None:
    """It was open as the head was read, and is in the string of its block as the days are."""
    write(server.url, [("t/0", log([sms(1), sms(2, second=NOON + 86_400)]))])
    interrupt(redis, lambda: seal_everything(server))
    assert read(redis, "acme", NOON_SLOT - 96, NOON_SLOT + 192).totals == {"sms.link": 2}
    assert not redis.exists(f"u:{{acme}}:d:{NOON // 86_400}")


def test_a_flow_by_slot_from_open_and_sealed_days(server: Any, redis: Redis) -> None:
    """Its slots and no other's; zeros where it never ran."""
    runs = [
        OffsetEvent(n, Event("t", str(n), "acme", second * SECOND, FlowRun(flow, "agent")))
        for n, (second, flow) in enumerate(
            [(NOON, "f"), (NOON + 900, "g"), (NOON + 86_400, "f"), (NOON + 86_500, "f")]
        )
    ]
    write(server.url, [("t/0", runs)])
    spans = [("acme", days_touched(NOON_SLOT - 10, NOON_SLOT + 100))]
    slots = [0] * 110
    slots[10], slots[106] = 1, 2
    expected = {"c:f": slots, "a:f": [0] * 110}
    for is_sealed in (False, True):
        if is_sealed:
            seal_everything(server)
        assert redis.exists(f"u:{{acme}}:d:{NOON // 86_400}") != is_sealed
        ((_, days),) = Rollups.live(redis).days_of_many(spans, flows=True)
        found = flows_by_slot(NOON_SLOT - 10, NOON_SLOT + 100, days, ["c:f", "a:f"])
        assert found == expected


def test_a_reading_of_nothing(redis: Redis) -> None:
    """An account without events, and a range without slots, read as zeros."""
    for end in (NOON_SLOT, NOON_SLOT + 500):
        reading = read(redis, "nobody", NOON_SLOT, end, by_slot=True, flows=True)
        assert nonempty(reading) == nonempty(
            reference_model.read(reference_model.Account(), NOON_SLOT, end)
        )


def test_a_report_from_the_store_is_the_rules_report(server: Any, redis: Redis) -> None:
    """A day left out of the calendar, and the days around it."""
    events = [sms(n, second=1_325_239_200 + n * 600) for n in range(-100, 100)]
    write(server.url, tangled(events, seed=3))
    rule: dict[str, reference_model.Account] = {}
    reference_model.apply_events(rule, "t/0", log(events), DAY)
    as_of = datetime(2026, 1, 1, tzinfo=UTC)
    for first, last, count in ((29, 31, 200), (30, 30, 0), (29, 30, 100), (31, 31, 100)):
        days = period(date(2011, 12, first), date(2011, 12, last), "Pacific/Apia", as_of)
        reports = [
            build(Account("acme", "acme", dnis=True, sms=True), days, reading, as_of)
            for reading in (
                read(redis, "acme", *days.slots, by_slot=True, flows=True),
                reference_model.read(rule["acme"], *days.slots),
            )
        ]
        assert reports[0] == reports[1]
        assert reports[0].counts.sms_with_link == count


# -------------------------------------------------------------------- accounts and positions


def test_an_account_exists_once_an_event_was_counted(server: Any, redis: Redis) -> None:
    """Not before, and no account that merely resembles it."""
    assert not Rollups.live(redis).exists("acme")
    assert Rollups.live(redis).accounts() == []
    write(server.url, [("t/0", log([sms(1), sms(2, account="b"), sms(3, account="a.b:c_-")]))])
    assert Rollups.live(redis).exists("acme")
    assert not Rollups.live(redis).exists("acm")
    assert Rollups.live(redis).accounts() == ["a.b:c_-", "acme", "b"]


def test_accounts_named_alike_do_not_mix(server: Any, redis: Redis) -> None:
    """Not even where one account's name looks like a part of another's keys."""
    names = ["a", "a:i", "a:n", "a:n:0", "limits", "accounts", "position", "A"]
    write(server.url, [("t/0", log([sms(n, account=name) for n, name in enumerate(names)]))])
    assert [messages(redis, name) for name in names] == [1] * len(names)
    assert Rollups.live(redis).accounts() == sorted(names)


def test_every_key_of_an_account_has_the_hash_tag(server: Any, redis: Redis) -> None:
    """So that one account lives on one node of a cluster."""
    start = Event("t", "1", "acme", NOON * SECOND, SessionStarted("s", "agent"))
    run = Event("t", "2", "acme", NOON * SECOND, FlowRun("f", "agent"))
    write(server.url, [("t/0", log([start, run]))])
    found = {key.decode() for key in redis.scan_iter(count=1000)}
    own = {key for key in found if "{acme}" not in key}
    assert {key.partition("{")[0].rstrip(":") for key in own} == {
        keys.FIRST.accounts,
        keys.FIRST.secret,
    }
    assert {key.partition("}")[2].split(":")[1] for key in found if "}:" in key} == set("izdxn")


def test_a_position_never_goes_back(server: Any, redis: Redis) -> None:
    """A worker that lost its partitions may still be speaking."""

    async def run() -> None:
        async with writing(server.url) as writer:
            for offset, second in ((9, 500), (10, None), (2, 400), (10, 501), (10, 3)):
                await writer.advance({"t/0": Position(offset, second)})
            await writer.advance({})

    asyncio.run(run())
    assert Rollups.live(redis).positions() == {"t/0": Position(10, 501)}


def check(server: Any, limits: dict[str, int]) -> None:
    """Check *limits* as a worker does when it starts."""

    async def run() -> None:
        async with writing(server.url, limits) as writer:
            await writer.check_limits()

    asyncio.run(run())


def test_other_session_limits_are_refused(server: Any, redis: Redis) -> None:
    """The sentence names the application, both limits and the way out; nothing is overwritten."""
    check(server, DAY)
    check(server, DAY)
    with pytest.raises(
        SessionLimitsDifferError, match=r"mobile-web 86400 s .*3600 s.*rebuild"
    ) as refused:
        check(server, DAY | {"mobile-web": 3600})
    assert "agent" not in str(refused.value).partition("other session limits: ")[2]
    assert (refused.value.recorded["mobile-web"], refused.value.configured["mobile-web"]) == (
        86400,
        3600,
    )
    check(server, DAY)


def memory(redis: Redis) -> int:
    """Return how many bytes all keys take."""
    return sum(redis.memory_usage(key, samples=0) for key in redis.scan_iter(count=1000))


def test_reading_again_from_the_beginning_costs_no_memory(server: Any, redis: Redis) -> None:
    """Every key is as large as it was, whatever cuts the records come in the second time."""
    sessions = [SessionStarted(f"s{n}", "agent") for n in range(1500)]
    events = [
        Event("test", str(n), "acme", (NOON + n) * SECOND, data)
        for n, data in enumerate(
            [*sessions, *(FlowRun(f"f{n % 40}", "agent") for n in range(1500))]
        )
    ]
    placed = log(events)
    write(server.url, [("t/0", placed[at : at + 500]) for at in range(0, 3000, 500)])
    before = memory(redis)
    write(server.url, [("t/0", placed[at : at + 130]) for at in range(0, 3000, 130)])
    assert memory(redis) == before


def test_rollups_of_another_layout_are_refused(server: Any, redis: Redis) -> None:
    """They would be read and written wrongly; the sentence names the way out."""
    redis.hset(keys.FIRST.limits, "agent", "86400")
    with pytest.raises(LayoutDiffersError, match="usage rebuild"):
        check(server, DAY)
    with pytest.raises(LayoutDiffersError, match="layout 1"):
        Rollups.live(redis)
    redis.set(keys.FIRST.limits, '{"layout": 1, "agent": 86400}')
    with pytest.raises(LayoutDiffersError):
        check(server, DAY)
