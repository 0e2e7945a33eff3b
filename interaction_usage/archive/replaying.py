"""Reading the archive like Kafka: the records of each topic-partition, by their offsets.

Data files are sorted by account. A file is read whole and its records are sorted by their place, so
what must be known before is in which order to read the files: as their offsets are, for every
topic-partition. Copying and compaction leave files whose offsets follow each other; files that
overlap nevertheless are read as one.
"""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from interaction_usage.archive.archive import Archive
from interaction_usage.archive.kafka_records import COLUMNS, PLACE, records_of, runs_of
from interaction_usage.archive.location import Location
from interaction_usage.archive.reading import ArchivedEvents
from interaction_usage.archive.tables import DataFile
from interaction_usage.store import keys
from rollups.watermark import OffsetRange


class ArchivedRecords:
    """The event topics as they are archived; `stream_app.rebuild.earlier.EarlierRecords`."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._files = {
            file: _stretches(archive.events.read_files([file], PLACE))
            for file in archive.events.files()
        }

    @classmethod
    def open(cls, place: str) -> "ArchivedRecords":
        """Return the archive at *place*, as `USAGE_ARCHIVE` names it. Raises ArchiveError."""
        return cls(Archive.open(Location(place)))

    def positions(self) -> dict[str, int]:
        """Return up to which offset each topic-partition is archived, former topics' too."""
        names = {name for stretches in self._files.values() for name in stretches}
        return self._archive.events.positions(sorted(names))

    def missing(self) -> dict[str, list[OffsetRange]]:
        """Return what Kafka had deleted before it was archived."""
        found: dict[str, list[OffsetRange]] = {}
        for gap in self._archive.recorded_gaps():
            name = keys.fence(gap.topic, gap.partition, gap.topic_id)
            found.setdefault(name, []).append(OffsetRange(gap.first, gap.end))
        return found

    def sealed_messages(self) -> Iterator[Any]:
        """Yield the dead letters of what was rejected for a sealed day. Raises StorageError."""
        return ArchivedEvents(self._archive).sealed_messages()

    def read(self, wanted: Mapping[str, OffsetRange]) -> Iterator[tuple[str, list[Any]]]:
        """Yield the records in the *wanted* stretches, each topic-partition's by offset.

        Raises StorageError.
        """
        files = {
            file: stretches
            for file, stretches in self._files.items()
            if any(_overlap(at, wanted[name]) for name, at in stretches.items() if name in wanted)
        }
        for group in reading_order(files):
            rows = self._archive.events.read_files(group, COLUMNS)
            yield from _records(rows, wanted)


def reading_order(files: Mapping[DataFile, Mapping[str, OffsetRange]]) -> list[list[DataFile]]:
    """Return *files* in groups to be read one after the other.

    Of every topic-partition, the offsets in a group lie behind those in the groups before it.
    """
    group_of = {file: file for file in files}

    def root(file: DataFile) -> DataFile:
        while group_of[file] != file:
            file = group_of[file]
        return file

    follows: list[tuple[DataFile, DataFile]] = []
    names = sorted({name for stretches in files.values() for name in stretches})
    for name in names:
        having = sorted((at[name], file) for file, at in files.items() if name in at)
        for (one, before), (other, after) in pairwise(having):
            if other.first < one.end:
                group_of[root(after)] = root(before)
            follows.append((before, after))
    graph: TopologicalSorter[DataFile] = TopologicalSorter({root(file): () for file in files})
    for before, after in follows:
        if root(before) != root(after):
            graph.add(root(after), root(before))
    try:
        order = list(graph.static_order())
    except CycleError:  # nothing that was written here makes one
        return [sorted(files)]
    members: dict[DataFile, list[DataFile]] = {}
    for file in sorted(files):
        members.setdefault(root(file), []).append(file)
    return [members[file] for file in order]


def _records(rows: pa.Table, wanted: Mapping[str, OffsetRange]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the *wanted* records in *rows*."""
    for run in runs_of(rows):
        stretch = wanted.get(run.fence)
        if stretch is None:
            continue
        inside = pc.and_(
            pc.greater_equal(run.rows["offset"], stretch.first),
            pc.less(run.rows["offset"], stretch.end),
        )
        for records in records_of(run.rows.filter(inside)):
            yield run.fence, records


def _stretches(rows: pa.Table) -> dict[str, OffsetRange]:
    """Return which offsets of each topic-partition are among *rows*."""
    found = rows.group_by(list(PLACE[:3])).aggregate([("offset", "min"), ("offset", "max")])
    return {
        keys.fence(row["topic"], row["partition"], row["topic_id"]): OffsetRange(
            row["offset_min"], row["offset_max"] + 1
        )
        for row in found.to_pylist()
    }


def _overlap(one: OffsetRange, other: OffsetRange) -> bool:
    return one.first < other.end and other.first < one.end
