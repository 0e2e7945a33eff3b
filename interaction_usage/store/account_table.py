"""The settings of accounts and their history as records of a topic, and those applied to Redis.

A record's key is the account and a random text, `acme/9f86d081884c7d65…`; its value is either

- a change: which settings got which values, when and by whom; or
- an import: everything that was set before there was the topic. It counts if it is the first of its
  account, so that it may be published twice.

Every record has a key of its own, so compaction keeps all of them, and the topic grows with the
changes that people make: by some 300 bytes each, 2 KB at most, and an account's own tokens may make
60 an hour.
"""

import logging
from collections.abc import Container, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, cast
from uuid import uuid4

import msgspec

from interaction_usage import prefixes
from interaction_usage.store import keys, ledger, scripts
from interaction_usage.store.client import Client
from interaction_usage.store.ledger import Record
from rollups.watermark import OffsetRange

log = logging.getLogger(__name__)

_SCRIPT: Final = scripts.source("settings")

#: What a history's entry is made of, in the order of the script.
_ENTRY: Final = ("by", "token", "operator", "field", "from", "to")
Field = Literal["name", "timezone", "dnis", "sms", "late_usage"]
Text = Annotated[str, msgspec.Meta(max_length=1_000)]
#: Not later than the year 9999: ids are made of it.
Milliseconds = Annotated[int, msgspec.Meta(gt=0, lt=253_402_300_800_000)]


class ChangeRecord(msgspec.Struct, tag="change"):
    """Settings got these values."""

    at: Milliseconds
    by: Text
    token: Text
    operator: bool
    values: dict[Field, Text]


class ImportRecord(msgspec.Struct, tag="import"):
    """What was set before there was the topic: the settings, and (id, entry) of each change."""

    values: dict[Field, str]
    history: list[tuple[Annotated[str, msgspec.Meta(pattern=r"^\d{1,19}-\d{1,19}$")], list[str]]]


_decode: Final = msgspec.json.Decoder(ChangeRecord | ImportRecord).decode
_encode: Final = msgspec.json.Encoder().encode


def defaults(account: str) -> dict[Field, str]:
    """Return the settings of an account of which none was ever set."""
    return {
        "name": account, "timezone": "UTC", "dnis": "1", "sms": "1", "late_usage": "revise",
    }  # fmt: skip


#: How many accounts are searched for an id similar to an unknown one.
_MOST_SEARCHED: Final = 20_000


def similar_id(account: str, accounts: Sequence[str]) -> str | None:
    """Return the one of *accounts* whose id is most like that of *account*; None if none is."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(account, accounts[:_MOST_SEARCHED], 1)), None)


def is_valid_id(account: str) -> bool:
    """Return whether *account* can be an account id: 1 to 128 of `A-Z a-z 0-9 . _ : -`.

    `.` and `..` cannot: no page's address and no folder could be named after them.
    """
    return (
        1 <= len(account) <= 128
        and account not in {".", ".."}
        and account.isascii()
        and all(character.isalnum() or character in "._:-" for character in account)
    )


def change_record(account: str, change: ChangeRecord) -> tuple[str, bytes]:
    """Return the key and the value of a *change* of *account*."""
    return _key(account), _encode(change)


def _key(account: str) -> str:
    return f"{account}/{uuid4().hex}"


class AccountTable:
    """The topic of accounts."""

    topic: Final = prefixes.topic("usage.accounts")

    def positions(self, redis: Client) -> dict[str, int]:
        """Return up to which offset each place is applied to every node."""
        return ledger.node_positions(redis)

    def begin(self, redis: Client, place: str) -> None:
        """Keep that *place* is read from its beginning."""
        ledger.begin_on_nodes(redis, place)

    def apply(
        self, redis: Client, place: str, records: Sequence[Record], within: OffsetRange
    ) -> None:
        """Apply *records*, and then keep that they are read."""
        calls: list[tuple[list[str], list[Any]]] = []
        accounts: set[str] = set()
        for record in records:
            account = (record.key or b"").decode("utf-8", "replace").partition("/")[0]
            try:
                arguments = _arguments(account, record.value or b"")
            except ValueError as error:  # msgspec's are some
                log.warning("%s, offset %s is skipped: %s", self.topic, record.offset, error)
                continue
            names = [keys.settings(account), keys.settings_history(account)]
            calls.append((names, [place, record.offset, *arguments]))
            accounts.add(account)
        with ledger.applying(redis, place, within) as connections:
            if calls:
                connections.call(_SCRIPT, calls)
                listed = keys.SETTINGS_ACCOUNTS
                connections.send((listed, ("SADD", listed, *sorted(accounts))))

    def unpublished(self, redis: Client, published: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Yield an import of each account of which nothing is *published*."""
        for name in cast(set[bytes], redis.smembers(keys.SETTINGS_ACCOUNTS)):
            if name.decode() not in published:
                yield _import(redis, name.decode())

    def to_import(self, redis: Client, account: str, place: str) -> list[tuple[str, bytes]]:
        """Return the import of *account* if something else than records of *place* set it."""
        if not redis.exists(keys.settings(account)):
            return []
        at = cast(bytes | None, redis.hget(keys.settings(account), "at")) or b""
        return [] if at.decode().rpartition(" ")[0] == place else [_import(redis, account)]


ACCOUNTS: Final = AccountTable()


def _arguments(account: str, value: bytes) -> list[Any]:
    """Return what the script is given of a record. Raises ValueError."""
    if not is_valid_id(account):
        raise ValueError("its key begins with no account id")
    record = _decode(value)
    if isinstance(record, ImportRecord):
        pairs = [text for pair in record.values.items() for text in pair]
        entries = [text for change, entry in record.history for text in (change, *entry)]
        if any(len(entry) != len(_ENTRY) for _, entry in record.history):
            raise ValueError("an entry of the history has other members")
        order = [(0, 0), *(_order(change) for change, _ in record.history)]
        if any(after <= before for before, after in pairwise(order)):
            raise ValueError("the ids of the history do not ascend")
        return ["import", len(record.values), *pairs, *entries]
    before = defaults(account)
    triples = [
        text for field, value in record.values.items() for text in (field, value, before[field])
    ]
    by = [record.by, record.token, "1" if record.operator else ""]
    return ["change", record.at, *by, *triples]


def _import(redis: Client, account: str) -> tuple[str, bytes]:
    stored = cast(dict[bytes, bytes], redis.hgetall(keys.settings(account)))
    texts = {name.decode(): value.decode() for name, value in stored.items()}
    values = {field: texts[field] for field in defaults(account) if field in texts}
    entries = cast(
        list[tuple[bytes, dict[bytes, bytes]]], redis.xrange(keys.settings_history(account))
    )
    history = [
        (change.decode(), [entry.get(name.encode(), b"").decode() for name in _ENTRY])
        for change, entry in entries
    ]
    return _key(account), _encode(ImportRecord(values, history))


def _order(change: str) -> tuple[int, ...]:
    """Return what the ids of changes are ordered by."""
    return tuple(map(int, change.split("-")))
