"""The layout of a Redis Cluster: which node has which hash slots, and what its own keys are called.

Every primary has keys of its own beside those of its accounts: how far each topic-partition is
counted *there*. Such a key must lie on its node, so it has a tag whose hash slot does; and it is
true of just the accounts that lie there, so it is named for the node's slots as well:

    u:position:{2}:0-5460        the node with the hash slots 0 to 5460, where those of {2} lie

So whoever looks at the same layout derives the same names, and where slots were moved, the names
are new, and nothing is known under them: the topics are read again from their beginning, and the
fences, which moved with their accounts, skip what is there. Nothing else could be right: a position
of the node that an account came from says nothing of whether its new node has kept it.
"""

from binascii import crc_hqx
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any, Final, NamedTuple

from redis.exceptions import RedisError

#: How many hash slots a cluster has.
HASH_SLOTS: Final = 16_384


class Uncovered(RedisError):
    """No node has some of the hash slots."""


def hash_slot(key: str) -> int:
    """Return the hash slot of *key*: that of its hash tag if it has one."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return crc_hqx((tag if opened and closed and tag else key).encode(), 0) % HASH_SLOTS


class Share(NamedTuple):
    """A primary of a cluster, and the hash slots it has."""

    host: str
    port: int
    ranges: tuple[tuple[int, int], ...]  #: (first, last) of its hash slots, ascending

    @property
    def tag(self) -> str:
        """A hash tag that lies on this node: the smallest number that is in its first range."""
        return _tag_in(*self.ranges[0])

    @property
    def place(self) -> str:
        """What the names of this node's own keys end with."""
        return f"{{{self.tag}}}:{','.join(f'{first}-{last}' for first, last in self.ranges)}"


@lru_cache(1024)
def _tag_in(first: int, last: int) -> str:
    return next(tag for tag in map(str, count()) if first <= hash_slot(tag) <= last)


class Layout(NamedTuple):
    """Which node has which hash slots, as of an epoch: a failover or a move begins the next one."""

    epoch: int
    shares: tuple[Share, ...]  #: by their first slot

    def owners(self) -> list[int]:
        """Return the index of the share that each hash slot belongs to."""
        owners = [0] * HASH_SLOTS
        for index, share in enumerate(self.shares):
            for first, last in share.ranges:
                owners[first : last + 1] = [index] * (last + 1 - first)
        return owners


def layout(epoch: int, slots: Sequence[Sequence[Any]], asked: str = "") -> Layout:
    """Return the layout that the answer *slots* to CLUSTER SLOTS tells; *asked* is who gave it.

    A node that does not know its own host leaves it out.
    Raises Uncovered where a hash slot belongs to no node.
    """
    found: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for first, last, (host, port, *_), *_ in slots:
        name = host.decode() if isinstance(host, bytes) else host
        found.setdefault((name or asked, int(port)), []).append((int(first), int(last)))
    shares = [Share(host, port, _joined(sorted(ranges))) for (host, port), ranges in found.items()]
    covered = sum(last + 1 - first for share in shares for first, last in share.ranges)
    if covered < HASH_SLOTS:
        raise Uncovered(f"{HASH_SLOTS - covered} of the cluster's hash slots have no node")
    return Layout(epoch, tuple(sorted(shares, key=lambda share: share.ranges)))


def _joined(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return *ranges* with those made one that follow each other; nodes tell them either way."""
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return tuple(joined)
