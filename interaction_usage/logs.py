"""The log of a process: one line for each record, as text or JSON, and no more than anybody reads.

What visitors and brokers send can neither fill it nor forge a line of it. What libraries repeat for
as long as a server is away is left out: the worker says it in a sentence (`stream_app.state_log`).
"""

import logging
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")

#: Lines from one place in the code within a span of seconds; the others are counted.
LINES: Final = 5
SPAN_S: Final = 60.0

#: The log of the dashboard's requests. Each is a line, so it has another bound of its own.
ACCESS: Final = "interaction_usage.dashboard.access_log"
ACCESS_LINES: Final = 6_000
#: What operators do there, each a line as well.
AUDIT: Final = "interaction_usage.dashboard.audit"
#: What the access log adds to a line of JSON.
_ACCESS_MEMBERS: Final = ("method", "path", "status", "milliseconds", "token")
#: Lines of the access log that wait to be written, and seconds that they may take at the end.
_WAITING: Final = 1_000
_LAST_LINES_S: Final = 1.0

#: The packages whose records are news also where nothing is wrong.
_OURS: Final = ("interaction_usage", "stream_app")

#: What aiokafka and Faust log at every attempt while a broker is away or the group rebalances, or
#: at every request that a right is missing for.
_REPEATED: Final = re.compile(
    r"Unable connect|Unable to (?:request|update) metadata|NodeNotReady|KafkaConnectionError"
    r"|Failed fetch messages|Request failed|request failed|coordinator dead|HeartbeatRequest"
    r"|Heartbeat failed|is overlapping|RequestTimedOut|GroupCoordinatorNotAvailable|uthorized"
    r"|CorrelationIdError|NotLeaderForPartition|NotCoordinator|not found in cluster metadata"
)

#: Characters that move a terminal's cursor or begin a line, and what is written for them.
_ESCAPES: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))
} | {0x2028: "\\u2028", 0x2029: "\\u2029"}  # fmt: skip

_Event = MutableMapping[str, Any]


class _Site:
    """One place in the code that logs, in the current span."""

    def __init__(self, now: float) -> None:
        self.began = now
        self.lines = 0
        self.left_out = 0


class RateFilter(logging.Filter):
    """Lets so many lines of each place through; the next span begins with how many it did not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._sites: dict[tuple[str, int], _Site] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether *record* is written."""
        now = self._clock()
        site = self._sites.setdefault((record.pathname, record.lineno), _Site(now))
        if now - site.began > SPAN_S:
            left_out = site.left_out
            site.__init__(now)  # type: ignore[misc]
            if left_out:
                record.msg = f"{record.getMessage()} (and {left_out:,} times more)"
                record.args = None
        site.lines += 1
        if site.lines > (ACCESS_LINES if record.name in (ACCESS, AUDIT) else LINES):
            site.left_out += 1
            return False
        return True


class _Background(logging.Handler):
    """Has another handler write in a thread: whoever answers requests never waits for a pipe.

    Lines that come faster than they are written are dropped.
    """

    def __init__(self, target: logging.Handler) -> None:
        super().__init__()
        self._target = target
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Have *record* written soon."""
        if self._thread.ident is None:
            self._thread.start()
        with suppress(queue.Full):
            self._waiting.put_nowait(record)

    def close(self) -> None:
        """Write what waits; called when the process ends."""
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._waiting.put_nowait(None)
            self._thread.join(_LAST_LINES_S)
        super().close()

    def _write(self) -> None:
        while (record := self._waiting.get()) is not None:
            self._target.handle(record)


def is_news(record: logging.LogRecord) -> bool:
    """Tell whether *record* says something that is not said elsewhere, in a sentence and once."""
    if record.name.partition(".")[0] in _OURS:
        # Faust's services log their steps under the name of the app.
        return record.levelno >= logging.WARNING or not record.getMessage().startswith("[^")
    return record.levelno >= logging.WARNING and not _REPEATED.search(record.getMessage())


def configure(level: str = "info", log_format: str = "text") -> None:
    """Write what all parts of this process log to the standard error.

    At the level `debug` everything is written, also what libraries repeat.
    """
    handler = logging.StreamHandler(sys.stderr)
    if level != "debug":
        handler.addFilter(is_news)
        handler.addFilter(RateFilter())
    handler.setFormatter(formatter(log_format))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    access = logging.getLogger(ACCESS)
    access.handlers = [_Background(handler)]
    access.propagate = False


def formatter(log_format: str) -> logging.Formatter:
    """Return what makes a line of a record: text for people, or one JSON object."""
    import structlog  # with all that it imports, which only a process that logs needs

    is_json = log_format == "json"
    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(_ACCESS_MEMBERS),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer(sort_keys=False) if is_json else _text
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _named, render],
    )


def _named(_logger: object, _method: str, event: _Event) -> _Event:
    """Return the members under the names that they have in JSON, in their order."""
    found = {name: event.pop(name) for name in ("time", "level", "logger")}
    found["message"] = str(event.pop("event")).strip()
    return {**found, **event}


def _text(_logger: object, _method: str, event: _Event) -> str:
    """Return a line; those of a traceback follow indented, so that none looks like a record."""
    message = event["message"].translate(_ESCAPES)
    lines = [f"{event['time'][:19]}Z {event['level']} {event['logger']}: {message}"]
    for line in event.get("exception", "").splitlines():
        lines.append(f"    {line.translate(_ESCAPES)}")
    return "\n".join(lines)
