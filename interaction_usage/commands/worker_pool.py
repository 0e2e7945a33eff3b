"""Worker processes of one command: each gets a share of the items at a time; they share nothing.

`concurrent.futures.ProcessPoolExecutor` was tried first, and breaks what `usage export --all`
promises. When one worker is killed, the executor fails everything that is queued or running (37 of
40 tasks with 3 workers) and cannot say which of it the killed one had; here the others go on, and
only its share is lost. When the command is killed, the executor's workers stay for good, for each
holds the writing end of the queue that it reads; here they end with their pipe. And the end of a
command waits without a limit for workers that wait for Redis or a disk.

Signals are for the command alone: its workers ignore them. They see that the command has ended,
however it ended, by their end of the pipe, and stop before their next item.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.signals import ignoring_signals

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

J = TypeVar("J")
T = TypeVar("T")

#: How many items a worker gets at once.
SHARE_SIZE = 16

#: Seconds that a worker has to finish the item it works on when the command ends.
_END_TIMEOUT_S = 10

#: Takes a share and yields one result for each of its items.
Work = Callable[[Sequence[str]], Iterator[T]]

#: Makes a worker ready for a job. A CommandError in it, or in its work, ends the command.
Prepare = Callable[[J], AbstractContextManager[Work[T]]]


class Lost(NamedTuple):
    """An item without a result."""

    item: str
    reason: str


def results_of(
    prepare: Prepare[J, T], job: J, items: Sequence[str]
) -> Generator[T | Lost, None, None]:
    """Have as many workers as there are cores work on *items*; yield the results as they come.

    Raises the CommandError of a worker. When it is closed, no worker runs any more.
    """
    from multiprocessing.connection import wait

    shares = [items[begin : begin + SHARE_SIZE] for begin in range(0, len(items), SHARE_SIZE)]
    shares.reverse()
    with _workers(prepare, job, min(_cores(), len(shares))) as workers:
        idle, busy = list(workers), dict[Any, Sequence[str]]()
        while busy or (shares and idle):
            while shares and idle:
                worker = idle.pop()
                busy[worker] = shares.pop()
                with suppress(OSError):  # one that has ended is found below, by its silence
                    worker.send(busy[worker])
            ready: list[Any] = wait(list(busy))
            for worker in ready:
                share = busy.pop(worker)
                try:
                    answer = worker.recv()
                except (EOFError, OSError):
                    yield from (Lost(item, "Its worker process ended.") for item in share)
                    continue
                if isinstance(answer, str):
                    raise CommandError(answer)
                yield from answer
                idle.append(worker)
    for share in shares:
        yield from (Lost(item, "No worker process was left.") for item in share)


@contextmanager
def _workers(prepare: Prepare[J, T], job: J, count: int) -> "Iterator[list[Connection]]":
    """Yield the pipes of *count* worker processes, which have ended when this is left."""
    from multiprocessing import get_context

    # Not forked: a fork would keep the other workers' pipes open.
    start = get_context("spawn")
    processes = []
    pipes = []
    try:
        with ignoring_signals():
            for _ in range(count):
                ours, theirs = start.Pipe()
                process = start.Process(target=_run, args=(theirs, prepare, job), daemon=True)
                process.start()
                theirs.close()
                processes.append(process)
                pipes.append(ours)
        yield pipes
    finally:
        with ignoring_signals():
            for pipe in pipes:
                pipe.close()
            for process in processes:
                process.join(_END_TIMEOUT_S)
                process.kill()  # one that waits for Redis, or for a disk; nothing if it has ended
                process.join()


def _run(pipe: "Connection", prepare: Prepare[J, T], job: J) -> None:
    """Work on the shares that come through *pipe*, until it is closed."""
    with suppress(EOFError, ConnectionError):
        try:
            with prepare(job) as work:
                while True:
                    results = []
                    for result in work(pipe.recv()):
                        results.append(result)
                        if pipe.poll():  # nothing is sent meanwhile, so this is its end
                            return
                    pipe.send(results)
        except CommandError as error:
            pipe.send(error.message)


def _cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
