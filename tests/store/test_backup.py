"""Backups: what is restored is what was there, and events go on counting once behind it."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interaction_usage.servers.redis_cluster import RedisCluster
from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store import account_settings, backup, keys
from interaction_usage.store.client import connect
from interaction_usage.store.keys import Namespace
from interaction_usage.store.reads import Rollups
from rollups.events import Event, FlowRun, SessionStarted, SmsSent
from rollups.fold import SEALED_AFTER, OffsetEvent
from rollups.timestamps import SECOND
from rollups.watermark import Position
from tests.rollups.delivery import Batches, tangled
from tests.rollups.drawing import NOON, sets_of_events
from tests.store.redis_side import writing
from tests.support.examples import examples
from tests.support.memory_ledger import MemoryLedger

DAY_S = 86_400


def write(url: str, batches: Batches) -> None:
    """Apply *batches* as a worker that has just started."""

    async def run() -> None:
        async with writing(url) as writer:
            await writer.check_limits()
            for fence, placed in batches:
                await writer.apply(fence, placed)
                await writer.advance({fence: Position(placed[-1].offset + 1, NOON)})

    asyncio.run(run())


def values(redis: Any, at: Namespace) -> dict[str, Any]:
    """Return everything under *at*, by the rest of its key."""
    found = {}
    for key in redis.scan_iter(at.everything, count=1000):
        kind = redis.type(key)
        if kind == b"hash":
            content: Any = redis.hgetall(key)
        elif kind == b"set":
            content = redis.smembers(key)
        else:
            content = redis.get(key)
        found[key.decode().removeprefix(at.name)] = content
    return found


def of_accounts(found: dict[str, Any]) -> dict[str, Any]:
    """Return what is of accounts, and not of the servers that keep it."""
    return {key: content for key, content in found.items() if key.startswith(":{")}


def copied(redis: Any) -> list[backup.Record]:
    """Return a backup that has been through bytes."""
    return [backup.unpack(backup.pack(record)[4:]) for record in backup.records(redis)]


def busy_account() -> Batches:
    """Return events of many days, identities in many buckets, sessions, flows."""
    events = [
        Event("s", f"{n}", "acme", (NOON + n * 3_571) * SECOND, data)
        for n in range(1_500)
        for data in [SmsSent() if n % 3 else FlowRun(f"flow {n % 7}", "agent")]
    ]
    events += [
        Event("t", f"{n}", "acme", (NOON + n) * SECOND, SessionStarted(f"s{n}", "agent"))
        for n in range(500)
    ]
    return [("t/0", [OffsetEvent(offset, event) for offset, event in enumerate(events)])]


@pytest.fixture
def elsewhere() -> Iterator[RedisServer]:
    """Yield another, empty server."""
    with redis_server() as running:
        yield running


def test_what_is_restored_is_what_was_there(
    redis: Any, ledger: MemoryLedger, server: RedisServer | RedisCluster, elsewhere: RedisServer
) -> None:
    """Every key of every account, on any server, from any server."""
    write(server.url, busy_account())
    account_settings.put(ledger, "acme", name="Acme Ltd", timezone="Europe/Paris")
    account_settings.put(ledger, "acme", name="Acme")
    redis.hset(keys.TOKENS, mapping={"d1": "{}"})
    before = of_accounts(values(redis, keys.FIRST))
    assert sum(":i:" in key for key in before) > 5
    made = copied(redis)
    history = redis.xrange(keys.settings_history("acme"))
    for target in (elsewhere.url, server.url):
        with connect(target) as there:
            there.flushall()
            done = backup.restore(there, made)
            assert (done.accounts, done.settings, done.tokens) == (1, 1, 1)
            rollups = Rollups.live(there)
            assert of_accounts(values(there, rollups.keys)) == before
            assert rollups.positions() == {"t/0": Position(2_000, NOON)}
            assert account_settings.get(there, "acme").name == "Acme"
            assert there.xrange(keys.settings_history("acme")) == history
            assert there.hgetall(keys.TOKENS) == {b"d1": b"{}"}
            assert not there.exists(keys.REBUILD)


@settings(
    deadline=None,
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sets_of_events(size=30), st.integers(0, 2**32), st.data())
def test_events_count_once_before_and_behind_a_backup(
    redis: Any, server: RedisServer | RedisCluster, events: Any, seed: int, data: Any
) -> None:
    """Restored from any moment, and read again from its positions or from the beginning."""
    batches = tangled(events, seed)
    moment = data.draw(st.integers(0, len(batches)))
    redis.flushall()
    write(server.url, batches[:moment])
    made = copied(redis)
    write(server.url, batches[moment:])
    whole = of_accounts(values(redis, keys.FIRST))
    backup.restore(redis, made, replace=True)
    at = Rollups.live(redis).keys
    assert at != keys.FIRST
    again = batches if data.draw(st.booleans()) else batches[max(0, moment - 3) :]

    async def read_again() -> None:
        async with writing(server.url) as writer:
            await writer.begin([])
            assert writer.keys == at
            for fence, placed in again:
                await writer.apply(fence, placed)

    asyncio.run(read_again())
    assert without_times(of_accounts(values(redis, at))) == without_times(whole)


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out when a day was last changed, and fences, which say how events came."""
    return {
        key: {f: v for f, v in content.items() if f != b"t" and not f.startswith(b"f:")}
        if isinstance(content, dict)
        else content
        for key, content in found.items()
    }


def test_sealed_days_stay_sealed(redis: Any, server: RedisServer | RedisCluster) -> None:
    """What they keep is restored, and a late event for them is refused."""
    clock = NOON + 2 * DAY_S

    async def count_and_seal() -> None:
        async with writing(server.url) as writer:
            await writer.check_limits()
            writer.clock = lambda: float(clock)
            await writer.apply(
                "t/0", [OffsetEvent(0, Event("s", "1", "a", NOON * SECOND, SmsSent()))]
            )
            writer.clock = lambda: float(clock + SEALED_AFTER + 1)
            await writer.seal(["a"], clock + SEALED_AFTER + 1)

    asyncio.run(count_and_seal())
    before = of_accounts(values(redis, keys.FIRST))
    assert any(":k:" in key for key in before)
    backup.restore(redis, copied(redis), replace=True)
    assert of_accounts(values(redis, Rollups.live(redis).keys)) == before


def test_an_account_that_always_changes_is_backed_up_as_of_one_moment(
    redis: Any, server: RedisServer | RedisCluster
) -> None:
    """Its fences, identities and sums belong together."""
    write(server.url, [("t/0", [OffsetEvent(0, Event("s", "-", "a", NOON * SECOND, SmsSent()))])])
    over = threading.Event()

    async def change() -> None:
        number = 1
        async with writing(server.url) as writer:
            while not over.is_set():
                sms = Event("s", f"{number}", "a", (NOON + number) * SECOND, SmsSent())
                await writer.apply("t/0", [OffsetEvent(number, sms)])
                number += 1

    busy = threading.Thread(target=lambda: asyncio.run(change()))
    busy.start()
    try:
        for _ in range(20):
            [account] = [each for each in copied(redis) if isinstance(each, backup.Account)]
            content = {rest: value for rest, _, value in account.keys}
            applied = int(content[""][b"f:t/0"]) + 1
            remembered = sum(len(value) for rest, value in content.items() if ":i:" in rest)
            assert remembered == applied
    finally:
        over.set()
        busy.join()


def test_rollups_that_are_there_are_not_replaced_unasked(
    redis: Any, ledger: MemoryLedger, server: RedisServer | RedisCluster
) -> None:
    """Neither they nor settings nor tokens."""
    write(server.url, busy_account())
    made = copied(redis)
    account_settings.put(ledger, "acme", name="Newer")
    before = values(redis, keys.FIRST)
    with pytest.raises(backup.BackupError, match="--replace"):
        backup.restore(redis, made)
    assert values(redis, keys.FIRST) == before
    backup.restore(redis, made, replace=True)
    assert account_settings.get(redis, "acme").name == "Newer"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda made: made[:-1], "ends in the middle"),
        (lambda made: [made[0], *made[2:]], "records"),
        (lambda made: [*made, made[1]], "goes on behind its end"),
        (lambda made: made[1:], "not a backup"),
        (lambda _: [], "not a backup"),
        (lambda made: [msgspec.structs.replace(made[0], format=9), *made[1:]], "this version"),
        (lambda made: [msgspec.structs.replace(made[0], layout=4), *made[1:]], "layout 4"),
    ],
)
def test_half_a_backup_restores_nothing(
    redis: Any, server: RedisServer | RedisCluster, damage: Any, sentence: str
) -> None:
    """The rollups that are active stay as they are, and nothing is left of the others."""
    write(server.url, busy_account())
    made = copied(redis)
    before = values(redis, keys.FIRST)
    with pytest.raises(backup.BackupError, match=sentence):
        backup.restore(redis, damage(made), replace=True)
    assert values(redis, keys.FIRST) == before
    assert values(redis, Namespace("u2")) == {}
    assert not redis.exists(keys.REBUILD)
    assert Rollups.live(redis).keys == keys.FIRST
