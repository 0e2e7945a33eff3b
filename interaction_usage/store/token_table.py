"""The tokens as records of a topic: the hash of each, and whom it lets see what.

The key of a record is the SHA-256 of a token. A token that was revoked keeps a record, for ever, so
that a backup that is restored later does not bring it back: the topic has about 200 bytes for each
token that was ever made.
"""

import re
from typing import Final

import msgspec

from interaction_usage import prefixes
from interaction_usage.store import keys
from interaction_usage.store.ledger import Entry, HashTable

_DIGEST: Final = re.compile("[0-9a-f]{64}")


class TokenRecord(msgspec.Struct):
    """What is known of a token; itself it is not."""

    account: str | None  #: None for an operator's
    created: int
    label: str = ""
    expires: int | None = None
    role: str | None = None  #: viewer or manager; None for an operator's


class RevokedRecord(msgspec.Struct, forbid_unknown_fields=True):
    """That a token was revoked."""

    revoked: int  #: the second


encode: Final = msgspec.json.Encoder().encode
_decode_token: Final = msgspec.json.Decoder(TokenRecord).decode
_decode_revoked: Final = msgspec.json.Decoder(RevokedRecord).decode


def _entry(digest: str, value: bytes) -> Entry:
    if not _DIGEST.fullmatch(digest):
        raise ValueError("its key is no SHA-256")
    try:
        _decode_revoked(value)
    except msgspec.ValidationError:
        _decode_token(value)
        return Entry(digest, value)
    return Entry(digest, None)


TOKENS: Final = HashTable(prefixes.topic("usage.tokens"), keys.TOKENS, keys.TOKENS_READ, _entry)
