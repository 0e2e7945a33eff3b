"""The JSON API: accounts, the Usage Report, the dashboard's reports, the live object."""

import random
import time
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from redis.client import Redis
from redis.exceptions import RedisError
from starlette.types import Receive, Scope, Send

from interaction_usage.dashboard import changes, logins, schemas, tokens, views
from interaction_usage.dashboard.auth import Allowed, AllowedToChange, Asker
from interaction_usage.dashboard.directory import Directory, DirectoryError, Found, matches
from interaction_usage.dashboard.errors import Invalid, NoSuchAccount, Refused
from interaction_usage.dashboard.heavy import HeavyWork
from interaction_usage.dashboard.large import PacedResponse
from interaction_usage.dashboard.limits import STREAM_LIFETIME_S, Shares
from interaction_usage.dashboard.live import look, members
from interaction_usage.dashboard.periods import Period
from interaction_usage.dashboard.reports import Asked, Breakdown, Impossible, Missing, Reports
from interaction_usage.dashboard.views import Runs, RunsByDay, shown
from interaction_usage.store import account_history, account_settings
from interaction_usage.store.errors import InvalidAccountSettingError
from interaction_usage.store.reads import Rollups, read_active
from rollups.catalog import ABANDONED, COMPLETED
from rollups.local_time import UnknownZone, midnight, offset_at, zone, zone_names
from rollups.slots import slot_of
from rollups.zone_change import ZoneChange, zone_change

T = TypeVar("T")

XLS = "application/vnd.ms-excel"

#: Accounts on one page of their list: if nothing is asked for, and at most.
DEFAULT_ACCOUNTS: Final = 100
MAX_ACCOUNTS: Final = 1000

_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {
        "model": schemas.Sentence,
        "description": "No token, or one that is not valid or has expired.",
    },
    404: {"model": schemas.Sentence, "description": "No such account, or not yours."},
    413: {"model": schemas.Sentence, "description": "The body is too large."},
    429: {
        "model": schemas.Sentence,
        "description": "Too many requests of this token at once, or too many wrong tokens; "
        "`Retry-After` says when to try again.",
    },
    503: {
        "model": schemas.Sentence,
        "description": "Too busy, or Redis does not answer; `Retry-After` says when to try again.",
    },
}

#: Seconds between two looks whether a viewer of the stream may still watch.
_RECHECK = 2.0

router = APIRouter(prefix="/api", responses=_REFUSALS)

Flow = Annotated[
    str | None,
    Query(min_length=1, max_length=200, description="Only this Interaction Flow."),
]


def _json(told: Any) -> Response:
    return Response(orjson.dumps(told), media_type="application/json")


def _made(make: Callable[[], T]) -> T:
    """Return what *make* returns; what it refuses is told to the asker."""
    try:
        return make()
    except Missing:
        raise NoSuchAccount from None
    except Impossible as error:
        raise Invalid(("query", error.field), str(error)) from None


async def _heavy(
    request: Request,
    asker: Asker,
    make: Callable[[], bytes],
    media_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Response:
    """Return what *make* returns, made in the asker's turn; what it refuses is told to them."""
    heavy: HeavyWork = request.app.state.heavy
    content = await heavy.run(asker.token, request.receive, lambda: _made(make))
    return PacedResponse(content, media_type, headers, request.app.state.large, asker.token)


def _breakdown(request: Request, asked: Asked) -> Breakdown:
    told: Breakdown = request.app.state.reports.breakdown(asked)
    return told


# ------------------------------------------------------------------------------ accounts


@router.get(
    "/accounts", response_model=list[schemas.Account], tags=["Accounts"],
    responses={200: {"headers": {
        "Link": {
            "description": "The address of the next page, `rel=\"next\"`, if there is one.",
            "schema": {"type": "string"},
        },
        "X-Total-Count": {
            "description": "How many accounts there are on all pages.",
            "schema": {"type": "integer"},
        },
    }}},
)  # fmt: skip
def list_accounts(
    request: Request,
    asker: Allowed,
    search: Annotated[
        str, Query(max_length=200, description="Only accounts with this in their name, id or zone.")
    ] = "",
    cursor: Annotated[
        str, Query(max_length=128, description="Only accounts whose ids come after this one.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_ACCOUNTS)] = DEFAULT_ACCOUNTS,
) -> Response:
    """The accounts that you may see, by id, a page at a time."""
    redis: Redis = request.app.state.redis
    if asker.account is None:
        found = _page(request, search, cursor, limit)
    else:
        found = _own(redis, asker.account, search, cursor)
    known = account_settings.get_many(redis, list(found.accounts))
    answer = _json(
        [
            {"account": name, **kept._asdict()}
            for name, kept in zip(found.accounts, known, strict=True)
        ]
    )
    answer.headers["X-Total-Count"] = str(found.total)
    if found.more:
        query = urlencode({"search": search, "cursor": found.accounts[-1], "limit": limit})
        answer.headers["Link"] = f'</api/accounts?{query}>; rel="next"'
    return answer


def _own(redis: Redis, account: str, search: str, cursor: str) -> Found:
    """Return the one account that its token may see, if it is asked for."""
    exists = Rollups.live(redis).exists(account) and account > cursor
    own = (
        [account]
        if exists and matches(search, account, account_settings.get(redis, account))
        else []
    )
    return Found(own, len(own), False)


def _page(request: Request, search: str, cursor: str, limit: int) -> Found:
    directory: Directory = request.app.state.directory
    try:
        return directory.page(search, cursor, limit)
    except DirectoryError:
        raise Refused(
            503, "The list of accounts is still being read; try again in a moment.",
            {"Retry-After": "2"},
        ) from None  # fmt: skip


@router.get("/accounts/{account}", response_model=schemas.AccountDetails, tags=["Accounts"])
def get_account(request: Request, account: str, asker: Allowed) -> Response:
    """One account."""
    return _json(_details(_visible(request, account, asker), account, asker))


@router.put(
    "/accounts/{account}", response_model=schemas.AccountDetails, tags=["Accounts"],
    responses={
        403: {
            "model": schemas.Sentence,
            "description": "Your token may not change this, or another site's page asked.",
        },
        429: {
            "model": schemas.Sentence,
            "description": "Too many wrong tokens, requests at once, or changes.",
        },
    },
)  # fmt: skip
def put_account(
    request: Request, account: str, change: schemas.AccountChange, asker: AllowedToChange
) -> Response:
    """Set what is given of an account and keep the rest; it exists from then on.

    A manager's token may set name and time zone of its account, an operator's everything.
    """
    asker.must_see(account)
    redis: Redis = request.app.state.redis
    given = change.model_dump(exclude_none=True)
    _must_be_allowed(request, account, asker, given)
    try:
        account_settings.put(redis, account, **given, author=asker.author)
    except UnknownZone as error:
        raise Invalid(("body", "timezone"), str(error)) from None
    except InvalidAccountSettingError as error:
        raise Invalid(("body", "name"), str(error)) from None
    return _json(_details(Rollups.live(redis), account, asker))


def _must_be_allowed(
    request: Request, account: str, asker: Asker, given: Mapping[str, object]
) -> None:
    """Raise Refused unless *asker* may set the fields *given* of *account* now."""
    if asker.is_operator:
        return
    if not asker.role.may_change:
        raise Refused(403, "This token may view the account, but not change its settings.")
    if not asker.role.may_change.issuperset(given):
        raise Refused(
            403,
            "This token may change the name and the time zone; what applies to the account, DNIS "
            "and SMS, is set by an operator.",
        )
    _visible(request, account, asker)  # only an operator makes accounts
    if wait := changes.seconds_to_wait(request.app.state.redis, account):
        minutes = -(-wait // 60)
        raise Refused(
            429,
            f"These settings were changed {changes.MOST} times within an hour; try again in "
            f"{minutes} {'minute' if minutes == 1 else 'minutes'}.",
            {"Retry-After": str(wait)},
        )


def _details(rollups: Rollups, account: str, asker: Asker) -> dict[str, Any]:
    return {
        "account": account,
        **account_settings.get(rollups.redis, account)._asdict(),
        "counted": rollups.has_events(account),
        "session_limits": rollups.limits(),
        "may_change": sorted(asker.role.may_change),
    }


@router.get("/accounts/{account}/history", response_model=schemas.AccountHistory, tags=["Accounts"])
def account_changes(
    request: Request,
    account: str,
    asker: Allowed,
    limit: Annotated[int, Query(ge=1, le=changes.MOST_SHOWN, description="At most so many.")] = 50,
    before: Annotated[
        str | None, Query(max_length=40, description="Only changes before this id.")
    ] = None,
) -> Response:
    """Every change of the account's settings, newest first."""
    rollups = _visible(request, account, asker)
    try:
        found = account_history.read(rollups.redis, account, limit, before)
    except ValueError as error:
        raise Invalid(("query", "before"), str(error)) from None
    rows = [changes.members(each, for_operator=asker.is_operator) for each in found]
    return _json({"changes": rows, "next": found[-1].id if len(found) == limit else None})


@router.get(
    "/accounts/{account}/timezone-change", response_model=schemas.ZoneChange, tags=["Accounts"]
)
def timezone_change(
    request: Request,
    account: str,
    asker: Allowed,
    to: Annotated[str, Query(max_length=100, description="IANA name of the new time zone.")],
) -> Response:
    """What another time zone would do to days and bills; nothing is changed."""
    rollups = _visible(request, account, asker)
    now = account_settings.get(rollups.redis, account).timezone
    try:
        new = zone(to)
    except UnknownZone as error:
        raise Invalid(("query", "to"), str(error)) from None
    try:
        change = zone_change(int(time.time()), zone(now), new)
    except UnknownZone:  # it was set when such a name was taken: there is nothing to compare with
        change = ZoneChange(now, new.key, ())
    months = [
        {
            "before": f"{edge.before:%Y-%m}", "month": f"{edge.month:%Y-%m}",
            "ended": shown(datetime.fromtimestamp(edge.ended, UTC)),
            "begins": shown(datetime.fromtimestamp(edge.begins, UTC)), "seconds": edge.seconds,
        }
        for edge in change.edges
    ]  # fmt: skip
    return _json(
        {"from": change.old, "to": change.new, "months": months, "sentences": change.sentences()}
    )


@router.get("/timezones", response_model=list[schemas.Zone], tags=["Accounts"])
def list_timezones(asker: Allowed) -> Response:
    """Every IANA time zone, with its offset now."""
    return _json(_zones(int(time.time()) // 60))


@lru_cache(maxsize=1)
def _zones(minute: int) -> list[dict[str, Any]]:
    """Return every zone in that minute; to read 600 files for each request is too much."""
    return [
        {"name": name, "offset": offset_at(minute * 60, zone(name))}
        for name in sorted(zone_names())
    ]


# ------------------------------------------------------------------------------- reports


@router.get("/accounts/{account}/report", response_model=schemas.Report, tags=["Usage Report"])
async def report(request: Request, asked: Period, asker: Allowed) -> Response:
    """The Usage Report, as `usage export --format json` writes it."""
    reports: Reports = request.app.state.reports
    return await _heavy(request, asker, lambda: reports.document(asked))


@router.get(
    "/accounts/{account}/usage.xls", tags=["Usage Report"], response_class=Response,
    responses={200: {"content": {XLS: {}}, "description": "The file."}},
)  # fmt: skip
async def usage_xls(request: Request, asked: Period, asker: Allowed) -> Response:
    """The Usage Report as a spreadsheet, the same bytes as `usage export` writes."""
    reports: Reports = request.app.state.reports
    disposition = {"Content-Disposition": 'attachment; filename="usage.xls"'}
    return await _heavy(request, asker, lambda: reports.spreadsheet(asked), XLS, disposition)


@router.get("/accounts/{account}/dashboard", response_model=schemas.Dashboard, tags=["Dashboard"])
async def dashboard(request: Request, asked: Period, asker: Allowed, flow: Flow = None) -> Response:
    """All reports of the dashboard but `heat`, from one reading."""

    def make() -> bytes:
        whole = _breakdown(request, asked)
        runs = _runs_of_flow(request, whole, flow)
        return orjson.dumps(
            {
                "usage": views.usage(whole, flow, runs),
                "applications": views.applications(whole),
                "concurrency": views.concurrency(whole),
                "resolution": views.resolution(whole, flow, runs),
                "connectivity": views.connectivity(whole),
            }
        )

    return await _heavy(request, asker, make)


@router.get("/accounts/{account}/dashboard/usage", response_model=schemas.Usage, tags=["Dashboard"])
async def dashboard_usage(
    request: Request, asked: Period, asker: Allowed, flow: Flow = None
) -> Response:
    """Flow runs per day, begun and abandoned."""

    def make() -> bytes:
        whole = _breakdown(request, asked)
        return orjson.dumps(views.usage(whole, flow, _runs_of_flow(request, whole, flow)))

    return await _heavy(request, asker, make)


@router.get("/accounts/{account}/dashboard/heat", response_model=schemas.Heat, tags=["Dashboard"])
async def dashboard_heat(
    request: Request,
    asked: Period,
    asker: Allowed,
    flow: Flow = None,
    limit: Annotated[int, Query(ge=1, le=views.MOST_FLOWS)] = views.MOST_FLOWS,
) -> Response:
    """How often each flow ran, most used first; beyond `limit`, the exact sum of the rest."""
    reports: Reports = request.app.state.reports
    return await _heavy(
        request, asker, lambda: orjson.dumps(views.heat(reports.flows(asked), flow, limit))
    )


@router.get(
    "/accounts/{account}/dashboard/applications",
    response_model=schemas.Applications, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_applications(request: Request, asked: Period, asker: Allowed) -> Response:
    """Flow runs by application."""
    return await _heavy(
        request, asker, lambda: orjson.dumps(views.applications(_breakdown(request, asked)))
    )


@router.get(
    "/accounts/{account}/dashboard/concurrency",
    response_model=schemas.Concurrency, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_concurrency(request: Request, asked: Period, asker: Allowed) -> Response:
    """The highest concurrency per day for each series, its hour, the average; hour by day."""
    return await _heavy(
        request, asker, lambda: orjson.dumps(views.concurrency(_breakdown(request, asked)))
    )


@router.get(
    "/accounts/{account}/dashboard/resolution",
    response_model=schemas.Resolution, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_resolution(
    request: Request, asked: Period, asker: Allowed, flow: Flow = None
) -> Response:
    """Flow runs against those that turned to call, callback or chat."""

    def make() -> bytes:
        whole = _breakdown(request, asked)
        return orjson.dumps(views.resolution(whole, flow, _runs_of_flow(request, whole, flow)))

    return await _heavy(request, asker, make)


@router.get(
    "/accounts/{account}/dashboard/connectivity",
    response_model=schemas.Connectivity, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_connectivity(request: Request, asked: Period, asker: Allowed) -> Response:
    """Clicks by service."""
    return await _heavy(
        request, asker, lambda: orjson.dumps(views.connectivity(_breakdown(request, asked)))
    )


def _runs_of_flow(request: Request, whole: Breakdown, flow: str | None) -> RunsByDay | None:
    """Return the runs of *flow* by local day of the report; None without one."""
    if flow is None:
        return None
    tz = zone(whole.timezone)
    days = [whole.first + timedelta(days=n) for n in range((whole.last - whole.first).days + 1)]
    edges = [slot_of(midnight(day, tz)) for day in (*days, whole.last + timedelta(days=1))]
    slots = read_active(
        request.app.state.redis,
        lambda rollups: rollups.flow_by_slot(whole.account, flow, edges[0], edges[-1]),
    )
    return _by_day(days, [edge - edges[0] for edge in edges], slots)


def _by_day(days: list[date], edges: list[int], slots: dict[str, list[int]]) -> RunsByDay:
    stretches = zip(days, edges[:-1], edges[1:], strict=True)
    return {
        day: Runs(sum(slots[COMPLETED][begin:end]), sum(slots[ABANDONED][begin:end]))
        for day, begin, end in stretches
    }


# ---------------------------------------------------------------------------------- live


@router.get("/accounts/{account}/live", response_model=schemas.Live, tags=["Live"])
def live(request: Request, account: str, asker: Allowed) -> Response:
    """The current hour: each series now, its peak so far, its last 60 minutes by the second."""
    _visible(request, account, asker)
    second = int(time.time())
    found = read_active(request.app.state.redis, lambda rollups: look(rollups, account, second))
    health = request.app.state.watch.health()
    return _json(members(found, health if asker.is_operator else health.for_customers()))


@router.get(
    "/accounts/{account}/live/stream", tags=["Live"], response_class=StreamingResponse,
    responses={200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "Server-sent events, about one a second while Redis answers. Each is the "
        "live object; its `curve` begins at the first second that has changed since the event "
        "before, in the first event at the first of the last 60 minutes.",
    }},
)  # fmt: skip
def live_stream(request: Request, account: str, asker: Allowed) -> StreamingResponse:
    """The live object as it changes."""
    _visible(request, account, asker)
    return _Stream(request.app.state.streams, asker, _events(request, account, asker))


class _Stream(StreamingResponse):
    """Server-sent events; one of the *streams* that there may be, for as long as it is sent."""

    def __init__(self, streams: Shares, asker: Asker, events: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._streams, self._asker = streams, asker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Raises Refused where there are too many."""
        with self._streams.taken(self._asker.token):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the events, and let go of the account also where that ends in the middle of one."""
        async with aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().stream_response(send)


async def _events(request: Request, account: str, asker: Asker) -> AsyncIterator[bytes]:
    """Yield the stream, for as long as the asker may see the account, and an hour at most."""
    checked = time.monotonic()
    # Not all at the same second, or those that began together would come back together.
    ends = checked + STREAM_LIFETIME_S * random.uniform(0.9, 1.0)
    async with aclosing(request.app.state.broadcast.watch(account, asker.is_operator)) as events:
        async for event in events:
            if time.monotonic() > ends:
                return
            if time.monotonic() - checked > _RECHECK:
                checked = time.monotonic()
                if not await to_thread(_still_may, request, asker):
                    return
            yield event


def _still_may(request: Request, asker: Asker) -> bool:
    try:
        redis = request.app.state.redis
        second = int(time.time())
        if asker.login is not None:
            return logins.find(redis, asker.login.secret, second) is not None
        token = tokens.by_digest(redis, asker.token) if asker.token else None
        return asker.token is None or (token is not None and not token.is_expired(second))
    except RedisError:
        return True  # the stream says that Redis is away, and is asked again


def _visible(request: Request, account: str, asker: Asker) -> Rollups:
    """Return the rollups in force. Raises NoSuchAccount unless *account* is there to be seen."""
    asker.must_see(account)
    rollups = Rollups.live(request.app.state.redis)
    if not rollups.exists(account):
        raise NoSuchAccount
    return rollups
