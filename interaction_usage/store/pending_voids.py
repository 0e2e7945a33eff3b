"""Pending voids: the voids of an account whose event has not come.

They are few, or something is wrong with whoever publishes them; so they are kept in a hash of their
own, and their number in the account's head, where a report reads it on the way.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

import msgspec

from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups
from rollups.timestamps import SECOND


class PendingVoid(NamedTuple):
    """A void whose event has not come; what it would count is missing from the sums until then."""

    type: str  #: of the event that it takes back, as are source, id and time
    source: str
    id: str
    time: int  #: microseconds since 1970-01-01T00:00:00Z
    amounts: dict[str, int]  #: what is taken back, by metric
    reason: str
    actor: str  #: empty if the void does not say
    voided_at: int  #: the void's own time, likewise in microseconds
    void_source: str
    void_id: str


_decode: Final = msgspec.msgpack.Decoder(list[Any]).decode
#: Voids that are read in one step.
_AT_ONCE: Final = 500


def pending_void(packed: bytes) -> PendingVoid:
    """Return the void that `EventVoid.stored` describes, as the script packed it."""
    (
        second, micros, void_source, void_id, _, amounts,
        source, event_id, kind, event_second, event_micros, reason, actor,
    ) = _decode(packed)  # fmt: skip
    return PendingVoid(
        kind, source, event_id, event_second * SECOND + event_micros,
        dict(zip(amounts[::2], amounts[1::2], strict=True)), reason, actor,
        second * SECOND + micros, void_source, void_id,
    )  # fmt: skip


def count_pending(rollups: Rollups, account: str) -> int:
    """Return how many voids of *account* are pending."""
    return int(rollups.redis.hget(rollups.keys.head(account), keys.PENDING_VOIDS) or 0)


def pending_voids(rollups: Rollups, account: str) -> Iterator[PendingVoid]:
    """Yield the pending voids of *account*, in no order, some at a time."""
    at = rollups.keys.pending_voids(account)
    for _, packed in rollups.redis.hscan_iter(at, count=_AT_ONCE):
        yield pending_void(cast(bytes, packed))
