"""Attempts to write: of the current generation only, and a seek waits for those under way."""

import asyncio

import pytest

from stream_app.agents import Attempts, Stale
from stream_app.transport import Generation

FIRST, SECOND = Generation(1, 1), Generation(2, 2)


def test_an_attempt_of_another_generation_is_not_let_in() -> None:
    """Its batch is read again by whoever has the partition now."""
    attempts = Attempts(lambda: SECOND)
    with pytest.raises(Stale), attempts.of(FIRST):
        pytest.fail("it was let in")
    with attempts.of(SECOND):
        pass


def test_a_generation_that_gave_up_a_batch_writes_nothing_more() -> None:
    """[given up)[next): the next one would move the fences over the hole."""
    current = FIRST
    attempts = Attempts(lambda: current)
    attempts.end(FIRST)
    with pytest.raises(Stale), attempts.of(FIRST):
        pytest.fail("it was let in")
    current = SECOND
    with attempts.of(SECOND):
        pass


def test_quiet_waits_for_every_attempt_under_way() -> None:
    """Two attempts overlap; only when both are over is it quiet."""

    async def scene() -> None:
        attempts = Attempts(lambda: FIRST)
        await attempts.quiet()
        with attempts.of(FIRST):
            with attempts.of(FIRST):
                waiting = asyncio.create_task(attempts.quiet())
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting

    asyncio.run(scene())
