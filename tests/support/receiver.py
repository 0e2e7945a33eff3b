"""A receiver of webhooks that verifies each with the library of Standard Webhooks."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks.webhooks import Webhook


class Received(NamedTuple):
    """A webhook whose signature is right."""

    id: str
    at: float
    body: dict[str, Any]

    @property
    def change(self) -> str:
        """What it says has happened, an event that came late with a star."""
        return self.body["type"].removeprefix("alert.") + "*" * self.body["data"]["late"]


class Receiver:
    """Listens on this machine; *status* is what it answers."""

    def __init__(self) -> None:
        self.secret = ""
        self.status = 204
        self.headers: dict[str, str] = {}
        self.received: list[Received] = []
        self.refused: list[str] = []
        self.attempts = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    @property
    def changes(self) -> list[str]:
        """What was received, each notification once."""
        first = {each.id: each for each in reversed(self.received)}
        return [each.change for each in sorted(first.values(), key=lambda each: each.at)]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, headers: dict[str, str], content: bytes) -> int:
        """Take a webhook; return what is answered."""
        self.attempts += 1
        if self.status >= 300:
            return self.status
        try:
            body = Webhook(self.secret).verify(content, headers)
        except Exception as error:
            self.refused.append(repr(error))
            return 401
        self.received.append(Received(headers["webhook-id"], time.time(), body))
        return self.status


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(receiver.take(names, content))
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Write nothing."""

    return Handler


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Yield a receiver that listens."""
    made = Receiver()
    yield made
    made.close()
