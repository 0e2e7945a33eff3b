"""The application: everything of the dashboard put together."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from redis.client import Redis
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from interaction_usage.dashboard import api, assets, errors, measures, pages, probes
from interaction_usage.dashboard.access_log import AccessLog
from interaction_usage.dashboard.activity import Activity
from interaction_usage.dashboard.broadcast import Broadcast
from interaction_usage.dashboard.corrections import Corrections
from interaction_usage.dashboard.directory import Directory
from interaction_usage.dashboard.errors import OtherLayoutError, RequestError
from interaction_usage.dashboard.guard import Guard
from interaction_usage.dashboard.head import Head
from interaction_usage.dashboard.health import Places, Watch
from interaction_usage.dashboard.heavy import HeavyWork
from interaction_usage.dashboard.late_usage import LateUsage
from interaction_usage.dashboard.limits import (
    MAX_CHANGES,
    MAX_CONNECTIONS,
    MAX_LARGE,
    MAX_LARGE_EACH,
    PATIENCE_S,
    STREAM_SHARES,
    BusyError,
    Shares,
)
from interaction_usage.dashboard.pages import LoginRequiredError
from interaction_usage.dashboard.refused import RefusedEvents
from interaction_usage.dashboard.security_headers import Shield
from interaction_usage.issued.adjusting import CountEvents
from interaction_usage.reports.model import Revision
from interaction_usage.reports.service import Basis
from interaction_usage.settings import Network
from interaction_usage.store.errors import ChangePendingError, LayoutDiffersError, LedgerError
from interaction_usage.store.issued_table import StoredReport
from interaction_usage.store.ledger import Ledger

if TYPE_CHECKING:
    from interaction_usage.explanations.service import Explainer

#: Returns what a revision changes of an issued report, given what it is made of.
Explain = Callable[[StoredReport, Basis], Revision]

_DESCRIPTION: Final = (
    "Usage of each account: the Usage Report, its breakdowns, and the current hour as it happens. "
    "Programs send `Authorization: Bearer …` with a token made by `usage token create`."
)


def create_app(
    redis: Redis,
    ledger: Ledger,
    *,
    open_to_all: bool,
    lifetime: float,
    places: Callable[[], Places] | None = None,
    warnings: Callable[[], Sequence[str]] | None = None,
    explain: Explain | None = None,
    count_events: CountEvents | None = None,
    corrections: Corrections | None = None,
    refused: RefusedEvents | None = None,
    connections: int = MAX_CONNECTIONS,
    explainer: "Explainer | None" = None,
    hides_sessions: bool = False,
    alerts_allowed_networks: Sequence[Network] = (),
) -> FastAPI:
    """Return the dashboard of the rollups in *redis*; changes of settings go to the *ledger*.

    With *open_to_all* no token is needed, and only names of this machine are answered. *places*
    returns how far the topics are counted (it raises KafkaUnavailableError); without it the lag is
    unknown. *explain* returns what a revision changes of an issued report, as Kafka's events say;
    *count_events* returns how many of them are behind an adjustment.
    *warnings* returns what may become trouble later (and raises the same). A worker's
    heartbeat in Redis expires after *lifetime* seconds. *corrections* makes corrections; without it
    none can be made here; *refused* reads refused events, likewise. The server has at most so many
    *connections*. The *explainer* answers questions about the events behind a number; with
    *hides_sessions* it names no session to the token of an account. Webhooks may be set to
    addresses inside the *alerts_allowed_networks*.
    """
    watch = Watch(redis, places, lifetime, warnings)
    broadcast = Broadcast(redis, watch.health)
    directory = Directory(redis)
    late_usage = LateUsage(redis)
    activity = Activity(redis)
    heavy, evidence = HeavyWork(), HeavyWork("explanations", 1)
    refusals = HeavyWork("refused events", 1)
    streams = connections // 2

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        watch.start()
        directory.start()
        late_usage.start()
        activity.start()
        task = asyncio.create_task(broadcast.run())
        try:
            yield
        finally:
            broadcast.end()
            await task
            for stop in (
                watch.stop, directory.stop, late_usage.stop, activity.stop, heavy.close,
                evidence.close, refusals.close,
            ):  # fmt: skip
                await asyncio.to_thread(stop)

    app = FastAPI(
        title="Usage", version="1", description=_DESCRIPTION, lifespan=running,
        docs_url=None, redoc_url=None, openapi_url="/openapi.json",
        redirect_slashes=False,
    )  # fmt: skip
    app.state.redis = redis
    app.state.ledger = ledger
    app.state.explain = explain
    app.state.count_events = count_events
    app.state.late_usage = late_usage
    app.state.open = open_to_all
    app.state.watch = watch
    app.state.measures = measures.Measures()
    app.state.broadcast = broadcast
    app.state.directory = directory
    app.state.activity = activity
    app.state.heavy = heavy
    app.state.evidence = evidence
    app.state.explainer = explainer
    app.state.hides_sessions = hides_sessions
    app.state.alerts_allowed_networks = tuple(alerts_allowed_networks)
    app.state.large = Shares("large answers", MAX_LARGE, MAX_LARGE_EACH)
    app.state.corrections = corrections
    app.state.refused = refused
    app.state.refusals = refusals
    app.state.correcting = threading.BoundedSemaphore(1)
    app.state.changing = threading.BoundedSemaphore(MAX_CHANGES)
    app.state.streams = Shares("live streams", streams, streams // STREAM_SHARES)
    app.include_router(api.router)
    app.include_router(probes.router)
    app.include_router(measures.router)
    app.include_router(pages.router)
    app.include_router(assets.router)
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(RequestValidationError, errors.answer_invalid)
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(LoginRequiredError, pages.to_login)
    app.add_exception_handler(RedisError, _redis_away)
    app.add_exception_handler(LayoutDiffersError, _other_layout)
    app.add_exception_handler(LedgerError, _not_confirmed)
    app.add_exception_handler(OSError, _no_files)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Head)
    app.add_middleware(Guard, refuse=_refused)
    app.add_middleware(Shield, names_of_this_machine_only=open_to_all)
    app.add_middleware(measures.Measured, measures=app.state.measures)
    app.add_middleware(AccessLog)
    return app


async def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestError)
    if _wants_page(request):
        return pages.problem_page(request, problem)
    return await errors.answer(request, problem)


async def _busy(request: Request, problem: Exception) -> Response:
    # Whoever asks again at once holds their own place meanwhile, and no one else's.
    await asyncio.sleep(PATIENCE_S)
    return await _refused(request, problem)


async def _redis_away(request: Request, _error: Exception) -> Response:
    refused = RequestError(
        503, "Redis does not answer; try again in a moment.", {"Retry-After": "2"}
    )
    return await _refused(request, refused)


async def _other_layout(request: Request, error: Exception) -> Response:
    assert isinstance(error, LayoutDiffersError)
    return await _refused(request, OtherLayoutError(error))


async def _not_confirmed(request: Request, error: Exception) -> Response:
    sentence = "Kafka does not take the change, so nothing was changed; try again in a moment."
    if isinstance(error, ChangePendingError):
        sentence = "The change is not confirmed yet; it may take effect within seconds. Look again."
    return await _refused(request, RequestError(503, sentence, {"Retry-After": "5"}))


async def _no_files(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        raise error
    return await _busy(request, BusyError(503, "The server is out of files; try again shortly."))


async def _http(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    if _wants_page(request):
        sentence = "There is no such page." if problem.status_code == 404 else problem.detail
        return pages.problem_page(request, RequestError(problem.status_code, sentence))
    return JSONResponse({"detail": problem.detail}, problem.status_code, problem.headers)


def _wants_page(request: Request) -> bool:
    """Tell whether a person is to read the answer."""
    path = request.url.path
    return not path.startswith(
        ("/api/", "/assets/", "/openapi.json", probes.ALIVE_PATH, probes.READY_PATH, measures.PATH)
    )
