"""Refuses what is too large or too much before any of it is worked on.

A body is read here, whole and bounded, before the application is called: it never holds more than
`MAX_BODY_BYTES` of a request, and a client that sends slowly holds none of the places that requests
are answered in. A place belongs to the credential that a request carries, which is not verified
yet; without one, to the address it came from.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interaction_usage.dashboard import probes
from interaction_usage.dashboard.auth import COOKIE
from interaction_usage.dashboard.errors import RequestError
from interaction_usage.dashboard.limits import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    MAX_QUERY_BYTES,
    MAX_QUERY_PARAMETERS,
    MAX_REQUESTS,
    MAX_REQUESTS_EACH,
    Shares,
)

_COOKIE: Final = re.compile(rb"(?:^|;)\s*%b=([^;\s]*)" % COOKIE.encode())
_STREAM: Final = b"text/event-stream"


class Guard:
    """Plain ASGI around the application; *refuse* makes the answer to what is refused."""

    def __init__(
        self, app: ASGIApp, *, refuse: Callable[[Request, Exception], Awaitable[Response]]
    ) -> None:
        self._app, self._refuse = app, refuse
        self._places = Shares("requests", MAX_REQUESTS, MAX_REQUESTS_EACH)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = dict(scope["headers"])
            _check_head(scope)
            whole = await _with_body(headers, receive)
            if whole is None:
                return  # the client has gone
            if scope["path"] in (probes.ALIVE_PATH, probes.READY_PATH):
                await self._app(scope, whole, send)
                return
            visitor = _visitor(scope, headers)
            await self._places.take(visitor)
        except RequestError as refused:
            answer = await self._refuse(Request(scope), refused)
            await answer(scope, receive, send)
            return
        is_in = True

        def leave() -> None:
            nonlocal is_in
            if is_in:
                is_in = False
                self._places.give_back(visitor)

        async def send_and_notice(message: Message) -> None:
            # A stream has a limit of its own, and would keep its place for an hour.
            if message["type"] == "http.response.start" and _is_stream(message):
                leave()
            await send(message)

        try:
            await self._app(scope, whole, send_and_notice)
        finally:
            leave()


def _check_head(scope: Scope) -> None:
    size = len(scope["raw_path"]) + sum(len(name) + len(value) for name, value in scope["headers"])
    if size > MAX_HEAD_BYTES:
        raise RequestError(431, f"The headers are too large: at most {MAX_HEAD_BYTES:,} bytes.")
    query: bytes = scope["query_string"]
    if len(query) > MAX_QUERY_BYTES:
        raise RequestError(414, f"The query is too long: at most {MAX_QUERY_BYTES:,} bytes.")
    if query.count(b"&") >= MAX_QUERY_PARAMETERS:
        raise RequestError(
            400, f"The query has too many parameters: at most {MAX_QUERY_PARAMETERS}."
        )


async def _with_body(headers: dict[bytes, bytes], receive: Receive) -> Receive | None:
    """Return what the application receives: the body, and then whether the client has gone.

    None if the client has gone already. Raises RequestError with 413.
    """
    length = int(headers.get(b"content-length", b"0"))  # h11 refuses what is no number
    if length > MAX_BODY_BYTES:
        raise _too_large()
    if not length and b"transfer-encoding" not in headers:
        return receive
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        more = message["more_body"]
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    first: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def receive_after() -> Message:
        nonlocal first
        if first is None:
            return await receive()
        message, first = first, None
        return message

    return receive_after


def _too_large() -> RequestError:
    return RequestError(413, f"The body is too large: at most {MAX_BODY_BYTES:,} bytes.")


def _visitor(scope: Scope, headers: dict[bytes, bytes]) -> object:
    """Return whose place a request takes, from a credential that may be none, or its address."""
    if words := headers.get(b"authorization", b"").split():
        return words[-1]
    if found := _COOKIE.search(headers.get(b"cookie", b"")):
        return found[1]
    client: Any = scope.get("client")
    return client[0] if client else None


def _is_stream(message: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(_STREAM) for name, value in message["headers"]
    )
