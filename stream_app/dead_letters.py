"""What stands in `usage.dead-letters`, and the names of its headers.

Two kinds of records, and how each is known:

- A *dead letter*: a refused record with its bytes untouched, and behind its own headers five more,
  which say why and from where. They are the last five, whatever the record's own are called.
- A *marker*: no value and exactly two headers. The dead letter that stands before it in the same
  partition, and came from the place it names, was published again, and as which record.

A record is published again just as it came, without a header of ours: so it is never too large for
its topic, nothing a producer writes can be taken for our word, and its history is told by the
markers alone. The worker reads nothing from here.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from stream_app.refusals import Refused
from stream_app.topics import EVENT_TOPICS

REASON = "usage-reason"
SENTENCE = "usage-sentence"
TOPIC = "usage-topic"
PARTITION = "usage-partition"
OFFSET = "usage-offset"

REPLAYED = "usage-replayed"
REPLAYED_AS = "usage-replayed-as"

_DEAD_LETTER = [REASON, SENTENCE, TOPIC, PARTITION, OFFSET]
_MARKER = [REPLAYED, REPLAYED_AS]

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


class Told(NamedTuple):
    """What the worker's headers say of a refused record, and the headers that it came with."""

    reason: str
    sentence: str
    place: Place
    headers: Headers


class Marker(NamedTuple):
    """That a refused record was published again."""

    refused: Place  #: where it was refused last
    again: Place  #: where it stands now


def dead_letter(record: ConsumerRecord, refused: Refused) -> DeadLetter:
    """Return the dead letter of *record*: its own key, value and headers, and five more headers."""
    told = [
        (REASON, str(refused.reason)),
        (SENTENCE, refused.sentence),
        (TOPIC, record.topic),
        (PARTITION, str(record.partition)),
        (OFFSET, str(record.offset)),
    ]
    headers = [*record.headers, *((name, text.encode()) for name, text in told)]
    return DeadLetter(record.key, record.value, headers)


def read_dead_letter(headers: Sequence[tuple[str, bytes | None]]) -> Told | None:
    """Return what the last five of *headers* say; None if they are not the worker's."""
    own, last = list(headers[:-5]), headers[-5:]
    if [name for name, _ in last] != _DEAD_LETTER:
        return None
    reason, sentence, *place = ((text or b"").decode("utf-8", "replace") for _, text in last)
    try:
        return Told(reason, sentence, Place.parse("/".join(place)), own)
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
