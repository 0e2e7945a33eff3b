"""Reading the archive: some accounts' events as Arrow, what is behind its end, and what is missing.

A dataset is read when it is scanned, and then only what is needed of it: files and row groups
without any of the accounts are left out by their statistics, columns that nobody asks for as well.
It is one version of the tables: what is archived or compacted meanwhile changes nothing in it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from aiokafka.structs import ConsumerRecord

from interaction_usage.archive.archive import Archive, ArchivedGap, Place
from interaction_usage.archive.kafka_records import COLUMNS, records_of, runs_of
from interaction_usage.archive.location import Location
from interaction_usage.archive.tables import ArchiveTable, storage_errors
from interaction_usage.store import keys
from stream_app.rejection import Reason
from stream_app.sealed_rejections import IsWanted

#: Up to so many accounts are looked for by name in the statistics of row groups.
_FEW = 50


class ArchivedEvents:
    """One version of an archive, for questions."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.gaps: Sequence[ArchivedGap] = archive.recorded_gaps()

    @classmethod
    def open(cls, place: str) -> "ArchivedEvents":
        """Return the archive at *place*, as `USAGE_ARCHIVE` names it. Raises ArchiveError."""
        return cls(Archive.open(Location(place)))

    def positions(self, places: Iterable[Place], ids: Mapping[str, str]) -> dict[Place, int]:
        """Return the offset up to which each topic-partition is here; read Kafka from there on.

        0 where nothing is, and for a topic that was created again. *ids* are those of the topics.
        """
        return self._archive.positions(places, ids)

    def position(self, fence: str) -> int:
        """Return the same for one topic-partition, by its name in fences; former topics' too."""
        topic, _, _ = keys.parse_fence(fence)
        return self._archive.table_of(topic).positions([fence]).get(fence, 0)

    def records(
        self, account: str, topics: Sequence[str], values: Mapping[str, str]
    ) -> Iterator[tuple[str, list[ConsumerRecord]]]:
        """Yield the records of *account* in *topics*, with the name of their topic-partition.

        Only of rows whose columns have these *values*. A list has one topic-partition, by offset;
        the lists are in no order. Raises StorageError.
        """
        condition = (pc.field("account") == account) & pc.field("topic").isin(list(topics))
        for name, value in values.items():
            condition &= pc.field(name) == value
        yield from _records(self._archive.events, condition)

    def sealed_messages(self, is_wanted: IsWanted | None = None) -> Iterator[ConsumerRecord]:
        """Yield the dead letters of what was rejected for a sealed day, or of those the wanted.

        Raises StorageError.
        """
        condition = pc.field("reason") == str(Reason.SEALED)
        for fence, messages in _records(self._archive.dead_letters, condition):
            for each in messages:
                if is_wanted is None or is_wanted(fence, each.offset):
                    yield each

    def events(self, accounts: Sequence[str] | None, tail: pa.Table | None = None) -> Any:
        """Return the records of *accounts*, or all, as a dataset with the columns of `EVENTS`.

        *tail* are rows from Kafka behind the archive's end, which follow. Records without an
        account that can be read are among all of them only.
        """
        table = self._archive.events
        return _with_tail(table.dataset(), tail, table.schema, _among(accounts))

    def read(
        self, accounts: Sequence[str], types: Sequence[str], columns: Sequence[str],
        is_over: Callable[[], bool],
    ) -> pa.Table:  # fmt: skip
        """Return these *columns* of the records of *accounts* whose events are of *types*.

        What is read so far once *is_over*, because nobody waits for the rest. Raises StorageError.
        """
        table, names = self._archive.events, pa.array(types, pa.string())
        schema = pa.schema([table.schema.field(name) for name in columns])
        found = []
        with storage_errors(table.location):
            among = _among(accounts)
            for batch in table.dataset().to_batches(columns=list(columns), filter=among):
                # Cheaper here than for every row that is looked at.
                found.append(batch.filter(pc.is_in(batch["type"], names)))
                if is_over():
                    break
        return pa.Table.from_batches(found, schema)

    def dead_letters(self, tail: pa.Table | None = None) -> Any:
        """Return the dead letters as a dataset with the columns of `DEAD_LETTERS`, then *tail*."""
        table = self._archive.dead_letters
        return _with_tail(table.dataset(), tail, table.schema, None)

    def made_from(self) -> dict[str, Any]:
        """Return which version of the archive this is, for those who read an answer."""
        return {
            "place": self._archive.location.root,
            "version": self._archive.events.version,
            "records": sum(one.rows for one in self._archive.events.files()),
            "missing": [
                f"{gap.topic}/{gap.partition}, offsets {gap.first:,} to {gap.end - 1:,}"
                for gap in self.gaps
            ],
        }


def _among(accounts: Sequence[str] | None) -> Any:
    """Return the condition that a row is of *accounts*; None if all are wanted."""
    if accounts is None:
        return None
    if not 1 <= len(accounts) <= _FEW:
        return pc.field("account").isin(pa.array(accounts, pa.string()))
    return reduce(or_, (pc.field("account") == account for account in accounts))


def _records(table: ArchiveTable, condition: Any) -> Iterator[tuple[str, list[ConsumerRecord]]]:
    """Yield the records of a *table* that meet a *condition*, by topic-partition and offset."""
    with storage_errors(table.location):
        batches = table.dataset().to_batches(columns=list(COLUMNS), filter=condition)
        for batch in batches:
            for run in runs_of(pa.Table.from_batches([batch])):
                for records in records_of(run.rows):
                    yield run.fence, records


def _with_tail(found: Any, tail: pa.Table | None, schema: pa.Schema, condition: Any) -> Any:
    parts = [found]
    if tail is not None and tail.num_rows:
        parts.append(ds.dataset(tail.select(schema.names).cast(schema)))
    whole = ds.dataset(parts) if len(parts) > 1 else found
    return whole if condition is None else whole.filter(condition)
