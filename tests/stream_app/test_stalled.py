"""Partitions without progress: the group is rejoined, and then left to come to rest."""

from typing import Any, cast

from stream_app.watchdog import Watchdog


class Rejoin:
    """Counts how often the group was rejoined."""

    def __init__(self) -> None:
        self.requests = 0

    def request(self, _: str) -> None:
        """Count it."""
        self.requests += 1


def rejoined_at(looks: int, stalled: list[bool]) -> list[int]:
    """Return the looks, of so many, at which the group was rejoined."""
    rejoin, nothing = Rejoin(), cast(Any, None)
    watchdog = Watchdog(nothing, nothing, nothing, cast(Any, rejoin), nothing, nothing)
    rejoined: list[int] = []
    for look in range(looks):
        before = rejoin.requests
        watchdog.look_at_stalled({"usage.flows/0"} if stalled[look % len(stalled)] else set())
        rejoined += [look] * (rejoin.requests - before)
    return rejoined


def test_the_group_is_joined_again_after_some_looks_and_not_at_each_of_them() -> None:
    """look 0 1 2 3 4 5 | 6 7 8 9 10 11 | 12: a group joined at every look would never rest."""
    assert rejoined_at(13, [True]) == [5, 11]


def test_what_gets_on_in_between_is_not_stalled() -> None:
    """Five looks at nothing, then one at which something was counted."""
    assert rejoined_at(24, [True] * 5 + [False]) == []
