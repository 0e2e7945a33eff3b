"""Partitions that nobody gets on with: the group is joined again, and then left to come to rest."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

from stream_app.agents import Attempts
from stream_app.faust_app import UsageApp
from stream_app.transport import Generation


def joined_at(looks: int, stalled: list[bool]) -> list[int]:
    """Return the looks, of so many, at which the group was joined again."""
    app: Any = UsageApp.__new__(UsageApp)
    app._consumer = SimpleNamespace(generation=Generation(1, 1))
    app.attempts = Attempts(lambda: Generation(1, 1))
    app._looks = Counter()
    joined: list[int] = []
    look = 0

    async def some() -> int:
        app.sealing.stalled = {"usage.flows/0"} if stalled[look % len(stalled)] else set()
        return 0

    app.sealing = SimpleNamespace(some=some, stalled=set())
    app.begin_again = lambda why: joined.append(look)
    for look in range(looks):  # noqa: B007 (what is called here looks at it)
        asyncio.run(UsageApp.seal(app))
    return joined


def test_the_group_is_joined_again_after_some_looks_and_not_at_each_of_them() -> None:
    """look 0 1 2 3 4 5 | 6 7 8 9 10 11 | 12: a group joined at every look would never rest."""
    assert joined_at(13, [True]) == [5, 11]


def test_what_gets_on_in_between_is_not_stalled() -> None:
    """Five looks at nothing, then one at which something was counted."""
    assert joined_at(24, [True] * 5 + [False]) == []
