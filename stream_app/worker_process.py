"""Running the worker in this process, quietly: no banner, no redirected output."""

import gc
import logging
import os
import threading
from typing import Any

from faust.worker import Worker

from stream_app.faults import PermanentFaultError
from stream_app.faust_app import GivenUp

log = logging.getLogger(__name__)

#: Seconds between what ends a worker, a signal or an error, and its end, whatever it waits for.
_PATIENCE = 4.0


class _QuietWorker(Worker):  # type: ignore[misc]
    """Faust's worker without its spinner on the terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None

    def _flag_as_shutdown_by_signal(self) -> None:
        """Give the end some seconds: a client whose broker is away would wait for it for ever."""
        super()._flag_as_shutdown_by_signal()
        _end_soon(0)

    def _crash(self, reason: BaseException) -> None:
        """The same after an error: its thread would keep the partitions, and nobody counted."""
        super()._crash(reason)
        _end_soon(1)


def _end_soon(code: int) -> None:
    forced = threading.Timer(_PATIENCE, _end_now, [code])
    forced.daemon = True
    forced.start()


def _end_now(code: int) -> None:
    log.warning("Not everything let go in time; ending. What was in hand is read again")
    os._exit(code)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what every first start says: the group's coordinator is being chosen."""
    return "GroupCoordinatorNotAvailable" not in record.getMessage()


def _is_unforeseen(record: logging.LogRecord) -> bool:
    """Leave out Faust's traceback of an end whose reason was logged as a sentence."""
    foreseen = (GivenUp, PermanentFaultError)
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(isinstance(argument, foreseen) for argument in arguments)


def look_for_garbage_less_often() -> None:
    """Have Python's collector leave what is there alone, and look at new objects seldom.

    Records in hand are many and none of them is garbage; looking at them again and again for cycles
    took a seventh of a worker's time.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def run(app: Any, loglevel: str) -> int:
    """Run *app* until a signal ends it; return the exit code."""
    logging.getLogger("aiokafka.consumer.group_coordinator").addFilter(_is_news)
    logging.getLogger("stream_app.faust_app").addFilter(_is_unforeseen)
    app.finalize()
    app.worker_init()
    look_for_garbage_less_often()
    worker = _QuietWorker(app, loglevel=loglevel, redirect_stdouts=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0
