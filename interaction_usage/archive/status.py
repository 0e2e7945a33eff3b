"""How far the archive goes, beside how far Kafka goes."""

from typing import Any, NamedTuple

from interaction_usage.archive.archive import Archive, ArchivedGap, Place
from interaction_usage.archive.copying import TOPICS
from stream_app.broker import admin_client, spans_of, topic_ids


class TableStatus(NamedTuple):
    """What a table is made of."""

    name: str
    rows: int
    files: int
    size: int  #: bytes
    version: int


class PlaceStatus(NamedTuple):
    """A topic-partition in Kafka and in the archive."""

    place: Place
    archived: int  #: the offset up to which it is archived
    begin: int  #: the first offset that Kafka has
    end: int

    @property
    def behind(self) -> int:
        """Offsets that are in Kafka and not archived."""
        return max(self.end - max(self.archived, self.begin), 0)


class Status(NamedTuple):
    """The archive, and Kafka as far as it answers."""

    tables: list[TableStatus]
    gaps: list[ArchivedGap]
    places: list[PlaceStatus]


def tables_of(archive: Archive) -> list[TableStatus]:
    """Return what each table is made of, as far as it is known here."""
    found = []
    for table in archive.tables:
        files = table.files()
        rows, size = sum(one.rows for one in files), sum(one.size for one in files)
        found.append(TableStatus(table.name, rows, len(files), size, table.version))
    return found


def read_status(archive: Archive, kafka: str) -> Status:
    """Return how far *archive* goes. Raises StorageError, BrokerUnavailableError."""
    admin: Any = admin_client(kafka)
    ids = topic_ids(admin, TOPICS)
    spans = spans_of(admin, list(ids))
    positions = archive.positions(spans, ids)
    places = [
        PlaceStatus(place, positions[place], span.begin, span.end)
        for place, span in sorted(spans.items())
    ]
    return Status(tables_of(archive), archive.recorded_gaps(), places)
