"""Who has which hash slots, and what the nodes' own keys are called; without a server."""

import pytest

from interaction_usage.store import keys
from interaction_usage.store.address import is_cluster, node_url, server_url
from interaction_usage.store.cluster_topology import (
    HASH_SLOTS,
    Primary,
    UncoveredSlotsError,
    hash_slot,
    parse_topology,
)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        # as CLUSTER KEYSLOT says
        ("123456789", 12739),
        ("u:{acme}:d:20727", 11304),
        ("acme", 11304),
        ("{}acme", 5866),
        ("a{b}{c}", 3300),
        ("{b", 6215),
    ],
)
def test_the_hash_slot_of_a_key(key: str, slot: int) -> None:
    """It is the tag's where there is one that is not empty and closed."""
    assert hash_slot(key) == slot


def slots_answer(*parts: tuple[int, int, int]) -> list[list[object]]:
    """Return what CLUSTER SLOTS answers of (first, last, port), with a replica each."""
    return [
        [first, last, [b"10.0.0.1", port, b"id", {}], [b"10.0.0.9", port, b"replica"]]
        for first, last, port in parts
    ]


def test_a_layout_is_the_same_however_it_is_reported() -> None:
    """In any order, in pieces, and by a node that does not know its own host."""
    whole = parse_topology(3, slots_answer((0, 99, 1), (100, 16383, 2)))
    pieces = parse_topology(
        3, slots_answer((5000, 16383, 2), (50, 99, 1), (0, 49, 1), (100, 4999, 2))
    )
    assert whole == pieces
    assert [share.ranges for share in whole.primaries] == [((0, 99),), ((100, 16383),)]
    [[first, last, [_, port, *_], *_]] = slots_answer((0, 16383, 1))
    assert (
        parse_topology(1, [[first, last, [b"", port]]], "10.0.0.1").primaries[0].host == "10.0.0.1"
    )


def test_each_hash_slot_has_the_owner() -> None:
    """n1 [0 -- 100)[200 -- 300)   n2 [100 -- 200)[300 -- 16384)"""
    found = parse_topology(
        1, slots_answer((0, 99, 1), (100, 199, 2), (200, 299, 1), (300, 16383, 2))
    )
    owners = found.owners()
    assert [owners[slot] for slot in (0, 99, 100, 199, 200, 299, 300, 16383)] == [
        *(0, 0, 1, 1),
        *(0, 0, 1, 1),
    ]


def test_a_layout_with_a_hole_is_refused() -> None:
    """Accounts there could be written nowhere."""
    with pytest.raises(UncoveredSlotsError, match="10 of the cluster's hash slots"):
        parse_topology(1, slots_answer((0, 99, 1), (110, 16383, 2)))


@pytest.mark.parametrize("ranges", [((0, 5460),), ((5461, 10921), (16000, 16383)), ((77, 77),)])
def test_a_node_s_own_keys_lie_on_it(ranges: tuple[tuple[int, int], ...]) -> None:
    """And say which hash slots they speak of."""
    place = Primary("h", 1, ranges).key_suffix
    for key in (keys.FIRST.positions_at(place), keys.log_begun(place)):
        assert ranges[0][0] <= hash_slot(key) <= ranges[0][1]
        assert key.endswith(",".join(f"{first}-{last}" for first, last in ranges))
    assert HASH_SLOTS == 16384


def test_nodes_with_other_slots_have_other_keys() -> None:
    """Though their first range, and so their tag, is the same."""
    before, after = Primary("h", 1, ((0, 99), (200, 299))), Primary("h", 1, ((0, 99),))
    assert before.tag == after.tag
    assert before.key_suffix != after.key_suffix


@pytest.mark.parametrize(
    ("url", "cluster", "server", "node"),
    [
        ("redis://h:1/0", False, "redis://h:1/0", "redis://n:2/0"),
        ("redis://h:1?cluster=true", True, "redis://h:1", "redis://n:2"),
        ("redis://h:1/0?cluster=false", False, "redis://h:1/0", "redis://n:2/0"),
        (
            "rediss://u:p%40@h?cluster=true&ssl_cert_reqs=none",
            True,
            "rediss://u:p%40@h?ssl_cert_reqs=none",
            "rediss://u:p%40@n:2?ssl_cert_reqs=none",
        ),
    ],
)
def test_a_url_that_names_a_cluster(url: str, cluster: bool, server: str, node: str) -> None:
    """Every node is reached as the one that is named, with the same password and options."""
    assert is_cluster(url) is cluster
    assert server_url(url) == server
    assert node_url(url, "n", 2) == node
    assert node_url("redis://h", "::1", 2) == "redis://[::1]:2"


def test_the_newest_namespace_is_active() -> None:
    """Whatever a node of a cluster has forgotten."""
    assert keys.active([None, None]) == keys.FIRST
    assert keys.active([b"u9", b"u10", None]).name == "u10"
