"""The API of issued reports: their list, what was issued, what differs now; issuing, for operators.

A request about one account costs as much as a few reports of it, and is made in the asker's turn,
as reports are (`heavy`).
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from redis.client import Redis

from export.json_renderer import document
from interaction_usage.dashboard.api.answers import json_answer, visible_rollups
from interaction_usage.dashboard.auth import Allowed, AllowedToChange, Asker
from interaction_usage.dashboard.errors import (
    AccountNotFoundError,
    InvalidValueError,
    RequestError,
)
from interaction_usage.dashboard.limits import BusyError
from interaction_usage.dashboard.schemas import issued as shapes
from interaction_usage.dashboard.schemas.reports import Report as ReportShape
from interaction_usage.dashboard.schemas.shared import Sentence
from interaction_usage.issued import issuing, reading
from interaction_usage.issued.errors import IssueError, UnknownNumberError, sentence
from interaction_usage.issued.manifest import list_members
from interaction_usage.issued.reproduction import report_now
from interaction_usage.issued.standing import standings
from interaction_usage.issued.succession import Terms
from interaction_usage.reports.errors import PeriodError, ReportError
from interaction_usage.reports.service import ReportBatch, check_request
from interaction_usage.store.issued_table import StoredReport, parse_number
from interaction_usage.store.reads import Rollups

XLS: Final = "application/vnd.ms-excel"

router = APIRouter(prefix="/accounts/{account}/issued-reports", tags=["Issued reports"])

_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    403: {
        "model": Sentence,
        "description": "Only operators issue reports, or another site's page asked.",
    },
    409: {
        "model": Sentence,
        "description": "The report cannot be issued: it is incomplete, its period has not ended, "
        "or it leaves a gap or overlaps an issued one.",
    },
}


@router.get("", response_model=list[shapes.IssuedReport])
async def list_issued_reports(request: Request, account: str, asker: Allowed) -> Response:
    """The issued reports of the account, by number, and what each would say now."""
    redis: Redis = request.app.state.redis

    def found() -> Response:
        visible_rollups(request, account, asker)
        return json_answer([_members(each) for each in standings(redis, account, _now())])

    return await _in_turn(request, asker, found)


@router.post(
    "", response_model=shapes.IssuedNumber, status_code=201, responses=_REFUSED,
)  # fmt: skip
async def issue_report(
    request: Request, account: str, order: shapes.IssueOrder, asker: AllowedToChange
) -> Response:
    """Issue the report of a period that has ended: it is stored for ever and never changes.

    If one is issued for this period already, that one's number is the answer. Operators only.
    """
    return await _in_turn(request, asker, partial(_issue, request, account, order, asker))


@router.get("/preview", response_model=shapes.IssuePreview, responses=_REFUSED)
async def preview_report(
    request: Request,
    account: str,
    asker: Allowed,
    first: Annotated[date, Query(alias="from", description="First local day.")],
    to: Annotated[date, Query(description="Last local day, inclusive.")],
    revises: Annotated[
        str | None, Query(max_length=140, description="The number of the report to revise.")
    ] = None,
) -> Response:
    """What would be issued, and what would hold it up. Operators only."""
    order = shapes.IssueOrder.model_validate({"from": first, "to": to, "revises": revises})
    return await _in_turn(request, asker, partial(_preview, request, account, order, asker))


@router.get("/{number}", response_model=ReportShape)
async def issued_report(request: Request, account: str, number: str, asker: Allowed) -> Response:
    """An issued report: the bytes whose SHA-256 is in the manifest."""
    return await _in_turn(request, asker, lambda: _file(request, account, number, asker, "json"))


@router.get(
    "/{number}/usage.xls", response_class=Response,
    responses={200: {"content": {XLS: {}}, "description": "The file."}},
)  # fmt: skip
async def issued_xls(request: Request, account: str, number: str, asker: Allowed) -> Response:
    """The spreadsheet that was issued."""
    return await _in_turn(request, asker, lambda: _file(request, account, number, asker, "xls"))


@router.get("/{number}/manifest", response_model=dict[str, Any])
async def issued_manifest(request: Request, account: str, number: str, asker: Allowed) -> Response:
    """What an issued report was made of, and the SHA-256 of its files."""

    def found() -> Response:
        return json_answer(_find(request, account, number, asker).manifest)

    return await _in_turn(request, asker, found)


@router.get("/{number}/difference", response_model=shapes.IssuedDifference)
async def issued_difference(
    request: Request, account: str, number: str, asker: Allowed
) -> Response:
    """What an issued report would say now, cell by cell.

    `usage reports diff` lists the events behind it as well, which takes a look into Kafka.
    """

    def found() -> Response:
        now = _now_of(request, _find(request, account, number, asker))
        cells = [
            {"path": cell.path, "issued": cell.before, "now": cell.after} for cell in now.cells
        ]
        return json_answer({"number": number, "changed": bool(cells), "cells": cells})

    return await _in_turn(request, asker, found)


# ---------------------------------------------------------------------- making the answers


async def _in_turn(request: Request, asker: Asker, work: Callable[[], Response]) -> Response:
    answer: Response = await request.app.state.heavy.run(asker.token, request.receive, work)
    return answer


def _now() -> datetime:
    return datetime.now(UTC)


def _members(each: Any) -> dict[str, Any]:
    return {
        **list_members(each.entry),
        "revised_by": each.revised_by,
        "changed": each.changed,
        "adjusts": each.entry.adjusted_numbers,
        "adjusted_by": each.adjusted_by,
    }


def _find(request: Request, account: str, number: str, asker: Asker) -> StoredReport:
    """Return an issued report of *account*. Raises RequestError."""
    visible_rollups(request, account, asker)
    try:
        report = reading.find(request.app.state.redis, number)
    except UnknownNumberError:
        raise RequestError(404, "There is no such issued report.") from None
    if report.entry.account != account:
        raise RequestError(404, "There is no such issued report.")
    return report


def _file(request: Request, account: str, number: str, asker: Asker, file_format: str) -> Response:
    content = reading.content(_find(request, account, number, asker), file_format)
    if file_format == "json":
        return Response(content, media_type="application/json")
    headers = {"Content-Disposition": f'attachment; filename="{number.replace(":", "+")}.xls"'}
    return Response(content, media_type=XLS, headers=headers)


def _now_of(request: Request, report: StoredReport) -> Any:
    try:
        return report_now(request.app.state.redis, report, _now())
    except ReportError as error:
        raise RequestError(409, f"The report cannot be made now: {error}.") from None


def _order(account: str, wanted: shapes.IssueOrder, asker: Asker) -> issuing.Order:
    """Return what is to be issued. Raises RequestError."""
    if not asker.is_operator:
        raise RequestError(403, "Only operators issue reports.")
    asker.must_see(account)
    batch = ReportBatch(wanted.first, wanted.to, None, _now())
    try:
        check_request(*batch)
    except PeriodError as error:
        raise InvalidValueError(("body", "from"), str(error)) from None
    return issuing.Order(
        batch, asker.author.name, Terms(wanted.gap, wanted.overlap, _revised(account, wanted))
    )


def _revised(account: str, wanted: shapes.IssueOrder) -> int | None:
    if wanted.revises is None:
        return None
    try:
        owner, ordinal = parse_number(wanted.revises)
    except ValueError as error:
        raise InvalidValueError(("body", "revises"), str(error)) from None
    if owner != account:
        raise InvalidValueError(("body", "revises"), "this is a report of another account")
    return ordinal


def _preview(request: Request, account: str, wanted: shapes.IssueOrder, asker: Asker) -> Response:
    redis: Redis = request.app.state.redis
    order = _order(account, wanted, asker)._replace(count_events=request.app.state.count_events)
    if not Rollups.live(redis).exists(account):
        raise AccountNotFoundError
    try:
        found = issuing.preview(redis, account, order)
    except ReportError as error:
        raise RequestError(409, f"The report cannot be made: {error}.") from None
    number = found.issued.number if found.issued else found.number
    report = issuing.issued_form(found.basis.report, number, None, found.adjustments)
    return json_answer(
        {
            "number": number,
            "issued": found.issued is not None,
            "timezone": report.timezone,
            "obstacles": [] if found.issued else [_obstacle(each) for each in found.obstacles],
            "report": document(report),
        }
    )


def _obstacle(error: IssueError) -> dict[str, str]:
    return {"kind": type(error).__name__.removesuffix("Error"), "sentence": sentence(error)}


def _issue(request: Request, account: str, wanted: shapes.IssueOrder, asker: Asker) -> Response:
    state = request.app.state
    order = _order(account, wanted, asker)
    if not Rollups.live(state.redis).exists(account):
        raise AccountNotFoundError
    if not state.changing.acquire(blocking=False):
        raise BusyError(503, "The server is busy with changes; try again in a moment.")
    try:
        if wanted.revises is not None and state.explain:
            stored = _find(request, account, wanted.revises, asker)
            order = order._replace(explain=partial(state.explain, stored))
        order = order._replace(count_events=state.count_events)
        [outcome] = issuing.issue(state.ledger, [account], order)
    finally:
        state.changing.release()
    if isinstance(outcome.error, IssueError | ReportError):
        raise RequestError(409, sentence(outcome.error))
    if outcome.error is not None:
        raise outcome.error
    assert outcome.entry is not None
    content = {"number": outcome.entry.number, "new": outcome.is_new}
    return Response(orjson.dumps(content), 201, media_type="application/json")
