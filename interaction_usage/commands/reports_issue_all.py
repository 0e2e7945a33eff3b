"""`usage reports issue --all`: every account's report, made by one process for each core.

A worker process makes the reports of its share of the accounts and publishes them together. What
keeps one account's report from being issued is said for that account and stops no other; what is
issued already is left alone, so the command may be repeated until all are issued.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import click

from interaction_usage.commands.connection import ledger_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.every_account import collect, every_account
from interaction_usage.commands.signals import StopRequested
from interaction_usage.commands.terminal import plain
from interaction_usage.issued.issuing import Order
from interaction_usage.issued.issuing import issue as issue_reports
from interaction_usage.settings import Settings
from interaction_usage.store.ledger import Ledger
from rollups.quantity import quantity

#: How many failures are printed one by one.
_MAX_PRINTED = 100


class Job(NamedTuple):
    """The reports to issue."""

    settings: Settings
    order: Order


class Done(NamedTuple):
    """What became of an account's report, for the process that prints it."""

    account: str
    problem: str = ""  #: why it is not issued; empty if it is
    number: str = ""
    is_new: bool = False


def issue_all(job: Job) -> None:
    """Issue the report of every account; raise a CommandError if one is not issued."""
    accounts = every_account(job.settings)
    with ledger_connection(job.settings):
        pass  # without Kafka or Redis, say so once and not for each account
    outcomes: list[Done] = []
    try:
        collect("Issuing", _issuing, job, accounts, outcomes, Done)
    except StopRequested:
        issued = sum(not outcome.problem for outcome in outcomes)
        raise CommandError(
            f"Stopped: at least {issued:,} of {quantity(len(accounts), 'report', 'is')} issued. "
            "Repeat the command to issue the others."
        ) from None
    _print_summary(outcomes)


def _print_summary(outcomes: Sequence[Done]) -> None:
    """Print the new numbers, what failed, and how many; fail unless all are issued."""
    for outcome in sorted(outcomes):
        if outcome.is_new:
            click.echo(outcome.number)
    failed = sorted(outcome for outcome in outcomes if outcome.problem)
    for outcome in failed[:_MAX_PRINTED]:
        click.echo(plain(f"{outcome.account}: {outcome.problem}"), err=True)
    if len(failed) > _MAX_PRINTED:
        click.echo(f"… and {len(failed) - _MAX_PRINTED:,} more accounts", err=True)
    new = sum(outcome.is_new for outcome in outcomes)
    before = len(outcomes) - new - len(failed)
    click.echo(f"{new:,} issued, {before:,} were issued before, {len(failed):,} failed", err=True)
    if failed:
        raise CommandError(
            f"Of {quantity(len(outcomes), 'report')}, {len(failed):,} not issued. Repeat the "
            "command when the reasons are gone."
        )


# ------------------------------------------------------------------- in the worker processes


@contextmanager
def _issuing(job: Job) -> Iterator[Callable[[Sequence[str]], Iterator[Done]]]:
    """Yield the function with which a worker process issues the reports of some accounts."""
    gc.set_threshold(20_000)  # as for exports: a workbook is a cycle of objects
    from interaction_usage.commands.reports_adjust import event_counter

    with ledger_connection(job.settings) as ledger:
        order = job.order._replace(count_events=event_counter(job.settings, ledger.redis))
        yield lambda accounts: _issue_some(ledger, accounts, order)


def _issue_some(ledger: Ledger, accounts: Sequence[str], order: Order) -> Iterator[Done]:
    for outcome in issue_reports(ledger, accounts, order):
        if outcome.error is not None:
            yield Done(outcome.account, _sentence(outcome.error))
        elif outcome.entry is not None:
            yield Done(outcome.account, "", outcome.entry.number, outcome.is_new)


def _sentence(error: Exception) -> str:
    """Return what went wrong, in one line."""
    text = str(error)
    return (
        text
        if type(error).__module__.startswith("interaction_usage.")
        else f"{type(error).__name__}: {text}"
    )
