"""`usage upgrade`: the rollups of an earlier version become those of this one, without Kafka."""

import time
from typing import Any, Final

import click

from interaction_usage import settings
from interaction_usage.commands.backup import wait_for_workers
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.progress import progress_bar
from interaction_usage.commands.signals import StopRequested, stopping_on_signals
from rollups.quantity import quantity

_UNCHANGED: Final = "The active rollups are unchanged."


@click.command("upgrade")
@click.option("--dry-run", is_flag=True, help="Say what would be upgraded, and change nothing.")
def upgrade(dry_run: bool) -> None:
    """Upgrade the rollups of an earlier version from what they hold; Kafka is not read again.

    A copy is written beside the active rollups, and then takes their place. Workers of the earlier
    version count meanwhile, and end at the switch. Start the workers of this version then: they
    continue where the copy ends, and nothing is lost or counted twice. Sealed days stay sealed.

    \b
    Examples:
      usage upgrade --dry-run
      usage upgrade
    """
    from interaction_usage.store.backup import BackupError
    from interaction_usage.store.errors import RollupsLockedError

    with redis_connection(settings.read()) as redis, stopping_on_signals():
        try:
            if what := _planned(redis):
                _upgrade(redis, what, dry_run)
        except (BackupError, RollupsLockedError) as error:
            raise CommandError(f"Nothing was upgraded: {error}. {_UNCHANGED}") from None
        except StopRequested:
            raise _stopped(redis) from None


def _planned(redis: Any) -> str:
    """Return what an upgrade would do; where that is nothing, say so and return nothing."""
    from interaction_usage.store import keys
    from interaction_usage.store.reads import Rollups
    from interaction_usage.store.upgrade import upgradable

    wanted = upgradable(redis)
    if wanted is None:
        layout = Rollups.of_any_layout(redis).layout()
        why = f"the rollups have layout {layout}" if layout else "there are no rollups yet"
        click.echo(f"Nothing to upgrade: {why}.", err=True)
        return ""
    accounts = quantity(wanted.accounts, "account")
    return f"the rollups of {accounts} from layout {wanted.layout} to {keys.LAYOUT}"


def _upgrade(redis: Any, what: str, dry_run: bool) -> None:
    from interaction_usage.store.namespaces import drop
    from interaction_usage.store.upgrade import upgrade as upgrade_rollups

    if dry_run:
        click.echo(f"Would upgrade {what}. {_UNCHANGED}", err=True)
        return
    click.echo(f"Upgrading {what}, beside the active ones.", err=True)
    began = time.monotonic()
    with progress_bar("Upgrading") as update:
        done = upgrade_rollups(redis, lambda at, of: update(at, of, f"{at:,} of {of:,} accounts"))
    if done is None:
        click.echo("Another upgrade has just done it.", err=True)
        return
    click.echo(
        f"Reports now use the upgraded rollups: {quantity(done.accounts, 'account')}, "
        f"{time.monotonic() - began:.1f} s. Start the workers of this version now.",
        err=True,
    )
    ended = wait_for_workers(redis, done.active)
    drop(redis, done.replaced)
    if not ended:
        click.echo(
            "A worker of the earlier version still runs; it ends when it answers again. What it "
            "writes is not used.",
            err=True,
        )


def _stopped(redis: Any) -> CommandError:
    """Return what became of an upgrade that was stopped."""
    from interaction_usage.store.upgrade import upgradable

    if upgradable(redis):
        return CommandError(f"Stopped. {_UNCHANGED}")
    return CommandError(
        "Stopped; nothing is left to upgrade. Rollups that were replaced stay in Redis until the "
        "next rebuild."
    )
