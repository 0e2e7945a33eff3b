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
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_app.broker import BrokerAway, spans
from stream_app.dead_letters import (
    Headers,
    LeftOut,
    Place,
    fingerprint,
    read_dead_letter,
    read_marker,
)
from stream_app.topics import DEAD_LETTERS

#: Seconds without a record after which reading is given up.
_PATIENCE = 10.0
#: Seconds that one look for more records may take.
_PAUSE = 0.05


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

    @property
    def account(self) -> str | None:
        """The `subject` in the header or else in the value, None where it cannot be read."""
        for name, content in self.headers:
            if name == "ce_subject":
                return (content or b"").decode("utf-8", "replace")
        try:
            members = orjson.loads(self.value or b"")
        except orjson.JSONDecodeError:
            return None
        subject = members.get("subject") if isinstance(members, dict) else None
        return subject if isinstance(subject, str) else None

    def history(self) -> list[Refusal | Replay]:
        """Return what became of it, in order: each replay is followed by its refusal, if any."""
        refused = {refusal.place: refusal for refusal in self.refusals}
        told: list[Refusal | Replay] = [refused.pop(self.origin)]
        for replay in self.replays:
            again = refused.pop(replay.place, None)
            told += [replay, again] if again else [replay]
        return told


def refused_records(servers: str) -> list[RefusedRecord]:
    """Return all refused records in the order in which they were refused last.

    Raises BrokerAway.
    """
    return assemble(messages(servers))


def messages(servers: str) -> Iterable[Any]:
    """Return what there is in `usage.dead-letters` now, each partition in order.

    Raises BrokerAway.
    """
    ends = {place: span for place, span in spans(servers, [DEAD_LETTERS]).items() if span.end}
    return _records(servers, ends)


def assemble(messages: Iterable[Any]) -> list[RefusedRecord]:
    """Return the refused records that *messages* tell of.

    Messages of a partition come in its order, partitions in any. What is neither a dead letter nor
    a marker is left out: it was written by someone else and tells of no refused record.
    """
    refusals: dict[_Copy, Refusal] = {}
    replays: dict[_Copy, tuple[_Copy, Replay]] = {}  # of the copy: of what, and when
    last: dict[tuple[int, Place], _Copy] = {}  # refused at this place, told in this partition
    bytes_of: dict[str, _Bytes] = {}  # by fingerprint, as much as any letter has
    for message in messages:
        headers = message.headers() or []
        at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        letter = message.partition()
        if told := read_dead_letter(headers):
            held = _Bytes(message.key(), message.value(), told.headers, told.left_out)
            copy = _Copy(told.place, held.fingerprint())
            known = bytes_of.setdefault(copy.fingerprint, held)
            if held.missing < known.missing:
                bytes_of[copy.fingerprint] = held
            last[letter, told.place] = copy
            # The same again, after a crash or a rebuild, is told once.
            refusal = Refusal(at, told.place, told.reason, told.sentence, letter)
            refusals.setdefault(copy, refusal)
        elif (marker := read_marker(headers)) and (letter, marker.refused) in last:
            of = last[letter, marker.refused]
            replays.setdefault(of._replace(place=marker.again), (of, Replay(at, marker.again)))
    return _joined(refusals, replays, bytes_of)


class _Copy(NamedTuple):
    """A record at one of its places; its other copies differ in nothing else."""

    place: Place
    fingerprint: str


class _Bytes(NamedTuple):
    """What a dead letter holds of a record."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    left_out: LeftOut | None

    def fingerprint(self) -> str:
        """Return the fingerprint of the whole record."""
        if self.left_out:
            return self.left_out.fingerprint
        return fingerprint(self.key, self.value, self.headers)

    @property
    def missing(self) -> int:
        """How many of its parts are left out."""
        return len(self.left_out.sizes) if self.left_out else 0


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
            key, value, headers, left_out = bytes_of[copy.fingerprint]
            found[copy] = RefusedRecord(key, value, headers, [refusal], left_out=left_out)
    for copy, (_, replay) in sorted(replays.items(), key=lambda item: item[1][1].at):
        record = found[first(copy)]
        record.replays.append(replay)
        if copy in refusals:
            record.refusals.append(refusals[copy])
    return sorted(found.values(), key=lambda record: record.newest.at)


def _records(servers: str, ends: dict[tuple[str, int], Any]) -> list[Any]:
    """Return the messages of all partitions up to where they end now."""
    open_ends = {place: span.stable for place, span in ends.items() if span.stable > span.begin}
    if not open_ends:
        return []
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "usage-dead-letters-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        consumer.assign(
            [
                TopicPartition(topic, number, ends[topic, number].begin)
                for topic, number in open_ends
            ]
        )
        messages: list[Any] = []
        last = time.monotonic()
        while open_ends:
            batch = consumer.consume(1000, timeout=_PAUSE)
            if batch:
                last = time.monotonic()
            elif time.monotonic() - last > _PATIENCE:
                raise BrokerAway("the broker stopped answering")
            for message in batch:
                place = (message.topic(), message.partition())
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise BrokerAway(error.str())
                if error is None:
                    messages.append(message)
                if error is not None or message.offset() + 1 >= open_ends.get(place, 0):
                    open_ends.pop(place, None)
        return messages
    except KafkaException as error:
        raise BrokerAway(str(error)) from None
    finally:
        consumer.close()
