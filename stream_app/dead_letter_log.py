"""The dead letters as a process that stays keeps them: only what is new is read each time.

Which records are open follows from all dead letters and markers. A page that is loaded again must
not read them all again, so a log of them stays in memory, without their bytes, with the offsets up
to which it goes. Memory is bounded: of more than `MOST` dead letters only the newest are here.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from stream_app.broker import Span, admin_client, cluster_metadata, spans_of, topic_ids
from stream_app.dead_letter_reader import Log, RejectedRecord, messages_within
from stream_app.errors import BrokerUnavailableError
from stream_app.topics import DEAD_LETTERS

#: Messages that are read at first at most: each dead letter takes 2 KB of memory, and a thousand a
#: quarter of a second.
MOST: Final = 20_000

#: Seconds for which nothing new is looked for, and nobody asks a broker that was away.
_FRESH_S: Final = 2.0
#: Seconds within which Kafka must answer.
_TIMEOUT_S: Final = 3.0


class Refusals(NamedTuple):
    """What is known of the rejected records."""

    records: list[RejectedRecord]  #: the one rejected last at the end
    is_complete: bool  #: whether there are no older ones that were not read


class DeadLetterLog:
    """Reads `usage.dead-letters` on, whenever it is asked; for any number of threads."""

    def __init__(self, servers: str, most: int = MOST) -> None:
        self._servers, self._most = servers, most
        self._lock = threading.Lock()
        self._log = Log(with_bytes=False)
        self._topic_id = ""
        self._ends: dict[tuple[str, int], int] = {}
        self._begins: dict[tuple[str, int], int] = {}
        self._read = 0  #: messages in the log
        self._known: Refusals | None = None
        self._known_at = 0.0
        self._failure, self._failed_at = "", 0.0
        self._admin: Any = None

    def refusals(self, *, fresh: bool = False) -> Refusals:
        """Return what is known now, or was some seconds ago unless it is to be *fresh*.

        Must not be called where an event loop runs. Raises BrokerUnavailableError.
        """
        with self._lock:
            if self._failure and time.monotonic() - self._failed_at < _FRESH_S:
                raise BrokerUnavailableError(self._failure)
            age = time.monotonic() - self._known_at
            if self._known is None or fresh or age > _FRESH_S:
                self._known = self._attempt()
                self._known_at = time.monotonic()
            return self._known

    def _attempt(self) -> Refusals:
        """Read on. Whoever waits for the lock meanwhile does not wait for a broker once more."""
        try:
            known = self._read_on()
        except BrokerUnavailableError as error:
            self._failure, self._failed_at = str(error), time.monotonic()
            raise
        self._failure = ""
        return known

    def expire(self) -> None:
        """Have the next look read what is new: something was replayed."""
        with self._lock:
            self._known_at = 0.0

    def _read_on(self) -> Refusals:
        self._admin = self._admin or admin_client(self._servers)
        metadata = cluster_metadata(self._admin, _TIMEOUT_S)
        topic_id = topic_ids(self._admin, [DEAD_LETTERS], _TIMEOUT_S, metadata).get(
            DEAD_LETTERS, ""
        )
        spans = spans_of(self._admin, [DEAD_LETTERS], _TIMEOUT_S, metadata)
        is_other = topic_id != self._topic_id or any(
            spans.get(place, Span(0, 0, 0)).stable < end for place, end in self._ends.items()
        )
        if is_other or self._read + _count(self._rest(spans)) > 2 * self._most:
            self._log, self._ends, self._read = Log(with_bytes=False), {}, 0
        wanted = self._rest(spans)
        if self._known and self._ends and not _count(wanted):
            return self._known
        if not self._ends:
            wanted = _newest(wanted, self._most)
            self._begins = {place: span.begin for place, span in wanted.items()}
        log = self._log
        try:
            for message in messages_within(self._servers, wanted):
                log.add(message)
        except BaseException:
            # Some of it was added: to add that again would be no harm, to count it as read would.
            self._log, self._ends, self._read = Log(with_bytes=False), {}, 0
            raise
        self._topic_id, self._read = topic_id, self._read + _count(wanted)
        self._ends = {place: span.stable for place, span in spans.items()}
        is_complete = all(self._begins.get(place, 0) <= spans[place].begin for place in spans)
        return Refusals(log.records(), is_complete)

    def _rest(self, spans: Mapping[tuple[str, int], Span]) -> dict[tuple[str, int], Span]:
        return {
            place: span._replace(begin=max(span.begin, self._ends.get(place, 0)))
            for place, span in spans.items()
        }


def _count(spans: Mapping[tuple[str, int], Span]) -> int:
    return sum(max(0, span.stable - span.begin) for span in spans.values())


def _newest(spans: Mapping[tuple[str, int], Span], most: int) -> dict[tuple[str, int], Span]:
    """Return the ends of *spans*, of each the same part, with so many messages altogether."""
    count = _count(spans)
    if count <= most:
        return dict(spans)
    return {
        place: span._replace(begin=span.stable - (span.stable - span.begin) * most // count)
        for place, span in spans.items()
    }
