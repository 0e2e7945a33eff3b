"""What a worker asks to have sealed: what it has caught up with, by its own clock."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from interaction_usage.store.reads import Position
from stream_app.broker import Span
from stream_app.sealing import Sealing, Seen


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
        lambda _: {"a": Span(0, looks[look][1], looks[look][1])},
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


class _Accounts:
    """A writer with some accounts, listed two at a time, and where its only partition ends."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.looked_at, self.asked = names, list[list[str]](), 0

    async def positions(self) -> dict[str, Position]:
        """Return that everything is counted."""
        self.asked += 1
        return {"a": Position(7)}

    async def scan_accounts(self, cursor: int, _: int) -> tuple[int, list[str]]:
        """Return two of the accounts, and where to go on."""
        after = cursor + 2
        return (after if after < len(self.names) else 0), self.names[cursor:after]

    async def seal(self, accounts: list[str], _: int) -> int:
        """Note that these were looked at."""
        self.looked_at.append(accounts)
        return 0


def test_all_accounts_are_looked_at_once_a_minute_and_not_all_the_time() -> None:
    """Looks 5 s apart; the sweep over three accounts takes two of them, and then rests."""
    writer, now = _Accounts(["a", "b", "c"]), 1_000
    entry = Sealing(cast(Any, writer), lambda _: {"a": Span(0, 7, 7)}, clock=lambda: now)
    for now in range(1_000, 1_121, 5):
        asyncio.run(entry.some())
        if now == 1_055:
            assert writer.looked_at == [["a", "b"], ["c"]]
            assert entry.looked_at == 1_005
    assert writer.looked_at == [["a", "b"], ["c"]] * 2 + [["a", "b"]]


def test_what_somebody_else_saw_just_now_is_not_asked_again() -> None:
    """The look of completeness has the same positions and ends; where there is none, both are."""
    writer, seen = _Accounts(["a"]), [Seen(900, {"a": Position(7)}, {"a": Span(0, 7, 7)}), None]
    entry = Sealing(
        cast(Any, writer), lambda _: {"a": Span(0, 7, 7)}, lambda: 1_000, lambda: seen.pop(0)
    )
    asyncio.run(entry.some())
    assert (writer.asked, entry.complete) == (0, 900)
    asyncio.run(entry.some())
    assert (writer.asked, entry.complete) == (1, 1_000)
