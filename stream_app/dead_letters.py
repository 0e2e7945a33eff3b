"""What stands in `usage.dead-letters`, and the names of its headers.

Two kinds of records, and how each is known:

- A *dead letter*: a refused record with its bytes untouched, and behind its own headers five more,
  which say why and from where. They are the last five, whatever the record's own are called.
  Where Kafka does not take that much in one record, the letter is *shortened*: without the value,
  or without the record's own key and headers as well; a sixth header, the last one, says so. A
  letter for a whole batch that could not be read has no more than these six headers.
- A *marker*: no value and exactly two headers. The dead letter that stands before it in the same
  partition, and came from the place it names, was published again, and as which record.

A record is published again just as it came, without a header of ours: so it is never too large for
its topic, nothing a producer writes can be taken for our word, and its history is told by the
markers alone. The worker reads nothing from here.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from stream_app.rejection import Refused
from stream_app.rejected_batch import RefusedBatch
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
#: What may be left out, as `usage-left-out` calls it, and what its fingerprint is called there.
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
            raise ValueError(f"{text!r} is no place of an event")
        return place


class DeadLetter(NamedTuple):
    """What is published to `usage.dead-letters` for one refused record."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class LeftOut(NamedTuple):
    """What a shortened dead letter does not have, written `value 40000000, sha256 5f3a…`."""

    #: Bytes of each of `value`, `key` and `headers` that is left out; or of the `batch` that is.
    sizes: Mapping[str, int]
    fingerprint: str  #: of the whole record, or batch

    def __str__(self) -> str:
        told = {**self.sizes, _SHA256: self.fingerprint}
        return ", ".join(f"{name} {content}" for name, content in told.items())

    @classmethod
    def parse(cls, text: str) -> "LeftOut":
        """Return what *text* tells of. Raises ValueError if that is nothing."""
        told = dict(part.split(" ") for part in text.split(", "))
        fingerprint = told.pop(_SHA256, "")
        left_out = cls({name: int(size) for name, size in told.items()}, fingerprint)
        if not told or not fingerprint or not set(told) <= set(_PARTS) or str(left_out) != text:
            raise ValueError(f"{text!r} does not say what was left out")
        return left_out


class Told(NamedTuple):
    """What the worker's headers say of a refused record, and the headers that it came with."""

    reason: str
    sentence: str
    place: Place
    headers: Headers  #: none if they were left out
    left_out: LeftOut | None = None


class Marker(NamedTuple):
    """That a refused record was published again."""

    refused: Place  #: where it was refused last
    again: Place  #: where it stands now


def dead_letter(record: ConsumerRecord, refused: Refused) -> DeadLetter:
    """Return the dead letter of *record*: its own key, value and headers, and five more headers."""
    batch = record if isinstance(record, RefusedBatch) else None
    told = [
        (REASON, str(refused.reason)),
        (SENTENCE, refused.sentence),
        (TOPIC, record.topic),
        (PARTITION, str(record.partition)),
        (OFFSET, str(batch.base_offset if batch else record.offset)),
    ]
    if batch:
        told.append((LEFT_OUT, str(LeftOut({BATCH: batch.batch_bytes}, batch.fingerprint))))
    headers = [*record.headers, *((name, text.encode()) for name, text in told)]
    return DeadLetter(record.key, b"" if batch else record.value, headers)


def shortened(letter: DeadLetter) -> list[DeadLetter]:
    """Return *letter* without its value, and without its own key and headers as well.

    What is not there cannot be left out, so these are two, one or none. Each has a value, an empty
    one, which tells it from a marker.
    """
    if letter.headers[-1][0] == LEFT_OUT:
        return []
    own, told = letter.headers[:-5], letter.headers[-5:]
    sizes: dict[str, int] = {}
    letters: list[DeadLetter] = []

    def shorten(key: bytes | None, kept: Headers) -> None:
        left_out = LeftOut(dict(sizes), fingerprint(letter.key, letter.value, own))
        headers = [*kept, *told, (LEFT_OUT, str(left_out).encode())]
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
    """Return what only a record of these bytes has: a SHA-256 in hexadecimal digits."""
    told = hashlib.sha256()
    for content in (
        key,
        value,
        *(part for name, held in headers for part in (name.encode(), held)),
    ):
        told.update(b"-" if content is None else b"%d:" % len(content))
        told.update(content or b"")
    return told.hexdigest()


def read_dead_letter(headers: Sequence[tuple[str, bytes | None]]) -> Told | None:
    """Return what the worker's headers at the end of *headers* say; None if they are not its."""
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
        return Told(reason, sentence, Place.parse("/".join(place)), own, left_out)
    except ValueError:
        return None


def marker_headers(marker: Marker) -> Headers:
    """Return the headers of *marker*; a marker is nothing else."""
    return [(REPLAYED, str(marker.refused).encode()), (REPLAYED_AS, str(marker.again).encode())]


def read_marker(headers: Sequence[tuple[str, bytes | None]]) -> Marker | None:
    """Return the marker that *headers* are; None if they are none."""
    if [name for name, _ in headers] != _MARKER:
        return None
    try:
        refused, again = (Place.parse((text or b"").decode()) for _, text in headers)
    except ValueError:  # UnicodeDecodeError is one
        return None
    return Marker(refused, again)
