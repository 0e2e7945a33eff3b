"""The ledger: what people decide stands in topics of Kafka first, and Redis has a copy of it.

A change is published, acknowledged by every replica that is in step, and only then written to Redis
and confirmed. A topic's records have an order, and are applied to Redis in that order only, by
whoever reads them: a worker, or the command that has just published one. So two changes at once
end alike in both, and a crash between the two steps heals when the topic is read on.

A *table* is such a topic as it is kept in Redis, which has the contents, and up to where they have
the topic, as (place, offset), where the place names the topic's id (`keys.fence`). Records that
Redis has already are skipped. No place in Redis means that nothing of the topic was read into it:
then what Redis has and the topic lacks is published (*adopted*) before anything else, once.
"""

import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

from interaction_usage.store import keys, scripts
from interaction_usage.store.client import Client, primaries_of
from interaction_usage.store.errors import LedgerUnavailableError
from interaction_usage.store.pinned_connections import PinnedConnections, pinned_connections
from rollups.watermark import OffsetRange

log = logging.getLogger(__name__)

_SCRIPT: Final = scripts.source("ledger")
#: Records that one call of the script applies.
_RECORDS_PER_CALL: Final = 200


Item = TypeVar("Item")


class Record(Protocol):
    """A record of a topic, as aiokafka has it."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Table(Protocol):
    """A topic as it is kept in Redis."""

    @property
    def topic(self) -> str:
        """The name of the topic."""

    def positions(self, redis: Client) -> dict[str, int]:
        """Return up to which offset each place is in Redis."""

    def begin(self, redis: Client, place: str) -> None:
        """Keep that *place* is read from its beginning, and that nothing is left to adopt."""

    def apply(
        self, redis: Client, place: str, records: Sequence[Record], within: OffsetRange
    ) -> None:
        """Apply *records*, those that were applied already left out, and keep that they are read.

        They are all that *place* has *within* these offsets. Raises LedgerUnavailableError where
        Redis does not have everything before them (any more), and then keeps nothing.
        """

    def unpublished(self, redis: Client, published: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Yield a record for everything in Redis of which nothing is *published*.

        What is published goes by the keys of records, up to the first slash.
        """


class Ledger(Protocol):
    """The topics of the ledger, and the Redis that they are read into."""

    @property
    def redis(self) -> Client:
        """The Redis that has the tables."""

    def sync(self, table: Table) -> str:
        """Apply everything that is published; return the place of the partition that is written.

        Raises LedgerUnavailableError and RedisError.
        """

    def sync_all(self, tables: Sequence[Table]) -> object:
        """Do the same for several tables, in fewer requests."""

    def publish(self, table: Table, records: Sequence[tuple[str, bytes]]) -> None:
        """Publish *records*, wait until Kafka has acknowledged each, and apply them.

        Raises LedgerError.
        """

    def dead_letter_ends(self) -> dict[str, int]:
        """Return where each partition of `usage.dead-letters` ends, by its place (`keys.fence`).

        Nothing if there is no such topic. Raises LedgerUnavailableError.
        """

    def now_ms(self) -> int:
        """Return the time, in milliseconds: what changes are dated with."""


# ----------------------------------------------------------------------- up to where it is read


def node_keys(redis: Client) -> list[str]:
    """Return the key of the positions, on a cluster one for each node: a node may lose writes."""
    suffixes = [primary.key_suffix for primary in primaries_of(redis)] or [""]
    return [keys.ledger(suffix) for suffix in suffixes]


def node_positions(redis: Client) -> dict[str, int]:
    """Return up to which offset each place is applied to every node."""
    found = [read_positions(redis, key) for key in node_keys(redis)]
    places = set(found[0]).intersection(*found)
    return {place: min(positions[place] for positions in found) for place in places}


def begin_on_nodes(redis: Client, place: str) -> None:
    """Keep on every node that *place* is read from its beginning."""
    for key in node_keys(redis):
        redis.hsetnx(key, place, "0")


@contextmanager
def applying(redis: Client, place: str, within: OffsetRange) -> Iterator[PinnedConnections]:
    """Yield what the records of *place* *within* an offset range are applied with; keep that.

    Every node has everything before the range, and loses nothing meanwhile. Raises
    LedgerUnavailableError, at first or in the end, where that is not so.
    """
    with pinned_connections(redis) as connections:
        ledgers = node_keys(redis)
        for stored in connections.send(*((key, ("HGET", key, place)) for key in ledgers)):
            if stored is None or int(stored) < within.first:
                raise _lost(place)
        yield connections
        calls = [([key, key], [place, *within]) for key in ledgers]
        if not all(connections.call(_SCRIPT, calls)):
            raise _lost(place)


def _lost(place: str) -> LedgerUnavailableError:
    topic = place.partition("/")[0]
    return LedgerUnavailableError(f"Redis lost what it had of {topic}, which is read again now")


def read_positions(redis: Client, key: str) -> dict[str, int]:
    """Return the positions under *key*."""
    stored = cast(Mapping[bytes, bytes], redis.hgetall(key))
    return {place.decode(): int(offset) for place, offset in stored.items()}


def forget_positions(redis: Client) -> None:
    """Have all topics of the ledger read again, and what they lack adopted: after a restore."""
    for key in (*node_keys(redis), keys.TOKENS_READ, keys.GAPS_READ, keys.ALERTS_READ):
        redis.delete(key)


# ------------------------------------------------------------------------------------ hash tables


class Entry(NamedTuple):
    """What a record says of its key in a hash."""

    field: str
    value: bytes | None  #: None deletes the field


class HashTable(NamedTuple):
    """A topic whose newest record of each key is a field of a hash.

    The script that writes the hash writes the position as well, so that nobody who is late puts an
    older record over a newer one. Both are on one node of a cluster.
    """

    topic: str
    hash: str  #: the key of the hash
    read: str  #: the key of its positions
    parse: Callable[[str, bytes], Entry]  #: key, value -> entry; raises ValueError

    def positions(self, redis: Client) -> dict[str, int]:
        """Return up to which offset each place is in the hash."""
        return read_positions(redis, self.read)

    def begin(self, redis: Client, place: str) -> None:
        """Keep that *place* is read from its beginning."""
        redis.hsetnx(self.read, place, "0")

    def apply(
        self, redis: Client, place: str, records: Sequence[Record], within: OffsetRange
    ) -> None:
        """Apply *records*, and keep that they are read."""
        script = redis.register_script(_SCRIPT)
        # The last of each key alone: a token that was revoked is not valid for a moment.
        newest = {each.key: each for each in records}.values()
        entries = [(each.offset, entry) for each in newest if (entry := self._entry(each))]
        entries.sort()
        begin = within.first
        for some in _batches(entries):
            flat: list[Any] = []
            for offset, (field, value) in some:
                flat += [offset, field, value or b""]
            end = some[-1][0] + 1
            if not script(keys=[self.read, self.hash], args=[place, begin, end, *flat]):
                raise _lost(place)
            begin = max(begin, end)
        if not script(keys=[self.read, self.hash], args=[place, begin, within.end]):
            raise _lost(place)

    def _entry(self, record: Record) -> Entry | None:
        try:
            return self.parse((record.key or b"").decode(), record.value or b"")
        except ValueError as error:
            log.warning("%s, offset %s is skipped: %s", self.topic, record.offset, error)
            return None

    def unpublished(self, redis: Client, published: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Yield a record for each field of which nothing is *published*."""
        stored = cast(Mapping[bytes, bytes], redis.hgetall(self.hash))
        for field, value in stored.items():
            if field.decode() not in published:
                yield field.decode(), value


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for begin in range(0, len(items), _RECORDS_PER_CALL):
        yield items[begin : begin + _RECORDS_PER_CALL]
