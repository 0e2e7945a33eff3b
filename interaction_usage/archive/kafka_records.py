"""Rows of the archive as the records of Kafka that they were made of."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

import pyarrow as pa
from aiokafka.structs import ConsumerRecord

from interaction_usage.store import keys

#: Records in one chunk.
CHUNK: Final = 5_000
#: Columns that say where a record was, and those of which it is made again.
PLACE: Final = ("topic", "topic_id", "partition", "offset")
COLUMNS: Final = (*PLACE, "timestamp", "key", "value", "headers")


class Run(NamedTuple):
    """Rows of one topic-partition, one after the other."""

    fence: str
    rows: pa.Table


def runs_of(rows: pa.Table) -> Iterator[Run]:
    """Yield *rows*, which have `COLUMNS`, by topic-partition and sorted by offset."""
    rows = rows.sort_by([(name, "ascending") for name in PLACE])
    places = zip(range(rows.num_rows), *(rows[name].to_pylist() for name in PLACE[:3]), strict=True)
    for (topic, topic_id, partition), group in groupby(places, itemgetter(1, 2, 3)):
        numbers = [number for number, *_ in group]
        some = rows.slice(numbers[0], len(numbers))
        yield Run(keys.fence(topic, partition, topic_id), some)


def records_of(rows: pa.Table) -> Iterator[list[ConsumerRecord]]:
    """Yield the records of *rows*, which are of one topic-partition, in chunks."""
    for begins in range(0, rows.num_rows, CHUNK):
        yield [_record(row) for row in rows.slice(begins, CHUNK).to_pylist()]


def _record(row: Mapping[str, Any]) -> ConsumerRecord:
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
