"""Rollups of earlier layouts in Redis, as the versions that had them would have left them there."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from interaction_usage.store import backup, keys, slot_deltas
from interaction_usage.store.client import Client, primaries_of
from interaction_usage.store.keys import Namespace
from interaction_usage.store.record_layout import SESSION_BYTES
from rollups.catalog import SESSION_METRICS
from rollups.concurrency import UNKNOWN_SECOND


def put(redis: Client, records: Iterable[backup.Record], at: Namespace = keys.FIRST) -> None:
    """Put the rollups of a backup into Redis with the layout that they have."""
    for record in records:
        if isinstance(record, backup.Header):
            recorded = {keys.LAYOUT_FIELD: record.layout, **record.limits}
            redis.set(at.limits, msgspec.json.encode(recorded))
            redis.set(at.secret, record.secret)
            primaries = primaries_of(redis)
            for primary in primaries:
                redis.set(at.secret_at(primary.tag), record.secret)
            for suffix in [primary.key_suffix for primary in primaries] or [""]:
                for name, (offset, second) in record.positions.items():
                    value = f"{offset} {'' if second is None else second}"
                    redis.hset(at.positions_at(suffix), name, value)
        elif isinstance(record, backup.Account):
            redis.sadd(at.accounts, record.id)
            for rest, kind, content in record.keys:
                _put_key(redis, f"{at.head(record.id)}{rest}", kind, content)


def _put_key(redis: Client, key: str, kind: str, content: Any) -> None:
    if kind == "hash":
        if content:  # a head may have had nothing but what layout 6 added
            redis.hset(key, mapping=content)
    elif kind == "set":
        redis.sadd(key, *content)
    else:
        redis.set(key, content)


def downgraded(records: Iterable[backup.Record]) -> list[backup.Record]:
    """Return a backup of this layout as layout 5 would have it: without what 6 and 7 added.

    Sealed days, which are stored by column, must have no sessions. Layout 5 knew no corrections: a
    corrected session has the start that it is counted with.
    """
    found = []
    for record in records:
        if isinstance(record, backup.Header):
            found.append(msgspec.structs.replace(record, layout=5))
        elif isinstance(record, backup.Account):
            each_key = [_without(*_in_one_list(*each)) for each in record.keys]
            found.append(backup.Account(record.id, each_key))
        else:
            found.append(record)
    return found


def of_layout_6(records: Iterable[backup.Record]) -> list[backup.Record]:
    """Return a backup of this layout as layout 6 would have it: a slot's deltas in one list."""
    found: list[backup.Record] = []
    for record in records:
        if isinstance(record, backup.Header):
            found.append(msgspec.structs.replace(record, layout=6))
        elif isinstance(record, backup.Account):
            found.append(backup.Account(record.id, [_in_one_list(*each) for each in record.keys]))
        else:
            found.append(record)
    return found


def _in_one_list(rest: str, kind: Any, content: Any) -> tuple[str, Any, Any]:
    if rest.startswith(keys.SLOT_DELTAS):
        content = {
            name: msgspec.msgpack.encode([n for delta in slot_deltas.unpack(deltas) for n in delta])
            for name, deltas in content.items()
        }
    return rest, kind, content


def _without(rest: str, kind: Any, content: Any) -> tuple[str, Any, Any]:
    added = {name.encode() for name in (*SESSION_METRICS, keys.SESSIONS_COUNTED_FROM)}
    if isinstance(content, Mapping):
        content = {field: value for field, value in content.items() if field not in added}
        if rest.startswith(keys.SESSIONS):
            content = {field: _with_start(session) for field, session in content.items()}
    return rest, kind, content


def _with_start(session: bytes) -> bytes:
    """Return the record of a session with the start of its correction, if that has one."""
    corrected = session[SESSION_BYTES + 8 : SESSION_BYTES + 13]
    if not corrected or int.from_bytes(corrected, "big", signed=True) == UNKNOWN_SECOND:
        return session
    return corrected + session[len(corrected) :]
