"""The server's log: what visitors send can neither fill it nor forge a line of it."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

#: Lines from one place in the code within a span of seconds; the others are counted.
LINES: Final = 5
SPAN_S: Final = 60.0

#: Characters that move a terminal's cursor or begin a line, and what is written for them.
_ESCAPES: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))
} | {0x2028: "\\u2028", 0x2029: "\\u2029"}  # fmt: skip


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
        if site.lines > LINES:
            site.left_out += 1
            return False
        return True


class OneLineFormatter(logging.Formatter):
    """A message is one line; the lines of a traceback are indented, so that none looks like one."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Return the line of *record*."""
        return super().formatMessage(record).strip().translate(_ESCAPES)

    def formatException(self, ei: object) -> str:  # noqa: N802 (logging's name)
        """Return a traceback, indented."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]
        return "\n".join(f"    {line.translate(_ESCAPES)}" for line in lines)


def configure() -> None:
    """Write warnings and errors of all parts of this process to the standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RateFilter())
    handler.setFormatter(OneLineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
