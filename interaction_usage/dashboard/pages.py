"""The pages: a frame for each, which the scripts in it fill through the API."""

import hmac
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, quote, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, PackageLoader, StrictUndefined
from redis.client import Redis
from starlette.concurrency import run_in_threadpool

from interaction_usage.alerts.rules import COUNTER_LABELS
from interaction_usage.dashboard import assets, logins, tokens
from interaction_usage.dashboard.auth import (
    Asker,
    cookie_name,
    count_failure,
    end_logins_of,
    login_of,
    must_be_same_origin,
    who,
)
from interaction_usage.dashboard.errors import AccountNotFoundError, DashboardError, RequestError
from interaction_usage.dashboard.operations import operations
from interaction_usage.dashboard.page_catalog import bill_labels, concurrency_sections, page_catalog
from interaction_usage.dashboard.token_terms import MOST_LABEL
from interaction_usage.dashboard.tokens import ExpiredTokenError, UnknownTokenError
from interaction_usage.store import account_settings
from interaction_usage.store.reads import Rollups
from rollups.catalog import APPLICATION_LABELS, SERIES_LABELS

_templates = Jinja2Templates(
    env=Environment(
        loader=PackageLoader("interaction_usage.dashboard", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)

#: Seconds after which a page loads again that could not be shown, or not with what is in Redis.
_RELOAD_S: Final = 5

#: The most that a login form may weigh, in bytes.
_FORM_BYTES: Final = 4096

#: The longest address that is kept over a login.
_NEXT_CHARS: Final = 2000

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


class LoginRequiredError(DashboardError):
    """A page was requested by a browser that is not logged in."""


def visitor(request: Request) -> Asker:
    """Return who visits a page. Raises LoginRequiredError."""
    try:
        return who(request)
    except RequestError as refused:
        if refused.status == 401:
            raise LoginRequiredError from None
        raise


Visitor = Annotated[Asker, Depends(visitor)]


def _page(
    request: Request, template: str, asker: Asker | None, *, status: int = 200, **more: Any
) -> Response:
    context = {
        "assets": f"/assets/{assets.version()}",
        "modules_of": assets.modules_of,
        "asker": asker,
        "open": request.app.state.open,
        "form_key": asker.form_key if asker else "",
        "account": None,
        "name": None,
        "catalog": None,
        **more,
    }
    # A page with status 503 is about that itself.
    is_away = context["redis_away"] = request.app.state.watch.redis_is_away() and status != 503
    page = _templates.TemplateResponse(request, template, context, status)
    if is_away:
        page.headers["Refresh"] = str(_RELOAD_S)
    return page


# --------------------------------------------------------------------------------- login


@router.get("/login")
def login_page(request: Request) -> Response:
    """Ask for a token."""
    try:
        visitor(request)
    except LoginRequiredError:
        return _page(
            request, "login.html", None, problem="",
            first=not tokens.exist(request.app.state.redis), next=_next(request),
        )  # fmt: skip
    return RedirectResponse(_next(request), 303)


def _next(request: Request) -> str:
    """Return the page of this server to show after the login: what was asked for, or the first."""
    wanted = request.query_params.get("next", "/")
    # //host and /\host are other sites for a browser, also with characters between that it skips.
    is_path = wanted.startswith("/") and wanted.isprintable() and "\\" not in wanted
    if not is_path or wanted.startswith(("//", "/login", "/logout")) or len(wanted) > _NEXT_CHARS:
        return "/"
    return wanted


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Take a token and give a cookie for it."""
    must_be_same_origin(request)
    body = await _body(request)
    return await run_in_threadpool(_log_in, request, body)


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _FORM_BYTES:
            raise RequestError(413, "A login form is not as large as this.")
    return body


def _log_in(request: Request, body: bytes) -> Response:
    redis: Redis = request.app.state.redis
    given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
    try:
        token = tokens.authenticate(redis, given, int(time.time()))
    except ExpiredTokenError as error:
        return _not_logged_in(request, 401, str(error))
    except UnknownTokenError:
        try:
            count_failure(redis, request)
        except RequestError as refused:
            return _not_logged_in(request, refused.status, refused.sentence, refused.headers)
        problem = "This token is not valid. It may have been revoked, or a piece of it is missing."
        return _not_logged_in(request, 401, problem)
    # A browser has one login: the one that it had is over, whoever's it was.
    end_logins_of(request)
    login = logins.begin(redis, token)
    answer = RedirectResponse(_next(request), 303)
    answer.set_cookie(
        cookie_name(request), login.secret, max_age=logins.LIFETIME, path="/", httponly=True,
        samesite="strict", secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


def _not_logged_in(
    request: Request, status: int, problem: str, headers: Mapping[str, str] | None = None
) -> Response:
    page = _page(
        request, "login.html", None, status=status, problem=problem, first=False,
        next=_next(request),
    )  # fmt: skip
    page.headers.update(headers or {})
    return page


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """Forget the login."""
    must_be_same_origin(request)
    body = await _body(request)
    return await run_in_threadpool(_log_out, request, body)


def _log_out(request: Request, body: bytes) -> Response:
    redis: Redis = request.app.state.redis
    login = login_of(request, int(time.time()))
    key = parse_qs(body.decode("utf-8", "replace")).get("form_key", [""])[0]
    if login is not None:
        if not hmac.compare_digest(key.encode(), login.form_key.encode()):
            raise RequestError(403, "The page is out of date; load it again.")
        logins.end(redis, login.secret)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(
        cookie_name(request), path="/", httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


async def to_login(request: Request, _error: Exception) -> Response:
    """Send a browser that is not logged in to the login page, and then back to what it wanted."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    kept = request.method in ("GET", "HEAD") and wanted != "/"
    return RedirectResponse(f"/login?{urlencode({'next': wanted})}" if kept else "/login", 303)


# --------------------------------------------------------------------------------- pages


@router.get("/")
def accounts_page(request: Request, asker: Visitor) -> Response:
    """All accounts; who may see only one is sent there."""
    if asker.account is not None:
        return RedirectResponse(f"/accounts/{quote(asker.account)}", 303)
    return _page(request, "accounts.html", asker, page="accounts")


@router.get("/access")
def access_page(request: Request, asker: Visitor) -> Response:
    """All tokens: for operators, who create and revoke them."""
    if not asker.is_operator:
        raise RequestError(403, "Only an operator may see and change tokens.")
    return _page(request, "access.html", asker, page="access", most_label=MOST_LABEL)


@router.get("/refused")
def all_refused_page(request: Request, asker: Visitor) -> Response:
    """What was refused, of all accounts: for operators, who may replay it."""
    if not asker.is_operator:
        raise RequestError(403, "Only an operator may see the refused events of all accounts.")
    return _page(request, "refused.html", asker, page="all-refused")


@router.get("/accounts/{account}")
def reports_page(request: Request, account: str, asker: Visitor) -> Response:
    """The reports of an account over a period."""
    return _of_account(request, "reports.html", account, asker, "reports")


@router.get("/accounts/{account}/live")
def live_page(request: Request, account: str, asker: Visitor) -> Response:
    """An account's hour as it happens."""
    return _of_account(
        request, "live.html", account, asker, "live", sections=concurrency_sections()
    )


@router.get("/accounts/{account}/evidence")
def evidence_page(request: Request, account: str, asker: Visitor) -> Response:
    """When a maximum was reached, minute by minute, and who was there."""
    return _of_account(request, "evidence.html", account, asker, "evidence", view="maximum")


@router.get("/accounts/{account}/evidence/counting")
def counting_page(request: Request, account: str, asker: Visitor) -> Response:
    """Other ways to count the same curve."""
    return _of_account(request, "evidence.html", account, asker, "evidence", view="counting")


@router.get("/accounts/{account}/evidence/capacity")
def capacity_page(request: Request, account: str, asker: Visitor) -> Response:
    """What licences would have meant."""
    return _of_account(request, "evidence.html", account, asker, "evidence", view="capacity")


@router.get("/accounts/{account}/evidence/sessions")
def long_sessions_page(request: Request, account: str, asker: Visitor) -> Response:
    """Who was connected for long, and who still is."""
    return _of_account(
        request, "sessions.html", account, asker, "evidence", view="sessions",
        applications=APPLICATION_LABELS,
    )  # fmt: skip


@router.get("/accounts/{account}/refused")
def refused_page(request: Request, account: str, asker: Visitor) -> Response:
    """What was refused of an account's events."""
    return _of_account(request, "refused.html", account, asker, "refused")


@router.get("/accounts/{account}/issued")
def issued_page(request: Request, account: str, asker: Visitor) -> Response:
    """An account's issued reports."""
    return _of_account(
        request, "issued.html", account, asker, "issued", may_issue=asker.is_operator,
        labels=bill_labels(),
    )  # fmt: skip


@router.get("/accounts/{account}/alerts")
def alerts_page(request: Request, account: str, asker: Visitor) -> Response:
    """An account's alerts: for operators also setting them."""
    return _of_account(
        request, "alerts.html", account, asker, "alerts",
        may_set=asker.is_operator, series=SERIES_LABELS, counters=COUNTER_LABELS,
    )  # fmt: skip


@router.get("/accounts/{account}/information")
def information_page(request: Request, account: str, asker: Visitor) -> Response:
    """An account's settings."""
    return _of_account(
        request, "information.html", account, asker, "information",
        may_change=asker.role.may_change, role=str(asker.role),
    )  # fmt: skip


@router.get("/accounts/{account}/corrections")
def corrections_page(request: Request, account: str, asker: Visitor) -> Response:
    """An account's corrections: for operators, who make them."""
    asker.must_see(account)
    if not asker.is_operator:
        raise RequestError(403, "Only an operator may correct an account.")
    return _of_account(
        request, "corrections.html", account, asker, "corrections", labels=bill_labels(),
        applications=APPLICATION_LABELS,
    )  # fmt: skip


def _of_account(
    request: Request, template: str, account: str, asker: Asker, page: str, **more: Any
) -> Response:
    asker.must_see(account)
    rollups = Rollups.live(request.app.state.redis)
    own = asker.account == account
    if not own and not rollups.exists(account):
        raise AccountNotFoundError
    known = account_settings.get(rollups.redis, account)
    return _page(
        request, template, asker, page=page, account=account, name=known.name,
        timezone=known.timezone, counted=rollups.has_events(account), catalog=page_catalog(),
        **more,
    )  # fmt: skip


@router.get("/docs")
def docs_page(request: Request) -> Response:
    """The API's documentation, made from its OpenAPI document; it is no secret."""
    try:
        asker: Asker | None = visitor(request)
    except LoginRequiredError:
        asker = None
    document = request.app.openapi()
    return _page(
        request, "docs.html", asker, page="docs", document=document, groups=operations(document)
    )


def problem_page(request: Request, refused: RequestError) -> Response:
    """Return a page that says what a browser was refused; it loads again where that may pass."""
    is_read = request.method == "GET"
    passes = refused.status == 503 and is_read
    page = _page(
        request, "problem.html", None, status=refused.status, problem=refused.sentence,
        passes=passes, may_repeat=is_read and refused.status != 404,
    )  # fmt: skip
    page.headers.update(refused.headers)
    if passes:
        page.headers["Refresh"] = str(_RELOAD_S)
    return page
