"""Work that goes on in a thread while its result is not needed yet."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, Self, TypeVar

from interaction_usage.evidence.errors import EvidenceTimeoutError

T = TypeVar("T")


class InBackground(Generic[T]):
    """A *work* that runs from the beginning of the block on, at most to its end.

    It gets a function that says whether the block is over; the work should return soon then.
    """

    def __init__(self, work: Callable[[Callable[[], bool]], T], timeout_s: float | None) -> None:
        self._work, self._timeout_s = work, timeout_s
        self._over = threading.Event()
        self._future: Future[T] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """End it, and wait for that."""
        self._over.set()
        self._thread.join()

    def result(self) -> T:
        """Return what the work returns, or raise what it raises; or EvidenceTimeoutError."""
        try:
            return self._future.result(self._timeout_s)
        except TimeoutError:
            if self._future.done():  # the work's own
                raise
            raise EvidenceTimeoutError(self._timeout_s or 0) from None

    def _run(self) -> None:
        try:
            self._future.set_result(self._work(self._over.is_set))
        except BaseException as error:
            self._future.set_exception(error)
