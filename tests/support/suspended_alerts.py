"""`usage alerts run` that suspends itself once, by SIGSTOP, where it publishes a change.

    python -m tests.support.suspended_alerts before|inside|after

*before* is between the renewal of its lease and the first record, *inside* before the end of the
transaction, *after* between that and everything that follows from it.
"""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from interaction_usage.commands.main import main
from stream_app.ledger_producer import LedgerProducer

_POINTS = {"before": ("send", True), "inside": ("_commit", True), "after": ("send", False)}


def _suspending(original: Callable[..., Any], is_before: bool) -> Callable[..., Any]:
    left = [None]

    def suspend() -> None:
        if left:
            left.clear()
            # To this thread: to the process, it may be another that stops, while this one goes on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    def call(*arguments: Any) -> Any:
        if is_before:
            suspend()
        answer = original(*arguments)
        suspend()
        return answer

    return call


if __name__ == "__main__":
    name, is_before = _POINTS[sys.argv[1]]
    setattr(LedgerProducer, name, _suspending(getattr(LedgerProducer, name), is_before))
    main(["alerts", "run"])
