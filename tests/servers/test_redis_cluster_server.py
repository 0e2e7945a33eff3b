"""A cluster is whole when the block begins, keeps what it is asked to keep, and leaves nothing."""

import os
from pathlib import Path
from typing import Any

import pytest

from interaction_usage.servers.child import ServerDiedError
from interaction_usage.servers.redis_cluster import HASH_SLOTS, ask, redis_cluster
from interaction_usage.store.client import connect, primaries_of


@pytest.mark.parametrize("flavour", ["redis", "valkey"])
def test_every_hash_slot_is_served_at_once(flavour: Any, need: Any) -> None:
    """By nodes of either flavour, each with a third, and each sees the two others."""
    if flavour == "redis":
        need("redis-server", "Redis")
    with redis_cluster(flavour=flavour) as cluster, connect(cluster.url) as client:
        for number in range(30):
            client.set(f"key-{number}", number)
        sizes = [ask(server, "DBSIZE") for server in cluster.primaries]
        shares = primaries_of(client)
        assert sum(sizes) == 30
        assert min(sizes) > 0
        assert (
            sum(last + 1 - first for entry in shares for first, last in entry.ranges) == HASH_SLOTS
        )
        for server in cluster.primaries:
            assert "cluster_known_nodes:3" in ask(server, "CLUSTER", "INFO")
    for server in cluster.servers:
        assert not server.alive
        with pytest.raises(ProcessLookupError):
            os.kill(server.pid, 0)


def test_a_node_that_was_killed_comes_back_with_data(tmp_path: Path) -> None:
    """At its address, with its hash slots, from the files in its own folder."""
    with redis_cluster(tmp_path) as cluster, connect(cluster.url) as client:
        for number in range(30):
            client.set(f"key-{number}", number)
        for server in cluster.primaries:
            server.kill()
            server.start()
            cluster.wait()
        assert [int(client.get(f"key-{number}")) for number in range(30)] == list(range(30))
        assert {path.name for path in tmp_path.iterdir()} == {"node-0", "node-1", "node-2"}


def test_each_primary_has_the_replica() -> None:
    """Linked to it when the block begins; one more primary can join, without hash slots."""
    with redis_cluster(replicated=True) as cluster, connect(cluster.url) as client:
        client.set("a", 1)
        for primary, replica in zip(cluster.primaries, cluster.replicas, strict=True):
            answer = ask(replica, "INFO", "replication")
            assert (answer["role"], answer["master_port"]) == ("slave", primary.port)
        added = cluster.add()
        assert ask(added, "CLUSTER", "MYID") in ask(cluster.replicas[0], "CLUSTER", "NODES")
        assert len(primaries_of(client)) == 3


def test_a_cluster_that_does_not_come_up_says_why() -> None:
    """And nothing of it is left running."""
    with (
        pytest.raises(ServerDiedError, match="exit code 1: Bad directive"),
        redis_cluster(extra=("--no-such-directive", "1")),
    ):
        pass
