"""The API of the live object: the current hour, once or as a stream."""

import random
import time
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from redis.exceptions import RedisError
from starlette.types import Receive, Scope, Send

from interaction_usage.dashboard import logins, tokens
from interaction_usage.dashboard.api.answers import json_answer, visible_rollups
from interaction_usage.dashboard.auth import Allowed, Asker
from interaction_usage.dashboard.limits import STREAM_LIFETIME_S, Shares
from interaction_usage.dashboard.live import look, members
from interaction_usage.dashboard.schemas import live as shapes
from interaction_usage.store.reads import read_active

#: Seconds between two checks whether a viewer of the stream may still watch.
_RECHECK_S: Final = 2.0

router = APIRouter()


@router.get("/accounts/{account}/live", response_model=shapes.Live, tags=["Live"])
def live(request: Request, account: str, asker: Allowed) -> Response:
    """The current hour: each series now, its peak so far, its last 60 minutes by the second."""
    visible_rollups(request, account, asker)
    second = int(time.time())
    found = read_active(request.app.state.redis, lambda rollups: look(rollups, account, second))
    health = request.app.state.watch.health()
    return json_answer(members(found, health if asker.is_operator else health.for_customers()))


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
    visible_rollups(request, account, asker)
    return _Stream(request.app.state.streams, asker, _events(request, account, asker))


class _Stream(StreamingResponse):
    """Server-sent events; one of the *streams* that there may be, for as long as it is sent."""

    def __init__(self, streams: Shares, asker: Asker, events: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._streams, self._asker = streams, asker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Raises RequestError where there are too many."""
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
            if time.monotonic() - checked > _RECHECK_S:
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
