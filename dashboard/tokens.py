"""Tokens: who may see what. Made once, shown once, and kept as a hash only.

A token is 256 random bits, so its plain SHA-256 gives nothing away: there is no list of likely ones
to try, which is what slow hashes are for.
"""

import hashlib
import secrets
from typing import Final, NamedTuple, cast

import orjson
from redis.client import Redis

from rollups import keys

_PREFIX: Final = "usage_"
_ID_DIGITS: Final = 10


class Token(NamedTuple):
    """What is known of a token; itself it is not."""

    id: str  #: the first digits of its hash, by which it is listed and revoked
    account: str | None  #: the one account it is for; None for an operator's
    created: int  #: second
    digest: str  #: SHA-256 in hexadecimal digits


class NoSuchToken(LookupError):
    """No token has that id, or several do."""


def create(redis: Redis, account: str | None, second: int) -> str:
    """Make a token for *account*, or an operator's for None, at *second*, and return it."""
    token = _PREFIX + secrets.token_urlsafe(32)
    told = orjson.dumps({"account": account, "created": second})
    redis.hset(keys.TOKENS, digest_of(token), told)
    return token


def find(redis: Redis, token: str) -> Token | None:
    """Return what *token* is for; None if it was never made or is revoked."""
    return by_digest(redis, digest_of(token))


def by_digest(redis: Redis, digest: str) -> Token | None:
    """Return the token with that hash; None if there is none."""
    told = cast(bytes | None, redis.hget(keys.TOKENS, digest))
    return _token(digest, told) if told else None


def every(redis: Redis) -> list[Token]:
    """Return all tokens, the oldest first."""
    raw = cast(dict[bytes, bytes], redis.hgetall(keys.TOKENS))
    return sorted(
        (_token(digest.decode(), told) for digest, told in raw.items()),
        key=lambda token: (token.created, token.id),
    )


def exist(redis: Redis) -> bool:
    """Tell whether there is any token."""
    return bool(redis.exists(keys.TOKENS))


def revoke(redis: Redis, token_id: str) -> Token:
    """Make the token with that id worthless, and return what it was. Raises NoSuchToken."""
    found = [token for token in every(redis) if token_id and token.digest.startswith(token_id)]
    if len(found) > 1:
        raise NoSuchToken(f"{len(found)} tokens begin with {token_id!r}; give more of the id")
    if not found:
        raise NoSuchToken(f"there is no token {token_id!r}; `usage token list` shows their ids")
    redis.hdel(keys.TOKENS, found[0].digest)
    return found[0]


def digest_of(secret: str) -> str:
    """Return the hash under which *secret* is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _token(digest: str, told: bytes) -> Token:
    kept = orjson.loads(told)
    return Token(digest[:_ID_DIGITS], kept["account"], kept["created"], digest)
