"""HEAD is GET without a body, on every path that has a GET."""

from typing import Any

from interaction_usage.dashboard.security_headers import App, Message, Receive, Send


class _HeadSentError(Exception):
    """The head of an answer is out; what would follow is not wanted."""


class Head:
    """Answers HEAD with the head of GET's answer, and ends there: a stream does not go on."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Any) -> None:
            if message["type"] != "http.response.start":
                raise _HeadSentError
            await send(message)
            await send({"type": "http.response.body", "body": b""})

        try:
            await self._app({**scope, "method": "GET"}, receive, send_head)
        except _HeadSentError:
            return
