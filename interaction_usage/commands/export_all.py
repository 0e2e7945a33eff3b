"""`usage export --all`: every account's report, written by as many processes as there are cores.

A worker process reads the accounts of its share from Redis in one round trip and writes their
files, each of them whole or not at all. A problem of one account (its time zone, its data, its
file) is reported for that account and stops nothing; a Redis that does not answer ends the command.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from export.file_names import file_name
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.every_account import collect, every_account
from interaction_usage.commands.files import make_folder, replace_file
from interaction_usage.commands.rendering import detail_of, notices, render, why_unfinished
from interaction_usage.commands.signals import StopRequested
from interaction_usage.commands.terminal import plain
from interaction_usage.reports.service import ReportBatch, make_reports
from interaction_usage.settings import Settings
from rollups.completeness import Status
from rollups.quantity import quantity

if TYPE_CHECKING:
    from interaction_usage.reports.model import Report

#: How many failures, and how many notices, are printed one by one.
_MAX_PRINTED = 20


class Job(NamedTuple):
    """The reports to write, and where."""

    settings: Settings
    batch: ReportBatch
    file_format: str
    folder: str
    require_complete: bool  #: whether reports that are incomplete or open are not written


class Outcome(NamedTuple):
    """The result of writing one account's report."""

    account: str
    problem: str = ""  #: why it was not written; empty if it was
    notices: Sequence[str] = ()  #: what had to be cut in it
    status: Status | None = None  #: of the report; None if there is none
    why: str = ""  #: why it is incomplete; empty if it is not


def write_all(job: Job) -> None:
    """Write the report of every account; raise a CommandError if one could not be written."""
    accounts = every_account(job.settings)
    make_folder(Path(job.folder))
    outcomes: list[Outcome] = []
    try:
        collect("Exporting", _writing, job, accounts, outcomes, Outcome)
    except StopRequested:
        written = sum(not outcome.problem for outcome in outcomes)
        raise CommandError(
            f"Stopped: at least {written:,} of {quantity(len(accounts), 'report', 'is')} in "
            f"{job.folder}, each of them complete."
        ) from None
    _print_summary(job, outcomes)


def _print_summary(job: Job, outcomes: Sequence[Outcome]) -> None:
    """Print what was written, cut and not written; fail unless every report was written."""
    failed = [(outcome.account, outcome.problem) for outcome in outcomes if outcome.problem]
    cut = [(outcome.account, notice) for outcome in outcomes for notice in outcome.notices]
    for lines, what in ((cut, "notices"), (failed, "accounts without a report")):
        for account, sentence in sorted(lines)[:_MAX_PRINTED]:
            click.echo(plain(f"{account}: {sentence}"), err=True)
        if len(lines) > _MAX_PRINTED:
            click.echo(f"… and {len(lines) - _MAX_PRINTED:,} more {what}", err=True)
    first, last, _, instant = job.batch
    as_of = instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
    written = len(outcomes) - len(failed)
    done = f"{job.folder}: {quantity(written, 'report')}, {first} to {last}, as of {as_of}"
    click.echo(plain(done), err=True)
    _print_statuses(outcomes)
    if failed:
        raise CommandError(
            f"Of {quantity(len(outcomes), 'report')}, {len(failed):,} could not be written."
        )
    if incomplete := sum(outcome.status is Status.INCOMPLETE for outcome in outcomes):
        raise CommandError(f"Of {quantity(len(outcomes), 'report')}, {incomplete:,} incomplete.")


def _print_statuses(outcomes: Sequence[Outcome]) -> None:
    """Print how many reports have which status, and once why any are incomplete."""
    statuses = Counter(outcome.status for outcome in outcomes if outcome.status)
    if statuses:
        counts = (f"{number:,} {status}" for status, number in sorted(statuses.items()))
        click.echo(f"Status: {', '.join(counts)}", err=True)
    reasons = Counter(outcome.why for outcome in outcomes if outcome.why)
    for why, number in reasons.most_common(_MAX_PRINTED):
        click.echo(plain(f"{quantity(number, 'report')}: {why}"), err=True)
    if len(reasons) > _MAX_PRINTED:
        click.echo(f"… and {len(reasons) - _MAX_PRINTED:,} more reasons", err=True)


# ------------------------------------------------------------------- in the worker processes


@contextmanager
def _writing(job: Job) -> Iterator[Callable[[Sequence[str]], Iterator[Outcome]]]:
    """Yield the function with which a worker process writes the reports of some accounts."""
    # A workbook is a cycle of objects: thrown away every few reports, not several times in each.
    gc.set_threshold(20_000)
    with redis_connection(job.settings) as redis:
        yield lambda accounts: _write_reports(redis, job, accounts)


def _write_reports(redis: Any, job: Job, accounts: Sequence[str]) -> Iterator[Outcome]:
    """Write the report of each account; yield the outcomes. Raises RedisError."""
    detail = detail_of(job.file_format)
    for account, report in make_reports(redis, accounts, job.batch, detail):
        try:
            if isinstance(report, Exception):
                raise report
            yield _write(job, report)
        except Exception as error:  # whatever it is, the other accounts are not affected
            yield Outcome(account, _sentence(error))


def _write(job: Job, report: "Report") -> Outcome:
    """Write a report; return the outcome. Raises CommandError."""
    why, status = why_unfinished(report), report.completeness.status
    if job.require_complete and why:
        raise CommandError(why)
    content = render(report, job.file_format)
    # The folder may be shared, and this name can be guessed: what stands there is replaced.
    replace_file(Path(job.folder, file_name(report.account, job.file_format)), content)
    why = why if status is Status.INCOMPLETE else ""
    return Outcome(report.account, "", notices(report, job.file_format), status, why)


def _sentence(error: Exception) -> str:
    """Return what went wrong, in one line."""
    if isinstance(error, click.ClickException):
        return error.message
    if isinstance(error, ValueError) and type(error) is not ValueError:
        return str(error)
    return f"{type(error).__name__}: {error}"
