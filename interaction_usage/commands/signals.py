"""How a command ends at a signal: SIGINT (Ctrl-C), SIGTERM or SIGHUP."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """A signal asked the command to stop."""


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Raise StopRequested at the first signal and ignore more, so that none cuts the end short."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise StopRequested

    before = {each: signal.signal(each, stop) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def ignoring_signals() -> Iterator[None]:
    """Ignore these signals, as do the processes that are started meanwhile."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def call_on_signals(loop: "AbstractEventLoop", stop: Callable[[], object]) -> None:
    """Call *stop* in *loop* at each of these signals."""
    for each in _SIGNALS:
        loop.add_signal_handler(each, stop)
