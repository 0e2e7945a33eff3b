"""`/metrics` of the dashboard, for operators: what it answered, how fast, and what it sees.

It says what the deployment does, so it takes an operator's token, which Prometheus sends as any
program does. `/healthz` and `/readyz` are there for whoever has none.
"""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client.metrics_core import Metric

from interaction_usage import monitoring
from interaction_usage.dashboard.auth import Allowed
from interaction_usage.dashboard.errors import RequestError
from interaction_usage.dashboard.health import Watch
from interaction_usage.dashboard.security_headers import App, Message, Receive, Send

PATH: Final = "/metrics"

_API: Final = "/api/"
#: Where no route matched a request: whatever its path was.
_OTHER: Final = "other"

router = APIRouter()


class Measures:
    """What the dashboard counts of its answers. Belongs to one event loop."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, str]] = Counter()
        self._seconds = monitoring.REQUEST_SECONDS.histogram()

    def answered(self, route: str, code: int, seconds: float) -> None:
        """Note an answer that began after so many *seconds*."""
        self._answers[route, str(code)] += 1
        self._seconds.labels(route).observe(seconds)

    def collect(self, watch: Watch, changed_reports: int | None) -> Iterator[Metric]:
        """Yield the metrics, with what *watch* sees of Redis and of workers.

        And how many issued reports have changed, if that is known.
        """
        yield monitoring.build()
        yield from monitoring.process()
        yield monitoring.REQUESTS.of(self._answers.items())
        yield from self._seconds.collect()
        answers = watch.redis_answers()
        yield monitoring.REDIS_UP.of(answers)
        if answers:  # else nothing is known
            health = watch.health()
            yield monitoring.WORKERS.of(health.workers or 0)
            yield monitoring.STALE.of(health.stale is not None)
            if changed_reports is not None:
                yield monitoring.CHANGED_REPORTS.of(changed_reports)


class Measured:
    """Plain ASGI around everything else: refused requests are counted as well."""

    def __init__(self, app: App, *, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - began
                self._measures.answered(_route_of(scope), message["status"], seconds)
            await send(message)

        await self._app(scope, receive, send_and_count)


def _route_of(scope: Message) -> str:
    """Return the path as the route declares it, without an account's id."""
    path: str = getattr(scope.get("route"), "path", _OTHER)
    # Whether a route names the prefix of its router depends on FastAPI's version.
    if path != _OTHER and scope["path"].startswith(_API) and not path.startswith(_API):
        return _API + path.lstrip("/")
    return path


@router.get(PATH, include_in_schema=False)
async def metrics(request: Request, asker: Allowed) -> Response:
    """Answer in Prometheus' text format."""
    if not asker.is_operator:
        raise RequestError(403, "Metrics are for operators.")
    state = request.app.state
    return Response(
        monitoring.rendered(state.measures.collect(state.watch, state.late_usage.reports)),
        headers={"content-type": monitoring.CONTENT_TYPE},
    )
