"""What a worker asks to have sealed: what it has caught up with, by its own clock."""

import asyncio
from types import SimpleNamespace
from typing import Any

from interaction_usage.store.reads import Position
from stream_app.broker import Span
from stream_app.sealing import Sealing


def asked(looks: list[tuple[int, int]]) -> list[int]:
    """Return the seconds up to which days are sealed, at looks a hundred seconds apart.

    *looks* are, of one partition, up to where it is counted and where it ends.
    """
    answer: list[int] = []
    look = 0

    async def positions() -> dict[str, Position]:
        return {"a": Position(looks[look][0], 99_999_999)}  # a timestamp far ahead

    async def scan_accounts(*_: int) -> tuple[int, list[str]]:
        return 0, ["acme"]

    async def seal(_: list[str], complete: int) -> int:
        answer.append(complete)
        return 0

    writer: Any = SimpleNamespace(positions=positions, scan_accounts=scan_accounts, seal=seal)
    entry = Sealing(
        writer,
        lambda: {"a": Span(0, looks[look][1], looks[look][1])},
        clock=lambda: 100 * (look + 1),
    )
    for look in range(len(looks)):  # noqa: B007 (what is called here looks at it)
        asyncio.run(entry.some())
    return answer


def test_days_are_sealed_up_to_a_look_that_was_caught_up_with() -> None:
    """Behind all the time, and yet everything of the look before is counted at each."""
    # ends 10 at 100 s; counted at 200 s, where it ends at 20; counted at 400 s
    assert asked([(0, 10), (10, 20), (19, 30), (20, 40)]) == [100, 100, 200]


def test_nothing_is_sealed_before_anything_was_caught_up_with() -> None:
    """A worker that comes back after months first counts what was published meanwhile."""
    assert asked([(0, 10), (3, 10), (9, 10)]) == []
