"""How a fetch is coded: in one go per partition, and without the partitions that have nothing.

aiokafka encodes and decodes each number of a request by itself, and then looks at every partition
of the answer; with 72 partitions, most of them without news, that was half of what its thread does
for an answer. The version of fetches that every broker since 2.3 knows is coded here; all others,
by aiokafka.
"""

import struct
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.protocol import fetch

#: The version that is coded here.
_VERSION: Final = 11

_HEAD: Final = struct.Struct(">iiiibii")
_INT16, _INT32 = struct.Struct(">h"), struct.Struct(">i")
_PARTITION: Final = struct.Struct(">iiqqi")
_ANSWER: Final = struct.Struct(">ihi")
#: Of a partition: number, error, high watermark, last stable offset, log start, aborted
#: transactions; and where there are none of these, preferred replica, bytes of records.
_ANSWERED, _PLAIN = struct.Struct(">ihqqqi"), struct.Struct(">ihqqqiii")
_ABORTED: Final = struct.Struct(">qq")

#: aiokafka's states of the partitions of a request, by topic and number.
States = Mapping[str, Mapping[int, Any]]


class FetchRequest(fetch.FetchRequest):  # type: ignore[misc]
    """aiokafka's, coded here where the broker knows the version.

    Where the *states* of its partitions are given, those that the answer has nothing for, neither
    records nor an error, are brought up to date while it is read. Neither the answer nor `topics`
    has them then, and aiokafka need not look at them.
    """

    states: States | None = None
    found: int | None = None  #: bytes of records in the answer, once it is read here
    _topics: list[tuple[str, list[tuple[int, int, int]]]]
    _asked: dict[str, dict[int, int]] | None = None  # topic to number to offset

    def build(self, request_struct_class: Any) -> Any:
        """Return what is sent."""
        if request_struct_class.API_VERSION != _VERSION:
            return super().build(request_struct_class)
        topics = [
            (topic, [(partition, -1, offset, -1, most) for partition, offset, most in partitions])
            for topic, partitions in self._topics
        ]
        made = _Request(
            -1, self._max_wait_ms, self._min_bytes, self._max_bytes, self._isolation_level,
            0, -1, topics, [], self._rack_id,
        )  # fmt: skip
        made.RESPONSE_TYPE = _Reader(self)
        return made

    def nothing_for(self, topic: str) -> "_Nothing | None":
        """Return what is to be done with the partitions of *topic* that have nothing."""
        if self.states is None:
            return None
        if self._asked is None:  # a request may name a topic more than once, as an answer may
            self._asked = defaultdict[str, dict[int, int]](dict)
            for name, partitions in self._topics:
                self._asked[name].update((number, offset) for number, offset, _ in partitions)
        return _Nothing(self.states[topic], self._asked[topic])

    def answered(self, found: Sequence[tuple[str, Sequence[tuple[Any, ...]]]]) -> None:
        """Note what was *found*, and forget the partitions that are not there."""
        self.found = sum(len(each[-1] or b"") for _, partitions in found for each in partitions)
        if self.states is not None:
            numbers = defaultdict[str, set[int]](set)  # a broker may name a topic more than once
            for topic, partitions in found:
                numbers[topic].update(each[0] for each in partitions)
            self._topics = [
                (topic, [each for each in partitions if each[0] in numbers[topic]])
                for topic, partitions in self._topics
                if topic in numbers
            ]


class _Nothing:
    """Brings partitions of a topic up to date that an answer has nothing for."""

    def __init__(self, states: Mapping[int, Any], offsets: Mapping[int, int]) -> None:
        self._states, self._offsets = states, offsets
        self._now_ms = int(time.time() * 1000)

    def note(self, partition: int, highwater: int, lso: int) -> None:
        """Note what an answer says of *partition*, unless that was sought meanwhile."""
        state = self._states[partition]
        if state._position == self._offsets[partition]:
            state.highwater, state.lso, state.timestamp = highwater, lso, self._now_ms


class _Request(fetch.FetchRequest_v11):  # type: ignore[misc]
    """A request, written with one call for each partition."""

    RESPONSE_TYPE: Any

    def encode(self) -> bytes:
        """Return it as bytes."""
        parts = [
            _HEAD.pack(
                self.replica_id, self.max_wait_time, self.min_bytes, self.max_bytes,
                self.isolation_level, self.session_id, self.session_epoch,
            ),
            _INT32.pack(len(self.topics)),
        ]  # fmt: skip
        pack = _PARTITION.pack
        for topic, partitions in self.topics:
            name = topic.encode()
            parts += (_INT16.pack(len(name)), name, _INT32.pack(len(partitions)))
            parts += [pack(*partition) for partition in partitions]
        rack = self.rack_id.encode()
        parts += (_INT32.pack(0), _INT16.pack(len(rack)), rack)
        return b"".join(parts)


class _Reader:
    """What aiokafka takes for the class of the answer to a request."""

    def __init__(self, request: FetchRequest) -> None:
        self._request = request

    def decode(self, data: Any) -> "_Response":
        """Read what is left of *data*, a stream of bytes."""
        raw = data.read()
        throttle, error, session = _ANSWER.unpack_from(raw)
        (count,) = _INT32.unpack_from(raw, _ANSWER.size)
        at = _ANSWER.size + 4
        topics = []
        for _ in range(count):
            (length,) = _INT16.unpack_from(raw, at)
            name = raw[at + 2 : at + 2 + length].decode()
            found, at = _partitions(raw, at + 2 + length, self._request.nothing_for(name))
            if found or self._request.states is None:
                topics.append((name, found))
        self._request.answered(topics)
        return _Response(throttle, error, session, topics)


class _Response(fetch.FetchResponse_v11):  # type: ignore[misc]
    """An answer."""


def _partitions(raw: bytes, at: int, nothing: _Nothing | None) -> tuple[list[tuple[Any, ...]], int]:
    """Return what *raw* has of the partitions of a topic from *at* on, and where that ends."""
    (count,) = _INT32.unpack_from(raw, at)
    at += 4
    found, unpack = [], _PLAIN.unpack_from
    for _ in range(count):
        number, error, highwater, lso, start, aborted, replica, size = unpack(raw, at)
        transactions: list[Any] | None = None if aborted < 0 else []
        if aborted > 0:
            at += _ANSWERED.size
            end = at + aborted * _ABORTED.size
            transactions = [
                _ABORTED.unpack_from(raw, each) for each in range(at, end, _ABORTED.size)
            ]
            (replica,), (size,) = _INT32.unpack_from(raw, end), _INT32.unpack_from(raw, end + 4)
            at = end + 8
        else:
            at += _PLAIN.size
        if nothing and not error and size <= 0:
            nothing.note(number, highwater, lso)
            continue
        records = None
        if size >= 0:
            records = raw[at : at + size]
            if len(records) != size:
                raise ValueError("The answer to a fetch ends within a batch")
            at += size
        found.append((number, error, highwater, lso, start, transactions, replica, records))
    return found, at
