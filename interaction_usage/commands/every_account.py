"""What the commands share that make the report of every account, by several processes."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.progress import progress_bar
from interaction_usage.commands.signals import stopping_on_signals
from interaction_usage.commands.worker_pool import Lost, Prepare, results_of
from interaction_usage.settings import Settings

J = TypeVar("J")
T = TypeVar("T")


def every_account(config: Settings) -> list[str]:
    """Return the ids of all accounts; raise a CommandError if there is none."""
    from interaction_usage.store.reads import read_active

    with redis_connection(config) as redis:
        accounts = read_active(redis, lambda rollups: rollups.accounts())
    if not accounts:
        raise CommandError("There is no account: no events were counted, and none was ever set up.")
    return accounts


def collect(
    title: str, prepare: Prepare[J, T], job: J, accounts: Sequence[str],
    outcomes: list[T], failed: Callable[[str, str], T],
) -> None:  # fmt: skip
    """Have the reports made; append the outcome of each to *outcomes* as it comes.

    *failed* makes the outcome of an account whose worker process ended, given the reason. Raises
    StopRequested.
    """
    total = len(accounts)
    with (
        stopping_on_signals(),
        progress_bar(title) as update,
        closing(results_of(prepare, job, accounts)) as results,
    ):
        for result in results:
            outcomes.append(failed(*result) if isinstance(result, Lost) else result)
            update(len(outcomes), total, f"{len(outcomes):,}/{total:,} reports")
