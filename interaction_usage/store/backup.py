"""Backups: everything that a bill needs, written as records that any Redis or cluster can take.

What is read first decides that nothing is lost or counted twice when a backup is restored, however
much is counted meanwhile:

1. The positions. Kafka is read again from there, so they must not be ahead of any account.
2. Each account, as of one moment: its fences say which events it has, and skip these when they are
   read again; its identities and sessions are those of the same moment.
3. Settings, their history, tokens (their hashes), gaps, alerts and issued reports, which the
   rollups do not depend on.

Values are kept as what they mean to Redis (hash, set, string), not as its own dump, which only
servers of the same or a newer version can read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

import msgspec
from redis.exceptions import RedisError

from interaction_usage.store import keys
from interaction_usage.store.client import Client, primaries_of, run_ids
from interaction_usage.store.issued_table import REPORTS
from interaction_usage.store.keys import Namespace
from interaction_usage.store.layouts import AccountKeys, Kind, upgraded
from interaction_usage.store.ledger import forget_positions
from interaction_usage.store.namespaces import activate, drop, new_namespace, release
from interaction_usage.store.reads import Rollups, days_of
from interaction_usage.store.rebuild_lock import locked
from interaction_usage.store.record_layout import IDENTITIES_PER_BUCKET
from rollups.watermark import Position

#: What a backup is written as. Another number is refused.
FORMAT: Final = 1

#: How often an account is read without stopping Redis for it, and then within one transaction.
_TRIES: Final = 5
#: Keys that are read, or written, in one go.
_KEYS_AT_ONCE: Final = 200
#: Members of a key that are written in one go.
_MEMBERS_AT_ONCE: Final = 1_000

_READ: Final[Mapping[Kind, str]] = {"hash": "HGETALL", "set": "SMEMBERS", "string": "GET"}


class BackupError(Exception):
    """A backup that cannot be made, or be restored."""


class Header(msgspec.Struct, tag=True):
    """What a backup begins with."""

    format: int
    layout: int
    limits: dict[str, int]
    secret: bytes
    positions: dict[str, tuple[int, int | None]]
    accounts: int


class Account(msgspec.Struct, tag=True):
    """The rollups of an account: (rest of the key, kind, content) of each of its keys."""

    id: str
    keys: AccountKeys


class Settings(msgspec.Struct, tag=True):
    """What was set for an account, and every change of it."""

    account: str
    fields: dict[bytes, bytes]
    history: list[tuple[bytes, dict[bytes, bytes]]]


class Tokens(msgspec.Struct, tag=True):
    """All tokens, as hashes, and when each was used last."""

    tokens: dict[bytes, bytes]
    used: dict[bytes, bytes]


class Gaps(msgspec.Struct, tag=True):
    """The known gaps, accepted ones too."""

    gaps: dict[bytes, bytes]


class Alerts(msgspec.Struct, tag=True):
    """The rules of alerts, and their states: what was notified is not notified again."""

    alerts: dict[bytes, bytes]


class Issued(msgspec.Struct, tag=True):
    """An issued report, as its record in the topic has it."""

    key: str
    value: bytes


class End(msgspec.Struct, tag=True):
    """What a whole backup ends with."""

    records: int  #: the header and all others before this one


Record = Header | Account | Settings | Tokens | Gaps | Alerts | Issued | End

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Record).decode


def pack(record: Record) -> bytes:
    """Return *record* as bytes, behind their number."""
    content = _encode(record)
    return len(content).to_bytes(4) + content


def unpack(content: bytes) -> Record:
    """Return the record that `pack` packed, without the number. Raises BackupError."""
    try:
        return cast(Record, _decode(content))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BackupError(f"this is not a backup, or a damaged one ({error})") from None


# ----------------------------------------------------------------------------------- backing up


def records(redis: Client) -> Iterator[Record]:
    """Yield everything in Redis that a bill needs.

    Raises BackupError, LayoutDiffersError and RedisError.
    """
    count, servers = 0, run_ids(redis)
    for record in rollups(Rollups.live(redis)):
        yield record
        count += 1
    for account in sorted(_members(redis, keys.SETTINGS_ACCOUNTS)):
        yield _settings(redis, account)
        count += 1
    yield Tokens(_hash(redis, keys.TOKENS), _hash(redis, keys.TOKENS_USED))
    yield Gaps(_hash(redis, keys.GAPS))
    yield Alerts(_hash(redis, keys.ALERTS))
    for key, value in REPORTS.unpublished(redis, ()):
        yield Issued(key, value)
        count += 1
    _check_servers(redis, servers)
    yield End(count + 3)


def rollups(source: Rollups) -> Iterator[Header | Account]:
    """Yield the rollups of *source*, whatever layout they have. Raises as `records` does."""
    yield _header(source)
    for account in sorted(_members(source.redis, source.keys.accounts)):
        yield _account(source.redis, source.keys, account)


def _header(source: Rollups) -> Header:
    redis, at = source.redis, source.keys
    recorded = cast(bytes | None, redis.get(at.limits))
    secret = cast(bytes | None, redis.get(at.secret))
    if recorded is None or secret is None:
        raise BackupError("there are no rollups in this Redis")
    limits = msgspec.json.decode(recorded)
    layout = limits.pop(keys.LAYOUT_FIELD, 1)
    positions = {name: (at.offset, at.second) for name, at in source.positions().items()}
    return Header(FORMAT, layout, limits, secret, positions, redis.scard(at.accounts))


def _members(redis: Client, name: str) -> list[str]:
    return [member.decode() for member in cast(set[bytes], redis.smembers(name))]


def _hash(redis: Client, name: str) -> dict[bytes, bytes]:
    return cast(dict[bytes, bytes], redis.hgetall(name))


def _settings(redis: Client, account: str) -> Settings:
    history = cast(
        list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(keys.settings_history(account))
    )
    return Settings(account, _hash(redis, keys.settings(account)), history)


def _account(redis: Client, at: Namespace, account: str) -> Account:
    """Return the rollups of *account* as of one moment.

    Every change of an account changes its head. It is read before and after all others, and again
    where it changed; an account that always changes is read in one transaction in the end.
    """
    name = at.head(account)
    for _ in range(_TRIES):
        head = _hash(redis, name)
        found = _read(redis, at, account, head)
        if _hash(redis, name) == head:
            return Account(account, found)
    for _ in range(_TRIES):
        wanted = _keys_of(at, account, head)
        pipe = redis.pipeline(transaction=True)
        for kind, key in ((_READ["hash"], name), *((_READ[kind], key) for key, kind in wanted)):
            pipe.execute_command(kind, key)
        now, *contents = pipe.execute()
        if _keys_of(at, account, now) == wanted:
            return Account(account, _packed(name, now, wanted, contents))
        head = now
    raise BackupError(f"account {account} changed whenever it was read; try again")


def _read(
    redis: Client, at: Namespace, account: str, head: Mapping[bytes, bytes]
) -> list[tuple[str, Kind, Any]]:
    wanted = _keys_of(at, account, head)
    contents: list[Any] = []
    for begin in range(0, len(wanted), _KEYS_AT_ONCE):
        pipe = redis.pipeline(transaction=False)
        for key, kind in wanted[begin : begin + _KEYS_AT_ONCE]:
            pipe.execute_command(_READ[kind], key)
        contents += pipe.execute()
    return _packed(at.head(account), head, wanted, contents)


def _packed(
    name: str,
    head: Mapping[bytes, bytes],
    wanted: Sequence[tuple[str, Kind]],
    contents: Sequence[Any],
) -> list[tuple[str, Kind, Any]]:
    found: list[tuple[str, Kind, Any]] = [("", "hash", dict(head))]
    for (key, kind), content in zip(wanted, contents, strict=True):
        if content:
            plain = sorted(content) if kind == "set" else content
            found.append((key.removeprefix(name), kind, plain))
    return found


def _keys_of(at: Namespace, account: str, head: Mapping[bytes, bytes]) -> list[tuple[str, Kind]]:
    """Return the keys that an account with this *head* may have, and what each holds."""
    found: list[tuple[str, Kind]] = [(at.nets(account), "hash")]
    for field, value in sorted(head.items()):
        family, separator, rest = field.decode().partition(":")
        family += separator
        if family == keys.OPEN_DAYS:
            for day in days_of(int(rest), value):
                found += [(at.day(account, day), "hash"), (at.slot_deltas(account, day), "hash")]
        elif family == keys.SEALED_DAYS:
            found.append((at.sealed_days(account, int(rest)), "string"))
        elif family == keys.IDENTITY_COUNT:
            buckets = max(-(-int(value) // IDENTITIES_PER_BUCKET), 1)
            found += [
                (at.identities(account, int(rest), bucket), "set") for bucket in range(buckets)
            ]
            found.append((at.voids(account, int(rest)), "hash"))
        elif field == keys.PENDING_VOIDS.encode():
            found.append((at.pending_voids(account), "hash"))
    buckets = int(head.get(keys.SESSION_BUCKETS.encode(), b"1"))
    return found + [(at.sessions(account, bucket), "hash") for bucket in range(buckets)]


# ------------------------------------------------------------------------------------ restoring


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
            _check_servers(redis, servers)
            raise BackupError("it took too long: another rebuild, restore or upgrade has begun")
    except BaseException:
        with suppress(RedisError):
            release(redis, token)  # from here on nothing that is under way can activate them
            if Rollups.of_any_layout(redis).keys != at:
                drop(redis, at)
        raise
    return Replacement(accounts, beside, at)


def _check_servers(redis: Client, servers: Sequence[str]) -> None:
    """Raise BackupError unless the servers are those with these run ids.

    Another one may lack what was acknowledged last, and have what was written or read after that.
    """
    if run_ids(redis) != servers:
        raise BackupError("Redis restarted meanwhile and may have lost its last writes; try again")


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
