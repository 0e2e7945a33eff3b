"""Tokens: who may see and change what. Made once, shown once, and kept as a hash only.

They stand in a topic of Kafka first, and are read from Redis (`store.ledger`).

A token is 256 random bits, so its plain SHA-256 gives nothing away: there is no list of likely ones
to try, which is what slow hashes are for. For the same reason no number of wrong tokens needs to
keep a right one out.
"""

import hashlib
import secrets
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple, cast

import orjson
from redis.client import Redis

from interaction_usage.dashboard.errors import DashboardError
from interaction_usage.store import keys
from interaction_usage.store.account_history import Author
from interaction_usage.store.ledger import Ledger
from interaction_usage.store.token_table import TOKENS, RevokedRecord, TokenRecord, encode

_PREFIX: Final = "usage_"
_ID_DIGITS: Final = 10

#: Seconds within which the use of a token is noted once.
_USE_NOTED_EVERY_S: Final = 60


class Role(StrEnum):
    """What the holder of a token may change."""

    VIEWER = "viewer"  #: nothing
    MANAGER = "manager"  #: what its account is called, and which days it has
    OPERATOR = "operator"  #: everything, of all accounts

    @property
    def may_change(self) -> frozenset[str]:
        """The settings of an account that this role may change."""
        return _MAY_CHANGE[self]


_MAY_CHANGE: Final = {
    Role.VIEWER: frozenset[str](),
    Role.MANAGER: frozenset(("name", "timezone")),
    Role.OPERATOR: frozenset(("name", "timezone", "dnis", "sms", "late_usage")),
}


class Token(NamedTuple):
    """What is known of a token; itself it is not."""

    id: str  #: the first digits of its hash, by which it is listed and revoked
    account: str | None  #: the one account it is for; None for an operator's
    created: int  #: second
    digest: str  #: SHA-256 in hexadecimal digits
    role: Role = Role.VIEWER
    label: str = ""
    expires: int | None = None  #: the second from which on it is worthless; None for never
    used: int | None = None  #: second of its last use, to a minute; None if it never was

    def is_expired(self, second: int) -> bool:
        """Tell whether it is worthless at *second*."""
        return self.expires is not None and second >= self.expires

    @property
    def author(self) -> Author:
        """Who a change that was made with it is by."""
        return Author(self.label or str(self.role), self.id, self.role is Role.OPERATOR)


class TokenError(DashboardError):
    """A token that cannot be used."""


class TokenNotFoundError(TokenError):
    """No token has that id, or several do."""


class UnknownTokenError(TokenError):
    """It was never made, or is revoked."""


class ExpiredTokenError(TokenError):
    """It was right once; the sentence says until when."""


def create(
    ledger: Ledger,
    account: str | None,
    second: int,
    *,
    role: Role = Role.VIEWER,
    label: str = "",
    expires: int | None = None,
) -> str:
    """Make a token for *account*, or an operator's for None, at *second*, and return it.

    Raises LedgerError.
    """
    token = _PREFIX + secrets.token_urlsafe(32)
    kept = TokenRecord(account, second, label, expires, None if account is None else str(role))
    ledger.sync(TOKENS)
    ledger.publish(TOKENS, [(digest_of(token), encode(kept))])
    return token


def authenticate(redis: Redis, token: str, second: int) -> Token:
    """Return what *token* is for at *second*, and note its use. Raises TokenError."""
    found = by_digest(redis, digest_of(token))
    if found is None:
        raise UnknownTokenError("This token is not valid.")
    if found.is_expired(second):
        assert found.expires is not None
        when = f"{datetime.fromtimestamp(found.expires, UTC):%Y-%m-%d %H:%M} UTC"
        raise ExpiredTokenError(f"This token expired on {when}. Ask an operator for a new one.")
    note_use(redis, found, second)
    return found


def by_digest(redis: Redis, digest: str) -> Token | None:
    """Return the token with that hash, expired or not; None if there is none."""
    pipe = redis.pipeline(transaction=False)
    pipe.hget(keys.TOKENS, digest)
    pipe.hget(keys.TOKENS_USED, digest)
    kept, used = pipe.execute()
    return _token(digest, kept, used) if kept else None


def note_use(redis: Redis, token: Token, second: int) -> None:
    """Keep that *token* was used at *second*, unless that was noted within a minute."""
    if token.used is None or second - token.used >= _USE_NOTED_EVERY_S:
        redis.hset(keys.TOKENS_USED, token.digest, second)


def every(redis: Redis) -> list[Token]:
    """Return all tokens, the oldest first."""
    raw = cast(dict[bytes, bytes], redis.hgetall(keys.TOKENS))
    used = cast(dict[bytes, bytes], redis.hgetall(keys.TOKENS_USED))
    return sorted(
        (_token(digest.decode(), kept, used.get(digest)) for digest, kept in raw.items()),
        key=lambda token: (token.created, token.id),
    )


def exist(redis: Redis) -> bool:
    """Tell whether there is any token."""
    return bool(redis.exists(keys.TOKENS))


def revoke(ledger: Ledger, token_id: str, second: int) -> Token:
    """Make the token with that id worthless at *second*, and return what it was.

    Raises TokenNotFoundError and LedgerError.
    """
    ledger.sync(TOKENS)
    redis = cast(Redis, ledger.redis)
    found = [token for token in every(redis) if token_id and token.digest.startswith(token_id)]
    if len(found) > 1:
        raise TokenNotFoundError(
            f"{len(found)} token ids begin with {token_id!r}; give more of the id"
        )
    if not found:
        raise TokenNotFoundError(
            f"there is no token {token_id!r}; `usage token list` shows all token ids"
        )
    ledger.publish(TOKENS, [(found[0].digest, encode(RevokedRecord(second)))])
    redis.hdel(keys.TOKENS_USED, found[0].digest)
    return found[0]


def digest_of(secret: str) -> str:
    """Return the hash under which *secret* is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _token(digest: str, raw: bytes, used: bytes | None) -> Token:
    """Return a token as it is kept; one made before there were roles is a viewer's."""
    kept = orjson.loads(raw)
    account = kept["account"]
    role = Role.OPERATOR if account is None else Role(kept.get("role", Role.VIEWER))
    return Token(
        digest[:_ID_DIGITS], account, kept["created"], digest, role, kept.get("label", ""),
        kept.get("expires"), int(used) if used else None,
    )  # fmt: skip
