"""What every answer carries for the browser's sake, and under which names a server answers."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from interaction_usage.dashboard.hosts import authority, is_loopback

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

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
        self._headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_shielded(message: Message) -> None:
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


def _names_this_machine(scope: Message) -> bool:
    named = [
        authority(value.decode("latin-1")) for name, value in scope["headers"] if name == b"host"
    ]
    return bool(named) and all(each is not None and is_loopback(each.host) for each in named)


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    body = b'{"detail":"An open server answers under 127.0.0.1 and localhost only."}'
    await send({"type": "http.response.body", "body": body})
