"""The whole system on a Redis Cluster of three nodes: the same numbers, whatever becomes of one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interaction_usage.servers.redis_cluster import RedisCluster, ask, redis_cluster
from interaction_usage.store import keys
from interaction_usage.store.cluster_topology import hash_slot
from interaction_usage.store.reads import Rollups
from tests.support import vector_files
from tests.support.event_lines import flow, traffic
from tests.support.reference import report_of, rollups_of
from tests.support.shared_broker import SharedBroker
from tests.support.system import System

AS_OF = "2026-11-01T00:00:00Z"
DAYS = ("2026-10-01", "2026-10-02")


@pytest.fixture
def system(
    need_kafka: None, shared_broker: SharedBroker, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[System]:
    """Yield a system with a cluster, which no other test has used; replicated if asked for."""
    replicated = getattr(request, "param", "") == "replicated"
    with redis_cluster(tmp_path / "redis", replicated=replicated) as store:
        made = System(shared_broker.without_topics(), store, tmp_path)
        yield made
        made.kill_workers()


def check_reports(system: System, lines: list[bytes]) -> None:
    """Hold every account's report against the one of the pure code."""
    for account, rollups in rollups_of(lines).items():
        report = system.report_here(account, *DAYS, as_of=AS_OF)
        assert report == report_of(rollups, account, *DAYS, "UTC", AS_OF)


def send(system: System, lines: list[bytes]) -> None:
    """Publish *lines*."""
    system.usage("send", "-", stdin=b"\n".join(lines))


def test_every_vector_gives_the_reports_on_a_cluster(system: System) -> None:
    """Through send, Kafka, a worker, three nodes and the export; every command works on them."""
    system.start_worker()
    for name in vector_files.NAMES:
        send(system, [line for _, line in vector_files.lines(name)])
    system.catch_up()
    for name in vector_files.NAMES:
        for case in vector_files.expected(name):
            days = str(case.period.first), str(case.period.last)
            as_of = case.as_of.isoformat().replace("+00:00", "Z")
            tz = case.period.timezone
            report = system.report_here(case.account, *days, tz=tz, as_of=as_of)
            assert {member: report[member] for member in case.report} == case.report
    listed = system.usage("account", "list").stdout.decode()
    assert all(case.account in listed for name in vector_files.NAMES
               for case in vector_files.expected(name))  # fmt: skip
    system.usage("account", "set", "acme", "--name", "Acme Ltd")
    assert b"Acme Ltd" in system.usage("account", "show", "acme").stdout
    folder = system.folder / "all"
    system.usage("export", "--all", "--from", DAYS[0], "--to", DAYS[1], "-d", str(folder))
    with system.client() as client:
        assert len(list(folder.iterdir())) == len(Rollups.live(client).accounts())
        busy = [server for server in system.redis.primaries if ask(server, "DBSIZE") > 5]
    assert len(busy) == 3


def test_a_node_is_killed_and_one_comes_back_without_the_last_writes(system: System) -> None:
    """The first has everything in its file; what the second lost is noticed and read again."""
    lines = list(traffic(9_000, seed=6, accounts=12, corrections=True))
    system.start_worker()
    send(system, lines[:4000])
    system.catch_up()
    killed, torn, _ = system.redis.primaries
    killed.kill()
    send(system, lines[4000:6000])
    killed.start()
    system.redis.wait()
    system.catch_up()
    check_reports(system, lines[:6000])
    assert "Redis lost writes it had acknowledged" not in system.log()
    torn.kill()
    [*_, log] = sorted((torn.folder / "appendonlydir").glob("*.incr.aof"))
    content = log.read_bytes()
    log.write_bytes(content[: len(content) // 2])
    torn.start()
    system.redis.wait()
    send(system, lines[6000:])
    system.catch_up()
    check_reports(system, lines)
    assert "Redis lost writes it had acknowledged" in system.log()
    verified = system.usage("rebuild", "--verify")
    assert verified.stderr.endswith(b"12 accounts match the topics exactly.\n")


@pytest.mark.parametrize("system", ["replicated"], indirect=True)
def test_a_replica_takes_over_under_a_running_worker(
    system: System, eventually: Callable[..., None]
) -> None:
    """The worker finds it by itself, and reads again what the replica never had."""
    lines = list(traffic(6_000, seed=9, accounts=12))
    system.start_worker()
    send(system, lines[:3000])
    system.catch_up()
    cluster: RedisCluster = system.redis  # type: ignore[assignment]
    primary, replica = cluster.primaries[2], cluster.replicas[2]
    ask(primary, "ACL", "SETUSER", "default", "-psync", "-sync")
    ask(primary, "CLIENT", "KILL", "TYPE", "replica")  # and it gets nothing any more
    send(system, lines[3000:5000])
    system.catch_up()
    primary.kill()
    send(system, lines[5000:])
    eventually(lambda: bool(ask(replica, "ROLE")[0] == "master"), "the replica takes over")
    cluster.wait()
    system.catch_up()
    check_reports(system, lines)
    assert "The Redis cluster has changed" in system.log()


def test_a_rebuild_on_a_cluster(system: System) -> None:
    """The new rollups are active on every node, and the old ones are gone from each."""
    lines = list(traffic(3_000, seed=7, accounts=8))
    system.start_worker()
    send(system, lines)
    system.catch_up()
    done = system.usage("rebuild")
    assert done.stderr.startswith(b"Reports now use the new rollups: ")
    assert b"has not switched" not in done.stderr
    more = flow("after", subject="account-0")
    send(system, [more])
    system.catch_up()
    check_reports(system, [*lines, more])
    for server in system.redis.primaries:
        names = ask(server, "KEYS", "*")
        assert [name for name in names if not name.startswith(("u2:", "usage:", "{usage:"))] == []
        assert sum(name.startswith("usage:live:") for name in names) == 1


def test_hash_slots_move_to_a_new_node_under_a_running_worker(
    system: System, eventually: Callable[..., None]
) -> None:
    """The worker begins again by itself, from the beginning, and every report stays exact."""
    lines = list(traffic(4_000, seed=8, accounts=12))
    system.start_worker()
    send(system, lines[:2000])
    system.catch_up()
    cluster: RedisCluster = system.redis  # type: ignore[assignment]
    added = cluster.add()
    for number in range(6):
        move(cluster, hash_slot(f"account-{number}"), added)
    send(system, lines[2000:])
    eventually(lambda: "The Redis cluster has changed" in system.log(), "the worker has noticed")
    system.catch_up()
    check_reports(system, lines)
    assert ask(added, "EXISTS", keys.FIRST.head("account-0")) == 1
    assert "all topics are read from their beginning" in system.log()
    system.usage("rebuild", "--verify")


def move(cluster: RedisCluster, slot: int, target: Any) -> None:
    """Move a hash slot with all of its keys to another node, as `redis-cli --cluster` does."""
    name = ask(target, "CLUSTER", "MYID")
    for source in cluster.primaries:
        [mine] = [row.split() for row in ask(source, "CLUSTER", "NODES").splitlines()
                  if "myself" in row]  # fmt: skip
        has = [part.split("-") for part in mine[8:] if not part.startswith("[")]
        if source is not target and any(int(a[0]) <= slot <= int(a[-1]) for a in has):
            break
    else:
        return
    ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", mine[0])
    ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", name)
    while found := ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
        for key in found:
            ask(source, "MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
    for server in (target, *cluster.primaries):
        ask(server, "CLUSTER", "SETSLOT", slot, "NODE", name)
