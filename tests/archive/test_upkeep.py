"""Compaction by the process that copies: when it is due, and beside those who read and write."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from interaction_usage.archive import upkeep
from interaction_usage.archive.archive import Archive
from interaction_usage.archive.location import Location
from interaction_usage.archive.upkeep import Upkeep
from tests.archive.test_tables import FLOWS, offsets, rows


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Return an archive of which four small files are many."""
    monkeypatch.setattr(upkeep, "SMALL_FILES", 4)
    monkeypatch.setattr(upkeep, "INTERVAL_S", 0.01)
    return Archive.create(Location(str(tmp_path / "archive")))


def begun() -> asyncio.Event:
    """Return the event that there is an archive."""
    event = asyncio.Event()
    event.set()
    return event


def append(archive: Archive, number: int) -> None:
    """Append five rows, in a file."""
    at = number * 5
    archive.events.append(rows(at, at + 5), {FLOWS: at + 5}, {FLOWS: at} if at else {})


def test_files_are_joined_once_there_are_many(archive: Archive) -> None:
    """Not before, so that rows are not written again and again."""
    keeping = Upkeep(archive.location)
    for number in range(3):
        append(archive, number)
    keeping.compact_if_due()
    assert (keeping.files["events"], keeping.compactions["done"]) == (3, 0)
    append(archive, 3)
    keeping.compact_if_due()
    assert (keeping.files["events"], keeping.compactions["done"]) == (1, 1)
    assert offsets(Archive.open(archive.location)) == list(range(20))


def test_it_goes_on_beside_writing_and_reading(archive: Archive) -> None:
    """Whoever opens the archive finds what was there, and more."""
    keeping = Upkeep(archive.location)

    def write() -> None:
        for number in range(60):
            append(archive, number)

    def read() -> int:
        seen, count = 0, 0
        while seen < 300:
            now = offsets(Archive.open(archive.location))
            assert now == list(range(len(now)))
            assert len(now) >= seen
            seen, count = len(now), count + 1
        return count

    async def all_at_once() -> int:
        work = asyncio.create_task(keeping.run(begun()))
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(2) as pool:
            writing, reading = loop.run_in_executor(pool, write), loop.run_in_executor(pool, read)
            await asyncio.wait_for(asyncio.gather(writing, reading), 60)
        await asyncio.sleep(0.1)
        work.cancel()
        return reading.result()

    assert asyncio.run(all_at_once()) > 0
    assert keeping.compactions["done"] > 0
    assert len(Archive.open(archive.location).events.files()) < 60


def test_a_failure_is_tried_again(archive: Archive, tmp_path: Path) -> None:
    """Copying is not kept from anything by it."""
    keeping = Upkeep(Location(str(tmp_path / "nothing")))

    async def some_time() -> None:
        work = asyncio.create_task(keeping.run(begun()))
        await asyncio.sleep(0.1)
        assert not work.done()
        work.cancel()

    asyncio.run(some_time())
    assert keeping.compactions["failed"] > 1
