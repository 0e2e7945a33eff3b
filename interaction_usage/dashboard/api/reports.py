"""The API of reports: the Usage Report, and the dashboard's views of it.

Each route checks with `asker.must_see` that the account is the asker's to see. Then the period is
completed and the report made in the asker's turn, in a thread (`heavy`).
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Annotated, NamedTuple

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from redis.client import Redis
from starlette.concurrency import run_in_threadpool

from export.formats import FORMATS
from interaction_usage.dashboard import views
from interaction_usage.dashboard.auth import Allowed, Asker
from interaction_usage.dashboard.errors import InvalidValueError
from interaction_usage.dashboard.heavy import HeavyWork
from interaction_usage.dashboard.large import PacedResponse
from interaction_usage.dashboard.periods import Period, PeriodQuery, report_request, request_errors
from interaction_usage.dashboard.schemas import reports as shapes
from interaction_usage.dashboard.spans import MOST_DAYS_BY_HOUR, By, Span, spans
from interaction_usage.dashboard.views import Runs, RunsOfFlow, Spans, View
from interaction_usage.reports.model import Report, hour_of
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


@router.get("/accounts/{account}/report", response_model=shapes.Report, tags=["Usage Report"])
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


class Breakdown(NamedTuple):
    """A report in spans, with the runs of one flow if one is asked for."""

    report: Report
    within: Spans
    flow: str | None
    of_flow: RunsOfFlow | None


Shown = Callable[[Breakdown], View]

Wanted = Annotated[
    By,
    Query(
        description="What each item of `days` covers: an hour, a day, a week from Monday on, or a "
        f"month, of the period's days. Hours for at most {MOST_DAYS_BY_HOUR} days."
    ),
]


def _all(shown: Breakdown) -> View:
    report, within, flow, of_flow = shown
    return {
        "usage": views.usage(report, within, flow, of_flow),
        "applications": views.applications(report, within),
        "concurrency": views.concurrency(report, within),
        "resolution": views.resolution(report, within, flow, of_flow),
        "connectivity": views.connectivity(report, within),
        "heat": views.heat(report),
        "report": orjson.Fragment(FORMATS["json"](report)),
    }


@router.get("/accounts/{account}/dashboard", response_model=shapes.Dashboard, tags=["Dashboard"])
async def dashboard(
    request: Request, account: str, asker: Allowed, period: Period, flow: Flow = None,
    by: Wanted = By.DAY,
) -> Response:  # fmt: skip
    """All reports of the dashboard and the Usage Report, from one reading."""
    asker.must_see(account)
    return await _view(request, account, asker, period, _all, by, flow, Detail.ALL)


@router.get("/accounts/{account}/dashboard/usage", response_model=shapes.Usage, tags=["Dashboard"])
async def dashboard_usage(
    request: Request, account: str, asker: Allowed, period: Period, flow: Flow = None,
    by: Wanted = By.DAY,
) -> Response:  # fmt: skip
    """Flow runs, begun and abandoned."""
    asker.must_see(account)
    return await _view(request, account, asker, period, lambda shown: views.usage(*shown), by, flow)


@router.get("/accounts/{account}/dashboard/heat", response_model=shapes.Heat, tags=["Dashboard"])
async def dashboard_heat(
    request: Request,
    account: str,
    asker: Allowed,
    period: Period,
    flow: Flow = None,
    limit: Annotated[int | None, Query(ge=1, le=views.MOST_FLOWS)] = None,
) -> Response:
    """How often each flow ran, most used first; beyond `limit`, the exact sum of the rest."""
    asker.must_see(account)

    def render(report: Report) -> bytes:
        return orjson.dumps(views.heat(report, flow, limit))

    return await _answer(request, account, asker, period, Detail.FLOWS, render)


@router.get(
    "/accounts/{account}/dashboard/applications",
    response_model=shapes.Applications, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_applications(
    request: Request, account: str, asker: Allowed, period: Period, by: Wanted = By.DAY
) -> Response:
    """Flow runs by application."""
    asker.must_see(account)
    return await _view(
        request, account, asker, period, lambda shown: views.applications(*shown[:2]), by
    )


@router.get(
    "/accounts/{account}/dashboard/concurrency",
    response_model=shapes.Concurrency, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_concurrency(
    request: Request, account: str, asker: Allowed, period: Period, by: Wanted = By.DAY
) -> Response:
    """The highest concurrency of each series, its hour, the average; and hour by day."""
    asker.must_see(account)
    return await _view(
        request, account, asker, period, lambda shown: views.concurrency(*shown[:2]), by
    )


@router.get(
    "/accounts/{account}/dashboard/resolution",
    response_model=shapes.Resolution, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_resolution(
    request: Request, account: str, asker: Allowed, period: Period, flow: Flow = None,
    by: Wanted = By.DAY,
) -> Response:  # fmt: skip
    """Flow runs against those that turned to call, callback or chat."""
    asker.must_see(account)
    return await _view(
        request, account, asker, period, lambda shown: views.resolution(*shown), by, flow
    )


@router.get(
    "/accounts/{account}/dashboard/connectivity",
    response_model=shapes.Connectivity, tags=["Dashboard"],
)  # fmt: skip
async def dashboard_connectivity(
    request: Request, account: str, asker: Allowed, period: Period, by: Wanted = By.DAY
) -> Response:
    """Clicks by service."""
    asker.must_see(account)
    return await _view(
        request, account, asker, period, lambda shown: views.connectivity(*shown[:2]), by
    )


# ---------------------------------------------------------------------- making the answers


async def _view(
    request: Request,
    account: str,
    asker: Asker,
    period: PeriodQuery,
    show: Shown,
    by: By,
    flow: str | None = None,
    detail: Detail = Detail.HOURS,
) -> Response:
    """Return what *show* makes of the report, broken down *by*, as JSON."""
    redis: Redis = request.app.state.redis

    def render(report: Report) -> bytes:
        days = (report.last - report.first).days + 1
        if by is By.HOUR and days > MOST_DAYS_BY_HOUR:
            raise InvalidValueError(
                ("query", "by"), f"hours are for at most {MOST_DAYS_BY_HOUR} days, not {days}"
            )
        within = spans(report, by)
        of_flow = None if flow is None else _runs_of_flow(redis, report, flow, within)
        return orjson.dumps(show(Breakdown(report, within, flow, of_flow)))

    if by is By.HOUR:
        detail |= Detail.HOUR_COUNTS
    return await _answer(request, account, asker, period, detail, render)


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
    with request_errors():
        return make_report(redis, asked, detail)


def _runs_of_flow(redis: Redis, report: Report, flow: str, within: Sequence[Span]) -> RunsOfFlow:
    """Return the runs of *flow* in each span of the report."""
    tz = zone(report.timezone)
    begin, end = midnight(report.first, tz), midnight(report.last + timedelta(days=1), tz)
    origin = slot_of(begin)
    slots = read_active(
        redis, lambda rollups: rollups.flow_by_slot(report.account, flow, origin, slot_of(end))
    )
    found = []
    for span in within:
        if span.begins is None:
            edges = midnight(span.first, tz), midnight(span.last + timedelta(days=1), tz)
        else:
            hour = int(span.begins.timestamp())
            edges = hour, hour + hour_of(report.hours.runs, span.hours.start)[1]
        stretch = slice(slot_of(edges[0]) - origin, slot_of(edges[1]) - origin)
        found.append(Runs(sum(slots[COMPLETED][stretch]), sum(slots[ABANDONED][stretch])))
    return found
