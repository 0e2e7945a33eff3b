"""Who asks, and what they may see: tokens of programs, cookies of browsers, open servers.

A program sends `Authorization: Bearer …`, which no browser adds by itself. A browser sends a cookie
that is HTTP-only and `SameSite=Strict`; so whatever changes something must also come from a page of
this very server (`Origin`, `Sec-Fetch-Site`) and carry the login's form key. An open server asks
for nothing, but answers only under names of this machine, so that no other site's name can be
pointed at it.
"""

import hmac
import time
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from redis.client import Redis

from interaction_usage.dashboard import logins, tokens
from interaction_usage.dashboard.errors import AccountNotFoundError, RequestError
from interaction_usage.dashboard.hosts import is_same_origin
from interaction_usage.dashboard.logins import Login
from interaction_usage.dashboard.tokens import ExpiredTokenError, Role, Token, UnknownTokenError
from interaction_usage.store.account_history import Author
from interaction_usage.store.account_table import is_valid_id

FORM_KEY_HEADER: Final = "x-form-key"

#: The cookie of a login; over https it has a prefix with which no other host can set it.
COOKIE: Final = "usage_login"
_SECURE_COOKIE: Final = f"__Host-{COOKIE}"
_BEARER: Final = {"WWW-Authenticate": 'Bearer realm="usage"'}

_bearer = HTTPBearer(auto_error=False, description="A token made by `usage token create`.")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sent a request."""

    account: str | None  #: the one account they may see; None for all
    login: Login | None = None  #: of a browser
    token: str | None = None  #: the hash of the token behind it; None on an open server
    role: Role = Role.OPERATOR
    author: Author = Author("open server")  # noqa: RUF009 (a tuple)
    by_bearer: bool = False  #: whether this request itself carried the token

    def must_see(self, account: str) -> None:
        """Raise AccountNotFoundError unless they may see *account*, whether it exists or not."""
        if not is_valid_id(account) or self.account not in (None, account):
            raise AccountNotFoundError

    @property
    def form_key(self) -> str:
        """What a page's changes must carry; empty on an open server."""
        return self.login.form_key if self.login else ""

    @property
    def is_operator(self) -> bool:
        """Whether they may see how the deployment is doing, and not just an account."""
        return self.role is Role.OPERATOR


def _holder(token: Token, *, login: Login | None = None) -> Asker:
    return Asker(
        token.account, login, token.digest, token.role, token.author, by_bearer=login is None
    )


def who(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> Asker:
    """Return who asks. Raises RequestError with 401, or 429 after many wrong tokens."""
    redis: Redis = request.app.state.redis
    second = int(time.time())
    if bearer is not None:
        try:
            return _holder(_noted(request, tokens.authenticate(redis, bearer.credentials, second)))
        except UnknownTokenError as error:
            count_failure(redis, request)
            raise RequestError(401, str(error), _BEARER) from None
        except ExpiredTokenError as error:
            raise RequestError(401, str(error), _BEARER) from None
    if request.app.state.open:
        return Asker(None)
    login = login_of(request, second)
    if login is None:
        raise RequestError(401, "A token is needed: Authorization: Bearer …", _BEARER)
    tokens.note_use(redis, login.token, second)
    return _holder(login.token, login=login)


def who_may_change(request: Request, asker: Annotated[Asker, Depends(who)]) -> Asker:
    """Return who asks for a change. Raises RequestError with 403 where another site's page may ask.

    No other site's page has a token to send along; whatever else a request carries proves nothing.
    """
    if asker.by_bearer:
        return asker
    must_be_same_origin(request)
    if not hmac.compare_digest(
        request.headers.get(FORM_KEY_HEADER, "").encode(), asker.form_key.encode()
    ):
        raise RequestError(403, "The page is out of date; load it again.")
    return asker


def must_be_same_origin(request: Request) -> None:
    """Raise RequestError unless the request comes from a page of this server, or from no page."""
    sites = request.headers.getlist("sec-fetch-site")
    origins = request.headers.getlist("origin")
    hosts = request.headers.getlist("host")
    if any(site not in ("same-origin", "none") for site in sites) or not all(
        is_same_origin(origin, host, request.url.scheme) for origin in origins for host in hosts
    ):
        raise RequestError(403, "Changes are only taken from pages of this server.")


def cookie_name(request: Request) -> str:
    """Return the name of the login's cookie for a request that came like this one."""
    return _SECURE_COOKIE if request.url.scheme == "https" else COOKIE


def login_of(request: Request, second: int) -> Login | None:
    """Return the login of the browser that sent *request*, if it has one."""
    login = logins.find(
        request.app.state.redis, request.cookies.get(cookie_name(request), ""), second
    )
    if login is not None:
        _noted(request, login.token)
    return login


def _noted(request: Request, token: Token) -> Token:
    """Return *token*, whose id the access log takes from the state of the request."""
    request.state.token_id = token.id
    return token


def end_logins_of(request: Request) -> None:
    """End every login whose cookie *request* carries."""
    for name in (COOKIE, _SECURE_COOKIE):
        if secret := request.cookies.get(name):
            logins.end(request.app.state.redis, secret)


def address_of(request: Request) -> str:
    """Return the address that a request came from."""
    return request.client.host if request.client else "unknown"


def count_failure(redis: Redis, request: Request) -> None:
    """Note a wrong token. Raises RequestError with 429 where the address had too many."""
    wait = logins.seconds_to_wait(redis, address_of(request))
    if wait:
        minutes = -(-wait // 60)
        unit = "minute" if minutes == 1 else "minutes"
        sentence = f"Too many wrong tokens; try again in {minutes} {unit}."
        raise RequestError(429, sentence, {"Retry-After": str(wait)})
    logins.failed(redis, address_of(request))


Allowed = Annotated[Asker, Depends(who)]
AllowedToChange = Annotated[Asker, Depends(who_may_change)]
