"""What a worker asks to have sealed: by the records' time, and never ahead of the clock."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from rollups.reads import Position
from stream_app import sealing
from stream_app.broker import Span
from stream_app.sealing import Sealing

NOW = 1_000


@pytest.mark.parametrize(("newest", "upto"), [(900, 900), (99_999, NOW)])
def test_a_timestamp_ahead_of_the_clock_seals_nothing_early(
    monkeypatch: pytest.MonkeyPatch, newest: int, upto: int
) -> None:
    """One partition is behind; the newest of what it has is a record of a clock years ahead."""
    asked: list[tuple[int, int]] = []

    async def positions() -> dict[str, Position]:
        return {"a": Position(10, 500), "b": Position(19, newest)}

    async def some_accounts(*_: int) -> tuple[int, list[str]]:
        return 0, ["acme"]

    async def seal(_: list[str], complete: int, now: int) -> int:
        asked.append((complete, now))
        return 0

    spans = {"a": Span(0, 10, 10), "b": Span(0, 20, 20)}
    monkeypatch.setattr(sealing, "_spans", lambda _: spans)
    monkeypatch.setattr(sealing, "time", SimpleNamespace(time=lambda: NOW))
    writer: Any = SimpleNamespace(positions=positions, some_accounts=some_accounts, seal=seal)
    asyncio.run(Sealing(writer, None).some())
    assert asked == [(upto, NOW)]
