"""Data files of the archive's tables: Parquet, sorted, each with the statistics Delta Lake keeps.

Rows are sorted by account and time, in row groups so small that one account's month is a few of
them: whoever asks for that account reads those alone, by the lowest and highest account of each.

A file is complete, and on the disk, before a commit names it. Until then nobody reads it; one that
is never named is removed by `compact` days later.
"""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from typing import IO, Any, Final
from urllib.parse import unquote

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction

#: Rows of a row group: what is read at least of a file that has the account.
_ROW_GROUP: Final = 16_384
_ZSTD_LEVEL: Final = 3
#: Types of columns with statistics in Delta's log, by which others leave out whole files. A column
#: without any is a trap: deltalake's datasets take its rows to be less than nothing.
_WITH_STATISTICS: Final = frozenset(
    {pa.string(), pa.int32(), pa.int64(), pa.date32(), pa.timestamp("us", tz="UTC")}
)
#: Characters of the lowest and highest text that Delta's log has.
_MOST_TEXT: Final = 64
#: Columns by which this project leaves out whole files.
_PRUNED_BY: Final = ("account", "day")
#: Columns in which hardly a value is twice.
_UNLIKE: Final = ("offset", "timestamp", "time", "value", "id")
_LAST_CHARACTER: Final = "\U0010ffff"
_SORTED_BY: Final = ("account", "time", "topic", "partition", "offset")


def write(table: Any, rows: pa.Table, began_ms: int) -> AddAction:
    """Write *rows* to a new file of the Delta *table*, and return what a commit says of it.

    Names begin with *began_ms*, the time of the first commit of these rows, so that files are
    listed in the order of arrival. Raises OSError.
    """
    rows = sorted_rows(rows)
    name = f"{began_ms:013}-{uuid.uuid4().hex}.parquet"
    plain = [name for name in rows.schema.names if name not in _UNLIKE]
    with _sink(table, name) as sink:
        with pq.ParquetWriter(
            sink, rows.schema, compression="zstd", compression_level=_ZSTD_LEVEL,
            use_dictionary=plain,
        ) as writer:  # fmt: skip
            writer.write_table(rows, row_group_size=_ROW_GROUP)
        size = sink.tell()
    return AddAction(name, size, {}, began_ms, True, statistics(rows))


def sorted_rows(rows: pa.Table) -> pa.Table:
    """Return *rows* in the order of a data file."""
    keys = [(name, "ascending") for name in _SORTED_BY if name in rows.schema.names]
    return rows.combine_chunks().sort_by(keys)


def statistics(rows: pa.Table) -> str:
    """Return the statistics of *rows* as Delta's log has them, JSON."""
    lowest, highest, nulls = {}, {}, {}
    for name in [field.name for field in rows.schema if field.type in _WITH_STATISTICS]:
        column = rows[name]
        nulls[name] = column.null_count
        found = pc.min_max(column).as_py()
        if found["min"] is not None:
            lowest[name] = _as_json(found["min"], timedelta(0))
            # Delta keeps milliseconds, so the highest instant is rounded up.
            highest[name] = _as_json(found["max"], timedelta(microseconds=999))
    return orjson.dumps(
        {"numRecords": rows.num_rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls}
    ).decode()


def _as_json(value: Any, up: timedelta) -> Any:
    if isinstance(value, datetime):
        with suppress(OverflowError):  # the last millisecond of the year 9999
            value += up
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, str) and len(value) > _MOST_TEXT:
        return value[:_MOST_TEXT] + (_LAST_CHARACTER if up else "")
    return value.isoformat() if isinstance(value, date) else value


@contextmanager
def _sink(table: Any, name: str) -> Iterator[IO[bytes]]:
    """Yield the new file *name* of *table*; what is left of one that failed is removed."""
    if "://" in table.table_uri and not table.table_uri.startswith("file://"):
        with _filesystem(table).open_output_stream(name) as stream:
            yield stream
        return
    path = os.path.join(local_folder(table), name)
    try:
        with open(path, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def read(
    table: Any, names: Sequence[str], schema: pa.Schema, columns: Sequence[str] | None
) -> pa.Table:
    """Return the rows, or some columns, of files of the Delta *table*. Raises OSError."""
    found = ds.dataset(names, schema=schema, format="parquet", filesystem=_filesystem(table))
    return found.to_table(None if columns is None else list(columns))


def dataset(table: Any, schema: pa.Schema) -> ds.Dataset:
    """Return the Delta *table* as a dataset, which leaves out files by `_PRUNED_BY`.

    deltalake's own finds no row by a column without statistics. Raises OSError, DeltaError.
    """
    actions = pa.table(table.get_add_actions(flatten=True))
    form = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True)
    )
    files = _filesystem(table)
    bounds = [name for name in _PRUNED_BY if f"min.{name}" in actions.schema.names]
    wanted = ["path", *(f"{which}.{name}" for name in bounds for which in ("min", "max"))]
    fragments = [
        form.make_fragment(row["path"], files, _within(schema, bounds, row))
        for row in actions.select(wanted).to_pylist()
    ]
    return ds.FileSystemDataset(fragments, schema, form, files)


def _within(schema: pa.Schema, names: Sequence[str], row: Mapping[str, Any]) -> pc.Expression:
    """Return what is known of the rows of a file: these columns are within their bounds."""
    known = pc.scalar(True)
    for name in names:
        low, high = row[f"min.{name}"], row[f"max.{name}"]
        if low is not None and high is not None:
            column, kind = pc.field(name), schema.field(name).type
            bounded = (column >= pa.scalar(low, kind)) & (column <= pa.scalar(high, kind))
            known &= bounded | column.is_null()
    return known


def local_folder(table: Any) -> str:
    """Return the folder of a *table* that is on this machine."""
    return unquote(str(table.table_uri).removeprefix("file://"))


def _filesystem(table: Any) -> Any:
    return pa_fs.PyFileSystem(DeltaStorageHandler.from_table(table._table))
