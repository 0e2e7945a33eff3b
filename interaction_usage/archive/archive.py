"""The archive as a whole: its tables, opened together, and what they say of topic-partitions."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import pyarrow as pa

from interaction_usage.archive.location import DEAD_LETTERS, EVENTS, GAPS, Location
from interaction_usage.archive.tables import ArchiveTable
from interaction_usage.store import keys
from stream_app import topics

Place = tuple[str, int]


class ArchivedGap(NamedTuple):
    """Offsets [first, end) of a topic-partition that Kafka deleted before they were copied."""

    topic: str
    topic_id: str
    partition: int
    first: int
    end: int


class Archive:
    """The tables of one place; made with `create` or `open`."""

    def __init__(self, location: Location, tables: Mapping[str, ArchiveTable]) -> None:
        self.location, self._tables = location, tables

    @classmethod
    def open(cls, location: Location) -> "Archive":
        """Return the archive as it is now. Raises NoArchiveError and other ArchiveErrors."""
        return cls(location, {name: ArchiveTable.open(location, name) for name in _NAMES})

    @classmethod
    def create(cls, location: Location) -> "Archive":
        """Return the archive, which is created unless it is there. Raises ArchiveError."""
        return cls(location, {name: ArchiveTable.create(location, name) for name in _NAMES})

    @property
    def events(self) -> ArchiveTable:
        """The records of the event topics."""
        return self._tables[EVENTS]

    @property
    def dead_letters(self) -> ArchiveTable:
        """The records of `usage.dead-letters`."""
        return self._tables[DEAD_LETTERS]

    @property
    def gaps(self) -> ArchiveTable:
        """What was deleted before it was copied."""
        return self._tables[GAPS]

    @property
    def tables(self) -> Iterator[ArchiveTable]:
        """The tables, events first."""
        yield from self._tables.values()

    def table_of(self, topic: str) -> ArchiveTable:
        """Return the table that has the records of *topic*."""
        return self.dead_letters if topic == topics.DEAD_LETTERS else self.events

    def reload(self) -> None:
        """Take note of what was committed meanwhile. Raises StorageError."""
        for table in self.tables:
            table.reload()

    def positions(self, places: Iterable[Place], ids: Mapping[str, str]) -> dict[Place, int]:
        """Return up to where each of *places* is archived, 0 where nothing is.

        *ids* are those of the topics: one that was created again begins at 0.
        """
        found = {}
        for topic, partition in places:
            name = keys.fence(topic, partition, ids.get(topic, ""))
            found[topic, partition] = self.table_of(topic).positions([name]).get(name, 0)
        return found

    def record_gap(self, gap: ArchivedGap, noticed_us: int) -> None:
        """Record *gap*, once however often it is noticed.

        Raises CommitConflictError, StorageError.
        """
        name = keys.fence(gap.topic, gap.partition, gap.topic_id)
        before = self.gaps.positions([name])
        if before.get(name, 0) >= gap.end:
            return
        row = [*gap, noticed_us]
        cells = zip(row, self.gaps.schema, strict=True)
        columns = [pa.array([value], field.type) for value, field in cells]
        rows = pa.Table.from_arrays(columns, schema=self.gaps.schema)
        self.gaps.append(rows, {name: gap.end}, before)

    def recorded_gaps(self) -> list[ArchivedGap]:
        """Return what was deleted before it was copied. Raises StorageError."""
        rows = self.gaps.read_files(self.gaps.files())
        columns = [rows[name].to_pylist() for name in ArchivedGap._fields]
        return sorted(ArchivedGap(*each) for each in zip(*columns, strict=True))


_NAMES = (EVENTS, DEAD_LETTERS, GAPS)
