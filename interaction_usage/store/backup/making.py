"""Making a backup: what is in Redis, as records."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from interaction_usage.store import keys
from interaction_usage.store.account_read import days_of
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
from interaction_usage.store.client import Client, run_ids
from interaction_usage.store.issued_table import REPORTS
from interaction_usage.store.keys import Namespace
from interaction_usage.store.layouts import Kind
from interaction_usage.store.reads import Rollups
from interaction_usage.store.record_layout import IDENTITIES_PER_BUCKET

#: How often an account is read without stopping Redis for it, and then within one transaction.
_TRIES: Final = 5
#: Keys that are read in one go.
_KEYS_AT_ONCE: Final = 200

_READ: Final[Mapping[Kind, str]] = {"hash": "HGETALL", "set": "SMEMBERS", "string": "GET"}


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
    check_servers(redis, servers)
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


def check_servers(redis: Client, servers: Sequence[str]) -> None:
    """Raise BackupError unless the servers are those with these run ids.

    Another one may lack what was acknowledged last, and have what was written or read after that.
    """
    if run_ids(redis) != servers:
        raise BackupError("Redis restarted meanwhile and may have lost its last writes; try again")
