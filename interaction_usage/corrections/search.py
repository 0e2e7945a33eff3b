"""Finding an account's events in Kafka: a void needs the whole event that it takes back."""

import asyncio
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka.errors import KafkaError

from interaction_usage.corrections.errors import CorrectionSourceError, EventNotFoundError
from rollups.catalog import VOIDABLE
from rollups.corrections import TYPE_NAMES
from rollups.events import Event, SessionCorrected, SessionStarted, SessionStopped
from stream_app.broker import admin_client, spans_of
from stream_app.codec import decode_all
from stream_app.codec.binary import is_binary
from stream_app.errors import BrokerUnavailableError, RecordsUnavailableError
from stream_app.topic_reader import TopicReader
from stream_app.topics import EVENT_TOPICS, SESSIONS, TOPIC_OF

#: Ids of other events of the account that are remembered, to name those that look alike.
_MOST_IDS: Final = 20_000
_VOIDABLE: Final = frozenset(row.data for row in VOIDABLE)

#: Called with how many records were read, and how many there are.
Progress = Callable[[int, int], None]


class FoundEvent(NamedTuple):
    """An event as Kafka has it."""

    event: Event
    type: str
    time: str  #: as it was sent
    data: msgspec.Raw  #: as it was sent
    place: str  #: topic/partition/offset


def find_event(
    servers: str, account: str, source: str, event_id: str, progress: Progress
) -> list[FoundEvent]:
    """Return the events of *account* with this identity: one for each type and UTC day.

    Raises EventNotFoundError, which names ids that look alike, and CorrectionSourceError.
    """
    found: list[FoundEvent] = []
    not_voidable: list[Event] = []
    others: dict[str, set[str]] = {}

    def take(record: Any, event: Event) -> None:
        if event.account != account:
            return
        if (event.source, event.id) == (source, event_id):
            if type(event.data) not in _VOIDABLE:
                not_voidable.append(event)
            elif all(each.event != event for each in found):
                found.append(_found(record, event))
        elif len(others) < _MOST_IDS and type(event.data) in _VOIDABLE:
            others.setdefault(event.id, set()).add(event.source)

    _read(servers, EVENT_TOPICS, take, progress)
    if not found and not_voidable:
        raise _not_voidable(not_voidable[0])
    if not found:
        raise _not_found(account, source, event_id, others)
    return found


def _not_voidable(event: Event) -> EventNotFoundError:
    kind = TYPE_NAMES[type(event.data)]
    if isinstance(event.data, SessionStarted | SessionStopped):
        data = event.data
        hint = f"correct its session: usage correct session {event.account} {data.application} "
        return EventNotFoundError(
            f"{event.id!r} is a {kind}, which cannot be voided; {hint}{data.session!r}"
        )
    return EventNotFoundError(f"{event.id!r} is a {kind}, and a correction is final.")


def _not_found(
    account: str, source: str, event_id: str, others: dict[str, set[str]]
) -> EventNotFoundError:
    if sources := others.get(event_id):
        near = get_close_matches(source, sources, 3, 0) or sorted(sources)[:3]
        return EventNotFoundError(
            f"Kafka has no event {event_id!r} of {account} from the source {source!r}, but one "
            f"from {' and from '.join(map(repr, near))}.",
            near,
        )
    near = get_close_matches(event_id, others, 3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return EventNotFoundError(
        f"Kafka has no event of {account} with the source {source!r} and the id {event_id!r} that "
        f"could be voided.{hint}",
        near,
    )


def find_session(
    servers: str, account: str, application: str, session: str, progress: Progress
) -> tuple[list[Event], Sequence[str]]:
    """Return the events of a session of *account*, and names of others that look alike.

    Raises CorrectionSourceError.
    """
    found: list[Event] = []
    others: set[str] = set()

    def take(_: Any, event: Event) -> None:
        data = event.data
        if event.account != account or not isinstance(
            data, SessionStarted | SessionStopped | SessionCorrected
        ):
            return
        if (data.application, data.session) == (application, session):
            found.append(event)
        elif len(others) < _MOST_IDS:
            others.add(data.session)

    _read(servers, (SESSIONS, TOPIC_OF["usage.session.corrected"]), take, progress)
    return found, get_close_matches(session, others, 3)


def _found(record: Any, event: Event) -> FoundEvent:
    return FoundEvent(
        event, TYPE_NAMES[type(event.data)], _time_sent(record), _data_sent(record),
        f"{record.topic}/{record.partition}/{record.offset}",
    )  # fmt: skip


def _time_sent(record: Any) -> str:
    if is_binary(record.headers):
        texts = [text for name, text in record.headers if name == "ce_time"]
        return str(texts[-1], "utf-8")
    return str(msgspec.json.decode(_members(record)["time"]))


def _data_sent(record: Any) -> msgspec.Raw:
    if is_binary(record.headers):
        return msgspec.Raw(record.value)
    members = _members(record)
    if "data" in members and bytes(members["data"]) != b"null":
        return members["data"]
    return msgspec.Raw(msgspec.json.decode(members["data_base64"], type=bytes))


def _members(record: Any) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(record.value, type=dict[str, msgspec.Raw])


def _read(
    servers: str, topics: Sequence[str], take: Callable[[Any, Event], None], progress: Progress
) -> None:
    """Call *take* with each valid event of *topics*, and its record.

    Raises CorrectionSourceError.
    """
    try:
        asyncio.run(_read_topics(servers, topics, take, progress))
    except (BrokerUnavailableError, RecordsUnavailableError) as error:
        raise CorrectionSourceError(f"Kafka at {servers}: {error}.") from None
    except KafkaError as error:
        raise CorrectionSourceError(f"Kafka at {servers} does not answer: {error}.") from None


async def _read_topics(
    servers: str, topics: Sequence[str], take: Callable[[Any, Event], None], progress: Progress
) -> None:
    spans = spans_of(admin_client(servers), topics)
    total = sum(span.stable - span.begin for span in spans.values())
    done = 0
    starts = {place: span.begin for place, span in spans.items()}
    async with TopicReader(servers, starts) as reader:
        async for chunk in reader.read_to({place: span.stable for place, span in spans.items()}):
            outcomes = decode_all(chunk.tp.topic, chunk.records)
            for record, outcome in zip(chunk.records, outcomes, strict=True):
                if isinstance(outcome, Event):
                    take(record, outcome)
            done += len(chunk.records)
            progress(done, total)
