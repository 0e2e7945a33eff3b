"""A Redis Cluster that changes under a writer: nothing is lost, nothing is counted twice."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.exceptions import AskError, RedisError, TryAgainError

from interaction_usage.servers.redis_cluster import RedisCluster, ask, redis_cluster
from interaction_usage.servers.redis_server import RedisServer, redis_server
from interaction_usage.store import keys
from interaction_usage.store.client import connect, live_keys, primaries_of
from interaction_usage.store.cluster_topology import hash_slot
from interaction_usage.store.connection import gather_all
from interaction_usage.store.errors import (
    ClusterChangedError,
    LostSecretError,
    LostWritesError,
    UnfitRedisError,
)
from interaction_usage.store.namespaces import activate, drop, drop_leftovers, new_namespace
from interaction_usage.store.reads import Position, Rollups
from interaction_usage.store.writer import Writer
from rollups.events import Event, SmsSent
from rollups.fold import OffsetEvent
from rollups.timestamps import SECOND
from tests.store.redis_side import DAY, writing

NAMES = [f"account-{number}" for number in range(30)]
NOON = 20_000 * 86_400 + 43_200


@pytest.fixture(scope="module", params=["redis", "valkey"])
def cluster(request: pytest.FixtureRequest) -> Iterator[RedisCluster]:
    """Yield a cluster that is as it was after each test."""
    with redis_cluster(flavour=request.param) as running:
        yield running


@pytest.fixture
def client(cluster: RedisCluster) -> Iterator[Any]:
    """Yield a client of the cluster, emptied."""
    with connect(cluster.url) as connected:
        connected.flushall()
        yield connected


def log(first: int, count: int) -> list[OffsetEvent]:
    """Return an SMS of one account after the other, from an offset on."""
    return [
        OffsetEvent(n, Event("t", str(n), NAMES[n % len(NAMES)], NOON * SECOND, SmsSent()))
        for n in range(first, first + count)
    ]


def counted(client: Any) -> dict[str, int]:
    """Return how many SMS each account has."""
    live = Rollups.live(client)
    slot = NOON // 900
    return {
        name: live.read(name, slot, slot + 1).totals.get("sms.link", 0) for name in live.accounts()
    }


def each(count: int) -> dict[str, int]:
    """Return what `counted` is when every account has *count*."""
    return dict.fromkeys(sorted(NAMES), count)


def owner(cluster: RedisCluster, key: str) -> RedisServer:
    """Return the server that has *key*."""
    ports = {
        slots: node["primary"][1] for slots, node in connect(cluster.url).cluster_slots().items()
    }
    slot = hash_slot(key)
    [port] = [port for (first, last), port in ports.items() if first <= slot <= last]
    return next(server for server in cluster.servers if server.port == port)


def begin_move(slot: int, source: RedisServer, target: RedisServer) -> None:
    """Have a hash slot be on its way, with all of its keys still where they were."""
    ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ask(source, "CLUSTER", "MYID"))
    ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ask(target, "CLUSTER", "MYID"))


def move_keys(slot: int, source: RedisServer, target: RedisServer, most: int = 1000) -> None:
    """Move so many keys of a hash slot that is on its way."""
    for key in ask(source, "CLUSTER", "GETKEYSINSLOT", slot, most):
        ask(source, "MIGRATE", "127.0.0.1", target.port, key, 0, 5000)


def end_move(cluster: RedisCluster, slot: int, target: RedisServer) -> None:
    """Give a hash slot, all of whose keys were moved, to its new node."""
    name = ask(target, "CLUSTER", "MYID")
    for server in (target, *cluster.primaries):
        ask(server, "CLUSTER", "SETSLOT", slot, "NODE", name)


def on(server: RedisServer) -> list[str]:
    """Return the keys on one server."""
    return sorted(ask(server, "KEYS", "*"))


# ---------------------------------------------------------------------- several nodes


def test_each_node_has_the_accounts_and_the_positions(cluster: RedisCluster, client: Any) -> None:
    """A position is true of the accounts beside it; all of them together tell the lowest."""

    async def run() -> dict[str, int]:
        async with writing(cluster.url) as writer:
            await writer.begin(["t/0", "t/1"])
            await writer.apply("t/0", log(0, 90), ends=90)
            await writer.advance({"t/1": Position(7, 500)})
        client.hset(keys.FIRST.positions_at(place(cluster, 1)), "t/0", "60 400")
        client.hdel(keys.FIRST.positions_at(place(cluster, 2)), "t/1")
        async with writing(cluster.url) as writer:
            return await writer.begin(["t/0", "t/1", "t/2"])

    begins = asyncio.run(run())
    assert begins == {"t/0": 60, "t/1": 0, "t/2": 0}
    assert counted(client) == each(3)
    assert Rollups.live(client).positions() == {"t/0": Position(60, 400), "t/1": Position(0)}
    for number, server in enumerate(cluster.primaries):
        names = on(server)
        assert keys.FIRST.positions_at(place(cluster, number)) in names
        assert sum(name.startswith("u:{account-") and name.endswith("}") for name in names) > 3


def place(cluster: RedisCluster, number: int) -> str:
    """Return what the own keys of a node end with."""
    with connect(cluster.url) as client:
        return primaries_of(client)[number].key_suffix


def test_a_node_that_lost_the_last_writes_is_noticed(cluster: RedisCluster, client: Any) -> None:
    """Nothing more is written to any node, and only what is missing is counted again."""
    lost = cluster.primaries[1]

    async def run() -> None:
        async with writing(cluster.url) as writer:
            await writer.begin(["t/0"])
            await writer.apply("t/0", log(0, 60), ends=60)
            ask(lost, "FLUSHALL")
            for node in writer.nodes.all:
                await node.redis.connection_pool.disconnect()
            before = [on(server) for server in cluster.primaries]
            with pytest.raises(LostWritesError, match="t/0 is at 0, not 60"):
                await writer.apply("t/0", log(60, 30), ends=90)
            assert [on(server) for server in cluster.primaries] == before
            assert await writer.begin(["t/0"]) == {"t/0": 0}
            await writer.apply("t/0", log(0, 90), ends=90)
            assert await writer.begin(["t/0"]) == {"t/0": 90}

    asyncio.run(run())
    assert counted(client) == each(3)


def test_the_list_of_accounts_comes_back_with_node() -> None:
    """It lies on one node, all events on others: that one restarts before a position moved."""
    with redis_cluster() as mine, connect(mine.url) as client:
        server = owner(mine, keys.FIRST.accounts)
        events = [item for item in log(0, 30) if owner(mine, item.event.account) is not server]

        async def run() -> None:
            async with writing(mine.url) as writer:
                await writer.begin(["t/0"])
                await writer.apply("t/0", events)  # no position is moved yet
                server.kill()
                server.start()  # without a file, so empty
                mine.wait()
                with pytest.raises(LostSecretError):
                    await insist(lambda: writer.apply("t/0", events, ends=30))
                secret = writer.secret
                assert await insist(lambda: writer.begin(["t/0"])) == {"t/0": 0}
                assert writer.secret == secret  # the other nodes have it
                await insist(lambda: writer.apply("t/0", events, ends=30))

        asyncio.run(run())
        assert 0 < len(events) < 30
        assert counted(client) == {item.event.account: 1 for item in events}


async def insist(act: Callable[[], Any], seconds: float = 20) -> Any:
    """Repeat *act*, as an agent does, until Redis answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await act()
        except (LostSecretError, LostWritesError, ClusterChangedError):
            raise
        except (RedisError, OSError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


# ------------------------------------------------------------------------ a slot moves


def test_an_account_on_the_way_is_not_written(cluster: RedisCluster, client: Any) -> None:
    """At no moment of a move does a script run that would take for missing what is elsewhere."""
    slot = hash_slot(NAMES[0])
    source = owner(cluster, NAMES[0])
    target = next(server for server in cluster.primaries if server is not source)

    async def run() -> None:
        async with writing(cluster.url) as writer:
            await writer.begin(["t/0"])
            await writer.apply("t/0", log(0, 30), ends=30)
            known = len(ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 1000))
            begin_move(slot, source, target)
            for _ in range(known + 1):  # here [all -- some -- none) there
                with pytest.raises((TryAgainError, AskError)):
                    await writer.apply("t/0", log(30, 30), ends=60)
                move_keys(slot, source, target, most=1)
            assert ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 1000) == []
            end_move(cluster, slot, target)
            with pytest.raises(ClusterChangedError):
                await insist(lambda: writer.apply("t/0", log(30, 30), ends=60))
            assert await writer.begin(["t/0"]) == {"t/0": 0}  # these slots were never read
            await writer.apply("t/0", log(0, 60), ends=60)
            assert await writer.begin(["t/0"]) == {"t/0": 60}

    try:
        asyncio.run(run())
        assert counted(client) == each(2)
    finally:
        begin_move(slot, target, source)
        move_keys(slot, target, source)
        end_move(cluster, slot, source)


def test_positions_of_another_layout_are_not_believed(
    cluster: RedisCluster, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even when that layout is there again: the warning says what it costs."""
    slot = hash_slot("moved")
    source = owner(cluster, "moved")
    target = next(server for server in cluster.primaries if server is not source)

    def move(source: RedisServer, target: RedisServer) -> None:
        begin_move(slot, source, target)
        move_keys(slot, source, target)
        end_move(cluster, slot, target)

    async def run() -> None:
        async with writing(cluster.url) as writer:
            await writer.begin(["t/0"])
            await writer.apply("t/0", log(0, 30), ends=30)
            assert "from their beginning" not in caplog.text
            for one, other in ((source, target), (target, source)):
                move(one, other)
                with pytest.raises(ClusterChangedError, match="The Redis cluster has changed"):
                    await insist_changed(writer)
                assert await writer.begin(["t/0"]) == {"t/0": 0}
                assert Rollups.live(client).positions() == {"t/0": Position(0)}
                await writer.advance({"t/0": Position(30)})
            await writer.apply("t/0", log(0, 60), ends=60)

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert caplog.text.count("all topics are read from their beginning") == 2
    assert counted(client) == each(2)


async def insist_changed(writer: Writer) -> None:
    """Look, as a worker does, until the nodes are seen to have changed."""
    for _ in range(100):
        await writer.nodes.check()
        await asyncio.sleep(0.05)


# -------------------------------------------------------------------------- a failover


@pytest.mark.parametrize("flavour", ["redis", "valkey"])
def test_a_replica_that_lagged_takes_over(flavour: Any) -> None:
    """What it never had is noticed by its positions, and read again."""
    with (
        redis_cluster(nodes=3, replicated=True, flavour=flavour) as mine,
        connect(mine.url) as client,
    ):
        primary, replica = mine.primaries[1], mine.replicas[1]

        async def run() -> None:
            async with writing(mine.url) as writer:
                await writer.begin(["t/0"])
                await writer.apply("t/0", log(0, 30), ends=30)
                assert ask(primary, "WAIT", 1, 5000) == 1
                ask(primary, "ACL", "SETUSER", "default", "-psync", "-sync")
                ask(primary, "CLIENT", "KILL", "TYPE", "replica")  # and it gets nothing any more
                await writer.apply("t/0", log(30, 30), ends=60)
                primary.kill()
                with pytest.raises((LostWritesError, ClusterChangedError)):
                    await insist(lambda: writer.apply("t/0", log(60, 30), ends=90))
                assert await insist(lambda: writer.begin(["t/0"])) == {"t/0": 30}
                await writer.apply("t/0", log(30, 60), ends=90)

        asyncio.run(run())
        assert owner(mine, keys.FIRST.positions_at(place(mine, 1))) is replica
        assert counted(client) == each(3)


# --------------------------------------------------------------------------- namespaces


def test_which_rollups_are_active_is_known_to_every_node(
    cluster: RedisCluster, client: Any
) -> None:
    """The node that has the key for all loses it, after the old ones are dropped elsewhere."""
    live = Rollups.live(client).keys
    new = new_namespace(client, live)
    client.set(new.head("acme"), "")
    client.set(keys.REBUILD, "me")
    assert not activate(client, new, "another")
    assert Rollups.live(client).keys == keys.FIRST
    assert activate(client, new, "me")
    drop(client, live)
    for name in live_keys(client)[:-1]:
        client.delete(name)

    async def run() -> keys.Namespace:
        async with writing(cluster.url) as writer:
            return await writer.active_namespace()

    assert Rollups.live(client).keys == new == asyncio.run(run())
    client.delete(keys.GENERATION)  # it is not given out again
    assert new_namespace(client, new).number > new.number


def test_all_keys_of_a_namespace_are_dropped_on_every_node(
    cluster: RedisCluster, client: Any
) -> None:
    """And none of another's."""

    async def run(at: keys.Namespace) -> None:
        writer = Writer.of(cluster.url, DAY, 5.0, at, clock=time.time)
        await writer.prepare()
        await writer.apply("t/0", log(0, 90), ends=90)
        await writer.close()

    for at in (keys.FIRST, keys.numbered(1), keys.numbered(2)):
        asyncio.run(run(at))
    client.set(keys.REBUILD, "me")
    activate(client, keys.numbered(1), "me")
    drop_leftovers(client, keys.numbered(1))
    names = {name.decode().partition(":")[0] for name in client.scan_iter(count=1000)}
    assert names == {"u2", "usage"}
    assert counted(client) == each(3)


# ---------------------------------------------------------------------- what will not do


def test_a_node_alone_is_refused(cluster: RedisCluster) -> None:
    """With a sentence that says what to write instead; and the other way around."""

    async def check(url: str) -> None:
        writer = Writer.of(url, DAY, timeout=5.0, clock=time.time)
        try:
            await writer.check_fitness()
        finally:
            await writer.close()

    with pytest.raises(UnfitRedisError, match=r"add \?cluster=true to USAGE_REDIS"):
        asyncio.run(check(cluster.primaries[0].url))
    with (
        redis_server() as alone,
        pytest.raises(UnfitRedisError, match="is not a node of a cluster"),
    ):
        asyncio.run(check(f"{alone.url}?cluster=true"))


def test_one_node_that_evicts_is_enough_to_refuse(cluster: RedisCluster) -> None:
    """Each of them is asked."""

    async def check() -> None:
        async with writing(cluster.url) as writer:
            await writer.check_fitness()

    for setting, value in (("maxmemory-policy", "allkeys-lru"), ("maxmemory", "100mb")):
        ask(cluster.primaries[2], "CONFIG", "SET", setting, value)
    try:
        with pytest.raises(UnfitRedisError, match="allkeys-lru"):
            asyncio.run(check())
    finally:
        ask(cluster.primaries[2], "CONFIG", "SET", "maxmemory", "0")
        ask(cluster.primaries[2], "CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_cluster_that_is_away_is_a_redis_that_is_away() -> None:
    """The same kind of error as of a single server, before and after it was there; then it is."""
    with redis_cluster() as mine, connect(mine.url) as client:
        client.get("a")
        for server in mine.primaries:
            server.kill()
        for _ in range(3):
            with pytest.raises(RedisError):
                Rollups.live(client)
        with pytest.raises(RedisError):
            connect(mine.url)


# ------------------------------------------------------------------------ several at once


def test_what_is_done_at_once_is_ended_before_an_error_is_raised() -> None:
    """Nobody speaks on a connection any more when it is let go; and losses are reported first."""
    ended = []

    async def fail(error: Exception) -> None:
        raise error

    async def take_long() -> None:
        await asyncio.sleep(0.01)
        ended.append("long")

    async def run() -> None:
        await gather_all(
            fail(RedisError("first")), take_long(), fail(ClusterChangedError("second"))
        )

    with pytest.raises(ClusterChangedError, match="second"):
        asyncio.run(run())
    assert ended == ["long"]
