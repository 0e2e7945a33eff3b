"""Finding an account's events: a void needs the whole event that it takes back.

They are looked for in the archive, and behind its end in Kafka.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka.errors import KafkaError

from interaction_usage import settings
from interaction_usage.archive.errors import ArchiveError
from interaction_usage.archive.published import Found, Progress, PublishedEvents
from interaction_usage.corrections.errors import CorrectionSourceError, EventNotFoundError
from rollups.catalog import VOIDABLE
from rollups.corrections import TYPE_NAMES
from rollups.events import Event, SessionCorrected, SessionStarted, SessionStopped
from stream_app.codec.binary import is_binary
from stream_app.errors import BrokerUnavailableError, RecordsUnavailableError
from stream_app.topics import SESSIONS, TOPIC_OF

#: Ids of other events of the account that are remembered, to name those that look alike.
_MOST_IDS: Final = 20_000
_VOIDABLE: Final = frozenset(row.data for row in VOIDABLE)


class FoundEvent(NamedTuple):
    """An event as it was published."""

    event: Event
    type: str
    time: str  #: as it was sent
    data: msgspec.Raw  #: as it was sent
    place: str  #: topic/partition/offset


def find_event(
    config: settings.Settings, account: str, source: str, event_id: str, progress: Progress
) -> list[FoundEvent]:
    """Return the events of *account* with this identity: one for each type and UTC day.

    Raises EventNotFoundError, which names ids that look alike, and CorrectionSourceError.
    """
    found: list[FoundEvent] = []
    not_voidable: list[Event] = []
    others: dict[str, set[str]] = {}

    def take(one: Found) -> None:
        event = one.event
        if (event.source, event.id) == (source, event_id):
            if type(event.data) not in _VOIDABLE:
                not_voidable.append(event)
            elif all(each.event != event for each in found):
                found.append(_found(one.record, event))
        elif len(others) < _MOST_IDS and type(event.data) in _VOIDABLE:
            others.setdefault(event.id, set()).add(event.source)

    with _source_errors(config):
        published = PublishedEvents(config)
        for each in published.in_archive(account, {"source": source, "id": event_id}):
            take(each)
        published.in_kafka({account}, take, progress=progress)
        if found:
            return found
        if not_voidable:
            raise _not_voidable(not_voidable[0])
        for each in published.in_archive(account):
            take(each)
            if len(others) >= _MOST_IDS:
                break
    raise _not_found(published, (account, source, event_id), others)


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
    published: PublishedEvents, wanted: tuple[str, str, str], others: dict[str, set[str]]
) -> EventNotFoundError:
    account, source, event_id = wanted
    if sources := others.get(event_id):
        near = get_close_matches(source, sources, 3, 0) or sorted(sources)[:3]
        return EventNotFoundError(
            f"There is no event {event_id!r} of {account} from the source {source!r} in "
            f"{published.places}, but one from {' and from '.join(map(repr, near))}.",
            near,
        )
    near = get_close_matches(event_id, others, 3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    if lost := published.lost():
        hint += f" It may be among what is not there any more: {'; '.join(lost)}."
    return EventNotFoundError(
        f"There is no event of {account} with the source {source!r} and the id {event_id!r} that "
        f"could be voided in {published.places}.{hint}",
        near,
    )


def find_session(
    config: settings.Settings, account: str, application: str, session: str, progress: Progress
) -> tuple[list[Event], Sequence[str]]:
    """Return the events of a session of *account*, and names of others that look alike.

    Raises CorrectionSourceError.
    """
    found: list[Event] = []
    others: set[str] = set()

    def take(one: Found) -> None:
        data = one.event.data
        if not isinstance(data, SessionStarted | SessionStopped | SessionCorrected):
            return
        if (data.application, data.session) == (application, session):
            found.append(one.event)
        elif len(others) < _MOST_IDS:
            others.add(data.session)

    with _source_errors(config):
        published = PublishedEvents(config, (SESSIONS, TOPIC_OF["usage.session.corrected"]))
        wanted = {"application": application, "session": session}
        for each in published.in_archive(account, wanted):
            take(each)
        published.in_kafka({account}, take, progress=progress)
        if not found:
            for each in published.in_archive(account):
                take(each)
                if len(others) >= _MOST_IDS:
                    break
    return found, get_close_matches(session, others, 3)


@contextmanager
def _source_errors(config: settings.Settings) -> Iterator[None]:
    """Turn what goes wrong with Kafka or the archive into a CorrectionSourceError."""
    try:
        yield
    except (BrokerUnavailableError, RecordsUnavailableError) as error:
        raise CorrectionSourceError(f"Kafka at {config.kafka}: {error}.") from None
    except KafkaError as error:
        raise CorrectionSourceError(f"Kafka at {config.kafka} does not answer: {error}.") from None
    except ArchiveError as error:
        raise CorrectionSourceError(
            f"The archive cannot be read: {error}. Without USAGE_ARCHIVE, Kafka alone is searched."
        ) from None


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
