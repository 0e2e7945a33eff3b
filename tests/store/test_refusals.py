"""Refused events by account: what dead letters and markers add up to, read in any pieces."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from interaction_usage.store import keys
from interaction_usage.store.pinned_connections import pinned_connections
from interaction_usage.store.refusals import Refused, note

ACCOUNTS = ("acme", "rival")


def counted(redis: Any) -> dict[str, dict[bytes, float]]:
    """Return the open places of each account, with the seconds of their events."""
    return {name: dict(redis.zrange(keys.refused(name), 0, -1, withscores=True))
            for name in ACCOUNTS}  # fmt: skip


def apply(redis: Any, changes: Sequence[Refused]) -> None:
    """Note *changes* as a reader does."""
    with pinned_connections(redis) as connections:
        note(connections, changes)


def history(rng: random.Random) -> list[Refused]:
    """Return dead letters, some of them twice, and markers of some."""
    made = [
        Refused(f"usage.flows/0/{number}", rng.choice(ACCOUNTS), rng.randrange(100))
        for number in range(30)
    ]
    changes = list(made)
    for each in rng.sample(made, 12):
        changes.insert(rng.randrange(changes.index(each) + 1, len(changes) + 1),
                       Refused(each.place, None))  # fmt: skip
    return [*changes, Refused("usage.flows/0/99", None), *rng.sample(made, 5)]


def expected(changes: Sequence[Refused]) -> dict[str, dict[bytes, float]]:
    """Return what is open: refused, and not published again, not before either."""
    again = {each.place for each in changes if each.account is None}
    found: dict[str, dict[bytes, float]] = {name: {} for name in ACCOUNTS}
    for each in changes:
        if each.account and each.place not in again:
            found[each.account][each.place.encode()] = float(each.second)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_it_is_read_in_pieces_and_twice(redis: Any, seed: int) -> None:
    """In any pieces, and from any place once more."""
    rng = random.Random(seed)
    changes = history(rng)
    at = 0
    while at < len(changes):
        piece = rng.randrange(1, 9)
        apply(redis, changes[at : at + piece])
        at += piece
    assert counted(redis) == expected(changes)
    apply(redis, changes[rng.randrange(len(changes)) :])
    assert counted(redis) == expected(changes)


@pytest.mark.parametrize("lost", ["places", *ACCOUNTS])
@pytest.mark.parametrize("seed", range(5))
def test_a_key_that_lost_the_last_writes_gets_them_back(redis: Any, seed: int, lost: str) -> None:
    """As on a cluster, whose nodes lose what each of them has: what is read again repairs it."""
    rng = random.Random(seed)
    changes = history(rng)
    key = keys.REFUSED if lost == "places" else keys.refused(lost)
    kept = rng.randrange(len(changes))
    apply(redis, changes[:kept])
    before = redis.dump(key)
    apply(redis, changes[kept:])
    redis.delete(key)
    if before:
        redis.restore(key, 0, before)
    apply(redis, changes[kept:])
    assert counted(redis) == expected(changes)
