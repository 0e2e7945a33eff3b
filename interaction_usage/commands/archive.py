"""`usage archive`: a copy of every record in Parquet files."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.help_format import Subcommands
from interaction_usage.commands.progress import progress_bar
from interaction_usage.commands.signals import call_on_signals
from interaction_usage.commands.terminal import plain, print_table
from rollups.quantity import quantity

if TYPE_CHECKING:
    from interaction_usage.archive.archive import Archive
    from interaction_usage.archive.status import Status


@click.group("archive", cls=Subcommands)
def archive() -> None:
    """Copy every record of the event topics, refused ones too, into Parquet files.

    USAGE_ARCHIVE says where: a folder, or s3://bucket/prefix. Each record is copied exactly once,
    whatever is killed. Explanations and rebuilds read what Kafka no longer has from there.

    \b
    Example:
      usage archive status
    """


@archive.command("run")
def run() -> None:
    """Copy records as they are published, until SIGTERM or Ctrl-C.

    One process is enough; a second one does no harm. While Kafka or the storage is away it waits.
    With USAGE_HEALTH_PORT it answers /healthz, /readyz and /metrics.

    \b
    Example:
      usage archive run
    """
    config = _config()
    with archive_errors(config):
        asyncio.run(_run(config))


async def _run(config: settings.Settings) -> None:
    from interaction_usage import logs
    from interaction_usage.archive.process import ArchiveProcess

    logs.configure(config.log_level, config.log_format)
    process = ArchiveProcess(config)
    call_on_signals(asyncio.get_running_loop(), process.stop)
    await process.run()


@archive.command("once")
def once() -> None:
    """Copy what is published now, and end: for cron.

    \b
    Example:
      usage archive once
    """
    from stream_app.errors import RecordsUnavailableError, TopicRecreatedError

    config = _config()
    with archive_errors(config):
        from interaction_usage.archive.process import ArchiveProcess

        async def copy() -> int:
            return (await ArchiveProcess(config).once()).total

        try:
            count = asyncio.run(copy())
        except (RecordsUnavailableError, TopicRecreatedError) as error:
            why = str(error) or "a topic was created again meanwhile"
            raise CommandError(f"{why}. What was committed stays; run it again.") from None
    click.echo(f"{quantity(count, 'record')} archived.", err=True)


@archive.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def status(as_json: bool) -> None:
    """Show up to where topics are archived, what is missing, and how large the archive is.

    When piped: tab-separated topic, partition, archived up to, end in Kafka, not archived.

    \b
    Example:
      usage archive status --json
    """
    config = _config()
    with archive_errors(config):
        from interaction_usage.archive.status import read_status

        found = read_status(_open(config), config.kafka)
    if as_json:
        click.echo(orjson.dumps(_members(found), option=orjson.OPT_INDENT_2))
        return
    for table in found.tables:
        click.echo(
            f"{table.name}: {quantity(table.rows, 'row')}, {quantity(table.files, 'file')}, "
            f"{quantity(table.size, 'byte')}",
            err=True,
        )
    for gap in found.gaps:
        click.echo(
            plain(
                f"Missing: {gap.topic}/{gap.partition}, offsets {gap.first:,} to {gap.end - 1:,}; "
                "Kafka had deleted them before they were archived"
            ),
            err=True,
        )
    headings = ("Topic", "Partition", "Archived up to", "End in Kafka", "Not archived")
    rows = (
        (one.place[0], str(one.place[1]), f"{one.archived:,}", f"{one.end:,}", f"{one.behind:,}")
        for one in found.places
    )
    print_table(headings, rows)


def _members(found: "Status") -> dict[str, Any]:
    return {
        "tables": [table._asdict() for table in found.tables],
        "gaps": [gap._asdict() for gap in found.gaps],
        "partitions": [
            {
                "topic": one.place[0], "partition": one.place[1], "archived": one.archived,
                "begin": one.begin, "end": one.end, "behind": one.behind,
            }
            for one in found.places
        ],
    }  # fmt: skip


@archive.command("compact")
def compact() -> None:
    """Join small files into large ones, and remove those that were replaced 7 days ago or earlier.

    Archiving and reading go on meanwhile. Run it once a day.

    \b
    Example:
      usage archive compact
    """
    config = _config()
    with archive_errors(config):
        from interaction_usage.archive import compaction

        with progress_bar("Joining files") as update:
            done = compaction.compact(
                _open(config), lambda n, total: update(n, total, f"{n:,} of {total:,} files")
            )
    click.echo(
        f"{quantity(done.joined, 'file')} joined into {done.written:,}; "
        f"{quantity(done.removed, 'old file')} removed.",
        err=True,
    )


def _config() -> settings.Settings:
    """Return the settings. Raises CommandError without a place for the archive."""
    config = settings.read()
    if not config.archive:
        raise CommandError(
            "USAGE_ARCHIVE is not set. Set it to an absolute folder or to s3://bucket/prefix."
        )
    return config


def _open(config: settings.Settings) -> "Archive":
    from interaction_usage.archive.archive import Archive
    from interaction_usage.archive.location import Location

    return Archive.open(Location(config.archive))


@contextmanager
def archive_errors(config: settings.Settings) -> Iterator[None]:
    """Turn what can go wrong into one sentence."""
    from aiokafka.errors import KafkaError

    from interaction_usage.archive.errors import (
        ArchiveError,
        CommitConflictError,
        NoArchiveError,
        NotInstalledError,
    )
    from stream_app.errors import BrokerUnavailableError

    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("deltalake", "pyarrow", "duckdb"):
            raise
        raise CommandError(f"{NotInstalledError()}.") from None
    except NoArchiveError as error:
        raise CommandError(f"{plain(str(error))}; `usage archive run` creates it.") from None
    except CommitConflictError:
        raise CommandError(
            "Another process changed the archive at the same time. Nothing is lost; run it again."
        ) from None
    except ArchiveError as error:
        raise CommandError(f"Archive: {plain(str(error))}.") from None
    except (BrokerUnavailableError, KafkaError) as error:
        raise CommandError(f"Kafka at {config.kafka}: {error}.") from None
