"""A line of the log for each answer: the method, the path, the status, the time, and whose token.

A path is logged without its query, and a token by its id alone. Probes that found nothing wrong are
left out. Where a client has gone before there was an answer, its status is `-`.
"""

import logging
import time
from typing import Any, Final

from interaction_usage.dashboard.probes import ALIVE_PATH, READY_PATH
from interaction_usage.dashboard.security_headers import App, Message, Receive, Send

#: Its lines are bounded apart from the others (`logs`); they are at the level `info`.
log = logging.getLogger(__name__)

_PROBES: Final = (ALIVE_PATH, READY_PATH)
_MAX_PATH: Final = 200


class AccessLog:
    """Plain ASGI around the application."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, and log it when the answer has ended."""
        if scope["type"] != "http" or not log.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 0
        state = scope.setdefault("state", {})

        async def send_noted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception:
            status = status or 500
            raise
        finally:
            if scope["path"] not in _PROBES or status >= 400:
                _write(scope, status, time.monotonic() - began, state.get("token_id", "-"))


def _write(scope: Message, status: int, seconds: float, token: str) -> None:
    path, took = scope["path"], round(seconds * 1000, 1)
    shown = path if len(path) <= _MAX_PATH else f"{path[:_MAX_PATH]}…"
    members = {
        "method": scope["method"], "path": shown, "status": status or None, "milliseconds": took,
        "token": token,
    }  # fmt: skip
    log.info("%s %s %s %s ms %s", scope["method"], shown, status or "-", took, token, extra=members)
