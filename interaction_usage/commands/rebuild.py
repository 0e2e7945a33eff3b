"""`usage rebuild`: the rollups rebuilt from the topics, compared, and activated."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from interaction_usage import settings
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.progress import progress_bar
from interaction_usage.commands.signals import call_on_signals
from interaction_usage.commands.terminal import plain
from rollups.quantity import quantity

if TYPE_CHECKING:
    from rollups.gaps import Gap
    from stream_app.identity_conflicts import IdentityConflict
    from stream_app.rebuild.earlier import EarlierRecords

#: Differences that are printed one by one: of an account, and in all.
_MAX_OF_ONE, _MAX_PRINTED = 10, 500

_UNTOUCHED = "The active rollups are unchanged."


@click.command("rebuild")
@click.option(
    "--verify",
    is_flag=True,
    help="Only compare: print where the active rollups differ, exit 1 if they do, change nothing.",
)
@click.option(
    "--incomplete",
    is_flag=True,
    help="Continue even if Kafka has deleted events; these are not counted, and reports say so "
    "until the gaps are accepted.",
)
def rebuild(verify: bool, incomplete: bool) -> None:
    """Rebuild the rollups from the topics, beside the active ones, and switch to them.

    Live traffic continues meanwhile, and reports use the old rollups until the new ones have caught
    up. Workers switch by themselves. What Kafka no longer has is read from the archive, if
    USAGE_ARCHIVE names one. Use it to change a session limit, and with --verify to prove
    that the rollups match the topics.

    \b
    Examples:
      usage rebuild --verify
      USAGE_SESSION_LIMIT_AGENT=43200 usage rebuild
    """
    config = settings.read()
    with redis_connection(config) as redis:
        asyncio.run(_run(config, redis, verify, incomplete))


async def _run(config: settings.Settings, redis: Any, verify: bool, incomplete: bool) -> None:
    """Rebuild or verify; every failure becomes a CommandError."""
    from aiokafka.errors import KafkaError

    from interaction_usage.store.errors import AccountBusyError, LedgerError, ReseekRequired
    from stream_app.errors import (
        BrokerUnavailableError,
        LockLostError,
        RebuildRunningError,
        RecordsUnavailableError,
        RetentionGapError,
        TopicRecreatedError,
    )

    task = asyncio.current_task()
    assert task is not None
    call_on_signals(asyncio.get_running_loop(), task.cancel)
    try:
        await (_verify if verify else _rebuild)(config, redis, incomplete)
    except RebuildRunningError:
        raise CommandError(
            "Another rebuild is running. (The lock of a killed rebuild expires after a minute.)"
        ) from None
    except LockLostError:
        raise CommandError(
            "This rebuild made no progress for a minute and lost its lock; another one may have "
            "started. Nothing was switched. Run it again."
        ) from None
    except RetentionGapError as error:
        shown = "; ".join(gap.place for gap in error.lost[:3])
        more = f"; and {len(error.lost) - 3} more" if len(error.lost) > 3 else ""
        raise CommandError(
            f"Kafka has deleted events that were published: {shown}{more}. Rebuilt rollups "
            f"would not count them. {_UNTOUCHED} To continue anyway, pass --incomplete."
        ) from None
    except TopicRecreatedError:
        raise CommandError(
            f"A topic was recreated during the rebuild; run it again. {_UNTOUCHED}"
        ) from None
    except AccountBusyError as error:
        raise CommandError(f"Account {error} changes too often to be compared.") from None
    except LedgerError as error:
        raise CommandError(f"{error}. {_UNTOUCHED}") from None
    except ReseekRequired as error:
        raise CommandError(f"{error}; run it again. {_UNTOUCHED}") from None
    except (BrokerUnavailableError, KafkaError, RecordsUnavailableError) as error:
        raise CommandError(f"Kafka at {config.kafka}: {error}. {_UNTOUCHED}") from None
    except asyncio.CancelledError:
        raise CommandError(f"Stopped. {_UNTOUCHED}") from None


async def _rebuild(config: settings.Settings, redis: Any, incomplete: bool) -> None:
    from stream_app.rebuild.run import rebuilding

    began = time.monotonic()
    earlier = _archive(config)
    async with rebuilding(
        config, redis, incomplete=incomplete, earlier_records=earlier
    ) as under_way:
        with _progress("Reading the topics", "records") as update:
            count = await under_way.catch_up(update)
        _print_gaps(await under_way.record_gaps())
        followed = await under_way.switch()
        filled = await under_way.accept_filled_gaps() if earlier else []
    for gap in filled:
        click.echo(f"Gap {gap.id} is filled from the archive: {gap.place}.", err=True)
    seconds = time.monotonic() - began
    click.echo(
        f"Reports now use the new rollups: {quantity(count, 'record')}, {seconds:.1f} s.", err=True
    )
    if not followed:
        click.echo(
            "A worker has not switched to them yet; it will when it responds again, and nothing is "
            "lost meanwhile. A worker with other session limits stops.",
            err=True,
        )


def _archive(config: settings.Settings) -> "EarlierRecords | None":
    """Return the archive, if one is set and there is one. Raises CommandError."""
    if not config.archive:
        return None
    from interaction_usage.commands.archive import archive_errors

    with archive_errors(config):
        from interaction_usage.archive.errors import NoArchiveError
        from interaction_usage.archive.replaying import ArchivedRecords

        try:
            return ArchivedRecords.open(config.archive)
        except NoArchiveError:
            return None


def _print_gaps(new: "Sequence[Gap]") -> None:
    """Say which gaps are recorded, before reports lack their events."""
    for gap in new:
        click.echo(f"Gap {gap.id}: Kafka has deleted {gap.place}; not counted.", err=True)
    if new:
        click.echo("Reports say so until they are accepted: usage gaps list", err=True)


async def _verify(config: settings.Settings, redis: Any, incomplete: bool) -> None:
    from stream_app.rebuild.run import rebuilding

    accounts = places = shown = 0
    differing: set[str] = set()
    async with rebuilding(
        config, redis, incomplete=incomplete, compare_only=True, earlier_records=_archive(config)
    ) as under_way:
        with _progress("Reading the topics", "records") as update:
            await under_way.catch_up_to_compare(update)
        with _progress("Comparing", "accounts") as update:
            async for found in under_way.differences(update):
                accounts += 1
                differing.update(difference.account for difference in found)
                some = found[: min(_MAX_OF_ONE, _MAX_PRINTED - shown)]
                shown += len(some)
                for difference in some:
                    click.echo(
                        plain(f"{difference.account}: {difference.what}, {difference.where}: ")
                        + f"{_shown(difference.live)}, from the topics "
                        + _shown(difference.rebuilt)
                    )
                places += len(found)
        conflicts = await under_way.conflicts(differing) if differing else []
    if places:
        _print_conflicts(conflicts)
        more = f", of which {shown} are shown" if places > shown else ""
        raise CommandError(
            f"{len(differing):,} of {quantity(accounts, 'account')} differ from the topics, in "
            f"{quantity(places, 'place')}{more}. Run `usage rebuild` to rebuild them."
        )
    click.echo(f"{quantity(accounts, 'account', 'matches')} the topics exactly.", err=True)


def _print_conflicts(conflicts: "Sequence[IdentityConflict]") -> None:
    """Print the identities that were used for two events: that alone makes rollups differ."""
    for conflict in conflicts[:_MAX_OF_ONE]:
        first = conflict.first
        click.echo(
            f"{first.account}: one source and id for two events: source {plain(first.source)}, id "
            f"{plain(first.id)}, at {conflict.first_place} and {conflict.second_place}. Only "
            "the one that is read first counts; a producer must not reuse an id"
        )
    if len(conflicts) > _MAX_OF_ONE:
        click.echo(f"and {len(conflicts) - _MAX_OF_ONE:,} more of these")


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"net {value[0]}, rise {value[1]}" if isinstance(value, tuple) else f"{value:,}"


@contextmanager
def _progress(title: str, unit: str) -> Iterator[Any]:
    """Yield what is called with how much is done and how much there is."""
    with progress_bar(title) as update:
        yield lambda done, total: update(done, total, f"{done:,} of {total:,} {unit}")
