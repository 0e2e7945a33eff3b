"""The records of `usage.dead-letters`, and the names of their headers.

There are two kinds, reported apart as follows:

- A *dead letter*: a rejected record with its bytes untouched, and behind its own headers five more:
  why it was rejected, and where it came from. They are the last five, whatever the record's own are
  called. Where Kafka does not accept a record of that size, the dead letter is *shortened*: without
  the value, or without the record's own key and headers as well; a sixth header, the last one, says
  so. A dead letter for a whole batch that could not be read has these six headers and nothing else.
- A *marker*: no value and exactly two headers. The dead letter before it in the same partition, of
  the place it names, was published again, and as which record.

A record is published again just as it came, without a header of ours: so it is never too large for
its topic, nothing that a producer writes can pass for a header of the worker, and its history
follows from the markers alone. The worker reads nothing from here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from stream_app.rejected_batch import RejectedBatch
from stream_app.rejection import RejectedError
from stream_app.topics import EVENT_TOPICS

REASON = "usage-reason"
SENTENCE = "usage-sentence"
TOPIC = "usage-topic"
PARTITION = "usage-partition"
OFFSET = "usage-offset"
LEFT_OUT = "usage-left-out"

REPLAYED = "usage-replayed"
REPLAYED_AS = "usage-replayed-as"

_DEAD_LETTER = [REASON, SENTENCE, TOPIC, PARTITION, OFFSET]
_MARKER = [REPLAYED, REPLAYED_AS]
#: What may be left out, as it is named in `usage-left-out`, and the name of its fingerprint there.
_VALUE, _KEY, _HEADERS, BATCH = _PARTS = ["value", "key", "headers", "batch"]
_SHA256 = "sha256"

Headers = list[tuple[str, bytes | None]]


class Place(NamedTuple):
    """Where a record was published, written `topic/partition/offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Return the place that *text* names. Raises ValueError if it names none on our topics."""
        topic, partition, offset = text.split("/")
        place = cls(topic, int(partition), int(offset))
        if topic not in EVENT_TOPICS or str(place) != text or min(place[1:]) < 0:
            raise ValueError(f"{text!r} is not the place of an event")
        return place


class DeadLetter(NamedTuple):
    """What is published to `usage.dead-letters` for one rejected record."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class LeftOut(NamedTuple):
    """What a shortened dead letter does not have, written `value 40000000, sha256 5f3a…`."""

    #: Bytes of each of `value`, `key` and `headers` that is left out; or of the `batch` that is.
    sizes: Mapping[str, int]
    fingerprint: str  #: of the whole record, or batch

    def __str__(self) -> str:
        members = {**self.sizes, _SHA256: self.fingerprint}
        return ", ".join(f"{name} {content}" for name, content in members.items())

    @classmethod
    def parse(cls, text: str) -> "LeftOut":
        """Return what *text* says was left out. Raises ValueError if that is nothing."""
        members = dict(member.split(" ") for member in text.split(", "))
        fingerprint = members.pop(_SHA256, "")
        left_out = cls({name: int(size) for name, size in members.items()}, fingerprint)
        is_complete = members and fingerprint and set(members) <= set(_PARTS)
        if not is_complete or str(left_out) != text:
            raise ValueError(f"{text!r} does not say what was left out")
        return left_out


class DeadLetterHeaders(NamedTuple):
    """The worker's headers of a dead letter, parsed, and the record's own headers."""

    reason: str
    sentence: str
    place: Place
    own: Headers  #: none if they were left out
    left_out: LeftOut | None = None


class Marker(NamedTuple):
    """A rejected record was published again."""

    rejected: Place  #: where it was rejected last
    again: Place  #: where it was published again


def dead_letter(record: ConsumerRecord, rejection: RejectedError) -> DeadLetter:
    """Return the dead letter of *record*: its own key, value and headers, and five more headers."""
    batch = record if isinstance(record, RejectedBatch) else None
    added = [
        (REASON, str(rejection.reason)),
        (SENTENCE, rejection.sentence),
        (TOPIC, record.topic),
        (PARTITION, str(record.partition)),
        (OFFSET, str(batch.base_offset if batch else record.offset)),
    ]
    if batch:
        added.append((LEFT_OUT, str(LeftOut({BATCH: batch.batch_bytes}, batch.fingerprint))))
    headers = [*record.headers, *((name, text.encode()) for name, text in added)]
    return DeadLetter(record.key, b"" if batch else record.value, headers)


def shortened(letter: DeadLetter) -> list[DeadLetter]:
    """Return *letter* without its value, and without its own key and headers as well.

    What is not there cannot be left out, so these are two, one or none. Each has an empty value,
    which distinguishes it from a marker.
    """
    if letter.headers[-1][0] == LEFT_OUT:
        return []
    own, added = letter.headers[:-5], letter.headers[-5:]
    sizes: dict[str, int] = {}
    letters: list[DeadLetter] = []

    def shorten(key: bytes | None, kept: Headers) -> None:
        left_out = LeftOut(dict(sizes), fingerprint(letter.key, letter.value, own))
        headers = [*kept, *added, (LEFT_OUT, str(left_out).encode())]
        letters.append(DeadLetter(key, b"", headers))

    if letter.value:
        sizes[_VALUE] = len(letter.value)
        shorten(letter.key, own)
    if letter.key:
        sizes[_KEY] = len(letter.key)
    if own:
        sizes[_HEADERS] = sum(len(name.encode()) + len(content or b"") for name, content in own)
    if letter.key or own:
        shorten(None, [])
    return letters


def fingerprint(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> str:
    """Return the fingerprint of a record of these bytes: a SHA-256 in hexadecimal digits."""
    digest = hashlib.sha256()
    parts = (part for name, content in headers for part in (name.encode(), content))
    for content in (key, value, *parts):
        digest.update(b"-" if content is None else b"%d:" % len(content))
        digest.update(content or b"")
    return digest.hexdigest()


def read_dead_letter(headers: Sequence[tuple[str, bytes | None]]) -> DeadLetterHeaders | None:
    """Return the worker's headers at the end of *headers*, parsed; None if there are none."""
    left_out = None
    if headers and headers[-1][0] == LEFT_OUT:
        try:
            left_out = LeftOut.parse((headers[-1][1] or b"").decode())
        except ValueError:  # UnicodeDecodeError is one
            return None
        headers = headers[:-1]
    own, last = list(headers[:-5]), headers[-5:]
    if [name for name, _ in last] != _DEAD_LETTER:
        return None
    reason, sentence, *place = ((text or b"").decode("utf-8", "replace") for _, text in last)
    try:
        return DeadLetterHeaders(reason, sentence, Place.parse("/".join(place)), own, left_out)
    except ValueError:
        return None


def marker_headers(marker: Marker) -> Headers:
    """Return the headers of *marker*; a marker is nothing else."""
    return [(REPLAYED, str(marker.rejected).encode()), (REPLAYED_AS, str(marker.again).encode())]


def read_marker(headers: Sequence[tuple[str, bytes | None]]) -> Marker | None:
    """Return the marker in *headers*; None if they are none."""
    if [name for name, _ in headers] != _MARKER:
        return None
    try:
        rejected, again = (Place.parse((text or b"").decode()) for _, text in headers)
    except ValueError:  # UnicodeDecodeError is one
        return None
    return Marker(rejected, again)
