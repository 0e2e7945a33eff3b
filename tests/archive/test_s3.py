"""The archive in S3: a server that speaks HTTP, and commits that only one of several can make."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from interaction_usage.archive import compaction
from interaction_usage.archive.archive import Archive
from interaction_usage.archive.errors import CommitConflictError
from interaction_usage.archive.location import Location
from tests.archive.test_tables import FLOWS, offsets, rows
from tests.support.s3 import s3_server

pytestmark = pytest.mark.servers

#: Rows of a commit, and of all.
_EACH, _ALL = 3, 60


@pytest.fixture(scope="module")
def bucket(need: Callable[[str, str], str]) -> Iterator[str]:
    """Yield a bucket of moto's server."""
    with s3_server(need("moto_server", "the archive in S3")) as server:
        before = dict(os.environ)
        os.environ.update(server.variables())
        yield server.bucket
        os.environ.clear()
        os.environ.update(before)


def _append_all(place: str, counts: Any) -> None:
    """Append what is missing, a few rows a commit, beside others that do the same."""
    table, lost = Archive.open(Location(place)).events, 0
    while (at := table.positions([FLOWS]).get(FLOWS, 0)) < _ALL:
        try:
            table.append(rows(at, at + _EACH), {FLOWS: at + _EACH}, {FLOWS: at})
        except CommitConflictError:
            lost += 1
            table.reload()
    counts.put(lost)


def test_of_several_that_commit_at_once_one_does(bucket: str) -> None:
    """Three processes copy the same records: each is there once, and some commits were refused."""
    location = Location(f"{bucket}/several at once")
    Archive.create(location)
    context = multiprocessing.get_context("spawn")
    counts = context.Queue()
    three = [context.Process(target=_append_all, args=(location.root, counts)) for _ in range(3)]
    for process in three:
        process.start()
    refused = sum(counts.get(timeout=120) for _ in three)
    for process in three:
        process.join()
    assert offsets(Archive.open(location)) == list(range(_ALL))
    assert refused > 0


def test_compaction_in_s3(bucket: str) -> None:
    """Files are read, joined and left for those who still read them."""
    location = Location(f"{bucket}/compaction")
    found = Archive.create(location)
    for end in (5, 10):
        found.events.append(rows(end - 5, end), {FLOWS: end}, {FLOWS: end - 5})
    earlier = found.events.dataset()
    done = compaction.compact(Archive.open(location), lambda *_: None)
    assert (done.joined, done.written) == (2, 1)
    assert offsets(Archive.open(location)) == list(range(10))
    assert earlier.to_table().num_rows == 10
