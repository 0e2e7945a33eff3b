"""Large answers, sent in pieces as their client takes them, and only some at the same time.

A report of ten years is several megabytes, which the server holds until its client has read it.
"""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from interaction_usage.dashboard.limits import LARGE_BYTES, Shares

_PIECE: Final = 128 * 1024


class PacedResponse(Response):
    """An answer that takes one of *places* for *visitor* while it is sent, if it is large."""

    def __init__(
        self, content: bytes, media_type: str, headers: Mapping[str, str] | None,
        places: Shares, visitor: object,
    ) -> None:  # fmt: skip
        super().__init__(content, media_type=media_type, headers=headers)
        self._places, self._visitor = places, visitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Raises RequestError where too many are being sent."""
        size = len(self.body)
        if size <= LARGE_BYTES:
            await super().__call__(scope, receive, send)
            return
        with self._places.taken(self._visitor):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            for begin in range(0, size, _PIECE):
                end = begin + _PIECE
                piece = bytes(self.body[begin:end])
                more = end < size
                await send({"type": "http.response.body", "body": piece, "more_body": more})
