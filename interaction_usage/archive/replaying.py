"""Reading the archive like Kafka: the records of each topic-partition, by their offsets.

Data files are sorted by account. A file is read whole and its records are sorted by their place, so
what must be known before is in which order to read the files: as their offsets are, for every
topic-partition. Copying and compaction leave files whose offsets follow each other; files that
overlap nevertheless are read as one.
"""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from aiokafka.structs import ConsumerRecord

from interaction_usage.archive.archive import Archive
from interaction_usage.archive.location import Location
from interaction_usage.archive.tables import DataFile
from interaction_usage.store import keys
from stream_app.rebuild.earlier import Stretch

#: Records in one chunk.
_CHUNK: Final = 5_000
_PLACE: Final = ("topic", "topic_id", "partition", "offset")
_READ: Final = (*_PLACE, "timestamp", "key", "value", "headers")


class ArchivedRecords:
    """The event topics as they are archived; `stream_app.rebuild.earlier.EarlierRecords`."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._files = {
            file: _stretches(archive.events.read_files([file], _PLACE))
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

    def missing(self) -> dict[str, list[Stretch]]:
        """Return what Kafka had deleted before it was archived."""
        found: dict[str, list[Stretch]] = {}
        for gap in self._archive.recorded_gaps():
            name = keys.fence(gap.topic, gap.partition, gap.topic_id)
            found.setdefault(name, []).append(Stretch(gap.first, gap.end))
        return found

    def read(self, wanted: Mapping[str, Stretch]) -> Iterator[tuple[str, list[Any]]]:
        """Yield the records in the *wanted* stretches, each topic-partition's by offset.

        Raises StorageError.
        """
        files = {
            file: stretches
            for file, stretches in self._files.items()
            if any(_overlap(at, wanted[name]) for name, at in stretches.items() if name in wanted)
        }
        for group in reading_order(files):
            rows = self._archive.events.read_files(group, _READ)
            yield from _records(rows.sort_by([(name, "ascending") for name in _PLACE]), wanted)


def reading_order(files: Mapping[DataFile, Mapping[str, Stretch]]) -> list[list[DataFile]]:
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


class _Run(NamedTuple):
    """Rows of one topic-partition, one after the other."""

    fence: str
    begins: int
    ends: int


def _records(rows: pa.Table, wanted: Mapping[str, Stretch]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the *wanted* records in *rows*, which are sorted by their place."""
    for run in _runs(rows):
        stretch = wanted.get(run.fence)
        if stretch is None:
            continue
        some = rows.slice(run.begins, run.ends - run.begins)
        inside = pc.and_(
            pc.greater_equal(some["offset"], stretch.first), pc.less(some["offset"], stretch.end)
        )
        some = some.filter(inside)
        for begins in range(0, some.num_rows, _CHUNK):
            yield run.fence, [*map(_record, some.slice(begins, _CHUNK).to_pylist())]


def _runs(rows: pa.Table) -> Iterator[_Run]:
    places = zip(
        range(rows.num_rows), *(rows[name].to_pylist() for name in _PLACE[:3]), strict=True
    )
    for (topic, topic_id, partition), group in groupby(places, itemgetter(1, 2, 3)):
        numbers = [number for number, *_ in group]
        yield _Run(keys.fence(topic, partition, topic_id), numbers[0], numbers[-1] + 1)


def _record(row: Mapping[str, Any]) -> ConsumerRecord:
    """Return the record of Kafka that *row* was made of."""
    timestamp, key, value = row["timestamp"], row["key"], row["value"]
    return ConsumerRecord(
        row["topic"], row["partition"], row["offset"],
        -1 if timestamp is None else _milliseconds(timestamp), 0,
        key, value, None, -1 if key is None else len(key), -1 if value is None else len(value),
        tuple((header["name"], header["value"]) for header in row["headers"]),
    )  # fmt: skip


def _milliseconds(instant: Any) -> int:
    """Return an *instant* in milliseconds; records have no finer timestamps."""
    return (int(instant.timestamp()) * 1_000_000 + int(instant.microsecond)) // 1000


def _stretches(rows: pa.Table) -> dict[str, Stretch]:
    """Return which offsets of each topic-partition are among *rows*."""
    found = rows.group_by(list(_PLACE[:3])).aggregate([("offset", "min"), ("offset", "max")])
    return {
        keys.fence(row["topic"], row["partition"], row["topic_id"]): Stretch(
            row["offset_min"], row["offset_max"] + 1
        )
        for row in found.to_pylist()
    }


def _overlap(one: Stretch, other: Stretch) -> bool:
    return one.first < other.end and other.first < one.end
