"""The events as far as Kafka has them: where there is no archive, and behind its end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from aiokafka.errors import KafkaError

from interaction_usage.archive.records import (
    ACCEPTED,
    DEAD_LETTERS,
    EVENTS,
    dead_letters_batch,
    events_batch,
)
from interaction_usage.evidence.preparation import Ends
from interaction_usage.explanations.errors import EventsUnavailableError
from stream_app.broker import Span, admin_client, spans_of, topic_ids
from stream_app.errors import BrokerDeniedError, BrokerUnavailableError, RecordsUnavailableError
from stream_app.topic_reader import Chunk, TopicReader
from stream_app.topics import DEAD_LETTERS as DEAD_LETTER_TOPIC
from stream_app.topics import EVENT_TOPICS

#: Up to so many accounts are looked for by name in a record that is not decoded yet.
_FEW: Final = 20
#: Columns that no question asks for; they are most of an event's bytes.
_UNUSED: Final = ("headers",)


#: Called with how much is done, how much there is (None: unknown), and what that is, in words.
Progress = Callable[[float, float | None, str], None]


def ignore(_done: float, _total: float | None, _text: str) -> None:
    """Show no progress."""


#: Returns up to where topic-partitions are archived, given the ids of topics.
Archived = Callable[[Sequence[tuple[str, int]], Mapping[str, str]], Mapping[tuple[str, int], int]]


class KafkaEvents(NamedTuple):
    """What was read from Kafka."""

    events: pa.Table
    dead_letters: pa.Table
    deleted: tuple[str, ...]  #: topic-partitions of which Kafka has deleted the first records
    records: int  #: how many records were read


def read_events(
    servers: str,
    accounts: Sequence[str] | None,
    ends: Ends,
    archived: Archived | None = None,
    most_records: int | None = None,
    progress: Progress = ignore,
) -> KafkaEvents:
    """Return the records of *accounts*, or of all, before the offsets *ends*.

    They are read from where *archived* says that the archive ends, or else from Kafka's first
    record; at most so many. Raises EventsUnavailableError.
    """
    try:
        return asyncio.run(_read(servers, accounts, ends, archived, most_records, progress))
    except (BrokerUnavailableError, BrokerDeniedError, RecordsUnavailableError) as error:
        raise EventsUnavailableError(f"Kafka at {servers}: {error}") from None
    except KafkaError as error:
        raise EventsUnavailableError(f"Kafka at {servers} does not answer: {error}") from None


def followed_by(archived: pa.Table, tail: pa.Table) -> pa.Table:
    """Return some columns that were *archived*, and the same of the *tail*; the others are null."""
    rows = pa.concat_tables([archived, tail.select(archived.column_names)])
    count = rows.num_rows
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(count, field.type)
        for field in EVENTS
    ]
    return pa.table(columns, schema=EVENTS)


async def _read(
    servers: str, accounts: Sequence[str] | None, ends: Ends,
    archived: Archived | None, most_records: int | None, progress: Progress,
) -> KafkaEvents:  # fmt: skip
    admin = admin_client(servers)
    topics = (*EVENT_TOPICS, DEAD_LETTER_TOPIC)
    ids, spans = topic_ids(admin, topics), spans_of(admin, topics)
    starts = archived(list(spans), ids) if archived else {}
    wanted = {
        place: span._replace(begin=max(span.begin, starts.get(place, 0)), stable=upto)
        for place, span in spans.items()
        if (upto := _end(place, span, ids, ends)) > max(span.begin, starts.get(place, 0))
    }
    count = sum(span.stable - span.begin for span in wanted.values())
    if most_records is not None and count > most_records:
        raise EventsUnavailableError(
            f"{count:,} records would have to be read from Kafka, and at most {most_records:,} are "
            "read here; an archive (USAGE_ARCHIVE) makes this quick, and `usage explain` reads all"
        )
    few = accounts is not None and len(accounts) <= _FEW
    names = [name.encode() for name in accounts or ()] if few else []
    events: list[pa.RecordBatch] = []
    dead_letters: list[pa.RecordBatch] = []
    records = 0
    async for chunk in _chunks(servers, wanted):
        topic, topic_id = chunk.tp.topic, ids.get(chunk.tp.topic, "")
        records += len(chunk.records)
        progress(records, count, f"{records:,} of {count:,} records in Kafka")
        if topic == DEAD_LETTER_TOPIC:
            dead_letters.append(dead_letters_batch(topic_id, chunk.records))
        else:
            own = chunk.records
            if names:
                own = [record for record in own if may_name(record, names)]
            batch = events_batch(topic, topic_id, own)
            events.append(_slim(_of_accounts(batch, accounts)))
    deleted = tuple(
        f"{topic}/{partition}"
        for (topic, partition), span in sorted(spans.items())
        if topic != DEAD_LETTER_TOPIC and span.begin > starts.get((topic, partition), 0)
    )
    return KafkaEvents(
        pa.Table.from_batches(events, EVENTS), pa.Table.from_batches(dead_letters, DEAD_LETTERS),
        deleted, records,
    )  # fmt: skip


async def _chunks(servers: str, wanted: Mapping[tuple[str, int], Span]) -> AsyncIterator[Chunk]:
    """Yield the records of each span up to its stable end."""
    if not wanted:  # a consumer that has nothing to read cannot be stopped
        return
    ends = {place: span.stable for place, span in wanted.items()}
    async with TopicReader(
        servers, {place: span.begin for place, span in wanted.items()}
    ) as reader:
        async for chunk in reader.read_to(ends):
            yield chunk


def _end(place: tuple[str, int], span: Span, ids: Mapping[str, str], ends: Ends) -> int:
    """Return up to where a partition is to be read; dead letters up to their end."""
    topic, partition = place
    if topic == DEAD_LETTER_TOPIC:
        return span.stable
    return min(span.stable, ends.get((topic, ids.get(topic, ""), partition), 0))


def may_name(record: Any, accounts: Sequence[bytes]) -> bool:
    """Tell whether a *record* may be of one of *accounts*: finding that out is cheap, decoding not.

    The account is in the value, unless it is in a header `ce_subject`; and JSON has another way to
    write each character, with a backslash.
    """
    value = record.value
    if not value or b"\\" in value or any(name.startswith("ce_") for name, _ in record.headers):
        return True
    return any(name in value for name in accounts)


def _of_accounts(batch: pa.RecordBatch, accounts: Sequence[str] | None) -> pa.RecordBatch:
    if accounts is None:
        return batch
    return batch.filter(pc.is_in(batch["account"], pa.array(accounts, pa.string())))


def _slim(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return *batch* without the bytes of accepted records: they are most of it, and not needed."""
    refused = pc.not_equal(batch["outcome"], ACCEPTED)
    columns: dict[str, Any] = {name: batch[name] for name in batch.schema.names}
    for name in ("key", "value"):
        columns[name] = pc.if_else(refused, batch[name], pa.scalar(None, pa.binary()))
    for name in _UNUSED:
        columns[name] = pa.nulls(len(batch), batch.schema.field(name).type)
    return pa.RecordBatch.from_pydict(columns, batch.schema)
