"""What one visitor can make the server do: every bound, and shares of what is scarce."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from interaction_usage.dashboard.errors import RequestError

# -------------------------------------------------------------------------- one request

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

#: How long a request waits for its place, or for the refusal that there is none, so that to ask
#: again at once gains nothing; and how many may wait for one, as each takes up a connection.
PATIENCE_S: Final = 1.0
MAX_PATIENT: Final = 500

#: Live streams with one token, as a part of all; these are at most half of the connections.
STREAM_SHARES: Final = 4

#: How long a live stream lasts; a browser connects again by itself.
STREAM_LIFETIME_S: Final = 3600.0

#: Answers that take long to make: in how many threads, how many there may be that wait or are made,
#: of all and with one token, and how long each may wait. Only two threads, for Python runs one at a
#: time and the event loop needs its turn; and one of them at most for one token.
HEAVY_THREADS: Final = 2
MAX_HEAVY: Final = 128
MAX_HEAVY_EACH: Final = 24
HEAVY_WAIT_S: Final = 10.0

#: What counts as a large answer, and how many of these are sent at once, of all and with one token.
LARGE_BYTES: Final = 1024 * 1024
MAX_LARGE: Final = 32
MAX_LARGE_EACH: Final = 8

#: Changes of settings at once: each waits for Kafka, in a thread that others need as well.
MAX_CHANGES: Final = 8

# --------------------------------------------------------------------------------- shares

_RETRY_AFTER: Final = {"Retry-After": "2"}


class BusyError(RequestError):
    """There is too much of something just now; `Retry-After` says when to ask again."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(status, sentence, _RETRY_AFTER)


class Shares:
    """So many of something at once: *total* in all, and *each* for one visitor.

    Visitors who wait take turns, however often each of them asks. Belongs to one event loop. *name*
    is what there may not be more of.
    """

    def __init__(self, name: str, total: int, each: int) -> None:
        self._name, self._total, self._each = name, total, each
        self._by_visitor: Counter[object] = Counter()
        #: Who waits, by visitor; the next one to have a turn first.
        self._waiting: dict[object, deque[asyncio.Future[None]]] = {}
        self._patient = 0

    @contextmanager
    def taken(self, visitor: object) -> Iterator[None]:
        """Hold one for *visitor*. Raises BusyError: 429 beyond their share, 503 beyond all."""
        if error := self._why_not(visitor):
            raise error
        self._by_visitor[visitor] += 1
        try:
            yield
        finally:
            self.give_back(visitor)

    async def take(self, visitor: object, patience: float = PATIENCE_S) -> None:
        """Take one for *visitor*, who must give it back.

        Raises BusyError as `taken`, after *patience* seconds, or where too many wait already.
        """
        error = self._why_not(visitor)
        if error is None:
            self._by_visitor[visitor] += 1
            return
        if self._patient >= MAX_PATIENT:
            raise error
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(visitor, deque()).append(turn)
        self._patient += 1
        try:
            await asyncio.wait({turn}, timeout=patience)
        except BaseException:
            if turn.done():
                self.give_back(visitor)
            raise
        finally:
            self._patient -= 1
            if not turn.done():
                self._give_up(visitor, turn)
        if not turn.done():
            raise error

    def give_back(self, visitor: object) -> None:
        """Give one back, to whose turn it is."""
        self._by_visitor[visitor] -= 1
        if not self._by_visitor[visitor]:
            del self._by_visitor[visitor]  # or every visitor that ever was would be remembered
        while self._by_visitor.total() < self._total:
            # Every visitor of an open server is None, and has turns as others have.
            waiting = [who for who in self._waiting if self._by_visitor[who] < self._each]
            if not waiting:
                return
            who = waiting[0]
            turns = self._waiting.pop(who)
            self._by_visitor[who] += 1
            turns.popleft().set_result(None)
            if turns:
                self._waiting[who] = turns

    def _give_up(self, visitor: object, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[visitor]
        turns.remove(turn)
        if not turns:
            del self._waiting[visitor]

    def _why_not(self, visitor: object) -> BusyError | None:
        if self._by_visitor[visitor] >= self._each:
            return BusyError(
                429,
                f"Too many {self._name} at once: at most {self._each:,} of one token or visitor.",
            )
        if self._by_visitor.total() >= self._total:
            return BusyError(503, f"The server is busy with {self._name}; try again in a moment.")
        return None
