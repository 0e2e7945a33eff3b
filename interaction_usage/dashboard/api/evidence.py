"""The API of evidence: the events behind a maximum, other ways to bill, licences.

One answer at a time is made of events, whoever asks, and each may take some seconds at most:
reports and live streams have threads of their own, and do not wait for it (`heavy`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from redis.client import Redis
from starlette.concurrency import run_in_threadpool

from interaction_usage.dashboard.auth import Allowed, Asker
from interaction_usage.dashboard.errors import (
    InvalidValueError,
    RequestError,
)
from interaction_usage.dashboard.heavy import HeavyWork
from interaction_usage.dashboard.large import PacedResponse
from interaction_usage.dashboard.periods import Period, PeriodQuery, report_request, request_errors
from interaction_usage.dashboard.schemas import evidence as shapes
from interaction_usage.dashboard.schemas.long_sessions import LongSessions
from interaction_usage.reports.service import ReportRequest
from rollups.catalog import AGENT_SESSIONS, SERIES
from rollups.timestamps import SECOND, parse_rfc3339

if TYPE_CHECKING:
    from interaction_usage.explanations.service import Explainer

#: How many licences can be compared at once, and the most sessions that one may have.
MAX_LICENCES, MAX_SESSIONS = 100, 1_000_000

#: Sessions that are listed, and how a session can have ended.
MAX_LISTED: Final = 1000
STATES: Final = ("open", "limit", "stopped")

router = APIRouter(tags=["Evidence"])

Series = Annotated[
    str,
    Query(max_length=40, description="The curve.", json_schema_extra={"enum": list(SERIES)}),
]

Question = Callable[["Explainer", ReportRequest], Any]


@router.get("/accounts/{account}/explain", response_model=shapes.Explanation)
async def explain(
    request: Request,
    account: str,
    asker: Allowed,
    period: Period,
    series: Series = AGENT_SESSIONS,
    hour: Annotated[
        str | None,
        Query(
            max_length=40,
            description="An instant: only the hour of the wall clock that has it. In a query, "
            "write `%2B` for the plus sign.",
            examples=["2026-10-12T09:00:00Z"],
        ),
    ] = None,
) -> Response:
    """When the maximum was reached first, and exactly the sessions present at that second."""
    asker.must_see(account)
    _check_series(series)
    second = None if hour is None else _second(hour)

    def ask(explainer: "Explainer", wanted: ReportRequest) -> Any:
        answer = explainer.explain(wanted, series, second)
        if request.app.state.hides_sessions and not asker.is_operator:
            for session in answer["sessions"]:
                session |= {"session": None, "events": []}
        return answer

    return await _answer(request, account, asker, period, ask)


@router.get("/accounts/{account}/concurrency", response_model=shapes.OtherCounts)
async def concurrency(
    request: Request,
    account: str,
    asker: Allowed,
    period: Period,
    series: Series = AGENT_SESSIONS,
) -> Response:
    """Other ways to bill the same curve, side by side."""
    asker.must_see(account)
    _check_series(series)
    return await _answer(
        request, account, asker, period, lambda explainer, each: explainer.concurrency(each, series)
    )


@router.get("/accounts/{account}/capacity", response_model=list[shapes.Capacity])
async def capacity(
    request: Request,
    account: str,
    asker: Allowed,
    period: Period,
    sessions: Annotated[
        str,
        Query(
            max_length=1000,
            description="The licences, in sessions at once.",
            examples=["10,20,30"],
        ),
    ],
    series: Series = AGENT_SESSIONS,
) -> Response:
    """What a licence of each of so many sessions would have meant."""
    asker.must_see(account)
    _check_series(series)
    licences = _licences(sessions)
    return await _answer(
        request, account, asker, period,
        lambda explainer, each: explainer.capacity(each, series, licences)[0],
    )  # fmt: skip


@router.get("/accounts/{account}/long-sessions", response_model=LongSessions)
async def long_sessions(
    request: Request,
    account: str,
    asker: Allowed,
    period: Period,
    longer: Annotated[
        int, Query(ge=0, le=10 * 366 * 86_400, description="Only sessions of so many seconds.")
    ] = 3600,
    state: Annotated[
        Literal["any", "open", "limit", "stopped"],
        Query(description="Only those that are open, ended by the limit, or by a stop."),
    ] = "any",
) -> Response:
    """The sessions that were open for long in the period, or still are; the longest first."""
    asker.must_see(account)
    states = STATES if state == "any" else (state,)

    def ask(explainer: "Explainer", wanted: ReportRequest) -> Any:
        answer = explainer.long_sessions(wanted, longer, states, MAX_LISTED)
        if request.app.state.hides_sessions and not asker.is_operator:
            for session in answer["sessions"]:
                session["session"] = None
        return answer

    return await _answer(request, account, asker, period, ask)


async def _answer(
    request: Request, account: str, asker: Asker, period: PeriodQuery, question: Question
) -> Response:
    """Return the answer to *question* in the asker's turn. Raises RequestError."""
    explainer: Explainer | None = request.app.state.explainer
    if explainer is None:
        raise RequestError(
            501,
            "This server has no evidence: it needs the packages of "
            "`pip install 'interaction-usage[archive]'`.",
        )
    redis: Redis = request.app.state.redis
    wanted = await run_in_threadpool(report_request, redis, account, period)
    evidence: HeavyWork = request.app.state.evidence
    content = await evidence.run(
        asker.token, request.receive, lambda: orjson.dumps(_ask(explainer, wanted, question))
    )
    return PacedResponse(content, "application/json", None, request.app.state.large, asker.token)


def _ask(explainer: "Explainer", wanted: ReportRequest, question: Question) -> Any:
    """Return the answer; what is wrong with the request becomes a RequestError."""
    from interaction_usage.evidence.errors import EvidenceError
    from interaction_usage.explanations.errors import ExplanationError

    try:
        with request_errors():
            return question(explainer, wanted)
    except (EvidenceError, ExplanationError) as error:
        text = str(error)
        raise RequestError(503, f"{text[0].upper()}{text[1:]}.", {"Retry-After": "30"}) from None


def _check_series(series: str) -> None:
    if series not in SERIES:
        raise InvalidValueError(("query", "series"), f"a series is one of {', '.join(SERIES)}")


def _second(text: str) -> int:
    try:
        return parse_rfc3339(text) // SECOND
    except (ValueError, OverflowError) as error:
        raise InvalidValueError(("query", "hour"), str(error)) from None


def _licences(text: str) -> list[int]:
    pieces = [piece.strip() for piece in text.split(",")]
    if not all(piece.isascii() and piece.isdigit() and len(piece) <= 7 for piece in pieces):
        raise InvalidValueError(("query", "sessions"), "licences are numbers of sessions: 10,20,30")
    numbers = list(dict.fromkeys(map(int, pieces)))
    if len(numbers) > MAX_LICENCES or max(numbers) > MAX_SESSIONS:
        raise InvalidValueError(
            ("query", "sessions"),
            f"at most {MAX_LICENCES} licences of at most {MAX_SESSIONS:,} sessions",
        )
    return numbers
