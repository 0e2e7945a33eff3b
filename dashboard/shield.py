"""What every answer carries for the browser's sake, and under which names a server answers."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from dashboard.access import is_loopback

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

#: Scripts, styles and data come from here and nowhere else; nothing is inline, nobody frames us.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:",
        "connect-src 'self'", "font-src 'self'", "manifest-src 'self'", "form-action 'self'",
        "base-uri 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip

HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Shield:
    """Adds the headers to every answer; an open server's requests must name this machine.

    Without the latter, a site could point its own name at 127.0.0.1 and read an open server through
    a visitor's browser. Plain ASGI: streams pass through it untouched.
    """

    def __init__(self, app: App, *, names_of_this_machine_only: bool) -> None:
        self._app, self._local_only = app, names_of_this_machine_only
        self._headers = [(name.encode(), told.encode()) for name, told in HEADERS.items()]

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_shielded(message: _Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *self._headers]
                if b"cache-control" not in there:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        if self._local_only and not _names_this_machine(scope):
            await _refuse(send_shielded)
            return
        await self._app(scope, receive, send_shielded)


def _names_this_machine(scope: _Message) -> bool:
    host = next((told for name, told in scope["headers"] if name == b"host"), b"")
    try:
        return is_loopback(urlsplit(f"//{host.decode('latin-1')}").hostname or "")
    except ValueError:
        return False


async def _refuse(send: _Send) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    body = b'{"detail":"An open server answers under 127.0.0.1 and localhost only."}'
    await send({"type": "http.response.body", "body": body})
