"""What was published for one account: from the archive, and behind its end from Kafka.

Corrections look for originals here, and reports that are made again take their events from here.
Without an archive everything comes from Kafka, as far as that goes back. What is in neither is
named, with its offsets.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from interaction_usage import settings
from interaction_usage.archive.errors import NoArchiveError, NotInstalledError
from interaction_usage.store import keys
from rollups.events import Event
from stream_app import bounded_fetch
from stream_app.broker import admin_client, spans_of, topic_ids
from stream_app.decode_batch import accepted_events
from stream_app.sealed_rejections import NO_REJECTIONS, SealedRejections
from stream_app.topic_reader import TopicReader
from stream_app.topics import EVENT_TOPICS

if TYPE_CHECKING:
    from interaction_usage.archive.reading import ArchivedEvents

#: Packages of the extra `archive`.
EXTRA: Final = ("deltalake", "pyarrow", "duckdb")

#: By the name of each topic-partition in fences, an offset.
Ends = Mapping[str, int]
#: Called with how many records were read, and how many there are.
Progress = Callable[[int, int], None]


class Found(NamedTuple):
    """An event of the account, and its record."""

    fence: str  #: the topic-partition, with the topic's id
    record: Any
    event: Event


def open_archive(config: settings.Settings) -> "ArchivedEvents | None":
    """Return the archive of the deployment; None if there is none, or nothing in it yet.

    Raises ArchiveError.
    """
    if not config.archive:
        return None
    try:
        from interaction_usage.archive.reading import ArchivedEvents

        return ArchivedEvents.open(config.archive)
    except NoArchiveError:
        return None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise NotInstalledError from None


class PublishedEvents:
    """The events of accounts as they stand in *topics*, when this is made.

    It raises ArchiveError, BrokerUnavailableError, KafkaError and RecordsUnavailableError. Nothing
    here may be called where an event loop runs.
    """

    def __init__(self, config: settings.Settings, topics: Sequence[str] = EVENT_TOPICS) -> None:
        self._config, self._topics = config, topics
        # Before Kafka is looked at: what is archived later is behind, and read from there.
        self.archive = open_archive(config)
        admin = admin_client(config.kafka)
        ids = topic_ids(admin, topics)
        spans = spans_of(admin, topics)
        self._fences = {
            place: keys.fence(*place, ids[place[0]]) for place in spans if place[0] in ids
        }
        self._spans = {self._fences[place]: span for place, span in spans.items()}
        self._archived = self.archived_ends(self._spans)

    @property
    def places(self) -> str:
        """Where events are looked for, in words."""
        return "the archive or Kafka" if self.archive else "Kafka"

    def lost(self) -> list[str]:
        """Return a clause for everything that Kafka has deleted and that is not archived."""
        ends = {name: span.begin for name, span in self._spans.items()}
        return self.gone({name: max(end, self._archived[name]) for name, end in ends.items()})

    def archived_ends(self, fences: Iterable[str]) -> dict[str, int]:
        """Return up to where each of *fences* is archived, 0 where nothing is."""
        return {name: self.archive.position(name) if self.archive else 0 for name in fences}

    def in_archive(
        self, account: str, columns: Mapping[str, str] | None = None,
        rejections: SealedRejections = NO_REJECTIONS,
    ) -> Iterator[Found]:  # fmt: skip
        """Yield the events of *account* that are archived, in no order.

        With *columns*, those rows that have these values. What was rejected is left out.
        """
        if self.archive is None:
            return
        for fence, records in self.archive.records(account, self._topics, columns or {}):
            yield from _decoded(fence, records, {account}, rejections)

    def in_kafka(
        self, accounts: Set[str], take: Callable[[Found], None],
        ends: Ends | None = None, rejections: SealedRejections = NO_REJECTIONS,
        progress: Progress = lambda _done, _total: None,
    ) -> None:  # fmt: skip
        """Call *take* with each event of *accounts* that is not archived yet.

        They are read up to *ends*, or all. What was rejected is left out.
        """
        wanted: dict[tuple[str, int], tuple[int, int]] = {}
        for place, name in self._fences.items():
            span = self._spans[name]
            begin = max(span.begin, self._archived[name])
            end = span.stable if ends is None else min(ends.get(name, 0), span.stable)
            if begin < end:
                wanted[place] = begin, end
        if not wanted:
            return

        async def read() -> None:
            total, done = sum(end - begin for begin, end in wanted.values()), 0
            bounded_fetch.install(self._config.max_batch_bytes)
            starts = {place: begin for place, (begin, _) in wanted.items()}
            async with TopicReader(self._config.kafka, starts) as reader:
                async for chunk in reader.read_to({tp: end for tp, (_, end) in wanted.items()}):
                    fence = self._fences[chunk.tp.topic, chunk.tp.partition]
                    for found in _decoded(fence, chunk.records, accounts, rejections):
                        take(found)
                    done += len(chunk.records)
                    progress(done, total)

        asyncio.run(read())

    def gone(self, wanted: Ends) -> list[str]:
        """Return a clause for everything before the offsets *wanted* that is in neither place."""
        clauses: dict[str, None] = {}
        archived = self.archived_ends(wanted)
        for name in sorted(wanted, key=keys.parse_fence):
            clauses |= dict.fromkeys(self._gone(name, archived[name], wanted[name]))
        return list(clauses)

    def _gone(self, name: str, archived: int, end: int) -> Iterator[str]:
        topic, partition, topic_id = keys.parse_fence(name)
        what = f"{topic}/{partition}"
        for gap in self.archive.gaps if self.archive else ():
            if gap[:3] == (topic, topic_id, partition) and gap.first < end:
                yield (
                    f"Kafka had deleted the offsets {gap.first:,} to {min(gap.end, end) - 1:,} of "
                    f"{what} before they were archived"
                )
        if archived >= end:
            return
        if span := self._spans.get(name):
            if archived < span.begin:
                yield (
                    f"Kafka deleted the offsets {archived:,} to {min(span.begin, end) - 1:,} of "
                    f"{what}"
                )
            return
        now = {keys.parse_fence(one)[2] for one in self._spans if one.startswith(f"{topic}/")}
        if not any(place == (topic, partition) for place in self._fences):
            yield f"{what} does not exist any more"
        else:
            yield (
                f"{topic} is another topic now ({''.join(sorted(now))}, then {topic_id}): it was "
                "deleted and created again, or is a mirror"
            )


def _decoded(
    fence: str, records: list[Any], accounts: Set[str], rejections: SealedRejections
) -> Iterator[Found]:
    """Yield the events of *accounts* in *records* of one topic-partition, sorted by offset."""
    topic, partition, _ = keys.parse_fence(fence)
    for record, event in accepted_events(topic, partition, records, rejections):
        if event.account in accounts:
            yield Found(fence, record, event)
