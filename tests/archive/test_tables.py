"""The tables: commits with positions, conflicts, compaction, and what readers see."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from interaction_usage.archive import compaction
from interaction_usage.archive.archive import Archive, ArchivedGap
from interaction_usage.archive.data_files import statistics
from interaction_usage.archive.errors import (
    CommitConflictError,
    ForeignTableError,
    NoArchiveError,
    StorageError,
)
from interaction_usage.archive.location import EVENTS, Location
from interaction_usage.archive.reading import ArchivedEvents
from interaction_usage.archive.records import events_batch
from interaction_usage.archive.tables import ArchiveTable, DataFile
from tests.archive.test_records import Record
from tests.support.event_lines import flow

FLOWS = "usage.flows/3@id"


@pytest.fixture
def location(tmp_path: Path) -> Location:
    """Return a place without an archive, whose name has to be quoted in a URL."""
    return Location(str(tmp_path / "an archive, 100%"))


def rows(first: int, end: int, account: str = "acme") -> pa.Table:
    """Return the rows of so many flow runs, by their offsets."""
    records = [Record(flow(n, subject=account), offset=n) for n in range(first, end)]
    return pa.Table.from_batches([events_batch("usage.flows", "id", records)])


def offsets(found: Archive) -> list[int]:
    """Return the offsets in the events, sorted."""
    return sorted(found.events.dataset().to_table(["offset"])["offset"].to_pylist())


def test_rows_and_positions_come_together(location: Location) -> None:
    """Whoever opens the table sees both."""
    found = Archive.create(location)
    found.events.append(rows(0, 5), {FLOWS: 5}, {})
    again = Archive.open(location)
    assert offsets(again) == [0, 1, 2, 3, 4]
    ids = {"usage.flows": "id", "usage.sms": "x"}
    assert again.positions([("usage.flows", 3), ("usage.sms", 0)], ids) == {
        ("usage.flows", 3): 5, ("usage.sms", 0): 0,
    }  # fmt: skip
    assert again.positions([("usage.flows", 3)], {"usage.flows": "another"}) == {
        ("usage.flows", 3): 0
    }


def test_a_position_may_move_without_rows(location: Location) -> None:
    """Behind the last record may be markers of transactions."""
    found = Archive.create(location)
    found.events.append(rows(0, 0), {FLOWS: 7}, {})
    assert Archive.open(location).events.positions([FLOWS]) == {FLOWS: 7}
    assert found.events.files() == []


def test_of_two_that_copied_the_same_one_is_refused(location: Location) -> None:
    """Whether it learns of the other's commit when it commits, or has seen it before."""
    first, second = Archive.create(location), Archive.open(location)
    first.events.append(rows(0, 5), {FLOWS: 5}, {})
    with pytest.raises(CommitConflictError):
        second.events.append(rows(0, 3), {FLOWS: 3}, {})
    second.reload()
    with pytest.raises(CommitConflictError):
        second.events.append(rows(0, 3), {FLOWS: 3}, {})
    second.events.append(rows(5, 6), {FLOWS: 6}, {FLOWS: 5})
    assert offsets(Archive.open(location)) == list(range(6))


def test_others_may_be_copied_at_the_same_time(location: Location) -> None:
    """Two processes with different topic-partitions are not in each other's way."""
    first, second = Archive.create(location), Archive.open(location)
    first.events.append(rows(0, 5), {FLOWS: 5}, {})
    second.events.append(rows(7, 9), {"usage.flows/4@id": 9}, {})
    assert len(offsets(Archive.open(location))) == 7


@pytest.mark.parametrize("reader", ["own", "deltalake"])
@pytest.mark.parametrize(
    ("column", "value"),
    [("account", "acme"), ("source", "tests"), ("id", "3"), ("application", "agent")],
)
def test_rows_are_found_by_every_column(
    location: Location, reader: str, column: str, value: str
) -> None:
    """By those without bounds that leave out files, too; also by whoever uses deltalake alone."""
    found = Archive.create(location)
    found.events.append(rows(0, 5), {FLOWS: 5}, {})
    events = {
        "own": found.events.dataset,
        "deltalake": DeltaTable(location.table(EVENTS)).to_pyarrow_dataset,
    }[reader]()
    expected = 1 if column == "id" else 5
    assert events.to_table(filter=pc.field(column) == value).num_rows == expected
    assert duckdb.sql(f"SELECT {column} FROM events WHERE {column} = '{value}'").fetchall() == [
        (value,)
    ] * expected  # fmt: skip
    assert events.to_table(filter=pc.field(column) == f"{value}0").num_rows == 0


def test_statistics_of_long_texts_are_short_and_hold(location: Location) -> None:
    """The highest one is rounded up."""
    found = Archive.create(location)
    long = "x" * 100
    records = [Record(flow(f"{long}{n}", source="y" * 9_000), offset=n) for n in range(3)]
    batch = events_batch("usage.flows", "id", records)
    found.events.append(pa.Table.from_batches([batch]), {FLOWS: 3}, {})
    assert len(statistics(pa.Table.from_batches([batch]))) < 3_000
    events = DeltaTable(location.table(EVENTS)).to_pyarrow_dataset()
    assert events.to_table(filter=pc.field("id") == f"{long}2").num_rows == 1


def test_compaction_and_a_commit_at_the_same_time(location: Location) -> None:
    """Both succeed; of two compactions one does."""
    found = Archive.create(location)
    for end in (5, 10, 15):
        found.events.append(rows(end - 5, end), {FLOWS: end}, {FLOWS: end - 5})
    slow, other = Archive.open(location).events, Archive.open(location).events
    files = slow.files()
    joined = slow.read_files(files)
    found.events.append(rows(15, 20), {FLOWS: 20}, {FLOWS: 15})
    slow.replace(files, joined)
    assert offsets(Archive.open(location)) == list(range(20))
    assert len(Archive.open(location).events.files()) == 2
    with pytest.raises(CommitConflictError):
        other.replace(other.files(), joined)
    assert offsets(Archive.open(location)) == list(range(20))
    assert Archive.open(location).events.positions([FLOWS]) == {FLOWS: 20}


def test_an_earlier_version_can_be_read_after_compaction(location: Location) -> None:
    """A question that runs for a while sees what it began with."""
    found = Archive.create(location)
    for end in (5, 10):
        found.events.append(rows(end - 5, end), {FLOWS: end}, {FLOWS: end - 5})
    dataset = found.events.dataset()
    assert compaction.compact(Archive.open(location), lambda *_: None).written == 1
    assert dataset.to_table().num_rows == 10


@pytest.mark.parametrize(
    ("sizes", "joined"),
    [
        ([], []),
        ([1], []),
        ([1, 1], [2]),
        ([250_000, 1, 1], [2]),  # the first one is large enough
        ([1, 300_000, 1, 1, 1], [3]),  # only neighbours
        ([200_000, 200_000, 200_000, 200_000], [2, 2]),
        ([1, 499_999], []),
    ],
)
def test_neighbours_become_one_file(sizes: Sequence[int], joined: Sequence[int]) -> None:
    """As many as fit."""
    files = [DataFile(f"{n:013}-x.parquet", 10, size) for n, size in enumerate(sizes)]
    assert [len(group) for group in compaction.groups(files)] == joined


def test_a_gap_is_recorded_once(location: Location) -> None:
    """However often it is noticed, and by how many."""
    first, second = Archive.create(location), Archive.open(location)
    gap = ArchivedGap("usage.flows", "id", 3, 0, 5)
    first.record_gap(gap, 1)
    first.record_gap(gap, 2)
    with pytest.raises(CommitConflictError):
        second.record_gap(gap, 3)
    assert Archive.open(location).recorded_gaps() == [gap]


def test_there_is_none(location: Location) -> None:
    """Looking creates nothing."""
    with pytest.raises(NoArchiveError):
        Archive.open(location)
    assert not Path(location.root).exists()


def test_a_table_of_others_is_not_written_to(location: Location) -> None:
    """It lacks our columns."""
    import deltalake

    deltalake.DeltaTable.create(location.table(EVENTS), schema=pa.schema([("a", pa.int64())]))
    with pytest.raises(ForeignTableError, match="is not an archive's"):
        ArchiveTable.create(location, EVENTS)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file is in the way."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        Archive.create(Location(str(tmp_path / "file")))


def test_statistics_enclose_what_is_in_the_file() -> None:
    """Delta keeps milliseconds: the highest is rounded up."""
    record = Record(flow(1, time="2026-10-01T10:00:00.000999Z"))
    found = statistics(pa.Table.from_batches([events_batch("usage.flows", "id", [record])]))
    assert '"time":"2026-10-01T10:00:00.000Z"' in found.partition("maxValues")[0]
    assert '"time":"2026-10-01T10:00:00.001Z"' in found.partition("maxValues")[2]


# ---------------------------------------------------------------------------- reading


def test_accounts_are_read_with_what_lies_behind(location: Location) -> None:
    """Archive and Kafka's tail are one table to DuckDB."""
    found = Archive.create(location)
    found.events.append(rows(0, 5), {FLOWS: 5}, {})
    found.events.append(rows(5, 9, "beta"), {FLOWS: 9}, {FLOWS: 5})
    events = ArchivedEvents.open(location.root)
    assert events.positions([("usage.flows", 3)], {"usage.flows": "id"}) == {("usage.flows", 3): 9}
    found.events.append(rows(9, 10), {FLOWS: 10}, {FLOWS: 9})  # later: it is not read
    connection = duckdb.connect()
    connection.register("events", events.events(["acme"], rows(20, 22)))
    connection.register("everything", events.events(None, rows(20, 22)))
    connection.register("dead", events.dead_letters())
    asked = 'SELECT "offset" FROM events WHERE outcome = $1 ORDER BY 1'
    assert [n for (n,) in connection.execute(asked, ["accepted"]).fetchall()] == [
        0, 1, 2, 3, 4, 20, 21,
    ]  # fmt: skip
    assert connection.execute("SELECT count(*) FROM everything").fetchall() == [(11,)]
    assert connection.execute("SELECT count(*) FROM dead").fetchall() == [(0,)]
    connection.register("none", events.events([]))
    assert connection.execute("SELECT count(*) FROM none").fetchall() == [(0,)]


def test_what_an_answer_was_made_from(location: Location) -> None:
    """The version, and what is missing."""
    found = Archive.create(location)
    found.events.append(rows(5, 9), {FLOWS: 9}, {})
    found.record_gap(ArchivedGap("usage.flows", "id", 3, 0, 5), 1)
    assert ArchivedEvents.open(location.root).made_from() == {
        "place": location.root, "version": 1, "records": 4,
        "missing": ["usage.flows/3, offsets 0 to 4"],
    }  # fmt: skip
