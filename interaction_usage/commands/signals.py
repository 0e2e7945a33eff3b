"""How a command ends at a signal: SIGINT (Ctrl-C), SIGTERM or SIGHUP."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

T = TypeVar("T")

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


class Stop:
    """Whether a signal asked the command to stop: work is finished, and only waiting is cut."""

    def __init__(self) -> None:
        self.is_requested = False
        self._is_waiting = False

    def request(self, _signal: int, _frame: FrameType | None) -> None:
        """Note a signal, or a second one; raise StopRequested where nothing but waiting ends."""
        self.is_requested = True
        if self._is_waiting:
            self._is_waiting = False
            raise StopRequested

    def next_of(self, items: Iterator[T]) -> T | None:
        """Return the next of *items*, which may take long; None at their end, or at a signal."""
        try:
            self._is_waiting = True
            return None if self.is_requested else next(items, None)
        except StopRequested:
            return None
        finally:
            self._is_waiting = False


@contextmanager
def noting_signals() -> Iterator[Stop]:
    """Yield what notes the first of these signals; more of them change nothing."""
    stop = Stop()
    before = {each: signal.signal(each, stop.request) for each in _SIGNALS}
    try:
        yield stop
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
