"""What one visitor can make the server do: every bound, and shares of what is scarce."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dashboard.problems import Refused

# ------------------------------------------------------------------------- one request

#: A body: a login form or an account's settings, which are far smaller.
MAX_BODY_BYTES: Final = 16 * 1024

#: The request line and all headers.
MAX_HEAD_BYTES: Final = 16 * 1024

#: A query string, and the parameters in it.
MAX_QUERY_BYTES: Final = 4096
MAX_QUERY_PARAMETERS: Final = 32

#: What is read of one request, the rest of a refused body included, before it is cut off.
MAX_RECEIVED_BYTES: Final = 1024 * 1024

#: From the first byte of a request, or from the connection's begin, to the request's last byte.
REQUEST_TIMEOUT_S: Final = 10.0

#: Without progress of an answer that its client does not read.
STALL_TIMEOUT_S: Final = 30.0

# ------------------------------------------------------------------- many at the same time

#: Connections; less where the process may not have as many files (`connections.most`).
MAX_CONNECTIONS: Final = 2000

#: Requests that are being answered, streams left out: of all, and with one credential.
MAX_REQUESTS: Final = 200
MAX_REQUESTS_EACH: Final = 32

#: Live streams with one token, as a part of all; these are at most half of the connections.
STREAM_SHARES: Final = 4

#: How long a live stream lasts; a browser connects again by itself.
STREAM_LIFETIME_S: Final = 3600.0

#: Answers that take long to make: in how many threads, how many wait, of all and with one token,
#: and for how long. Two threads, for Python runs one at a time and the event loop needs its turn.
HEAVY_THREADS: Final = 2
MAX_HEAVY: Final = 128
MAX_HEAVY_EACH: Final = 24
HEAVY_WAIT_S: Final = 10.0

# --------------------------------------------------------------------------------- shares

_RETRY_AFTER: Final = {"Retry-After": "2"}


class Shares:
    """So many of something at once: *total* in all, and *each* for one visitor.

    Belongs to one event loop. *name* is what there may not be more of.
    """

    def __init__(self, name: str, total: int, each: int) -> None:
        self._name, self._total, self._each = name, total, each
        self._by_visitor: Counter[object] = Counter()
        self._all = 0

    @contextmanager
    def taken(self, visitor: object) -> Iterator[None]:
        """Hold one for *visitor*. Raises Refused: 429 beyond their share, 503 beyond the total."""
        self.take(visitor)
        try:
            yield
        finally:
            self.give_back(visitor)

    def take(self, visitor: object) -> None:
        """Take one for *visitor*, who must give it back. Raises Refused as `taken`."""
        if self._by_visitor[visitor] >= self._each:
            raise Refused(
                429,
                f"Too many {self._name} at once: at most {self._each:,} for one token or visitor.",
                _RETRY_AFTER,
            )
        if self._all >= self._total:
            raise Refused(
                503,
                f"The server is busy: there are {self._total:,} {self._name}. Try again shortly.",
                _RETRY_AFTER,
            )
        self._by_visitor[visitor] += 1
        self._all += 1

    def give_back(self, visitor: object) -> None:
        """Give one back."""
        self._all -= 1
        self._by_visitor[visitor] -= 1
        if not self._by_visitor[visitor]:
            del self._by_visitor[visitor]  # or every visitor that ever was would be remembered
