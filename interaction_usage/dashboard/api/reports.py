"""The API of reports: the Usage Report, and the dashboard's views of it.

Each route checks with `asker.must_see` that the account is the asker's to see. Then the period is
completed and the report made in the asker's turn, in a thread (`heavy`).
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from redis.client import Redis
from starlette.concurrency import run_in_threadpool

from export.formats import FORMATS
from interaction_usage.dashboard import schemas, views
from interaction_usage.dashboard.auth import Allowed, Asker
from interaction_usage.dashboard.errors import AccountNotFoundError, InvalidValueError
from interaction_usage.dashboard.heavy import HeavyWork
from interaction_usage.dashboard.large import PacedResponse
from interaction_usage.dashboard.periods import Period, PeriodQuery, report_request
from interaction_usage.dashboard.views import Runs, RunsByDay, View
from interaction_usage.reports.errors import PeriodError, ReportError, UnknownAccountError
from interaction_usage.reports.model import Report
from interaction_usage.reports.service import Detail, ReportRequest, make_report
from interaction_usage.store.reads import read_active
from rollups.catalog import ABANDONED, COMPLETED
from rollups.local_time import midnight, zone
from rollups.slots import slot_of

XLS = "application/vnd.ms-excel"

router = APIRouter()

Flow = Annotated[
    str | None,
    Query(min_length=1, max_length=200, description="Only this Interaction Flow."),
]


# ---------------------------------------------------------------------- the Usage Report


@router.get("/accounts/{account}/report", response_model=schemas.Report, tags=["Usage Report"])
async def report(request: Request, account: str, asker: Allowed, period: Period) -> Response:
    """The Usage Report, as `usage export --format json` writes it."""
    asker.must_see(account)
    return await _answer(request, account, asker, period, Detail.TOTALS, FORMATS["json"])


@router.get(
    "/accounts/{account}/usage.xls", tags=["Usage Report"], response_class=Response,
    responses={200: {"content": {XLS: {}}, "description": "The file."}},
)  # fmt: skip
async def usage_xls(request: Request, account: str, asker: Allowed, period: Period) -> Response:
    """The Usage Report as a spreadsheet, the same bytes as `usage export` writes."""
    asker.must_see(account)
    answer = await _answer(request, account, asker, period, Detail.ALL, FORMATS["xls"], XLS)
    answer.headers["Content-Disposition"] = 'attachment; filename="usage.xls"'
    return answer


# --------------------------------------------------------------------- the dashboard's views


@router.get("/accounts/{account}/dashboard", response_model=schemas.Dashboard, tags=["Dashboard"])
async def dashboard(
    request: Request, account: str, asker: Allowed, period: Period, flow: Flow = None
) -> Response:
    """All reports of the dashboard but `heat`, from one reading."""
    asker.must_see(account)
    redis: Redis = request.app.state.redis

    def view(whole: Report) -> View:
        runs = _runs_of_flow(redis, whole, flow)
        return {
            "usage": views.usage(whole, flow, runs),
            "applications": views.applications(whole),
            "concurrency": views.concurrency(whole),
            "resolution": views.resolution(whole, flow, runs),
            "connectivity": views.connectivity(whole),
        }

    return await _view(request, account, asker, period, view)


@router.get("/accounts/{account}/dashboard/usage", response_model=schemas.Usage, tags=["Dashboard"])
async def dashboard_usage(
    request: Request, account: str, asker: Allowed, period: Period, flow: Flow = None
) -> Response:
    """Flow runs per day, begun and abandoned."""
    asker.must_see(account)
    return await _view(request, account, asker, period, _of_flow(request, views.usage, flow))


@router.get("/accounts/{account}/dashboard/heat", response_model=schemas.Heat, tags=["Dashboard"])
async def dashboard_heat(
    request: Request,
    account: str,
    asker: Allowed,
    period: Period,
    flow: Flow = None,
    limit: Annotated[int, Query(ge=1, le=views.MOST_FLOWS)] = views.MOST_FLOWS,
) -> Response:
    """How often each flow ran, most used first; beyond `limit`, the exact sum of the rest."""
    asker.must_see(account)

    def view(whole: Report) -> View:
        return views.heat(whole, flow, limit)

    return await _view(request, account, asker, period, view, Detail.FLOWS)


@router.get(
    "/accounts/{account}/dashboard/applications",
    response_model=schemas.Applications, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_applications(
    request: Request, account: str, asker: Allowed, period: Period
) -> Response:
    """Flow runs by application."""
    asker.must_see(account)
    return await _view(request, account, asker, period, views.applications)


@router.get(
    "/accounts/{account}/dashboard/concurrency",
    response_model=schemas.Concurrency, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_concurrency(
    request: Request, account: str, asker: Allowed, period: Period
) -> Response:
    """The highest concurrency per day for each series, its hour, the average; hour by day."""
    asker.must_see(account)
    return await _view(request, account, asker, period, views.concurrency)


@router.get(
    "/accounts/{account}/dashboard/resolution",
    response_model=schemas.Resolution, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_resolution(
    request: Request, account: str, asker: Allowed, period: Period, flow: Flow = None
) -> Response:
    """Flow runs against those that turned to call, callback or chat."""
    asker.must_see(account)
    return await _view(request, account, asker, period, _of_flow(request, views.resolution, flow))


@router.get(
    "/accounts/{account}/dashboard/connectivity",
    response_model=schemas.Connectivity, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_connectivity(
    request: Request, account: str, asker: Allowed, period: Period
) -> Response:
    """Clicks by service."""
    asker.must_see(account)
    return await _view(request, account, asker, period, views.connectivity)


# ---------------------------------------------------------------------- making the answers


async def _view(
    request: Request,
    account: str,
    asker: Asker,
    period: PeriodQuery,
    view: Callable[[Report], View],
    detail: Detail = Detail.HOURS,
) -> Response:
    """Return what *view* shows of the report as JSON."""
    return await _answer(
        request, account, asker, period, detail, lambda whole: orjson.dumps(view(whole))
    )


async def _answer(
    request: Request,
    account: str,
    asker: Asker,
    period: PeriodQuery,
    detail: Detail,
    render: Callable[[Report], bytes],
    media_type: str = "application/json",
) -> Response:
    """Return the report as *render* makes it, in the asker's turn. Raises RequestError."""
    redis: Redis = request.app.state.redis
    asked = await run_in_threadpool(report_request, redis, account, period)
    heavy: HeavyWork = request.app.state.heavy
    content = await heavy.run(
        asker.token, request.receive, lambda: render(_make(redis, asked, detail))
    )
    return PacedResponse(content, media_type, None, request.app.state.large, asker.token)


def _make(redis: Redis, asked: ReportRequest, detail: Detail) -> Report:
    """Return the report; what is wrong with the request becomes a RequestError."""
    try:
        return make_report(redis, asked, detail)
    except UnknownAccountError:
        raise AccountNotFoundError from None
    except PeriodError as error:
        raise InvalidValueError(("query", "from"), str(error)) from None
    except ReportError as error:
        raise InvalidValueError(("query", "tz"), str(error)) from None


def _of_flow(
    request: Request, view: Callable[[Report, str | None, RunsByDay | None], View], flow: str | None
) -> Callable[[Report], View]:
    """Return *view* for one flow, or for all where *flow* is None."""
    redis: Redis = request.app.state.redis
    return lambda whole: view(whole, flow, _runs_of_flow(redis, whole, flow))


def _runs_of_flow(redis: Redis, whole: Report, flow: str | None) -> RunsByDay | None:
    """Return the runs of *flow* by local day of the report; None without one."""
    if flow is None:
        return None
    tz = zone(whole.timezone)
    days = [whole.first + timedelta(days=n) for n in range((whole.last - whole.first).days + 1)]
    edges = [slot_of(midnight(day, tz)) for day in (*days, whole.last + timedelta(days=1))]
    slots = read_active(
        redis, lambda rollups: rollups.flow_by_slot(whole.account, flow, edges[0], edges[-1])
    )
    return _by_day(days, [edge - edges[0] for edge in edges], slots)


def _by_day(days: list[date], edges: list[int], slots: dict[str, list[int]]) -> RunsByDay:
    stretches = zip(days, edges[:-1], edges[1:], strict=True)
    return {
        day: Runs(sum(slots[COMPLETED][begin:end]), sum(slots[ABANDONED][begin:end]))
        for day, begin, end in stretches
    }
