"""Logins of browsers: a random cookie that stands for a token, and how often one may try.

The cookie is kept as a hash, with the hash of its token beside it: whoever reads Redis can neither
log in nor learn a token, and a token that is revoked ends its logins.
"""

import hashlib
import secrets
from typing import Final, NamedTuple

from redis.client import Redis

from dashboard import tokens
from dashboard.tokens import Token
from rollups import keys

#: Seconds after its last use that a login ends.
LIFETIME: Final = 12 * 3600

#: Failed logins of one address within `FAILURES_KEPT` seconds, after which it must wait.
MOST_FAILURES: Final = 10
FAILURES_KEPT: Final = 15 * 60

#: Seconds between two prolongations of a login.
_PROLONGED_EVERY: Final = 60


class Login(NamedTuple):
    """A browser that is logged in."""

    token: Token
    secret: str  #: the cookie's value

    @property
    def form_key(self) -> str:
        """What a change must carry besides the cookie; another site cannot know it."""
        return hashlib.sha256(f"form:{self.secret}".encode()).hexdigest()[:32]


def begin(redis: Redis, token: Token) -> Login:
    """Log a browser in with *token*."""
    login = Login(token, secrets.token_urlsafe(32))
    redis.set(keys.login(tokens.digest_of(login.secret)), token.digest, ex=LIFETIME)
    return login


def find(redis: Redis, secret: str) -> Login | None:
    """Return the login that the cookie *secret* stands for, and prolong it; None if it is over."""
    key = keys.login(tokens.digest_of(secret))
    pipe = redis.pipeline(transaction=False)
    pipe.get(key)
    pipe.ttl(key)
    digest, left = pipe.execute()
    token = tokens.by_digest(redis, digest.decode()) if digest else None
    if token is None:
        return None
    if left < LIFETIME - _PROLONGED_EVERY:
        redis.expire(key, LIFETIME)
    return Login(token, secret)


def end(redis: Redis, secret: str) -> None:
    """Log out the browser that the cookie *secret* belongs to."""
    redis.delete(keys.login(tokens.digest_of(secret)))


def seconds_to_wait(redis: Redis, address: str) -> int:
    """Return for how long *address* may not try again, in seconds; 0 if it may."""
    key = keys.login_failures(tokens.digest_of(address))
    pipe = redis.pipeline(transaction=False)
    pipe.get(key)
    pipe.ttl(key)
    failures, left = pipe.execute()
    return max(int(left), 1) if failures and int(failures) >= MOST_FAILURES else 0


def failed(redis: Redis, address: str) -> None:
    """Note that *address* tried a token that is none."""
    key = keys.login_failures(tokens.digest_of(address))
    if redis.incr(key) == 1:
        redis.expire(key, FAILURES_KEPT)
