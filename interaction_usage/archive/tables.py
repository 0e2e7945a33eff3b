"""The archive's tables: Delta Lake, with the position of each topic-partition in every commit.

A commit has new data files and, as Delta's transaction identifiers, the offset up to which each
topic-partition is in the table then. So rows and positions cannot part: after a crash the table has
both or neither, and whoever goes on begins at the positions. Two processes that copy the same
partition at once both try to commit; Delta accepts the first, and the other one is refused, because
an identifier of its commit changed since it read the table. It drops its rows and reads the
positions again.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final, NamedTuple

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    DeltaProtocolError,
    SchemaMismatchError,
    TableNotFoundError,
)
from deltalake.transaction import AddAction, RemoveAction

from interaction_usage.archive import data_files, records
from interaction_usage.archive.errors import (
    CommitConflictError,
    ForeignTableError,
    NoArchiveError,
    StorageError,
)
from interaction_usage.archive.location import DEAD_LETTERS, EVENTS, GAPS, Location

#: The transaction identifier of compactions; no topic-partition has this name.
_COMPACTION: Final = "compaction"

#: Days for which a file that compaction replaced is kept for those who still read it.
KEPT_DAYS: Final = 7

_CONFIGURATION: Final = {
    "delta.logRetentionDuration": f"interval {KEPT_DAYS} days",
    "delta.deletedFileRetentionDuration": f"interval {KEPT_DAYS} days",
}
SCHEMAS: Final = {EVENTS: records.EVENTS, DEAD_LETTERS: records.DEAD_LETTERS, GAPS: records.GAPS}


_GONE: Final = "the folder is not there any more"

#: What deltalake puts around the arrows of a chain of causes, and behind the system's messages.
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_NUMBER: Final = re.compile(r" \(os error \d+\)")


class DataFile(NamedTuple):
    """A data file that the current version of a table has."""

    name: str
    size: int  #: bytes
    rows: int

    @property
    def began_ms(self) -> int:
        """When the first commit of its rows was made."""
        return int(self.name.partition("-")[0])


class ArchiveTable:
    """One table; made with `create` or `open`."""

    def __init__(self, name: str, table: DeltaTable, location: Location) -> None:
        self.name, self._table, self.location = name, table, location
        self.schema = SCHEMAS[name]

    @classmethod
    def open(cls, location: Location, name: str) -> "ArchiveTable":
        """Return the table *name* as it is now.

        Raises NoArchiveError, ForeignTableError, StorageError.
        """
        missing = NoArchiveError(f"there is no archive at {location.root}")
        if _is_gone(location, name):  # Delta would create the folder
            raise missing
        with storage_errors(location):
            try:
                table = DeltaTable(location.table(name), storage_options=location.storage_options)
            except TableNotFoundError:
                raise missing from None
        found = cls(name, table, location)
        found._check()
        return found

    @classmethod
    def create(cls, location: Location, name: str) -> "ArchiveTable":
        """Return the table *name*, which is created unless it is there. The errors are `open`'s."""
        with suppress(NoArchiveError):
            return cls.open(location, name)
        failure: Exception | None = None
        try:
            with storage_errors(location):
                DeltaTable.create(
                    location.table(name), schema=SCHEMAS[name], name=f"usage {name}",
                    configuration=_CONFIGURATION, storage_options=location.storage_options,
                )  # fmt: skip
        except TableNotFoundError as error:
            failure = StorageError(_line(error))
        except (StorageError, CommitConflictError) as error:
            failure = error  # of two processes that create it at once, one is refused
        try:
            return cls.open(location, name)
        except NoArchiveError:
            raise failure or StorageError(
                f"{location.root} does not keep what is written"
            ) from None

    def _check(self) -> None:
        """Raise ForeignTableError unless the table has the archive's columns."""
        there = {(field.name, str(field.type)) for field in self._table.schema().fields}
        ours = {(one.name, str(one.type)) for one in Schema.from_arrow(self.schema).fields}
        if not ours <= there:
            names = ", ".join(sorted({name for name, _ in ours - there}))
            raise ForeignTableError(
                f"the table {self.location.table(self.name)} is not an archive's: it lacks {names}"
            )

    def reload(self) -> None:
        """Take note of what was committed meanwhile. Raises StorageError."""
        if _is_gone(self.location, self.name):  # Delta would find nothing new
            raise StorageError(f"{self.location.root}: {_GONE}")
        with self._storage_errors():
            self._table.update_incremental()

    @property
    def version(self) -> int:
        """The number of the last commit that is known here."""
        return int(self._table.version())

    def positions(self, names: Iterable[str]) -> dict[str, int]:
        """Return up to which offset each of *names* is in the table; those unknown are left out.

        A name is that of a topic-partition in fences (`store.keys.fence`). Raises StorageError.
        """
        with self._storage_errors():
            found = {name: self._table.transaction_version(name) for name in names}
        return {name: offset for name, offset in found.items() if offset is not None}

    def append(
        self, rows: pa.Table, positions: Mapping[str, int], before: Mapping[str, int]
    ) -> None:
        """Add *rows* and move *positions*, in one commit; if that fails, nothing has changed.

        *before* are the positions at which *rows* begin. Delta refuses a commit if another one has
        moved them since this table was last reloaded, and here it is refused if one had before.
        Raises CommitConflictError, StorageError.
        """
        if self.positions(positions) != {name: at for name, at in before.items() if at}:
            raise CommitConflictError("another process has copied the same records")
        began_ms = time.time_ns() // 1_000_000
        with self._storage_errors():
            added = [data_files.write(self._table, rows, began_ms)] if rows.num_rows else []
        self._commit(added, positions)

    def replace(self, files: Iterable[DataFile], rows: pa.Table) -> None:
        """Put one file with *rows* in the place of *files*, which have the same rows.

        Raises CommitConflictError, StorageError.
        """
        old = list(files)
        with self._storage_errors():
            added = data_files.write(self._table, rows, min(each.began_ms for each in old))
        added.data_change = False
        now = time.time_ns() // 1_000_000
        removed = [RemoveAction(each.name, False, now, each.size, {}) for each in old]
        # Delta lets two commits remove the same file, so compactions are numbered: of two that
        # began with the same number, the second is refused.
        number = self.positions([_COMPACTION]).get(_COMPACTION, 0)
        self._commit([added], {_COMPACTION: number + 1}, removed)

    def _commit(
        self, added: list[AddAction], positions: Mapping[str, int],
        removed: Iterable[RemoveAction] = (),
    ) -> None:  # fmt: skip
        """Commit what was *added* and *removed*, with *positions*.

        A file of a commit that was refused stays: the refusal may be the answer to a second attempt
        of which the first one succeeded. If no commit names the file, `vacuum` removes it.
        """
        transactions = [Transaction(name, offset) for name, offset in positions.items()]
        with self._storage_errors():
            self._table.create_write_transaction(
                [*added, *removed], "append", self.schema,
                commit_properties=CommitProperties(app_transactions=transactions),
            )  # fmt: skip
        self.reload()

    def files(self) -> list[DataFile]:
        """Return the table's data files, those with the earliest rows first."""
        with self._storage_errors():
            actions = pa.table(self._table.get_add_actions(flatten=True))
        columns = (actions[name].to_pylist() for name in ("path", "size_bytes", "num_records"))
        return sorted(DataFile(*each) for each in zip(*columns, strict=True))

    def written_ms(self) -> int | None:
        """Return when the last rows were committed; None if there are none. Raises StorageError."""
        return max((file.began_ms for file in self.files()), default=None)

    def dataset(self) -> Any:
        """Return the table as a dataset of Arrow."""
        with self._storage_errors():
            return data_files.dataset(self._table, self.schema)

    def read_files(
        self, files: Iterable[DataFile], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the rows of some data files, or these columns of them. Raises StorageError."""
        with self._storage_errors():
            return data_files.read(self._table, [each.name for each in files], self.schema, columns)

    def vacuum(self) -> int:
        """Remove files that no commit of the last days names; return how many."""
        with self._storage_errors():
            return len(self._table.vacuum(24 * KEPT_DAYS, dry_run=False, full=True))

    def _storage_errors(self) -> AbstractContextManager[None]:
        return storage_errors(self.location)


def _is_gone(location: Location, name: str) -> bool:
    """Tell whether the table *name* is in a folder that is not there."""
    return location.is_local and not os.path.isdir(f"{location.table(name)}/_delta_log")


@contextmanager
def storage_errors(location: Location) -> Iterator[None]:
    """Turn what storage and Delta raise into the archive's errors."""
    try:
        yield
    except TableNotFoundError:
        raise
    except (DeltaProtocolError, SchemaMismatchError) as error:
        raise ForeignTableError(_line(error)) from None
    except CommitFailedError as error:
        raise CommitConflictError(_line(error)) from None
    except (OSError, DeltaError) as error:
        is_there = not location.is_local or os.path.isdir(location.root)
        why = _line(error) if is_there else _GONE
        raise StorageError(f"{location.root}: {why}") from None


def _line(error: Exception) -> str:
    """Return *error* as one line of bounded length: of a chain of causes, the last one."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    cause = _COLOUR.sub("", str(error)).rpartition("↳")[2]
    return " ".join(_NUMBER.sub("", cause).split())[:300]
