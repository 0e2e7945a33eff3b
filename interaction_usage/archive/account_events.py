"""The events of one account that are counted: all of them, with their places in Kafka.

What was refused as sealed is left out, as in the rollups.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from interaction_usage import settings
from interaction_usage.archive.published import Ends, Found, PublishedEvents
from rollups.events import Event
from stream_app.sealed_rejections import (
    IsWanted,
    SealedRejections,
    before,
    read_sealed_rejections,
)

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
    #: below those offsets, counted then, and refused for a sealed day since; not in `before`
    refused: tuple[PlacedEvent, ...] = ()


class Stretch(NamedTuple):
    """Events to read: those of an account before the offsets *issued*, and from there to *now*."""

    account: str
    issued: Ends
    now: Ends

    @property
    def ends(self) -> dict[str, int]:
        """The offsets before which all of them lie."""
        return _furthest([self.issued, self.now])


def read_account_events(
    config: settings.Settings, account: str, issued: Ends, now: Ends, dead_letters: Ends | None
) -> AccountEvents:
    """Return the events of *account* before the offsets *issued*, and from there to *now*.

    What was rejected behind the ends of *dead_letters* is apart from the rest, unless they are
    unknown. The events come from the archive, and behind its end from Kafka. Raises ArchiveError,
    BrokerUnavailableError, KafkaError and RecordsUnavailableError; must not be called where an
    event loop runs.
    """
    wanted = Stretch(account, issued, now)
    if dead_letters is None:
        return read_stretches(config, [wanted])[0]
    was_there = before(dead_letters)
    published, found = _read(config, [wanted], was_there)
    since = _rejections(config, published.archive, lambda name, offset: not was_there(name, offset))
    counted = list[Found]()
    refused = list[Found]()
    for each in found[account]:
        (refused if since.has_rejected(each.record) else counted).append(each)
    of_refused = _events_of(wanted, refused, published)
    return _events_of(wanted, counted, published)._replace(refused=tuple(of_refused.before))


def read_stretches(
    config: settings.Settings, wanted: Sequence[Stretch], dead_letters: Ends | None = None
) -> list[AccountEvents]:
    """Return the same of several accounts, or of one at several times, reading Kafka once.

    With the ends of *dead_letters*, what was rejected behind them counts as accepted, as it was at
    that time.
    """
    published, found = _read(config, wanted, None if dead_letters is None else before(dead_letters))
    return [_events_of(each, found[each.account], published) for each in wanted]


def _read(
    config: settings.Settings, wanted: Sequence[Stretch], is_wanted: IsWanted | None
) -> tuple[PublishedEvents, dict[str, list[Found]]]:
    """Return the events of each account but those that the *wanted* dead letters have."""
    published = PublishedEvents(config)
    rejections = _rejections(config, published.archive, is_wanted)
    found: dict[str, list[Found]] = {each.account: [] for each in wanted}
    for account, events in found.items():
        events += published.in_archive(account, rejections=rejections)

    def take(each: Found) -> None:
        found[each.event.account].append(each)

    ends = _furthest([each.ends for each in wanted])
    published.in_kafka(found.keys(), take, ends, rejections)
    return published, found


def _furthest(several: Sequence[Ends]) -> dict[str, int]:
    """Return the last offset of each topic-partition."""
    found: dict[str, int] = {}
    for ends in several:
        for name, end in ends.items():
            found[name] = max(end, found.get(name, 0))
    return found


def _events_of(
    wanted: Stretch, events: Sequence[Found], published: PublishedEvents
) -> AccountEvents:
    issued, ends = wanted.issued, wanted.ends
    # As they were published, as far as timestamps say; for the same second, as they stand.
    placed = sorted(
        ((_placed(each), each.fence) for each in _below(ends, events)),
        key=lambda each: (each[0].timestamp, *each[0][:3]),
    )
    before = [each for each, name in placed if each.offset < issued.get(name, 0)]
    since = [each for each, name in placed if each.offset >= issued.get(name, 0)]
    return AccountEvents(before, since, tuple(published.gone(ends)))


def _below(wanted: Ends, events: Iterable[Found]) -> Iterator[Found]:
    return (each for each in events if each.record.offset < wanted.get(each.fence, 0))


def _placed(found: Found) -> PlacedEvent:
    record = found.record
    return PlacedEvent(record.topic, record.partition, record.offset, record.timestamp, found.event)


def _rejections(
    config: settings.Settings, archive: "ArchivedEvents | None", is_wanted: IsWanted | None
) -> SealedRejections:
    """Return what was rejected for a sealed day, as far back as dead letters go."""
    copied = archive.sealed_messages(is_wanted) if archive else ()
    return read_sealed_rejections(config.kafka, copied=copied, is_wanted=is_wanted)
