"""The topology of a Redis Cluster: which node has which hash slots, and how its own keys are named.

Every primary has keys of its own beside those of its accounts: how far each topic-partition is
counted *there*. Such a key must live on its node, so it has a tag whose hash slot does; and it is
valid for exactly the accounts that live there, so it is named after the node's slots as well:

    u:position:{2}:0-5460        the node with the hash slots 0 to 5460, where that of {2} is

So everybody who sees the same topology derives the same names. Where slots were moved, the names
are new and have no values yet: the topics are read again from their beginning, and the fences,
which moved with their accounts, skip what is there. Nothing less would be correct: a position of
the node that an account came from does not say whether its new node has kept the account's latest
events.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any, Final, NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from interaction_usage.store.errors import UncoveredSlotsError

#: How many hash slots a cluster has.
HASH_SLOTS: Final = REDIS_CLUSTER_HASH_SLOTS


def hash_slot(key: str) -> int:
    """Return the hash slot of *key*: that of its hash tag if it has one."""
    return int(key_slot(key.encode()))


class Primary(NamedTuple):
    """A primary of a cluster, and the hash slots it has."""

    host: str
    port: int
    ranges: tuple[tuple[int, int], ...]  #: (first, last) of its hash slots, ascending

    @property
    def tag(self) -> str:
        """A hash tag that lives on this node: the smallest number that is in its first range."""
        return _tag_in(*self.ranges[0])

    @property
    def key_suffix(self) -> str:
        """What the names of this node's own keys end with."""
        return f"{{{self.tag}}}:{','.join(f'{first}-{last}' for first, last in self.ranges)}"


@lru_cache(1024)
def _tag_in(first: int, last: int) -> str:
    return next(tag for tag in map(str, count()) if first <= hash_slot(tag) <= last)


class Topology(NamedTuple):
    """Which node has which hash slots, in an epoch: a failover or a move begins the next one."""

    epoch: int
    primaries: tuple[Primary, ...]  #: by their first slot

    def owners(self) -> list[int]:
        """Return the index of the primary that each hash slot belongs to."""
        owners = [0] * HASH_SLOTS
        for index, primary in enumerate(self.primaries):
            for first, last in primary.ranges:
                owners[first : last + 1] = [index] * (last + 1 - first)
        return owners


def parse_topology(epoch: int, slots: Sequence[Sequence[Any]], answered_by: str = "") -> Topology:
    """Return the topology in *slots*, the answer of the host *answered_by* to CLUSTER SLOTS.

    A node that does not know its own host leaves it out.
    Raises UncoveredSlotsError if a hash slot belongs to no node.
    """
    nodes: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for first, last, (host, port, *_), *_ in slots:
        name = host.decode() if isinstance(host, bytes) else host
        nodes.setdefault((name or answered_by, int(port)), []).append((int(first), int(last)))
    primaries = [
        Primary(host, port, _join(sorted(ranges))) for (host, port), ranges in nodes.items()
    ]
    covered = sum(last + 1 - first for each in primaries for first, last in each.ranges)
    if covered < HASH_SLOTS:
        raise UncoveredSlotsError(
            f"{HASH_SLOTS - covered} of the cluster's hash slots have no node"
        )
    return Topology(epoch, tuple(sorted(primaries, key=lambda primary: primary.ranges)))


def _join(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return *ranges* with adjacent ones merged; nodes report them merged or not."""
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return tuple(joined)
