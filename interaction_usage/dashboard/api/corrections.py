"""The API of corrections: what is pending, and making them, which only an operator may."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from interaction_usage.dashboard.api.answers import json_answer, visible_rollups
from interaction_usage.dashboard.auth import Allowed, AllowedToChange, Asker
from interaction_usage.dashboard.corrections import (
    Correction,
    Corrections,
    EventToVoid,
    SessionToCorrect,
    Why,
)
from interaction_usage.dashboard.errors import InvalidValueError, RequestError
from interaction_usage.dashboard.limits import BusyError
from interaction_usage.dashboard.schemas import corrections as shapes
from interaction_usage.dashboard.schemas.shared import Sentence
from interaction_usage.store.pending_voids import count_pending, pending_voids
from rollups.timestamps import SECOND, parse_rfc3339

#: Pending voids that are listed.
MOST_LISTED: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    403: {
        "model": Sentence,
        "description": "Only an operator corrects, or another site's page asked.",
    },
    409: {
        "model": Sentence,
        "description": "It cannot be corrected so: not found, sealed, or as wanted already.",
    },
}

router = APIRouter()


@router.get(
    "/accounts/{account}/corrections", response_model=shapes.Corrections, tags=["Corrections"]
)
def list_corrections(request: Request, account: str, asker: Allowed) -> Response:
    """The voids of an account whose event has not arrived."""
    rollups = visible_rollups(request, account, asker)
    found = sorted(islice(pending_voids(rollups, account), MOST_LISTED), key=lambda v: v.time)
    return json_answer(
        {
            "pending": [
                {
                    "type": void.type, "source": void.source, "id": void.id,
                    "time": _text(void.time), "amounts": void.amounts, "reason": void.reason,
                    "actor": void.actor if asker.is_operator else "operator",
                    "voided_at": _text(void.voided_at),
                }
                for void in found
            ],
            "total": count_pending(rollups, account),
        }
    )  # fmt: skip


@router.post(
    "/accounts/{account}/corrections/event", response_model=shapes.Correction,
    tags=["Corrections"], responses=_REFUSED,
)  # fmt: skip
def void_event(
    request: Request, account: str, wanted: shapes.EventToVoid, asker: AllowedToChange
) -> Response:
    """Take an event back, or show what that would change.

    The event is looked for in Kafka. What it counted is subtracted at its own time.
    """
    event = EventToVoid(account, wanted.source, wanted.id, wanted.day)
    why = Why(_reason(wanted.reason), _actor(asker))
    return _corrected(
        request, account, asker, lambda make: make.void(event, why, publish=wanted.publish)
    )


@router.post(
    "/accounts/{account}/corrections/session", response_model=shapes.Correction,
    tags=["Corrections"], responses=_REFUSED,
)  # fmt: skip
def correct_session(
    request: Request, account: str, wanted: shapes.SessionToCorrect, asker: AllowedToChange
) -> Response:
    """Correct a session, or show what that would change.

    What is given replaces everything that the session's events say.
    """
    start, stop = _instant("start", wanted.start), _instant("stop", wanted.stop)
    if stop is not None and (start is None or stop < start):
        raise InvalidValueError(("body", "stop"), "lies before the start, or there is none")
    session = SessionToCorrect(account, wanted.application, wanted.session, start, stop, wanted.new)
    why = Why(_reason(wanted.reason), _actor(asker))
    return _corrected(
        request, account, asker, lambda make: make.correct(session, why, publish=wanted.publish)
    )


def _corrected(
    request: Request, account: str, asker: Asker, make: Callable[[Corrections], Correction]
) -> Response:
    """Return what *make* answers, in its turn: one reads Kafka at a time."""
    asker.must_see(account)
    if not asker.is_operator:
        raise RequestError(403, "Only an operator may correct an account.")
    visible_rollups(request, account, asker)
    state = request.app.state
    if state.corrections is None:
        raise RequestError(409, "This dashboard makes no corrections; use `usage correct`.")
    if not state.correcting.acquire(blocking=False):
        raise BusyError(503, "Another correction is being made; try again in a moment.")
    try:
        return json_answer(_members(make(state.corrections)))
    finally:
        state.correcting.release()


def _members(correction: Correction) -> dict[str, Any]:
    place = correction.published
    return {
        "what": correction.what,
        "reports": [
            {
                "from": report.first,
                "to": report.last,
                "timezone": report.timezone,
                "cells": [
                    {"path": path, "before": before, "after": after}
                    for path, before, after in report.cells
                ],
            }
            for report in correction.reports
        ],
        "issued": list(correction.issued),
        "remarks": list(correction.remarks),
        "published": place and dict(zip(("topic", "partition", "offset"), place, strict=True)),
        "counted": correction.is_counted,
    }


def _actor(asker: Asker) -> str:
    return asker.author.name


def _reason(text: str) -> str:
    text = text.strip()
    if not text or not text.isprintable():
        raise InvalidValueError(("body", "reason"), "use printable characters, in one line")
    return text


def _instant(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        instant = parse_rfc3339(text)
    except ValueError as error:
        raise InvalidValueError(("body", name), str(error)) from None
    if instant > datetime.now(UTC).timestamp() * SECOND:
        raise InvalidValueError(("body", name), "lies in the future")
    return instant


def _text(instant: int) -> str:
    return (_EPOCH + timedelta(microseconds=instant)).isoformat().replace("+00:00", "Z")
