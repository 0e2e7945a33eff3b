"""Who asks, and what they may see: tokens of programs, cookies of browsers, open servers.

A program sends `Authorization: Bearer …`, which no browser adds by itself. A browser sends a cookie
that is HTTP-only and `SameSite=Strict`; so whatever changes something must also come from a page of
this very server (`Origin`, `Sec-Fetch-Site`) and carry the login's form key. An open server asks
for nothing, but answers only under names of this machine, so that no other site's name can be
pointed at it.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from redis.client import Redis

from dashboard import logins, tokens
from dashboard.logins import Login
from dashboard.problems import NoSuchAccount, Refused
from rollups import accounts

COOKIE: Final = "usage_login"
FORM_KEY_HEADER: Final = "x-form-key"

_bearer = HTTPBearer(auto_error=False, description="A token made by `usage token create`.")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sent a request."""

    account: str | None  #: the one account they may see; None for all
    login: Login | None = None  #: of a browser
    token: str | None = None  #: the hash of the token behind it; None on an open server

    def must_see(self, account: str) -> None:
        """Raise NoSuchAccount unless they may see *account*, whether it exists or not."""
        if not accounts.is_valid_id(account) or self.account not in (None, account):
            raise NoSuchAccount

    @property
    def form_key(self) -> str:
        """What a page's changes must carry; empty on an open server."""
        return self.login.form_key if self.login else ""


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine and nothing else."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def who(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> Asker:
    """Return who asks. Raises Refused with 401, or 429 after many wrong tokens."""
    redis: Redis = request.app.state.redis
    if bearer is not None:
        token = tokens.find(redis, bearer.credentials)
        if token is None:
            _count_failure(redis, request)
            raise Refused(
                401, "This token is not valid.", {"WWW-Authenticate": 'Bearer realm="usage"'}
            )
        return Asker(token.account, token=token.digest)
    if request.app.state.open:
        return Asker(None)
    login = logins.find(redis, request.cookies.get(COOKIE, ""))
    if login is None:
        raise Refused(
            401, "A token is needed: Authorization: Bearer …",
            {"WWW-Authenticate": 'Bearer realm="usage"'},
        )  # fmt: skip
    return Asker(login.token.account, login, login.token.digest)


def who_may_change(request: Request, asker: Annotated[Asker, Depends(who)]) -> Asker:
    """Return who asks for a change. Raises Refused with 403 where another site's page may ask."""
    if "authorization" in request.headers:
        return asker
    must_be_same_origin(request)
    if request.headers.get(FORM_KEY_HEADER, "") != asker.form_key:
        raise Refused(403, "The page is out of date; load it again.")
    return asker


def must_be_same_origin(request: Request) -> None:
    """Raise Refused unless the request comes from a page of this server, or from no page."""
    site = request.headers.get("sec-fetch-site", "none")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    if site not in ("same-origin", "none") or (origin and urlsplit(origin).netloc != host):
        raise Refused(403, "Changes are only taken from pages of this server.")


def address_of(request: Request) -> str:
    """Return the address that a request came from."""
    return request.client.host if request.client else "unknown"


def _count_failure(redis: Redis, request: Request) -> None:
    wait = logins.seconds_to_wait(redis, address_of(request))
    if wait:
        raise too_many(wait)
    logins.failed(redis, address_of(request))


def too_many(wait: int) -> Refused:
    """Return the refusal of an address that has tried too often."""
    minutes = -(-wait // 60)
    unit = "minute" if minutes == 1 else "minutes"
    return Refused(
        429, f"Too many wrong tokens; try again in {minutes} {unit}.", {"Retry-After": str(wait)}
    )


Allowed = Annotated[Asker, Depends(who)]
AllowedToChange = Annotated[Asker, Depends(who_may_change)]
