"""What the rollups know of an event or a session: counted, voided, corrected, sealed."""

from typing import Final, NamedTuple, cast

from interaction_usage.store import keys
from interaction_usage.store.pending_voids import PendingVoid, pending_void
from interaction_usage.store.reads import Rollups
from interaction_usage.store.record_layout import (
    IDENTITIES_PER_BUCKET,
    SESSION_BYTES,
)
from rollups.concurrency import UNKNOWN_SECOND, Presence
from rollups.corrections import Correction
from rollups.fold import identity, session_key
from rollups.slots import DAYS_PER_BLOCK, block_of
from rollups.timestamps import DAY_SECONDS, SECOND

#: Bytes of an instant in a correction's record: its second, and its microseconds.
_SECOND_BYTES, _MICROS_BYTES = 5, 3
_INSTANT_BYTES: Final = _SECOND_BYTES + _MICROS_BYTES


class EventState(NamedTuple):
    """What the rollups know of an event, by its source, id and UTC day."""

    is_counted: bool  #: also where it was voided since; unknown (False) once its block is sealed
    void: PendingVoid | None  #: the void in effect
    is_sealed: bool  #: whether its day is


class SessionState(NamedTuple):
    """What the rollups know of a session."""

    said: Presence  #: by its starts and stops
    correction: Correction | None

    @property
    def presence(self) -> Presence:
        """The session as it is counted."""
        return self.correction.presence if self.correction else self.said


def event_state(
    rollups: Rollups, account: str, source: str, event_id: str, time: int
) -> EventState:
    """Return what is known of an event with this *time*, in microseconds."""
    redis, at = rollups.redis, rollups.keys
    secret = cast(bytes | None, redis.get(at.secret))
    day = time // SECOND // DAY_SECONDS
    sealed = is_sealed(rollups, account, day)
    if secret is None:
        return EventState(False, None, sealed)
    name, block = identity(secret, day, source, event_id), block_of(day)
    packed = cast(bytes | None, redis.hget(at.voids(account, block), name))
    if packed is None:
        packed = cast(bytes | None, redis.hget(at.pending_voids(account), name))
    count = redis.hget(at.head(account), f"{keys.IDENTITY_COUNT}{block}")
    is_counted = False
    if count:
        buckets = max(-(-int(count) // IDENTITIES_PER_BUCKET), 1)
        bucket = bucket_of(int(name[-9:]), buckets)
        is_counted = bool(redis.sismember(at.identities(account, block, bucket), name))
    return EventState(is_counted, None if packed is None else pending_void(packed), sealed)


def session_state(
    rollups: Rollups, account: str, application: str, session: str
) -> SessionState | None:
    """Return what is known of a session; None where nothing is remembered of it."""
    redis, at = rollups.redis, rollups.keys
    secret = cast(bytes | None, redis.get(at.secret))
    if secret is None:
        return None
    key = session_key(secret, application, session)
    buckets = int(redis.hget(at.head(account), keys.SESSION_BUCKETS) or 1)
    bucket = bucket_of(int.from_bytes(key[:4]), buckets)
    record = cast(bytes | None, redis.hget(at.sessions(account, bucket), cast(str, key)))
    return None if record is None else _session(record)


def _session(record: bytes) -> SessionState:
    half = SESSION_BYTES // 2
    start, stop = _known(record[:half]), _known(record[half:SESSION_BYTES])
    correction = None
    if len(record) > SESSION_BYTES:
        time, new_start, new_stop = (
            _instant(record[first : first + _INSTANT_BYTES])
            for first in range(SESSION_BYTES, len(record), _INSTANT_BYTES)
        )
        assert time is not None
        correction = Correction(time, new_start, new_stop)
    return SessionState(Presence(start, stop), correction)


def _known(packed: bytes) -> int | None:
    second = int.from_bytes(packed, signed=True)
    return None if second == UNKNOWN_SECOND else second


def _instant(packed: bytes) -> int | None:
    second = _known(packed[:_SECOND_BYTES])
    if second is None:
        return None
    return second * SECOND + int.from_bytes(packed[_SECOND_BYTES:])


def is_sealed(rollups: Rollups, account: str, day: int) -> bool:
    """Return whether a UTC day of *account* is sealed, or closed for that."""
    block = block_of(day)
    bits = rollups.redis.hget(rollups.keys.head(account), f"{keys.SEALED_DAYS}{block}")
    return bool(int(bits or 0) >> (day - block * DAYS_PER_BLOCK) & 1)


def bucket_of(number: int, buckets: int) -> int:
    """Return the bucket that what hashes to *number* is in, of a table with so many buckets.

    Linear hashing, as `lua/apply.lua` does it.
    """
    size = 1
    while size < buckets:
        size *= 2
    bucket = number % size
    return bucket if bucket < buckets else bucket - size // 2
