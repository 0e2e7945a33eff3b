"""Restoring a backup: its rollups beside those that are active, then in their place."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

import msgspec
from redis.exceptions import RedisError

from interaction_usage.store import keys
from interaction_usage.store.backup.making import check_servers
from interaction_usage.store.backup.record_format import (
    FORMAT,
    Account,
    Alerts,
    BackupError,
    End,
    Gaps,
    Header,
    Issued,
    Record,
    Settings,
    Tokens,
)
from interaction_usage.store.client import Client, primaries_of, run_ids
from interaction_usage.store.issued_table import REPORTS
from interaction_usage.store.keys import Namespace
from interaction_usage.store.layouts import AccountKeys, Kind, upgraded
from interaction_usage.store.ledger import forget_positions
from interaction_usage.store.namespaces import activate, drop, new_namespace, release
from interaction_usage.store.reads import Rollups
from interaction_usage.store.rebuild_lock import locked
from rollups.watermark import Position

#: Keys that are written in one go.
_KEYS_AT_ONCE: Final = 200
#: Members of a key that are written in one go.
_MEMBERS_AT_ONCE: Final = 1_000


class Restored(NamedTuple):
    """What a restore put into Redis."""

    accounts: int
    settings: int  #: accounts whose settings were restored
    tokens: int
    replaced: Namespace  #: the rollups that are not active any more; nobody reads them
    active: Namespace


def restore(redis: Client, backup: Iterable[Record], *, replace: bool = False) -> Restored:
    """Put a *backup* into Redis, in the place of its rollups if *replace*.

    The rollups are written beside those that are active, which then give way in one step; those of
    an earlier layout are upgraded on the way. Settings and tokens are restored only into a Redis
    that has none: those that are there are newer. What the topics of the ledger have is newer, too:
    they are read again from their beginning, and what they lack is published. Raises BackupError,
    RollupsLockedError and RedisError; the active rollups are as before then.
    """
    live = Rollups.of_any_layout(redis).keys
    if not replace and redis.exists(live.limits):
        raise BackupError(
            "there are rollups in this Redis already; to put the backup in their place, pass "
            "--replace"
        )
    with locked(redis) as token:
        done = replace_rollups(redis, live, backup, token)
    redis.delete(keys.PROGRESS, keys.PROGRESS_LAST)  # the rollups are older than that
    settings = _write_all_settings(redis, done.beside.settings)
    tokens = _write_tokens(redis, done.beside)
    added = [
        redis.hsetnx(key, cast(Any, field), text)
        for key, fields in ((keys.GAPS, done.beside.gaps), (keys.ALERTS, done.beside.alerts))
        for field, text in fields.items()
    ]
    if settings or tokens or any(added) or done.beside.issued:
        forget_positions(redis)
    return Restored(done.accounts, settings, tokens, live, done.active)


class Replacement(NamedTuple):
    """What was put in the place of rollups, and what came with it."""

    accounts: int
    beside: "_Beside"
    active: Namespace


def replace_rollups(
    redis: Client, live: Namespace, arriving: Iterable[Record], token: str
) -> Replacement:
    """Put the rollups among the records *arriving* in the place of those that are *live*.

    *token* is that of the lock (`rebuild_lock`). Raises BackupError and RedisError; what was
    written is dropped then, unless it is active already.
    """
    records, servers = iter(arriving), run_ids(redis)
    header = _checked_header(next(records, None))
    at = new_namespace(redis, live)
    try:
        accounts, beside = _write_rollups(redis, at, header, records)
        if not activate(redis, at, token, servers):
            check_servers(redis, servers)
            raise BackupError("it took too long: another rebuild, restore or upgrade has begun")
    except BaseException:
        with suppress(RedisError):
            release(redis, token)  # from here on nothing that is under way can activate them
            if Rollups.of_any_layout(redis).keys != at:
                drop(redis, at)
        raise
    return Replacement(accounts, beside, at)


def _checked_header(record: Record | None) -> Header:
    if not isinstance(record, Header) or record.format != FORMAT:
        raise BackupError("this is not a backup that this version can read")
    if not keys.OLDEST_LAYOUT <= record.layout <= keys.LAYOUT:
        raise BackupError(
            f"the backup has rollups of layout {record.layout}; this version reads layouts "
            f"{keys.OLDEST_LAYOUT} to {keys.LAYOUT}"
        )
    return record


class _Beside(NamedTuple):
    """What a backup has beside the rollups."""

    settings: list[Settings]
    tokens: dict[bytes, bytes]
    used: dict[bytes, bytes]
    gaps: dict[bytes, bytes]
    alerts: dict[bytes, bytes]
    issued: list[str]  #: the keys of the issued reports


def _write_rollups(
    redis: Client, at: Namespace, header: Header, rest: Iterator[Record]
) -> tuple[int, _Beside]:
    """Write the rollups, and return what else there is. Nothing of it is active yet."""
    accounts, count = 0, 1
    beside = _Beside([], {}, {}, {}, {}, [])
    for record in rest:
        if isinstance(record, End):
            if record.records != count:
                raise BackupError(f"the backup has {count} of {record.records} records")
            # What the file ends with is read before anything is active: its checksum is there.
            if next(rest, None) is not None:
                raise BackupError("the backup goes on behind its end: it is damaged")
            _write_header(redis, at, header)
            return accounts, beside
        count += 1
        if isinstance(record, Account):
            _write_account(redis, at, record.id, upgraded(header.layout, record.keys))
            accounts += 1
        elif isinstance(record, Settings):
            beside.settings.append(record)
        elif isinstance(record, Tokens):
            beside.tokens.update(record.tokens)
            beside.used.update(record.used)
        elif isinstance(record, Gaps):
            beside.gaps.update(record.gaps)
        elif isinstance(record, Alerts):
            beside.alerts.update(record.alerts)
        elif isinstance(record, Issued):  # they are large, and change nothing that is there
            REPORTS.restore(redis, record.key, record.value)
            beside.issued.append(record.key)
    raise BackupError("the backup ends in the middle: it was not written to its end")


def _write_account(redis: Client, at: Namespace, account: str, content_of: AccountKeys) -> None:
    name = at.head(account)
    pipe = redis.pipeline(transaction=False)
    for number, (rest, kind, content) in enumerate(content_of, 1):
        for command in _commands(name + rest, kind, content):
            pipe.execute_command(*command)
        if number % _KEYS_AT_ONCE == 0:
            pipe.execute()
    pipe.execute()
    redis.sadd(at.accounts, account)


def _commands(key: str, kind: Kind, content: Any) -> Iterator[tuple[Any, ...]]:
    if kind == "string":
        yield "SET", key, content
        return
    members = list(content.items()) if kind == "hash" else list(content)
    for begin in range(0, len(members), _MEMBERS_AT_ONCE):
        some = members[begin : begin + _MEMBERS_AT_ONCE]
        if kind == "hash":
            yield "HSET", key, *(part for pair in some for part in pair)
        else:
            yield "SADD", key, *some


def _write_header(redis: Client, at: Namespace, header: Header) -> None:
    primaries = primaries_of(redis)
    redis.set(at.secret, header.secret)
    for primary in primaries:
        redis.set(at.secret_at(primary.tag), header.secret)
    limits = msgspec.json.encode({keys.LAYOUT_FIELD: keys.LAYOUT, **header.limits})
    redis.set(at.limits, limits)
    positions = {
        name: _position(Position(offset, second))
        for name, (offset, second) in header.positions.items()
    }
    if positions:
        for suffix in [primary.key_suffix for primary in primaries] or [""]:
            redis.hset(at.positions_at(suffix), mapping=cast(Any, positions))


def _position(at: Position) -> str:
    return f"{at.offset} {at.second}" if at.second is not None else f"{at.offset}"


def _write_all_settings(redis: Client, settings: Sequence[Settings]) -> int:
    """Write the settings of all accounts, unless there are some already; return of how many."""
    if redis.exists(keys.SETTINGS_ACCOUNTS):
        return 0
    for each in settings:
        if each.fields:
            redis.hset(keys.settings(each.account), mapping=cast(Any, each.fields))
        for change_id, fields in each.history:
            redis.xadd(keys.settings_history(each.account), cast(Any, fields), id=change_id)
        redis.sadd(keys.SETTINGS_ACCOUNTS, each.account)
    return len(settings)


def _write_tokens(redis: Client, beside: _Beside) -> int:
    """Write all tokens, unless there are some already: one that was revoked must not come back."""
    if redis.exists(keys.TOKENS) or not beside.tokens:
        return 0
    redis.hset(keys.TOKENS, mapping=cast(Any, beside.tokens))
    if beside.used:
        redis.hset(keys.TOKENS_USED, mapping=cast(Any, beside.used))
    return len(beside.tokens)
