"""Reading `usage.dead-letters`: every refused record there is, once, with all that became of it.

A record that was published again and refused again is still one record, named by the place it came
from first. Its copies are known by the markers between them, and by their bytes, which are equal:

    dead letter   usage.flows/3/1204           refused
    marker        usage.flows/3/1204  is also  usage.flows/1/77
    dead letter   usage.flows/1/77             refused again: every copy was, the record is open
    marker        usage.flows/1/77    is also  usage.flows/1/90
                                               not refused since: it is counted, or will be

The bytes matter because places do not last: a topic that was deleted and created again uses them
for other records, which must not be taken for copies of the old ones and hidden. A letter that was
shortened tells the fingerprint of the bytes it does not have, so it is one with a whole letter of
the same record.

Producers decide how large dead letters are and how many there are. So they are read like any other
records of theirs, within bounds (`stream_app.bounded_fetch`), and of each is kept what a list
needs. Its bytes are read a second time, where they are asked for (`filled`).
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from stream_app import bounded_fetch
from stream_app.broker import BrokerAway, Span, spans
from stream_app.codec import MAX_EVENT_BYTES
from stream_app.dead_letters import (
    Headers,
    LeftOut,
    Place,
    Told,
    fingerprint,
    read_dead_letter,
    read_marker,
)
from stream_app.topics import DEAD_LETTERS

#: Seconds without a record after which reading is given up.
_PATIENCE = 10.0
#: Characters of a sentence or an account that are kept; the worker's own are shorter.
_MOST_TEXT = 1_000
#: Timestamps that can be shown; others were made up by a client.
_LATEST_MS = 253_402_300_799_000


class Refusal(NamedTuple):
    """That a record was refused at a place."""

    at: datetime
    place: Place
    reason: str
    sentence: str
    letter: int  #: the partition of `usage.dead-letters` that tells it


class Replay(NamedTuple):
    """That a record was published again at a place."""

    at: datetime
    place: Place


@dataclass
class RefusedRecord:
    """A record that was refused, once or more often."""

    key: bytes | None
    value: bytes | None
    headers: Headers  #: the record's own
    account: str | None = None  #: its `subject`, where that can be read
    fingerprint: str = ""
    refusals: list[Refusal] = field(default_factory=list)  #: at least one
    replays: list[Replay] = field(default_factory=list)
    left_out: LeftOut | None = None  #: of key, value and headers, where no letter has all of them

    @property
    def origin(self) -> Place:
        """Where the record was published first, which names it."""
        return self.refusals[0].place

    @property
    def newest(self) -> Refusal:
        """The refusal that counts: why the record is not accepted today."""
        return self.refusals[-1]

    @property
    def places(self) -> set[Place]:
        """Everywhere the record was published."""
        return self._refused_at | {replay.place for replay in self.replays}

    @property
    def open(self) -> bool:
        """Whether every copy of it was refused; otherwise one is counted, or will be."""
        return self.places == self._refused_at

    @property
    def _refused_at(self) -> set[Place]:
        return {refusal.place for refusal in self.refusals}

    def history(self) -> list[Refusal | Replay]:
        """Return what became of it, in order: each replay is followed by its refusal, if any."""
        refused = {refusal.place: refusal for refusal in self.refusals}
        told: list[Refusal | Replay] = [refused.pop(self.origin)]
        for replay in self.replays:
            again = refused.pop(replay.place, None)
            told += [replay, again] if again else [replay]
        return told


def refused_records(servers: str, *, with_bytes: bool = True) -> list[RefusedRecord]:
    """Return all refused records in the order in which they were refused last.

    Without their bytes they have neither key nor value nor headers, and take little memory. Raises
    BrokerAway.
    """
    return assemble(messages(servers), with_bytes=with_bytes)


def filled(servers: str, records: Sequence[RefusedRecord]) -> Iterator[RefusedRecord]:
    """Yield each of *records* with its bytes, one at a time, in the order of the topic.

    What was deleted there in the meantime is left out. Raises BrokerAway.
    """
    wanted: dict[str, list[RefusedRecord]] = {}
    for record in records:
        wanted.setdefault(record.fingerprint, []).append(record)
    for message in messages(servers) if wanted else ():
        told = read_dead_letter(message.headers)
        if not told:
            continue
        mark = _fingerprint(message, told)
        waiting = wanted.pop(mark, [])
        for record in waiting:
            if record.left_out == told.left_out:
                yield replace(record, key=message.key, value=message.value, headers=told.headers)
        if later := [record for record in waiting if record.left_out != told.left_out]:
            wanted[mark] = later
        if not wanted:
            return


def assemble(messages: Iterable[Any], *, with_bytes: bool = True) -> list[RefusedRecord]:
    """Return the refused records that *messages* tell of.

    Messages of a partition come in its order, partitions in any. What is neither a dead letter nor
    a marker is left out: it was written by someone else and tells of no refused record.
    """
    refusals: dict[_Copy, Refusal] = {}
    replays: dict[_Copy, tuple[_Copy, Replay]] = {}  # of the copy: of what, and when
    last: dict[tuple[int, Place], _Copy] = {}  # refused at this place, told in this partition
    bytes_of: dict[str, _Bytes] = {}  # by fingerprint, as much as any letter has
    for message in messages:
        headers = message.headers
        at = datetime.fromtimestamp(min(max(message.timestamp, 0), _LATEST_MS) / 1000, UTC)
        letter = message.partition
        if told := read_dead_letter(headers):
            copy = _Copy(told.place, _fingerprint(message, told))
            known = bytes_of.get(copy.fingerprint)
            if known is None or _missing(told.left_out) < _missing(known.left_out):
                account = _account(told.headers, message.value)
                held = _Bytes(None, None, [], told.left_out, account)
                if with_bytes:
                    held = held._replace(key=message.key, value=message.value, headers=told.headers)
                bytes_of[copy.fingerprint] = held
            last[letter, told.place] = copy
            # The same again, after a crash or a rebuild, is told once.
            refusal = Refusal(at, told.place, told.reason, told.sentence[:_MOST_TEXT], letter)
            refusals.setdefault(copy, refusal)
        elif (marker := read_marker(headers)) and (letter, marker.refused) in last:
            of = last[letter, marker.refused]
            replays.setdefault(of._replace(place=marker.again), (of, Replay(at, marker.again)))
    return _joined(refusals, replays, bytes_of)


def _account(headers: Headers, value: bytes | None) -> str | None:
    """Return the `subject` in the header or else in the value, None where it cannot be read."""
    for name, content in headers:
        if name == "ce_subject":
            return (content or b"")[:_MOST_TEXT].decode("utf-8", "replace")
    try:
        members = orjson.loads(value or b"") if len(value or b"") <= MAX_EVENT_BYTES else None
    except orjson.JSONDecodeError:
        return None
    subject = members.get("subject") if isinstance(members, dict) else None
    return subject[:_MOST_TEXT] if isinstance(subject, str) else None


def _fingerprint(message: Any, told: Told) -> str:
    """Return the fingerprint of the whole record that a dead letter is of."""
    if told.left_out:
        return told.left_out.fingerprint
    return fingerprint(message.key, message.value, told.headers)


def _missing(left_out: LeftOut | None) -> int:
    """Return how many of a record's parts are left out."""
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


def _joined(
    refusals: dict[_Copy, Refusal],
    replays: dict[_Copy, tuple[_Copy, Replay]],
    bytes_of: dict[str, _Bytes],
) -> list[RefusedRecord]:
    """Return the records whose copies these are."""

    def first(copy: _Copy) -> _Copy:
        seen = set()  # places of a topic that was created again could lead round in a circle
        while copy in replays and copy not in seen:
            seen.add(copy)
            copy, _ = replays[copy]
        return copy

    found: dict[_Copy, RefusedRecord] = {}
    for copy, refusal in refusals.items():
        if first(copy) == copy:
            key, value, headers, left_out, account = bytes_of[copy.fingerprint]
            found[copy] = RefusedRecord(
                key, value, headers, account, copy.fingerprint, [refusal], left_out=left_out
            )
    for copy, (_, replay) in sorted(replays.items(), key=lambda item: item[1][1].at):
        record = found[first(copy)]
        record.replays.append(replay)
        if copy in refusals:
            record.refusals.append(refusals[copy])
    return sorted(found.values(), key=lambda record: record.newest.at)


def messages(servers: str) -> Iterator[Any]:
    """Yield what there is in `usage.dead-letters` now, each partition in order.

    Not to be called where an event loop runs. Raises BrokerAway.
    """
    ends = {
        TopicPartition(*place): span
        for place, span in spans(servers, [DEAD_LETTERS]).items()
        if span.stable > span.begin
    }
    if not ends:
        return
    with asyncio.Runner() as runner:
        reader = _Reader(servers, ends)
        try:
            runner.run(reader.start())
            while (batch := runner.run(reader.more())) is not None:
                yield from batch
        except (KafkaError, TimeoutError) as error:
            why = str(error) or "the broker stopped answering"
            raise BrokerAway(why) from None
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
            bootstrap_servers=self._servers.split(","),
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # what is deleted while it is read is no letter any more
            isolation_level="read_committed",
        )
        await self._consumer.start()
        self._consumer.assign(list(self._ends))
        for tp, span in self._ends.items():
            self._consumer.seek(tp, span.begin)

    async def stop(self) -> None:
        """Let go."""
        if self._consumer:
            await self._consumer.stop()

    async def more(self) -> list[Any] | None:
        """Return some records; None at the end. Raises KafkaError, TimeoutError."""
        async with asyncio.timeout(_PATIENCE):
            while self._ends:
                found = await self._consumer.getmany(*self._ends, timeout_ms=50)
                # Positions pass over offsets without records: transaction markers, aborted ones.
                for tp, span in list(self._ends.items()):
                    if await self._consumer.position(tp) >= span.stable:
                        del self._ends[tp]
                if found:
                    return [record for records in found.values() for record in records]
        return None
