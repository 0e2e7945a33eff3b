"""What Kafka no longer has, from elsewhere: read first, and then Kafka from there on.

A topic-partition whose first records Kafka has deleted is read from the earlier records as far as
they go, and only behind them from Kafka, so that what retention deletes meanwhile is not missed.
Topics that were deleted and created again are in the earlier records under the id they had; they
are former topics, of which Kafka has nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka.structs import TopicPartition

from interaction_usage.store import keys
from rollups.gaps import Gap
from rollups.watermark import OffsetRange, Position
from stream_app.broker import Span
from stream_app.gaps import REBUILD
from stream_app.topics import EVENT_TOPICS


class EarlierRecords(Protocol):
    """Records of event topics that were copied from Kafka; positions go by fences' names."""

    def positions(self) -> Mapping[str, int]:
        """Return up to which offset each topic-partition was copied, former topics' too."""

    def missing(self) -> Mapping[str, Sequence[OffsetRange]]:
        """Return which offsets before these positions Kafka had deleted before they were copied."""

    def sealed_messages(self) -> Iterator[Any]:
        """Yield the copied dead letters of what was rejected for a sealed day."""

    def read(self, wanted: Mapping[str, OffsetRange]) -> Iterator[tuple[str, list[Any]]]:
        """Yield the records in the *wanted* stretches, those of each topic-partition in order."""


class EarlierChunk(NamedTuple):
    """Some earlier records of one topic-partition; as `topic_reader.Chunk`, with its fence."""

    fence: str
    tp: TopicPartition
    records: list[Any]
    ends: int


class Earlier:
    """What there is to read before Kafka: of *records*, which may be None."""

    def __init__(
        self, records: EarlierRecords | None, ids: Mapping[str, str],
        spans: Mapping[tuple[str, int], Span],
    ) -> None:  # fmt: skip
        self._records = records
        copied = records.positions() if records else {}
        self._missing = records.missing() if records else {}
        self._spans = {keys.fence(*tp, ids.get(tp[0], "")): span for tp, span in spans.items()}
        known = {
            name: at for name, at in copied.items() if keys.parse_fence(name)[0] in EVENT_TOPICS
        }
        #: Up to where former topics are read: all of what there is.
        self.former = {name: at for name, at in known.items() if name not in self._spans}
        #: Up to where the topics of now are read before Kafka; 0 where Kafka has everything.
        self.upto = {
            name: known.get(name, 0) if span.begin > 0 else 0 for name, span in self._spans.items()
        }

    def start(self, fence: str) -> int:
        """Return where Kafka is read from."""
        return max(self._spans[fence].begin, self.upto[fence])

    def lost(self, counted: Mapping[str, Position]) -> list[Gap]:
        """Return what was published, and is neither in Kafka nor among the earlier records.

        *counted* says how far the active rollups are, which also names former topics.
        """
        ends = {name: span.begin for name, span in self._spans.items()}
        for name in {*counted, *self.former} - set(ends):
            at = counted.get(name)
            ends[name] = max(at.offset if at else 0, self.former.get(name, 0))
        return [
            Gap(topic, partition, topic_id, first, end, None, 0, REBUILD)
            for name in sorted(ends)
            for topic, partition, topic_id in [keys.parse_fence(name)]
            for first, end in self._absent(name, ends[name])
        ]

    def _absent(self, fence: str, end: int) -> Iterator[OffsetRange]:
        """Yield what of the offsets before *end* is not among the earlier records."""
        have = self.former.get(fence) or self.upto.get(fence, 0)
        for first, last in sorted(self._missing.get(fence, ())):
            if first < min(last, have, end):
                yield OffsetRange(first, min(last, have, end))
        if have < end:
            yield OffsetRange(have, end)

    def has(self, gap: Gap) -> bool:
        """Tell whether everything in *gap* is read from the earlier records."""
        name = keys.fence(gap.topic, gap.partition, gap.topic_id)
        absent = self._absent(name, gap.end)
        return not any(stretch.end > gap.first for stretch in absent)

    async def read(self, wanted: Mapping[str, OffsetRange]) -> AsyncIterator[EarlierChunk]:
        """Yield the earlier records in the *wanted* stretches, as far as there are any."""
        some = {name: stretch for name, stretch in wanted.items() if stretch.first < stretch.end}
        if self._records is None or not some:
            return
        chunks = self._records.read(some)
        while (found := await asyncio.to_thread(next, chunks, None)) is not None:
            fence, records = found
            topic, partition, _ = keys.parse_fence(fence)
            yield EarlierChunk(
                fence, TopicPartition(topic, partition), records, records[-1].offset + 1
            )
