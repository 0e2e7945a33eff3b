"""When a worker fetches: seldom and much, so that its cost follows the events and not the answers.

Every answer of the broker costs the same whether it brings one event or a thousand: a request and a
response with all partitions in them, a wake-up of two threads, a micro-batch with its trips to
Redis. So the broker is asked to wait:

- Where events come, for so many bytes that a micro-batch is worth its cost (`MIN_BYTES`), but not
  for longer than `LINGER_MS`. A backlog has that many at once, so it never waits.
- Where the last answer brought none, for the first byte, for longer (`IDLE_MS`). An event after a
  pause is there at once.

aiokafka encodes and decodes each number of a request by itself, which for 72 partitions takes
milliseconds. The version of fetches that every broker since 2.3 knows is coded here in one go per
partition; all others, by aiokafka.
"""

import struct
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.protocol import fetch

#: Bytes for which an answer may wait, and milliseconds for which it does.
MIN_BYTES: Final = 500_000
LINGER_MS: Final = 120
#: Milliseconds for which an answer waits where the one before it was empty.
IDLE_MS: Final = 1_000

#: The version that is coded here.
_VERSION: Final = 11


class PacedFetcher(fetcher.Fetcher):  # type: ignore[misc]
    """A fetcher that waits for its first event longer than for more of them.

    One whose consumer is not to linger (`fetch_min_bytes` of 1) fetches as ever.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._quiet: set[int] = set()  # nodes whose last answer brought nothing

    def _get_actions_per_node(self, assignment: Any) -> Any:
        actions = super()._get_actions_per_node(assignment)
        if self._fetch_min_bytes > 1:
            for node, request in actions[0]:
                if node in self._quiet:
                    request._min_bytes, request._max_wait_ms = 1, IDLE_MS
        return actions

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        brought: bool = await super()._proc_fetch_request(assignment, node_id, request)
        if brought:
            self._quiet.discard(node_id)
        else:
            self._quiet.add(node_id)
        return brought


# ------------------------------------------------------------------------------ the protocol

_HEAD: Final = struct.Struct(">iiiibii")
_INT16, _INT32 = struct.Struct(">h"), struct.Struct(">i")
_PARTITION: Final = struct.Struct(">iiqqi")
_ANSWER: Final = struct.Struct(">ihi")
_ANSWERED: Final = struct.Struct(">ihqqqi")
_ABORTED: Final = struct.Struct(">qq")


class _Response(fetch.FetchResponse_v11):  # type: ignore[misc]
    """An answer, read with one call for each partition."""

    @classmethod
    def decode(cls, data: Any) -> "_Response":
        """Read what is left of *data*, a stream of bytes."""
        raw = data.read()
        throttle, error, session = _ANSWER.unpack_from(raw)
        (count,) = _INT32.unpack_from(raw, _ANSWER.size)
        at = _ANSWER.size + 4
        topics = []
        for _ in range(count):
            (length,) = _INT16.unpack_from(raw, at)
            name = raw[at + 2 : at + 2 + length].decode()
            (partitions,) = _INT32.unpack_from(raw, at + 2 + length)
            at += 2 + length + 4
            found = []
            for _ in range(partitions):
                partition, at = _partition(raw, at)
                found.append(partition)
            topics.append((name, found))
        return cls(throttle, error, session, topics)


def _partition(raw: bytes, at: int) -> tuple[tuple[Any, ...], int]:
    """Return what *raw* has of a partition from *at* on, and where that ends."""
    *heads, aborted = _ANSWERED.unpack_from(raw, at)
    at += _ANSWERED.size
    transactions: list[Any] | None = None
    if aborted >= 0:
        end = at + aborted * _ABORTED.size
        transactions = [_ABORTED.unpack_from(raw, each) for each in range(at, end, _ABORTED.size)]
        at = end
    (replica,) = _INT32.unpack_from(raw, at)
    (size,) = _INT32.unpack_from(raw, at + 4)
    at += 8
    records = None
    if size >= 0:
        records = raw[at : at + size]
        if len(records) != size:
            raise ValueError("The answer to a fetch ends within a batch")
        at += size
    return (*heads, transactions, replica, records), at


class _Request(fetch.FetchRequest_v11):  # type: ignore[misc]
    """A request, written with one call for each partition."""

    RESPONSE_TYPE = _Response

    def encode(self) -> bytes:
        """Return it as bytes."""
        parts = [
            _HEAD.pack(
                self.replica_id, self.max_wait_time, self.min_bytes, self.max_bytes,
                self.isolation_level, self.session_id, self.session_epoch,
            ),
            _INT32.pack(len(self.topics)),
        ]  # fmt: skip
        for topic, partitions in self.topics:
            name = topic.encode()
            parts += (_INT16.pack(len(name)), name, _INT32.pack(len(partitions)))
            parts += (_PARTITION.pack(*partition) for partition in partitions)
        rack = self.rack_id.encode()
        parts += (_INT32.pack(0), _INT16.pack(len(rack)), rack)
        return b"".join(parts)


class FetchRequest(fetch.FetchRequest):  # type: ignore[misc]
    """aiokafka's, coded here where the broker knows the version."""

    def build(self, request_struct_class: Any) -> Any:
        known = request_struct_class.API_VERSION == _VERSION
        return super().build(_Request if known else request_struct_class)
