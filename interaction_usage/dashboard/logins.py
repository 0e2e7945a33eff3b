"""Logins of browsers: a random cookie that stands for a token, and how often one may try.

The cookie is kept as a hash, with the hash of its token beside it: whoever reads Redis can neither
log in nor learn a token, and a token that is revoked or expires ends its logins.
"""

import hashlib
import secrets
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple, cast

from redis.client import Redis

from interaction_usage.dashboard import tokens
from interaction_usage.dashboard.tokens import Token
from interaction_usage.store import keys

#: Seconds after which a login ends, however much it is used.
LIFETIME: Final = 12 * 3600

#: Wrong tokens of one address within `FAILURES_KEPT` seconds, after which more get no answer but
#: "wait". A right token is never refused for them: many people may share an address.
MOST_FAILURES: Final = 10
FAILURES_KEPT: Final = 15 * 60


class Login(NamedTuple):
    """A browser that is logged in."""

    token: Token
    secret: str  #: the cookie's value

    @property
    def form_key(self) -> str:
        """What a change must carry besides the cookie; another site cannot know it."""
        return hashlib.sha256(f"form:{self.secret}".encode()).hexdigest()[:32]


def begin(redis: Redis, token: Token) -> Login:
    """Log a browser in with *token*, under a cookie that was never used before."""
    login = Login(token, secrets.token_urlsafe(32))
    redis.set(keys.login(tokens.digest_of(login.secret)), token.digest, ex=LIFETIME)
    return login


def find(redis: Redis, secret: str, second: int) -> Login | None:
    """Return the login that the cookie *secret* stands for at *second*; None if it is over."""
    digest = cast(bytes | None, redis.get(keys.login(tokens.digest_of(secret))))
    token = tokens.by_digest(redis, digest.decode()) if digest else None
    if token is None or token.is_expired(second):
        return None
    return Login(token, secret)


def end(redis: Redis, secret: str) -> None:
    """Log out the browser that the cookie *secret* belongs to."""
    redis.delete(keys.login(tokens.digest_of(secret)))


def seconds_to_wait(redis: Redis, address: str) -> int:
    """Return for how long wrong tokens of *address* are not answered, in seconds."""
    key = _failures(address)
    pipe = redis.pipeline(transaction=False)
    pipe.get(key)
    pipe.ttl(key)
    failures, left = pipe.execute()
    return max(int(left), 1) if failures and int(failures) >= MOST_FAILURES else 0


def failed(redis: Redis, address: str) -> None:
    """Note that *address* tried a token that is none."""
    key = _failures(address)
    pipe = redis.pipeline(transaction=False)
    pipe.set(key, 0, ex=FAILURES_KEPT, nx=True)  # first, so that no count is ever without an end
    pipe.incr(key)
    pipe.execute()


def _failures(address: str) -> str:
    """Return the key of an address' failures; whoever has one IPv6 address has 2^64 of them."""
    try:
        ip = ip_address(address)
    except ValueError:
        return keys.login_failures(tokens.digest_of(address))
    network = int(ip) >> 64 if isinstance(ip, IPv6Address) and not ip.ipv4_mapped else address
    return keys.login_failures(tokens.digest_of(str(network)))
