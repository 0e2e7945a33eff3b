"""The events of one account that are counted: all of them, with their places in Kafka.

What was refused as sealed is left out, as in the rollups.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from interaction_usage import settings
from interaction_usage.archive.published import Ends, Found, PublishedEvents
from rollups.events import Event
from stream_app.sealed_rejections import SealedRejections, read_sealed_rejections

if TYPE_CHECKING:
    from interaction_usage.archive.reading import ArchivedEvents


class PlacedEvent(NamedTuple):
    """An event and where it stands in Kafka, or stood."""

    topic: str
    partition: int
    offset: int
    timestamp: int  #: of the record, in milliseconds
    event: Event


class AccountEvents(NamedTuple):
    """What is there of an account."""

    before: list[PlacedEvent]  #: below the offsets of an issued report
    since: list[PlacedEvent]  #: from there to where the rollups are
    gone: tuple[str, ...]  #: what is not there any more, a clause each


def read_account_events(
    config: settings.Settings, account: str, issued: Ends, now: Ends
) -> AccountEvents:
    """Return the events of *account* before the offsets *issued*, and from there to *now*.

    They come from the archive, and behind its end from Kafka. Raises ArchiveError,
    BrokerUnavailableError, KafkaError and RecordsUnavailableError; must not be called where an
    event loop runs.
    """
    published = PublishedEvents(config)
    rejections = _rejections(config, published.archive)
    wanted = {name: max(end, now.get(name, 0)) for name, end in issued.items()} | {
        name: end for name, end in now.items() if name not in issued
    }
    found: list[Found] = []
    found += _below(wanted, published.in_archive(account, rejections=rejections))
    published.in_kafka(account, found.append, wanted, rejections)
    # As they were published, as far as timestamps say; for the same second, as they stand.
    placed = sorted(
        ((_placed(each), each.fence) for each in found),
        key=lambda each: (each[0].timestamp, *each[0][:3]),
    )
    before = [each for each, name in placed if each.offset < issued.get(name, 0)]
    since = [each for each, name in placed if each.offset >= issued.get(name, 0)]
    return AccountEvents(before, since, tuple(published.gone(wanted)))


def _below(wanted: Ends, events: Iterator[Found]) -> Iterator[Found]:
    return (each for each in events if each.record.offset < wanted.get(each.fence, 0))


def _placed(found: Found) -> PlacedEvent:
    record = found.record
    return PlacedEvent(record.topic, record.partition, record.offset, record.timestamp, found.event)


def _rejections(config: settings.Settings, archive: "ArchivedEvents | None") -> SealedRejections:
    """Return what was rejected for a sealed day, as far back as dead letters go."""
    copied = archive.sealed_messages() if archive else ()
    return read_sealed_rejections(config.kafka, copied=copied)
