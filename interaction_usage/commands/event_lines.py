"""Lines of events for `usage send`: read as they come, each with its topic and key, or a refusal.

Lines that are there at once are decoded together, as a worker decodes a batch; a line that is
unusual is looked at by itself, for the sentence that says what is wrong with it.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import orjson
from msgspec import Struct

from rollups.events import Event
from stream_app.codec import decode, decode_any
from stream_app.rejection import RejectedError
from stream_app.topics import TOPIC_OF, TOPIC_OF_DATA

#: Bytes that are read at a time, if there are as many.
_BLOCK = 256 * 1024
#: A timestamp in milliseconds that no event lies ahead of: a line has none.
_NEVER = 1 << 53


class Line(Struct, frozen=True, gc=False):
    """A line that is not blank, with its number in its file, from 1."""

    number: int
    value: bytes
    headers: tuple[()] = ()
    timestamp: int = _NEVER


#: Where an event is published: the topic, and the key.
Place = tuple[str, bytes]


def blocks(file: IO[bytes]) -> Iterator[list[Line]]:
    """Yield the lines of *file*, as many together as can be had without waiting for more."""
    read = getattr(file, "read1", file.read)
    number, rest = 1, list[bytes]()
    while block := read(_BLOCK):
        head, newline, tail = block.rpartition(b"\n")
        if not newline:
            rest.append(block)
            continue
        found = b"".join((*rest, head)).split(b"\n")
        rest = [tail]
        yield _numbered(found, number)
        number += len(found)
    yield _numbered([b"".join(rest)], number)


def _numbered(found: Sequence[bytes], first: int) -> list[Line]:
    lines = (Line(number, value.strip()) for number, value in enumerate(found, first))
    return [line for line in lines if line.value]


class UnsentLines:
    """Tells the numbers of those of *lines* that were not sent, known by what they hold."""

    def __init__(self, lines: Sequence[Line], note: Callable[[int, str], None]) -> None:
        self._lines, self._note = lines, note
        self._numbers: defaultdict[bytes, deque[int]] = defaultdict(deque)

    def note(self, value: bytes, why: str) -> None:
        """Note that a line that has *value* was not sent: the first of these that was not noted."""
        if not self._numbers:
            for line in self._lines:
                self._numbers[line.value].append(line.number)
        self._note(self._numbers[value].popleft(), why)


def places(lines: Sequence[Line], *, unchecked: bool) -> list[Place | str]:
    """Return for each line where it is published, or why it is not.

    *unchecked*, also where a worker will refuse it, as long as its type has a topic.
    """
    if unchecked:
        return [_place(line.value, unchecked=True) for line in lines]
    return [
        (TOPIC_OF_DATA[type(found.data)], found.account.encode())
        if isinstance(found, Event)
        else found
        for found in decode_any(lines, _decode_alone)
    ]


def _decode_alone(line: Line) -> Place | str:
    return _place(line.value, unchecked=False)


def _place(line: bytes, *, unchecked: bool) -> Place | str:
    """Return where *line* is published, or why it is refused."""
    try:
        members = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"not JSON: {error}"
    kind = members.get("type") if isinstance(members, dict) else None
    topic = TOPIC_OF.get(kind) if isinstance(kind, str) else None
    try:
        if topic is None or not unchecked:
            decode(topic or "", line)
    except RejectedError as refused:
        return refused.sentence
    assert topic is not None
    return topic, str(members.get("subject", "")).encode()
