"""The records that a backup consists of, and how they are packed."""

from typing import Final, cast

import msgspec

from interaction_usage.store.layouts import AccountKeys

#: What a backup is written as. Another number is refused.
FORMAT: Final = 1


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
