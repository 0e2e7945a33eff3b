"""Gaps in Redis: what is written is read, and in order."""

import asyncio
from typing import Any

import pytest
from redis.client import Redis

from interaction_usage.store import keys
from interaction_usage.store.gaps import complete_to, gap_bytes, gap_from, read_gaps
from interaction_usage.store.progress import report_progress
from rollups.completeness import Progress
from rollups.gaps import Acceptance, Gap
from stream_app.gaps import record_deleted
from tests.store.redis_side import writing
from tests.support.memory_ledger import MemoryLedger

FIRST = Gap("usage.flows", 3, "abcd", 10, 20, None, 100, "worker")
LATER = Gap("usage.calls", 0, "", 0, 5, 7, 200, "rebuild", Acceptance("a test", "ann", 300))


def test_gaps_are_read_as_they_were_written(redis: Any) -> None:
    """With who accepted them; the one found first is first."""
    assert read_gaps(redis) == []
    for gap in (LATER, FIRST):
        redis.hset(keys.GAPS, gap.id, gap_bytes(gap))
    assert read_gaps(redis) == [FIRST, LATER]


@pytest.mark.parametrize("stored", [b"", b"x", b"[]", b"{}", b'{"accepted": null}', b'{"a": 1}'])
def test_what_is_no_gap_is_refused(stored: bytes) -> None:
    """Whoever may write to the topic can write anything."""
    with pytest.raises(ValueError, match=r".+"):
        gap_from(stored)


def report(server: Any, complete: int | None) -> None:
    """Leave in Redis what a worker saw of the stream, as it does."""

    async def act() -> None:
        async with writing(server.url) as writer:
            await report_progress(writer.nodes, Progress(1_000, complete, {"t/0": 1}, 0))

    asyncio.run(act())


def test_how_far_everything_was_counted_is_read(redis: Any, server: Any) -> None:
    """None where nobody has said it."""
    assert complete_to(redis) is None
    report(server, None)
    assert complete_to(redis) is None
    report(server, 1_700_000_000)
    assert complete_to(redis) == 1_700_000_000


@pytest.mark.parametrize(
    ("first", "complete", "since"), [(10, 500, 500), (10, None, None), (0, 500, None)]
)
def test_what_is_found_missing_is_recorded_with_what_is_known_of_when(
    redis: Any,
    server: Any,
    ledger: MemoryLedger,
    first: int,
    complete: int | None,
    since: int | None,
) -> None:
    """Everything before the position was counted then; on a cluster a node may have lost some."""
    report(server, complete)
    place = ("usage.flows", 3)
    deleted, ids = {place: (first, 20)}, {"usage.flows": "abcd"}
    assert record_deleted(ledger, deleted, ids, 1_000) == 20 - first
    assert record_deleted(ledger, deleted, ids, 1_001) == 0  # it is known
    known = since if isinstance(redis, Redis) else None
    gap = Gap("usage.flows", 3, "abcd", first, 20, known, 1_000, "worker")
    assert read_gaps(redis) == [gap]
