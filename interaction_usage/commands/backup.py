"""`usage backup` and `usage restore`: all that a bill needs, in one file."""

import gzip
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from interaction_usage import settings
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.files import write_private
from interaction_usage.commands.signals import StopRequested, stopping_on_signals
from rollups.quantity import quantity

if TYPE_CHECKING:
    from interaction_usage.store.backup import Record
    from interaction_usage.store.keys import Namespace

#: Values of an account are mostly numbers that compress well even with little effort.
_EFFORT: Final = 3

#: Seconds that workers may take to go on with the restored rollups before the old ones are dropped.
_FOLLOW: Final = 15.0

#: Bytes that are read at once where nothing but the checksum is wanted.
_PIECE: Final = 1 << 20

#: The most that one record may have; a longer one is no record.
_LONGEST: Final = 1 << 30


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def backup(file: Path, force: bool) -> None:
    """Write everything that a bill needs to FILE, while workers go on counting.

    That is the rollups with their positions in Kafka, the settings of the accounts with their
    history, and the tokens (as hashes). The file holds a secret: only its owner can read it.

    \b
    Example:
      usage backup usage-2026-11-01.backup
    """
    from interaction_usage.store.backup import BackupError, pack, records

    if file.exists() and not force:
        raise CommandError(f"{str(file)!r} exists; to replace it, pass --force.")
    accounts = 0

    def write(out: BinaryIO) -> None:
        nonlocal accounts
        with gzip.GzipFile("", "wb", _EFFORT, out, mtime=0) as packed:
            for record in records(redis):
                packed.write(pack(record))
                accounts += type(record).__name__ == "Account"

    try:
        with redis_connection(settings.read()) as redis, stopping_on_signals():
            write_private(file, write)
    except BackupError as error:
        raise CommandError(f"No backup was made: {error}.") from None
    except StopRequested:
        raise CommandError(f"Stopped; {str(file)!r} was not written.") from None
    size = file.stat().st_size
    click.echo(f"{file}: {quantity(accounts, 'account')}, {quantity(size, 'byte')}", err=True)


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Put the backup in the place of the rollups.")
def restore(file: Path, replace: bool) -> None:
    """Restore FILE, which `usage backup` wrote, into a Redis or cluster.

    Workers then read from Kafka again what was counted after the backup. Settings and tokens are
    restored where there are none. Rollups that are there already stay, unless --replace is given.
    A backup that an earlier version wrote is upgraded on the way.

    \b
    Example:
      usage restore usage-2026-11-01.backup
    """
    from interaction_usage.store import backup as backups
    from interaction_usage.store.errors import RollupsLockedError
    from interaction_usage.store.namespaces import drop

    config = settings.read()
    try:
        with redis_connection(config) as redis, stopping_on_signals():
            done = backups.restore(redis, _records(file), replace=replace)
            followed = wait_for_workers(redis, done.active)
            drop(redis, done.replaced)
    except (backups.BackupError, RollupsLockedError) as error:
        raise CommandError(f"Nothing was restored: {error}.") from None
    except StopRequested:
        raise CommandError("Stopped; the rollups are as they were.") from None
    click.echo(
        f"Restored {quantity(done.accounts, 'account')}, the settings of {done.settings:,}, and "
        f"{quantity(done.tokens, 'token')} (those that were there stay). Workers go on "
        "from there: usage lag",
        err=True,
    )
    if not followed:
        click.echo("A worker still has the old rollups; it follows when it answers.", err=True)


def _records(file: Path) -> "Iterator[Record]":
    """Yield the records of a backup. Raises BackupError where it is damaged."""
    from interaction_usage.store.backup import BackupError, unpack

    try:
        if file.is_file():  # a pipe can be read once: then its checksum is looked at in the end
            _check_whole(file)
        with gzip.open(file, "rb") as packed:
            while length := packed.read(4):
                size = int.from_bytes(length)
                content = packed.read(size) if size <= _LONGEST else b""
                if len(content) != size:
                    raise BackupError("the file is damaged, or ends in the middle")
                yield unpack(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BackupError(f"{str(file)!r} is damaged, or is no backup ({error})") from None
    except OSError as error:
        raise BackupError(f"{str(file)!r} cannot be read: {error.strerror or error}") from None


def _check_whole(file: Path) -> None:
    """Read *file* to its end, where its checksum is, before anything of it is written."""
    with gzip.open(file, "rb") as packed:
        while packed.read(_PIECE):
            pass


def wait_for_workers(redis: Any, active: "Namespace") -> bool:
    """Wait until every worker writes the rollups *active*, or ended; tell whether that is so."""
    from interaction_usage.dashboard.health import heartbeats_of_workers
    from interaction_usage.store.worker_registry import HEARTBEAT_TTL_S

    deadline = time.monotonic() + _FOLLOW
    while True:
        words = heartbeats_of_workers(redis, HEARTBEAT_TTL_S).values()
        if all(each.get("rollups") in (active.name, "") for each in words):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
