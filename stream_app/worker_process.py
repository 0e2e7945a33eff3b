"""Running the worker in this process: no banner, no redirected output, an end in bounded time."""

import gc
import logging
import os
import threading
from typing import Any

from faust.worker import Worker

from interaction_usage import logs
from stream_app.errors import GroupMembershipError, PermanentFaultError

log = logging.getLogger(__name__)

#: Seconds between a signal or an error and the end of the process, whatever it waits for.
_STOP_TIMEOUT_S = 4.0


class _QuietWorker(Worker):  # type: ignore[misc]
    """Faust's worker without its spinner on the terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None

    def _flag_as_shutdown_by_signal(self) -> None:
        """Bound the time to stop: a client whose broker is unavailable would wait for ever."""
        super()._flag_as_shutdown_by_signal()
        _end_soon(0)

    def _crash(self, reason: BaseException) -> None:
        """The same after an error: its thread would keep the partitions, and nothing be counted."""
        super()._crash(reason)
        _end_soon(1)


def _end_soon(code: int) -> None:
    forced = threading.Timer(_STOP_TIMEOUT_S, _end_now, [code])
    forced.daemon = True
    forced.start()


def _end_now(code: int) -> None:
    log.warning("Shutdown timed out; ending. Batches in process are read again")
    os._exit(code)


def _is_unforeseen(record: logging.LogRecord) -> bool:
    """Leave out Faust's traceback of an end whose reason was logged as a sentence."""
    foreseen = (GroupMembershipError, PermanentFaultError)
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(isinstance(argument, foreseen) for argument in arguments)


def tune_garbage_collection() -> None:
    """Have Python's collector ignore existing objects, and look at new ones seldom.

    Records in process are many and none of them is garbage; looking at them again and again for
    cycles took a seventh of a worker's time, and up to a twentieth where it did so for every
    100,000. So a timer has it do so (`faust_app.create_app`).
    """
    gc.freeze()
    gc.set_threshold(1_000_000, 20, 100)


def run(app: Any, loglevel: str, log_format: str) -> int:
    """Run *app* until a signal ends it; return the exit code."""
    logs.configure(loglevel, log_format)
    logging.getLogger("stream_app.faust_app").addFilter(_is_unforeseen)
    app.finalize()
    app.worker_init()
    tune_garbage_collection()
    worker = _QuietWorker(app, loglevel=loglevel, override_logging=False, redirect_stdouts=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0
