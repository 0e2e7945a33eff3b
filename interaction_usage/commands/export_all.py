"""`usage export --all`: every account's report, by as many processes as there are cores.

A worker process is handed some accounts at a time. It reads them from Redis in one round trip and
writes their files, each of them whole or not at all; then it says what became of them and gets the
next. What concerns one account (its time zone, its data, its file) is told of it and stops nothing;
Redis that does not answer stops the run.

Signals are for the command alone: its workers ignore them. They see that it has ended by its end of
the pipe, which is closed however it ends, and stop before their next file.
"""

import gc
import os
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from export.file_names import file_name
from export.formats import FORMATS
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.ending import Stopped, ending_at_signals, ignoring_signals
from interaction_usage.commands.errors import Failure
from interaction_usage.commands.export import WITH_BREAKDOWNS, notices_of
from interaction_usage.commands.files import make_folder, replace_file
from interaction_usage.commands.terminal import console, plain
from interaction_usage.settings import Settings
from interaction_usage.store.account_settings import AccountSettings

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from interaction_usage.reports.build import Period
    from rollups.range_snapshot import RangeSnapshot

#: How many accounts a worker reads at once, and does before it looks for more.
_AT_ONCE = 16

#: How many failures, and how many notices, are told one by one.
_TOLD = 20

#: Seconds that a worker has to finish the file it is writing.
_PATIENCE = 10


class Job(NamedTuple):
    """What is asked for."""

    settings: Settings
    first: date
    last: date
    timezone: str | None  #: each account's own if None
    as_of: datetime
    file_format: str
    folder: str


class Outcome(NamedTuple):
    """What became of an account's report."""

    account: str
    problem: str = ""  #: why it was not written; empty if it was
    notices: Sequence[str] = ()  #: what had to be cut in it


class _Known(NamedTuple):
    """An account whose report is to be made."""

    account: str
    settings: AccountSettings
    within: "Period"


# ---------------------------------------------------------------------------- the command


def write_all(job: Job) -> None:
    """Write the report of every account; raise a Failure if one could not be written."""
    from interaction_usage.store.reads import read_active

    with redis_connection(job.settings) as redis:
        names = read_active(redis, lambda rollups: rollups.accounts())
    if not names:
        raise Failure("There is no account: no event was counted, and none was ever set.")
    make_folder(Path(job.folder))
    outcomes: list[Outcome] = []
    try:
        with (
            ending_at_signals(),
            _progress(len(names)) as advance,
            closing(_outcomes(job, names)) as arriving,
        ):
            for outcome in arriving:
                outcomes.append(outcome)
                advance()
    except Stopped:
        written = sum(not outcome.problem for outcome in outcomes)
        raise Failure(
            f"Stopped: at least {written:,} of {len(names):,} reports are in {job.folder}, each "
            "of them whole."
        ) from None
    _tell(job, outcomes)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """Show on a terminal how many reports are done; yield what is to be called for each."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("Exporting"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


def _tell(job: Job, outcomes: Sequence[Outcome]) -> None:
    """Say what was written, cut and not written; fail unless every report was written."""
    failed = [(outcome.account, outcome.problem) for outcome in outcomes if outcome.problem]
    cut = [(outcome.account, notice) for outcome in outcomes for notice in outcome.notices]
    for lines, what in ((cut, "notices"), (failed, "accounts without a report")):
        for account, sentence in sorted(lines)[:_TOLD]:
            click.echo(plain(f"{account}: {sentence}"), err=True)
        if len(lines) > _TOLD:
            click.echo(f"… and {len(lines) - _TOLD:,} more {what}", err=True)
    as_of = job.as_of.astimezone(UTC).isoformat().replace("+00:00", "Z")
    written = len(outcomes) - len(failed)
    done = f"{job.folder}: {written:,} reports, {job.first} to {job.last}, as of {as_of}"
    click.echo(plain(done), err=True)
    if failed:
        raise Failure(f"Of {len(outcomes):,} reports, {len(failed):,} could not be written.")


# ---------------------------------------------------------------------------- its workers


def _outcomes(job: Job, names: Sequence[str]) -> Generator[Outcome, None, None]:
    """Have the reports written; yield what became of each. Raises Failure if Redis is away."""
    from multiprocessing.connection import wait

    parts = [names[begin : begin + _AT_ONCE] for begin in range(0, len(names), _AT_ONCE)]
    parts.reverse()
    with _workers(job, min(_cores(), len(parts))) as workers:
        idle, doing = list(workers), dict[Any, Sequence[str]]()
        while doing or (parts and idle):
            while parts and idle:
                worker = idle.pop()
                doing[worker] = parts.pop()
                with suppress(OSError):  # one that is gone is found below, by its silence
                    worker.send(doing[worker])
            ready: list[Any] = wait(list(doing))
            for worker in ready:
                part = doing.pop(worker)
                try:
                    told = worker.recv()
                except (EOFError, OSError):
                    for account in part:
                        yield Outcome(account, "The process that was to write its report ended.")
                    continue
                if isinstance(told, str):
                    raise Failure(told)
                idle.append(worker)
                yield from told
    for part in parts:
        for account in part:
            yield Outcome(account, "No process was left to write its report.")


def _cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _workers(job: Job, count: int) -> "Iterator[list[Connection]]":
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
                process = start.Process(target=_work, args=(theirs, job), daemon=True)
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
                process.join(_PATIENCE)
                process.kill()  # one that waits for Redis, or for a disk; nothing if it has ended
                process.join()


def _work(pipe: "Connection", job: Job) -> None:
    """Write reports for the accounts that come through *pipe*, until it is closed."""
    # A workbook is a cycle of objects: thrown away every few reports, not several times in each.
    gc.set_threshold(20_000)
    with suppress(EOFError, ConnectionError):
        try:
            with redis_connection(job.settings) as redis:
                while True:
                    part = pipe.recv()
                    outcomes = []
                    for outcome in _written(redis, job, part):
                        outcomes.append(outcome)
                        if pipe.poll():  # nothing is sent meanwhile, so this is its end
                            return
                    pipe.send(outcomes)
        except Failure as failure:
            pipe.send(failure.message)


def _written(redis: Any, job: Job, names: Sequence[str]) -> Iterator[Outcome]:
    """Write the report of each account; yield what became of it. RedisError if it is away."""
    from redis.exceptions import ConnectionError as Away
    from redis.exceptions import TimeoutError as Silent

    try:
        known = _known(redis, job, names)
        readings = _readings(redis, job, known)
    except (Away, Silent):
        raise
    except Exception as error:  # something that stands under the keys of one of them
        if len(names) == 1:
            yield Outcome(names[0], _sentence(error))
            return
        for name in names:
            yield from _written(redis, job, [name])
        return
    for its, reading in zip(known, readings, strict=True):
        try:
            yield Outcome(its.account, notices=_write(job, its, reading))
        except Exception as error:  # whatever it is, the others have nothing to do with it
            yield Outcome(its.account, _sentence(error))


def _known(redis: Any, job: Job, names: Sequence[str]) -> list[_Known]:
    """Return the settings of each account, and its days. Raises ValueError where it has none."""
    from interaction_usage.reports.build import period
    from interaction_usage.store.account_settings import get_many

    found = []
    for account, known in zip(names, get_many(redis, list(names)), strict=True):
        within = period(job.first, job.last, job.timezone or known.timezone, job.as_of)
        found.append(_Known(account, known, within))
    return found


def _readings(redis: Any, job: Job, known: Sequence[_Known]) -> "list[RangeSnapshot]":
    from interaction_usage.store.reads import read_active

    deep = job.file_format in WITH_BREAKDOWNS
    places = [(its.account, *its.within.slots) for its in known]
    return read_active(redis, lambda rollups: rollups.read_many(places, by_slot=deep, flows=deep))


def _write(job: Job, its: _Known, reading: "RangeSnapshot") -> Sequence[str]:
    """Write a report; return what had to be cut in it."""
    from interaction_usage.reports.build import Account, build

    told = Account(its.account, its.settings.name, its.settings.dnis, its.settings.sms)
    deep = job.file_format in WITH_BREAKDOWNS
    report = build(told, its.within, reading, job.as_of, breakdowns=deep)
    content = FORMATS[job.file_format](report)
    # The folder may be shared, and this name can be guessed: what stands there is replaced.
    replace_file(Path(job.folder, file_name(its.account, job.file_format)), content)
    return notices_of(report, job.file_format)


def _sentence(error: Exception) -> str:
    """Return what went wrong, in one line."""
    if isinstance(error, click.ClickException):
        return error.message
    if isinstance(error, ValueError) and type(error) is not ValueError:
        return str(error)
    return f"{type(error).__name__}: {error}"
