"""The ledger in Kafka (`store.ledger`): publishing what people decide, and reading it into Redis.

Of each topic one partition is written, so that all records have one order. A topic that is missing
is created, as a worker does. Nothing here may be called where an event loop runs.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final, NamedTuple
from uuid import uuid4

from aiokafka.errors import KafkaError as ReaderError
from redis.exceptions import RedisError

from interaction_usage import settings
from interaction_usage.store import keys
from interaction_usage.store.client import Client
from interaction_usage.store.errors import ChangePendingError, LedgerUnavailableError
from interaction_usage.store.ledger import Record, Table
from rollups.watermark import OffsetRange
from stream_app.broker import (
    Metadata,
    Span,
    admin_client,
    cluster_metadata,
    ensure_topics,
    spans_of,
    topic_ids,
)
from stream_app.errors import (
    BrokerDeniedError,
    BrokerUnavailableError,
    RecordsUnavailableError,
)
from stream_app.ledger_producer import PARTITION, LedgerProducer, OwnRecord
from stream_app.topic_reader import TopicReader
from stream_app.topics import DEAD_LETTERS

log = logging.getLogger(__name__)

#: Seconds that the right to adopt lasts, and between two attempts to get it.
_ADOPTING_S, _INTERVAL_S = 60, 0.2
#: Seconds after which a topic that was created should be known to every broker.
_CREATED_S: Final = 2.0
#: Records that are published before the right to adopt is renewed.
_ADOPTED_AT_ONCE: Final = 500


class _Place(NamedTuple):
    """A partition of a topic: the name under which Redis has a position of it, and its offsets."""

    name: str
    span: Span


_Places = Mapping[tuple[str, int], _Place]


class KafkaLedger:
    """The ledger in the Kafka and in the *redis* of a deployment.

    Kafka may take *patience* seconds to answer, and twice that for everything that is to be read,
    unless *patience* is unlimited (None): then only as long as records come. Without *reads_back*
    what is published here, and follows what Redis has, is not read from Kafka again: for whoever
    publishes all the time.

    With a *transactional_id* one process publishes at a time: whoever calls `take_over` last. What
    another one sends afterwards, however long it was suspended before, Kafka refuses.
    """

    def __init__(
        self,
        config: settings.Settings,
        redis: Client,
        patience: float | None = 5.0,
        *,
        reads_back: bool = True,
        transactional_id: str = "",
    ) -> None:
        self.redis = redis
        self._is_exclusive = bool(transactional_id)
        self._marker = -1  #: the offset behind the last own transaction, where its marker may be
        self._config, self._patience, self._reads_back = config, patience, reads_back
        self._timeout = patience or 10.0
        self._admin = admin_client(config.kafka)
        self._abandoned = ""  # the token of an adoption that Redis may still have
        self._written: dict[str, str] = {}  #: topic to the place that is written, as last seen
        self._producer = LedgerProducer(config.kafka, self._timeout, transactional_id)

    def now_ms(self) -> int:
        """Return the time, in milliseconds."""
        return time.time_ns() // 1_000_000

    def take_over(self) -> None:
        """Have Kafka refuse what others publish by this transactional id, from now on.

        What one of them had begun is not published. `sync` comes after it: so everything that was
        is read. Raises LedgerUnavailableError.
        """
        self._producer.take_over()

    def sync(self, table: Table) -> str:
        """Apply everything that is published; return the place of the partition that is written.

        Raises LedgerUnavailableError and RedisError.
        """
        return self.sync_all([table])[table.topic, PARTITION].name

    def sync_all(self, tables: Sequence[Table]) -> _Places:
        """Do the same for several tables, in fewer requests; return the places of all of them."""
        with self._failures():
            positions = {table.topic: table.positions(self.redis) for table in tables}
            places = self._places(list(positions), positions)
            for table in tables:
                own = {tp: place for tp, place in places.items() if tp[0] == table.topic}
                read = positions[table.topic]
                if not _has_begun(read, own):
                    self._adopt(table, own)
                    read = table.positions(self.redis)
                self._read(table, own, read)
        for topic, partition in places:
            if partition == PARTITION:
                self._written[topic] = places[topic, partition].name
        return places

    def publish(self, table: Table, records: Sequence[tuple[str, bytes]]) -> None:
        """Publish *records*, wait until Kafka has acknowledged each, and apply them.

        `sync` comes before: so nothing is left to adopt. Raises LedgerError.
        """
        own = self._producer.send(table.topic, records)
        end = own[-1].offset + 1
        try:
            if not self._reads_back and self._apply_own(table, own):
                return
            reached = self._reached(table, end)
        except (LedgerUnavailableError, RedisError, OSError) as error:
            raise ChangePendingError(
                f"Kafka has the change, but it is not in Redis yet ({error}); it takes effect as "
                "soon as a worker reads it"
            ) from None
        if reached < end:
            raise ChangePendingError(
                f"Kafka has the change, but {table.topic} cannot be read up to it yet; it takes "
                "effect as soon as a worker reads it"
            )

    def _reached(self, table: Table, end: int) -> int:
        """Read the topic; return up to where: a transaction is visible a moment after its end."""
        deadline = time.monotonic() + (self._timeout if self._is_exclusive else 0)
        while True:
            place = self.sync(table)
            reached = table.positions(self.redis).get(place, 0)
            if reached >= end or time.monotonic() > deadline:
                return reached
            time.sleep(_INTERVAL_S)

    def _apply_own(self, table: Table, own: Sequence[OwnRecord]) -> bool:
        """Apply what was just published; return False where the topic must be read first."""
        place = self._written.get(table.topic, "")
        first = own[0].offset
        at = table.positions(self.redis).get(place)
        # Behind a transaction is one marker, which is there before the next one begins.
        if at != first and not (at == self._marker and at == first - 1):
            return False
        if [each.offset for each in own] != list(range(first, first + len(own))):
            return False
        table.apply(self.redis, place, own, OffsetRange(at, own[-1].offset + 1))
        if self._is_exclusive:
            self._marker = own[-1].offset + 1
        return True

    def dead_letter_ends(self) -> dict[str, int]:
        """Return where each partition of `usage.dead-letters` ends, by its place.

        Nothing if there is no such topic. Raises LedgerUnavailableError.
        """
        with self._failures():
            metadata = cluster_metadata(self._admin, self._timeout)
            ids = topic_ids(self._admin, [DEAD_LETTERS], self._timeout, metadata)
            found = spans_of(self._admin, [*ids], self._timeout, metadata)
            return {keys.fence(*tp, ids[tp[0]]): span.end for tp, span in found.items()}

    # --------------------------------------------------------------------------- reading

    def _places(
        self, topics: Sequence[str], positions: Mapping[str, Mapping[str, int]] | None = None
    ) -> _Places:
        """Return the partitions of *topics*, after creating those that are missing.

        Given the *positions* of each topic, read before this call, Kafka is asked no more of a
        partition that was read to its end than that end.
        """
        metadata = cluster_metadata(self._admin, self._timeout)
        ids = topic_ids(self._admin, topics, self._timeout, metadata)
        if missing := [topic for topic in topics if topic not in ids]:
            config = self._config
            ensure_topics(
                config.kafka, missing, config.partitions, config.replication, self._timeout
            )
            metadata = self._metadata_with(topics)
            ids = topic_ids(self._admin, topics, self._timeout, metadata)
        counted = {
            (topic, number): read.get(keys.fence(topic, number, ids[topic]), 0)
            for topic, read in (positions or {}).items()
            if topic in ids
            for number in range(metadata.topics[topic])
        }
        spans = spans_of(self._admin, topics, self._timeout, metadata, counted)
        for topic in topics:
            if topic not in ids or (topic, PARTITION) not in spans:
                raise BrokerUnavailableError(f"{topic} was created just now; try again")
        return {tp: _Place(keys.fence(*tp, ids[tp[0]]), span) for tp, span in spans.items()}

    def _metadata_with(self, topics: Sequence[str]) -> Metadata:
        """Return the metadata as soon as it has *topics*, created just now, with their leaders."""
        deadline = time.monotonic() + _CREATED_S
        while True:
            is_last = time.monotonic() > deadline
            metadata = cluster_metadata(self._admin, self._timeout)
            try:
                spans = spans_of(self._admin, topics, self._timeout, metadata)
            except BrokerUnavailableError as error:
                if is_last or isinstance(error, BrokerDeniedError):
                    raise
            else:
                if is_last or {topic for topic, _ in spans} >= set(topics):
                    return metadata
            time.sleep(_INTERVAL_S)

    def _read(self, table: Table, places: _Places, positions: Mapping[str, int]) -> None:
        """Apply what Redis does not have yet, given its *positions*."""
        starts: dict[tuple[str, int], int] = {}
        reached: dict[tuple[str, int], int] = {}  # up to where each is applied
        for tp, (name, span) in places.items():
            at = positions.get(name)
            if at is None:
                raise LedgerUnavailableError("Redis was emptied meanwhile; try again")
            _check(tp, at, span)
            start = max(at, span.begin)
            if start < span.stable:
                starts[tp], reached[tp] = start, at
            elif start > at:
                table.apply(self.redis, name, [], OffsetRange(at, start))

        def apply(tp: tuple[str, int], records: Sequence[Record], end: int) -> None:
            table.apply(self.redis, places[tp].name, records, OffsetRange(reached[tp], end))
            reached[tp] = end

        self._each_chunk(starts, places, apply)

    def _each_chunk(
        self,
        starts: Mapping[tuple[str, int], int],
        places: _Places,
        use: Callable[[tuple[str, int], Sequence[Record], int], None],
    ) -> None:
        """Call *use* with (partition, records, the offset after them) from *starts* on."""
        ends = {tp: places[tp].span.stable for tp in starts}

        async def read() -> None:
            async with asyncio.timeout(self._patience and 2 * self._patience):
                async with TopicReader(self._config.kafka, starts) as reader:
                    async for chunk in reader.read_to(ends):
                        use((chunk.tp.topic, chunk.tp.partition), chunk.records, chunk.ends)
                    for tp, end in reader.ends.items():  # behind transaction markers
                        use((tp.topic, tp.partition), [], end)

        if starts:
            asyncio.run(read())

    # -------------------------------------------------------------------------- adopting

    def _adopt(self, table: Table, places: _Places) -> None:
        """Publish what Redis has and the topic lacks, by one process at a time."""
        with self._adopting() as renew:
            if _has_begun(table.positions(self.redis), places):
                return
            if next(table.unpublished(self.redis, ()), None):
                now = self._places([table.topic])  # others may have published while this waited
                self._publish_all(table, self._published(now), renew)
            for place in places.values():
                table.begin(self.redis, place.name)

    def _publish_all(self, table: Table, published: set[str], renew: Callable[[], None]) -> None:
        """Publish what Redis has beside what is *published*."""
        records, count = table.unpublished(self.redis, published), 0
        while some := list(islice(records, _ADOPTED_AT_ONCE)):
            renew()
            try:
                self._producer.send(table.topic, some)
            except ChangePendingError as error:
                raise LedgerUnavailableError(str(error)) from None
            count += len(some)
        if count:
            log.info("%s: published %s records that only Redis had", table.topic, count)

    @contextmanager
    def _adopting(self) -> Iterator[Callable[[], None]]:
        """Let nobody else adopt; yield what renews that."""
        token, key = uuid4().hex, keys.LEDGER_ADOPTING
        deadline = time.monotonic() + 2 * self._timeout
        while not self.redis.set(key, token, nx=True, ex=_ADOPTING_S):
            if self._abandoned and self.redis.get(key) == self._abandoned.encode():
                self.redis.delete(key)
                continue
            if time.monotonic() > deadline:
                raise LedgerUnavailableError(
                    "another process is still publishing what Redis has; try again in a minute"
                )
            time.sleep(_INTERVAL_S)

        def renew() -> None:
            if self.redis.get(key) != token.encode():
                raise LedgerUnavailableError("publishing what Redis has took too long; try again")
            self.redis.expire(key, _ADOPTING_S)

        try:
            yield renew
        finally:
            self._abandoned = token  # nobody waits for it if Redis is away now
            if self.redis.get(key) == token.encode():
                self.redis.delete(key)

    def _published(self, places: _Places) -> set[str]:
        """Return the keys of everything that the topic has, up to the first slash."""
        published: set[str] = set()

        def note(_: tuple[str, int], records: Sequence[Record], __: int) -> None:
            texts = ((each.key or b"").decode("utf-8", "replace") for each in records)
            published.update(text.partition("/")[0] for text in texts)

        starts = {tp: at.span.begin for tp, at in places.items() if at.span.begin < at.span.stable}
        self._each_chunk(starts, places, note)
        return published

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn the failures of Kafka into LedgerUnavailableError."""
        try:
            yield
        except (BrokerUnavailableError, RecordsUnavailableError, ReaderError) as error:
            raise LedgerUnavailableError(f"Kafka at {self._config.kafka}: {error}") from None
        except TimeoutError:
            raise LedgerUnavailableError(
                f"Kafka at {self._config.kafka} returned too few records in time; try again"
            ) from None


def _has_begun(positions: Mapping[str, int], places: _Places) -> bool:
    return all(place.name in positions for place in places.values())


def _check(tp: tuple[str, int], at: int, span: Span) -> None:
    """Log what was deleted unread. Raises LedgerUnavailableError where Kafka lost what was read."""
    topic, partition = tp
    if at > span.end:
        raise LedgerUnavailableError(
            f"{topic}/{partition} ends at offset {span.end}, but was read up to {at}: Kafka lost "
            "acknowledged records. Delete the topic; what Redis has is published to a new one"
        )
    if at < span.begin:
        log.error(
            "%s/%s: the offsets %s to %s were deleted before they were read into Redis; `usage "
            "doctor` says how long the topic keeps records", topic, partition, at, span.begin - 1,
        )  # fmt: skip
