"""Reading the events of one account from the topics: all that were counted, with their places."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from faust.types import TP

from interaction_usage import settings
from rollups.events import Event
from stream_app import bounded_fetch
from stream_app.broker import Span, admin_client, spans_of, topic_ids
from stream_app.decode_batch import decode_batch
from stream_app.sealed_rejections import read_sealed_rejections
from stream_app.topic_reader import TopicReader
from stream_app.topics import EVENT_TOPICS

#: By topic and partition the topic's id and an offset: up to where a report was made.
Ends = Mapping[tuple[str, int], tuple[str, int]]


class PlacedEvent(NamedTuple):
    """An event and where it stands in Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp: int  #: of the record, in milliseconds
    event: Event


class AccountEvents(NamedTuple):
    """What the topics have of an account."""

    before: list[PlacedEvent]  #: below the offsets of an issued report
    since: list[PlacedEvent]  #: from there to where the rollups are
    gone: tuple[str, ...]  #: what Kafka has no more, a clause each


def read_account_events(
    config: settings.Settings, account: str, issued: Ends, now: Ends
) -> AccountEvents:
    """Return the events of *account* before the offsets *issued*, and from there to *now*.

    What was refused as sealed is left out, as in the rollups. Raises BrokerUnavailableError,
    KafkaError and RecordsUnavailableError; nothing here may be called where an event loop runs.
    """
    admin = admin_client(config.kafka)
    ids = topic_ids(admin, EVENT_TOPICS)
    spans = spans_of(admin, EVENT_TOPICS)
    gone = tuple(_gone(ids, spans, issued))
    starts = {place: span.begin for place, span in spans.items()}
    ends = {place: min(now.get(place, ("", 0))[1], span.stable) for place, span in spans.items()}
    wanted = {place: end for place, end in ends.items() if starts[place] < end}
    if not wanted:
        return AccountEvents([], [], gone)
    found = asyncio.run(_read(config, account, {tp: starts[tp] for tp in wanted}, wanted))
    before = [each for each in found if each.offset < issued.get(each[:2], ("", 0))[1]]
    since = [each for each in found if each.offset >= issued.get(each[:2], ("", 0))[1]]
    return AccountEvents(before, since, gone)


async def _read(
    config: settings.Settings,
    account: str,
    starts: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
) -> list[PlacedEvent]:
    bounded_fetch.install(config.max_batch_bytes)
    rejections = await asyncio.to_thread(read_sealed_rejections, config.kafka)
    found: list[PlacedEvent] = []
    async with TopicReader(config.kafka, starts) as reader:
        async for chunk in reader.read_to(ends):
            events, _ = decode_batch(TP(*chunk.tp), chunk.records, rejections)
            timestamps = {record.offset: record.timestamp for record in chunk.records}
            found += [
                PlacedEvent(chunk.tp.topic, chunk.tp.partition, offset, timestamps[offset], event)
                for offset, event in ((item.offset, item.event) for item in events)
                if event.account == account
            ]
    # As they were published, as far as timestamps say; for the same second, as they stand.
    return sorted(found, key=lambda each: (each.timestamp, *each[:3]))


def _gone(ids: Mapping[str, str], spans: Mapping[tuple[str, int], Span], issued: Ends) -> list[str]:
    """Return a clause for everything before the offsets *issued* that is not there any more."""
    clauses: dict[str, None] = {}
    for (topic, partition), (topic_id, end) in sorted(issued.items()):
        if end == 0:
            continue
        span = spans.get((topic, partition))
        if span is None:
            clauses[f"{topic}/{partition} does not exist any more"] = None
        elif topic_id and ids.get(topic, "") != topic_id:
            clauses[
                f"{topic} is another topic now ({ids.get(topic, '')}, then {topic_id}): it was "
                "deleted and created again, or is a mirror"
            ] = None
        elif span.begin > 0:
            upto = min(span.begin, end)
            clauses[f"Kafka deleted the offsets 0 to {upto - 1:,} of {topic}/{partition}"] = None
    return list(clauses)
