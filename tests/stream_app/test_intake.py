"""Events for a sealed day: refused as far as it is certain, and no further."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from rollups.events import FlowRun
from rollups.fold import Placed
from rollups.writer import Held
from stream_app import agents
from stream_app.agents import Attempts, Intake, NotYet
from stream_app.transport import Batch, Generation

NOW = Generation(1, 1)


def refused(since: list[int], complete: int, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Return the offsets that are refused, of held events at 0, 1, … sealed since these seconds."""
    event: Any = FlowRun
    held = [Held(Placed(offset, event, 0), second) for offset, second in enumerate(since)]
    records: Any = [SimpleNamespace(offset=offset) for offset in range(len(since))]
    told: list[int] = []

    async def second() -> int:
        return complete

    async def refuse(letters: list[int], *_: Any) -> None:
        told.extend(letters)

    work: Any = SimpleNamespace(complete=second, attempts=Attempts(lambda: NOW))
    work.telemetry = SimpleNamespace(waiting_for="")
    monkeypatch.setattr(agents, "refuse", refuse)
    monkeypatch.setattr(agents, "sealed_letter", lambda record: record.offset)
    batch = Batch(TP("usage.flows", 0), records, 0, len(records), NOW)
    intake = Intake(batch, "usage.flows/0", work, [item.placed for item in held])
    found = asyncio.run(intake._refuse_sealed(held))
    assert sorted(found) == told
    return found


def test_what_is_behind_an_uncertain_event_is_not_certain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """offset 0 since 5 | 1 since 50 | 2 since 6, all counted up to 10.

    The event at 1 may still be counted, and keep open the day of the one at 2.
    """
    assert refused([5, 50, 6], 10, monkeypatch) == {0}
    assert refused([5, 6, 50], 10, monkeypatch) == {0, 1}
    assert refused([5, 6, 10], 10, monkeypatch) == {0, 1, 2}
    with pytest.raises(NotYet):
        refused([50, 5], 10, monkeypatch)
