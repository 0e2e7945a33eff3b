"""Reading `usage.dead-letters`: every rejected record, once, with its history.

A record that was published again and rejected again is still one record, named by the place it came
from first. Its copies are linked by the markers between them, and by their bytes, which are equal:

    dead letter   usage.flows/3/1204           rejected
    marker        usage.flows/3/1204  is also  usage.flows/1/77
    dead letter   usage.flows/1/77             rejected again: every copy was, the record is open
    marker        usage.flows/1/77    is also  usage.flows/1/90
                                               not rejected since: it is counted, or will be

The bytes matter because places are not unique: a topic that was deleted and created again uses them
for other records, which must not pass for copies of the old ones and be hidden. A shortened dead
letter has the fingerprint of the bytes that it lacks, so it is matched with a whole one of the same
record.

Producers decide how large dead letters are and how many there are. So they are read like any other
records of theirs, within bounds (`stream_app.bounded_fetch`), and of each only what a list needs is
kept in memory. Which records are open, and how many there are of each reason, follows from all of
them, so all are read; the bytes of a few are read a second time, where they are needed (`filled`).
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.structs import TopicPartition

from stream_app import bounded_fetch, clients
from stream_app.broker import Span, admin_client, offsets_since, spans_of
from stream_app.dead_letters import (
    DeadLetterHeaders,
    Headers,
    LeftOut,
    Marker,
    Place,
    fingerprint,
    read_dead_letter,
    read_marker,
)
from stream_app.errors import BrokerUnavailableError
from stream_app.event_names import MOST_NAME, NO_NAMES, EventNames, names_of
from stream_app.fetched_record import with_places
from stream_app.topic_reader import reading_denied
from stream_app.topics import DEAD_LETTERS

#: Seconds without a record after which reading fails.
_TIMEOUT_S = 10.0
#: Characters of a sentence or an account that are kept; the worker's own are shorter.
_MOST_TEXT = 1_000
#: The latest timestamp that can be shown; a client may send any.
_LATEST_MS = 253_402_300_799_000


class Rejection(NamedTuple):
    """A record was rejected at a place."""

    at: datetime
    place: Place
    reason: str
    sentence: str
    partition: int  #: of its dead letter in `usage.dead-letters`


class Replay(NamedTuple):
    """A record was published again at a place."""

    at: datetime
    place: Place


@dataclass
class RejectedRecord:
    """A record that was rejected, once or more often."""

    key: bytes | None
    value: bytes | None
    headers: Headers  #: the record's own
    account: str | None = None  #: its `subject`, where that can be read
    fingerprint: str = ""
    rejections: list[Rejection] = field(default_factory=list)  #: at least one
    replays: list[Replay] = field(default_factory=list)
    left_out: LeftOut | None = (
        None  #: of key, value and headers, where no dead letter has all of them
    )
    event: EventNames = NO_NAMES

    @property
    def origin(self) -> Place:
        """Where the record was published first, which names it."""
        return self.rejections[0].place

    @property
    def newest(self) -> Rejection:
        """The rejection that counts: why the record is not accepted today."""
        return self.rejections[-1]

    @property
    def places(self) -> set[Place]:
        """Everywhere the record was published."""
        return self._rejected_at | {replay.place for replay in self.replays}

    @property
    def open(self) -> bool:
        """Whether every copy of it was rejected; otherwise one is counted, or will be."""
        return self.places == self._rejected_at

    def has_id(self, event_id: str) -> bool:
        """Tell whether this is the record of an event with that id."""
        return self.event.id is not None and self.event.id == event_id[:MOST_NAME]

    @property
    def _rejected_at(self) -> set[Place]:
        return {rejection.place for rejection in self.rejections}

    def history(self) -> list[Rejection | Replay]:
        """Return its history in order: each replay is followed by its rejection, if any."""
        rejected = {rejection.place: rejection for rejection in self.rejections}
        history: list[Rejection | Replay] = [rejected.pop(self.origin)]
        for replay in self.replays:
            again = rejected.pop(replay.place, None)
            history += [replay, again] if again else [replay]
        return history


def read_rejected_records(servers: str, *, with_bytes: bool = True) -> list[RejectedRecord]:
    """Return all rejected records in the order in which they were rejected last.

    Without their bytes they have neither key nor value nor headers, and take little memory. Raises
    BrokerUnavailableError.
    """
    return assemble(messages(servers), with_bytes=with_bytes)


def filled(
    servers: str, records: Sequence[RejectedRecord], since: int = 0
) -> Iterator[RejectedRecord]:
    """Yield each of *records* with its bytes, one at a time, in the order of the topic.

    Only dead letters *since* a second are read. What was deleted there in the meantime is left out.
    Raises BrokerUnavailableError.
    """
    wanted: dict[str, list[RejectedRecord]] = {}
    for record in records:
        wanted.setdefault(record.fingerprint, []).append(record)
    for message in messages(servers, since) if wanted else ():
        headers = read_dead_letter(message.headers)
        if not headers:
            continue
        whole = _fingerprint(message, headers)
        candidates = wanted.pop(whole, [])
        for record in candidates:
            if record.left_out == headers.left_out:
                yield replace(record, key=message.key, value=message.value, headers=headers.own)
        if later := [record for record in candidates if record.left_out != headers.left_out]:
            wanted[whole] = later
        if not wanted:
            return


def assemble(messages: Iterable[Any], *, with_bytes: bool = True) -> list[RejectedRecord]:
    """Return the rejected records that follow from *messages*.

    Messages of a partition come in its order, partitions in any. What is neither a dead letter nor
    a marker is skipped: it was written by someone else and belongs to no rejected record.
    """
    log = Log(with_bytes)
    for message in messages:
        log.add(message)
    return log.records()


def _fingerprint(message: Any, headers: DeadLetterHeaders) -> str:
    """Return the fingerprint of the whole record that a dead letter is of."""
    if headers.left_out:
        return headers.left_out.fingerprint
    return fingerprint(message.key, message.value, headers.own)


def _missing(left_out: LeftOut | None) -> int:
    """Return how much of a record is left out: of key, value and headers so many."""
    return len(left_out.sizes) if left_out else 0


class _Copy(NamedTuple):
    """A record at one of its places; its other copies differ in nothing else."""

    place: Place
    fingerprint: str


class _Bytes(NamedTuple):
    """What is kept of a record."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    left_out: LeftOut | None
    account: str | None
    event: EventNames


class Log:
    """The dead letters and markers read so far."""

    def __init__(self, with_bytes: bool) -> None:
        self._with_bytes = with_bytes
        self._rejections: dict[_Copy, Rejection] = {}
        self._replays: dict[_Copy, tuple[_Copy, Replay]] = {}  # of the copy: of what, and when
        self._last: dict[
            tuple[int, Place], _Copy
        ] = {}  # by partition of the dead letter, and place
        self._bytes: dict[str, _Bytes] = {}  # by fingerprint, as much as any dead letter has
        self._texts: dict[str, str] = {}  # sentences repeat; one object for each is kept

    def add(self, message: Any) -> None:
        """Add a message; one that is neither of both changes nothing."""
        if headers := read_dead_letter(message.headers):
            self.add_dead_letter(message, headers)
        elif marker := read_marker(message.headers):
            self.add_marker(message, marker)

    def __len__(self) -> int:
        """How many dead letters there are."""
        return len(self._rejections)

    def add_dead_letter(self, message: Any, headers: DeadLetterHeaders) -> None:
        """Add a dead letter; the same again, after a crash or a rebuild, changes nothing."""
        copy = _Copy(headers.place, _fingerprint(message, headers))
        known = self._bytes.get(copy.fingerprint)
        if known is None or _missing(headers.left_out) < _missing(known.left_out):
            account, names = names_of(headers.own, message.value, headers.reason)
            kept = _Bytes(None, None, [], headers.left_out, account, names)
            if self._with_bytes:
                kept = kept._replace(key=message.key, value=message.value, headers=headers.own)
            self._bytes[copy.fingerprint] = kept
        self._last[message.partition, headers.place] = copy
        sentence = headers.sentence[:_MOST_TEXT]
        sentence = self._texts.setdefault(sentence, sentence)
        reason = self._texts.setdefault(headers.reason, headers.reason)
        rejection = Rejection(_time(message), headers.place, reason, sentence, message.partition)
        self._rejections.setdefault(copy, rejection)

    def add_marker(self, message: Any, marker: Marker) -> None:
        """Add a marker, of the dead letter before it in its partition."""
        of = self._last.get((message.partition, marker.rejected))
        if of is not None:
            replay = Replay(_time(message), marker.again)
            self._replays.setdefault(of._replace(place=marker.again), (of, replay))

    def records(self) -> list[RejectedRecord]:
        """Return the records whose copies these are."""
        found: dict[_Copy, RejectedRecord] = {}
        for copy, rejection in self._rejections.items():
            if self._first(copy) == copy:
                key, value, headers, left_out, account, event = self._bytes[copy.fingerprint]
                found[copy] = RejectedRecord(
                    key, value, headers, account, copy.fingerprint, [rejection],
                    left_out=left_out, event=event,
                )  # fmt: skip
        for copy, (_, replay) in sorted(self._replays.items(), key=lambda item: item[1][1].at):
            record = found[self._first(copy)]
            record.replays.append(replay)
            if copy in self._rejections:
                record.rejections.append(self._rejections[copy])
        return sorted(found.values(), key=lambda record: record.newest.at)

    def _first(self, copy: _Copy) -> _Copy:
        seen = set()  # places of a recreated topic could form a circle
        while copy in self._replays and copy not in seen:
            seen.add(copy)
            copy, _ = self._replays[copy]
        return copy


def _time(message: Any) -> datetime:
    return datetime.fromtimestamp(min(max(message.timestamp, 0), _LATEST_MS) / 1000, UTC)


def messages(servers: str, since: int = 0) -> Iterator[Any]:
    """Yield what `usage.dead-letters` holds now, each partition in order.

    Only what was published *since* a second, if one is given. Must not be called where an event
    loop runs. Raises BrokerUnavailableError.
    """
    admin = admin_client(servers)
    found = spans_of(admin, [DEAD_LETTERS])
    begins = offsets_since(admin, list(found), since) if since > 0 else {}
    yield from messages_within(
        servers,
        {
            place: span._replace(begin=max(span.begin, begins.get(place, 0)))
            for place, span in found.items()
        },
    )


def messages_within(servers: str, spans: Mapping[tuple[str, int], Span]) -> Iterator[Any]:
    """Yield the messages of *spans*, as `messages` does."""
    ends = {
        TopicPartition(*place): span for place, span in spans.items() if span.stable > span.begin
    }
    if not ends:
        return
    with asyncio.Runner() as runner:
        reader = _Reader(servers, ends)
        try:
            runner.run(reader.start())
            while (batch := runner.run(reader.more())) is not None:
                yield from batch
        except TopicAuthorizationFailedError as error:
            raise reading_denied(error) from None
        except (KafkaError, TimeoutError) as error:
            why = str(error) or "the broker stopped answering"
            raise BrokerUnavailableError(why) from None
        finally:
            runner.run(reader.stop())


class _Reader:
    """Reads partitions from their beginning up to given ends."""

    def __init__(self, servers: str, ends: Mapping[TopicPartition, Span]) -> None:
        self._servers, self._ends = servers, dict(ends)
        self._consumer: Any = None

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        bounded_fetch.install()
        self._consumer = AIOKafkaConsumer(
            **clients.aiokafka(self._servers),
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # what is deleted meanwhile is skipped
            isolation_level="read_committed",
        )
        await self._consumer.start()
        self._consumer.assign(list(self._ends))
        for tp, span in self._ends.items():
            self._consumer.seek(tp, span.begin)

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer:
            await self._consumer.stop()

    async def more(self) -> list[Any] | None:
        """Return some records; None at the end. Raises KafkaError, TimeoutError."""
        async with asyncio.timeout(_TIMEOUT_S):
            while self._ends:
                records = await self._consumer.getmany(*self._ends, timeout_ms=50)
                # Positions skip offsets without records: transaction markers, aborted ones.
                for tp, span in list(self._ends.items()):
                    if await self._consumer.position(tp) >= span.stable:
                        del self._ends[tp]
                if records:
                    return [
                        record
                        for tp, fetched in records.items()
                        for record in with_places(tp, fetched)
                    ]
        return None
