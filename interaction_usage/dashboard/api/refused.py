"""The API of refused events: by cause, by id, with their bytes; replaying them is an operator's.

An account's token sees the records that were decoded as far as their account, and no others: what
could not be decoded belongs to nobody. Kafka is read for one visitor at a time (`heavy`).
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from interaction_usage.dashboard import audit
from interaction_usage.dashboard.api.answers import json_answer, visible_rollups
from interaction_usage.dashboard.auth import Allowed, AllowedToChange, Asker
from interaction_usage.dashboard.errors import RequestError
from interaction_usage.dashboard.heavy import HeavyWork
from interaction_usage.dashboard.limits import BusyError
from interaction_usage.dashboard.refused import RefusedEvents, RefusedRecord, Scope
from interaction_usage.dashboard.schemas import refused as shapes
from interaction_usage.dashboard.schemas.shared import Sentence
from rollups.catalog import EVENT_TYPES

T = TypeVar("T")

#: The types of events that name no session.
_WITHOUT_SESSION: Final = frozenset(
    row.name for row in EVENT_TYPES if "session" not in row.data.__struct_fields__
)
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": Sentence, "description": "This cannot be read or replayed here."},
}
_OPERATORS: Final[dict[int | str, dict[str, Any]]] = {
    403: {"model": Sentence, "description": "Only an operator may, or another site asked."},
    **_RESPONSES,
}

router = APIRouter(tags=["Refused events"])

EventId = Annotated[
    str | None, Query(max_length=1000, alias="id", description="Also the records with this id.")
]
Origin = Annotated[
    str, Query(max_length=200, description="Topic, partition and offset: `usage.flows/3/1204`.")
]


@router.get(
    "/accounts/{account}/refused-events", response_model=shapes.RefusedEvents, responses=_RESPONSES
)
async def account_refused_events(
    request: Request, account: str, asker: Allowed, event_id: EventId = None
) -> Response:
    """What was refused of an account's events, by reason and cause, and how to fix it."""
    await run_in_threadpool(visible_rollups, request, account, asker)
    return await _overview(request, asker, Scope(account, not asker.is_operator), event_id)


@router.get(
    "/accounts/{account}/refused-events/record", response_model=shapes.RefusedContent,
    responses=_RESPONSES,
)  # fmt: skip
async def account_refused_record(
    request: Request, account: str, asker: Allowed, origin: Origin
) -> Response:
    """One refused record of an account."""
    await run_in_threadpool(visible_rollups, request, account, asker)
    return await _content(request, asker, Scope(account, not asker.is_operator), origin)


@router.get("/refused-events", response_model=shapes.RefusedEvents, responses=_OPERATORS)
async def refused_events(request: Request, asker: Allowed, event_id: EventId = None) -> Response:
    """What was refused, of all accounts and of none, by reason and cause: for operators."""
    _must_be_operator(asker, "see the refused events of all accounts")
    return await _overview(request, asker, Scope(), event_id)


@router.get("/refused-events/record", response_model=shapes.RefusedContent, responses=_OPERATORS)
async def refused_record(request: Request, asker: Allowed, origin: Origin) -> Response:
    """One refused record with its key, headers and value: for operators."""
    _must_be_operator(asker, "see the refused events of all accounts")
    return await _content(request, asker, Scope(), origin)


@router.post("/refused-events/replay", response_model=shapes.Replayed, responses=_OPERATORS)
async def replay_refused_events(
    request: Request, wanted: shapes.ToReplay, asker: AllowedToChange
) -> Response:
    """Publish the open records of a cause again, unchanged, each to the topic it came from.

    An event counts once, however often it is published. What is still wrong is refused again.
    """
    _must_be_operator(asker, "replay refused events")
    answer = await _run(
        request, asker,
        lambda refused: refused.replay(wanted.reason, wanted.cause, wanted.account),
    )  # fmt: skip
    whose = f" of account {wanted.account}" if wanted.account else ""
    audit.note(
        asker,
        f"replayed {answer.replayed:,} refused records{whose}: {wanted.reason}: {wanted.cause}",
    )
    return json_answer(answer._asdict())


async def _overview(request: Request, asker: Asker, scope: Scope, event_id: str | None) -> Response:
    wanted = event_id and event_id.strip()
    found = await _run(request, asker, lambda refused: refused.overview(scope, wanted or None))
    hides = _hides_sessions(request, asker)
    groups = [
        {**group._asdict(), "sample": _members(group.sample, hides=hides)} for group in found.groups
    ]
    # Whoever asks for an id knows it.
    records = [{**_members(each, hides=hides), "id": each.id} for each in found.found]
    return json_answer({**found._asdict(), "groups": groups, "found": records})


async def _content(request: Request, asker: Asker, scope: Scope, origin: str) -> Response:
    found = await _run(request, asker, lambda refused: refused.content(scope, origin))
    hides = _hides_sessions(request, asker)
    answer = {**found._asdict(), "record": _members(found.record, hides=hides)}
    if scope.is_strict:  # key and headers are the platform's
        answer |= {"key": None, "headers": []}
    if hides and not _names_no_session(found.record):
        answer["value"] = None
    return json_answer(answer)


async def _run(request: Request, asker: Asker, work: Callable[[RefusedEvents], T]) -> T:
    """Return what *work* returns, in its turn. Raises RequestError."""
    refused: RefusedEvents | None = request.app.state.refused
    if refused is None:
        raise RequestError(
            409, "This dashboard reads no refused events; use `usage dead-letters list`."
        )
    refusals: HeavyWork = request.app.state.refusals
    try:
        return await refusals.run(asker.token, request.receive, lambda: work(refused))
    except BusyError:
        raise
    except RequestError as error:
        if error.status != 503 or asker.is_operator:
            raise
        # What is the matter with Kafka, and where it is, is for operators.
        raise RequestError(
            503, "The refused events cannot be read now; try again in a moment.", error.headers
        ) from None


def _must_be_operator(asker: Asker, what: str) -> None:
    if not asker.is_operator:
        raise RequestError(403, f"Only an operator may {what}.")


def _hides_sessions(request: Request, asker: Asker) -> bool:
    return request.app.state.hides_sessions and not asker.is_operator


def _names_no_session(record: RefusedRecord) -> bool:
    return record.type in _WITHOUT_SESSION


def _members(record: RefusedRecord, *, hides: bool) -> dict[str, Any]:
    """Return *record*; where sessions are hidden, without an id that may name one."""
    members = record._asdict()
    if hides and not _names_no_session(record):
        members["id"] = None
    return members
