"""`usage rebuild`: the rollups rebuilt from the topics, compared, and activated."""

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from interaction_usage import settings
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import Failure
from interaction_usage.commands.terminal import console, plain

if TYPE_CHECKING:
    from stream_app.identity_conflicts import IdentityConflict

#: Differences that are shown one by one: of an account, and in all.
_SHOWN_PER_ACCOUNT, _SHOWN = 10, 500

_UNCHANGED = "The active rollups are unchanged."


@click.command("rebuild")
@click.option(
    "--verify",
    is_flag=True,
    help="Compare only: show where the active rollups differ, exit 1 if any do, change nothing.",
)
@click.option(
    "--incomplete",
    is_flag=True,
    help="Continue although Kafka no longer holds the beginning; what it deleted is not counted.",
)
def rebuild(verify: bool, incomplete: bool) -> None:
    """Rebuild the rollups from the topics, beside the active ones, and switch to them.

    Live traffic goes on meanwhile, and reports come from the old rollups until the new ones have
    caught up. Workers follow to the new ones by themselves. Use it to change a session limit, and
    with --verify to prove that the rollups match the topics.

    \b
    Examples:
      usage rebuild --verify
      USAGE_SESSION_LIMIT_AGENT=43200 usage rebuild
    """
    config = settings.read()
    with redis_connection(config) as redis:
        asyncio.run(_run(config, redis, verify, incomplete))


async def _run(config: settings.Settings, redis: Any, verify: bool, incomplete: bool) -> None:
    """Rebuild or verify; every failure becomes a sentence."""
    from aiokafka.errors import KafkaError

    from interaction_usage.store.errors import AccountBusyError, ReseekRequired
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
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(each, task.cancel)
    try:
        await (_verify if verify else _rebuild)(config, redis, incomplete)
    except RebuildRunningError:
        raise Failure(
            "Another rebuild is running. (The lock of one that was killed expires after a minute.)"
        ) from None
    except LockLostError:
        raise Failure(
            "This rebuild did not renew its lock for a minute, and another one may have begun; "
            "nothing was switched. Start it again."
        ) from None
    except RetentionGapError as error:
        shown = "; ".join(error.gaps[:3])
        more = f"; and {len(error.gaps) - 3} more" if len(error.gaps) > 3 else ""
        raise Failure(
            f"Kafka no longer holds everything that was published: {shown}{more}. Rebuilt "
            f"rollups would not count it. {_UNCHANGED} To continue anyway, pass --incomplete"
        ) from None
    except TopicRecreatedError:
        raise Failure(f"A topic was recreated meanwhile; start again. {_UNCHANGED}") from None
    except AccountBusyError as error:
        raise Failure(f"The account {error} changes too often to be compared.") from None
    except ReseekRequired as error:
        raise Failure(f"{error}; start again. {_UNCHANGED}") from None
    except (BrokerUnavailableError, KafkaError, RecordsUnavailableError) as error:
        raise Failure(f"Kafka at {config.kafka}: {error}. {_UNCHANGED}") from None
    except asyncio.CancelledError:
        raise Failure(f"Stopped. {_UNCHANGED}") from None


async def _rebuild(config: settings.Settings, redis: Any, incomplete: bool) -> None:
    from stream_app.rebuild.run import rebuilding

    began = time.monotonic()
    async with rebuilding(config, redis, incomplete=incomplete) as under_way:
        with _progress("Reading the topics", "records") as progress:
            count = await under_way.catch_up(progress)
        followed = await under_way.switch()
    seconds = time.monotonic() - began
    click.echo(f"Reports come from the new rollups: {count:,} records, {seconds:.1f} s.", err=True)
    if not followed:
        click.echo(
            "A worker has not followed yet; it does when it responds again, and nothing is lost "
            "meanwhile. One with other session limits ends.",
            err=True,
        )


async def _verify(config: settings.Settings, redis: Any, incomplete: bool) -> None:
    from stream_app.rebuild.run import rebuilding

    accounts = places = shown = 0
    differing: set[str] = set()
    async with rebuilding(config, redis, incomplete=incomplete, compare_only=True) as under_way:
        with _progress("Reading the topics", "records") as progress:
            await under_way.catch_up_to_compare(progress)
        with _progress("Comparing", "accounts") as progress:
            async for differences in under_way.differences(progress):
                accounts += 1
                differing.update(difference.account for difference in differences)
                some = differences[: min(_SHOWN_PER_ACCOUNT, _SHOWN - shown)]
                shown += len(some)
                for difference in some:
                    click.echo(
                        plain(f"{difference.account}: {difference.what}, {difference.where}: ")
                        + f"{_shown(difference.live)}, and by the topics "
                        + _shown(difference.rebuilt)
                    )
                places += len(differences)
        conflicts = await under_way.conflicts(differing) if differing else []
    if places:
        _print_conflicts(conflicts)
        more = f", of which {shown} are shown" if places > shown else ""
        raise Failure(
            f"{len(differing):,} of {accounts:,} accounts differ from what the topics say, in "
            f"{places:,} places{more}. To rebuild them: usage rebuild"
        )
    click.echo(f"{accounts:,} accounts are exactly what the topics say.", err=True)


def _print_conflicts(conflicts: "Sequence[IdentityConflict]") -> None:
    """Print which identities were used for two events: that alone makes rollups differ."""
    from interaction_usage.commands.terminal import plain

    for conflict in conflicts[:_SHOWN_PER_ACCOUNT]:
        first = conflict.first
        click.echo(
            f"{first.account}: one source and id for two events: source {plain(first.source)}, id "
            f"{plain(first.id)}, at {conflict.first_place} and {conflict.second_place}. One of "
            "them counts, whichever is read first; a producer must not use an id twice"
        )
    if len(conflicts) > _SHOWN_PER_ACCOUNT:
        click.echo(f"and {len(conflicts) - _SHOWN_PER_ACCOUNT:,} more of these")


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"net {value[0]}, rise {value[1]}" if isinstance(value, tuple) else f"{value:,}"


@contextmanager
def _progress(title: str, unit: str) -> Iterator[Any]:
    """Yield a function of how much is done and how much there is."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    on_stderr = console(stderr=True)
    columns = (
        TextColumn(title), BarColumn(bar_width=30), TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=on_stderr, disable=not on_stderr.is_terminal) as bar:
        task = bar.add_task("", total=None, state="")

        def progress(done: int, total: int) -> None:
            state = f"{done:,} of {total:,} {unit}"
            bar.update(task, completed=done, total=total, state=state)

        yield progress
