"""`usage export`: the rollups of some days as a file."""

import os
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import settings
from commands.connection import redis_connection
from commands.errors import Failure
from export.formats import FORMATS
from export.model import Report

if TYPE_CHECKING:
    from rollups.reading import Reading
    from rollups.reads import Rollups

#: Formats that hold more than the report's first sheet.
WITH_BREAKDOWNS = ("xls", "xlsx")


class Day(click.ParamType):
    """A calendar day, `2026-10-01`."""

    name = "day"

    def convert(
        self, value: str | date, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """Return the day that *value* names."""
        if isinstance(value, date):
            return value
        try:
            year, month, day = value.split("-")
            if value.isascii() and (year + month + day).isdigit() and len(year) == 4:
                return date(int(year), int(month), int(day))
            raise ValueError(value)
        except ValueError:
            self.fail(f"{value!r} is no day of the calendar; write it like 2026-10-01", param, ctx)


class Instant(click.ParamType):
    """An instant, `2026-11-01T09:00:00Z`."""

    name = "instant"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the instant that *value* names, in UTC."""
        if isinstance(value, datetime):
            return value
        from rollups.instants import parse_rfc3339

        try:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=parse_rfc3339(value))
        except (ValueError, OverflowError) as error:
            self.fail(f"{error}; write it like 2026-11-01T09:00:00Z", param, ctx)


@click.command("export")
@click.argument("account", required=False)
@click.option("--all", "every", is_flag=True, help="Every account's report, into the folder of -d.")
@click.option("--from", "first", type=Day(), required=True, help="First day, inclusive.")
@click.option("--to", "last", type=Day(), required=True, help="Last day, inclusive.")
@click.option(
    "--tz", "timezone", metavar="ZONE", help="IANA time zone; the account's own if left out."
)
@click.option(
    "--as-of",
    type=Instant(),
    help="Leave out hours that begin at or after this instant; now if left out.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(list(FORMATS)),
    help="xls if left out, or what the file's name ends with.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="The file, or - for standard output; usage.xls (or .xlsx, …) if left out.",
)
@click.option(
    "-d",
    "--directory",
    metavar="DIR",
    help="With --all: the folder for the files, each named for its account; made if missing.",
)
def export(
    account: str | None,
    every: bool,
    first: date,
    last: date,
    timezone: str | None,
    as_of: datetime | None,
    file_format: str | None,
    output: str | None,
    directory: str | None,
) -> None:
    """Write the Usage Report of ACCOUNT for some days, first and last included.

    With --all, the reports of all accounts, as of one instant, each in its account's time zone.

    \b
    Examples:
      usage export acme --from 2026-10-01 --to 2026-10-31
      usage export acme --from 2026-10-01 --to 2026-10-31 --tz Europe/Paris --format json -o -
      usage export --all --from 2026-10-01 --to 2026-10-31 -d reports
    """
    if every:
        from commands.export_all import Job, write_all

        folder = _folder_of_all(account, output, directory)
        as_of = as_of or datetime.now(UTC)
        file_format = file_format or "xls"
        write_all(Job(settings.read(), first, last, timezone, as_of, file_format, folder))
        return
    if account is None:
        raise click.UsageError("Name an ACCOUNT, or take --all with -d DIR.")
    if directory is not None:
        raise click.UsageError("-d goes with --all; name the file of one account with -o.")
    file_format = file_format or _format_of(output)
    target = output or f"usage.{file_format}"
    _check_folder(target)
    deep = file_format in WITH_BREAKDOWNS
    with redis_connection(settings.read()) as redis:
        report = make_report(redis, account, first, last, timezone, as_of, deep=deep)
    content = FORMATS[file_format](report)
    write_file(target, content)
    for notice in notices_of(report, file_format):
        click.echo(notice, err=True)
    if target != "-":
        click.echo(f"{target}: {report.name}, {first} to {last}, {report.timezone}", err=True)


def make_report(
    redis: Any,
    account: str,
    first: date,
    last: date,
    timezone: str | None = None,
    as_of: datetime | None = None,
    *,
    deep: bool = True,
) -> Report:
    """Read and compute a report, with its breakdowns if *deep*.

    What cannot be asked for is wrong usage; an account that does not exist is a Failure.
    """
    from export.report import Account, ImpossiblePeriod, build, period
    from rollups import accounts
    from rollups.local_time import UnalignedZone, UnknownZone
    from rollups.reads import read_in_force

    as_of = as_of or datetime.now(UTC)
    known = accounts.get(redis, account)
    try:
        within = period(first, last, timezone or known.timezone, as_of)
    except UnknownZone as error:
        raise click.BadParameter(str(error), param_hint="--tz") from None
    except (ImpossiblePeriod, UnalignedZone) as error:
        raise click.UsageError(str(error)) from None

    def look(rollups: "Rollups") -> "Reading | None":
        reading = rollups.read(account, *within.slots, by_slot=deep, flows=deep)
        # An account that something was counted for exists: two commands less.
        return reading if reading.totals or rollups.exists(account) else None

    reading = read_in_force(redis, look)
    if reading is None:
        names = read_in_force(redis, lambda rollups: rollups.accounts())
        raise Failure(
            f"There is no account {account!r}: no event was counted for it and it was never set"
            f"{_nearest(names, account)}"
        )
    told = Account(account, known.name, known.dnis, known.sms)
    return build(told, within, reading, as_of, breakdowns=deep)


def _folder_of_all(account: str | None, output: str | None, directory: str | None) -> str:
    """Return the folder for the reports of all accounts; what does not go with it is refused."""
    if account is not None:
        raise click.UsageError(f"Give the account {account!r} or --all, not both.")
    if output is not None:
        raise click.UsageError("-o names one file; with --all, name a folder with -d.")
    if not directory:
        raise click.UsageError("With --all, name a folder for the reports with -d.")
    return directory


def _nearest(accounts: list[str], account: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(account, accounts[:20_000], 1)
    return f". Did you mean {near[0]!r}?" if near else "."


def _format_of(output: str | None) -> str:
    """Return the format that the file's name asks for, xls if it asks for none."""
    suffix = Path(output).suffix[1:].lower() if output and output != "-" else ""
    return suffix if suffix in FORMATS else "xls"


def _check_folder(target: str) -> None:
    folder = Path(target).parent
    if target != "-" and not folder.is_dir():
        raise Failure(f"There is no folder {str(folder)!r} to write {Path(target).name!r} to.")
    if target != "-" and Path(target).is_dir():
        raise Failure(f"{target!r} is a folder; name a file in it, like {target}/usage.xls.")


def write_file(target: str, content: bytes) -> None:
    """Write *content* whole or not at all: beside the file first, then in its place.

    What stands there and is no file, a device or a pipe, is written to and stays what it is; behind
    a symbolic link it is the file that it names.
    """
    if target == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    path = Path(os.path.realpath(target))
    if Path(target).exists() and not path.is_file():
        _write_into(target, content)
        return
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except BaseException as error:  # also when it is told to stop in between
        beside.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise Failure(f"{target!r} could not be written: {error.strerror}.") from None


def _write_into(target: str, content: bytes) -> None:
    """Write *content* to what is no file, and cannot be exchanged for one."""
    try:
        with open(target, "wb") as device:
            device.write(content)
    except OSError as error:
        raise Failure(f"{target!r} could not be written: {error.strerror}.") from None


def notices_of(report: Report, file_format: str) -> list[str]:
    """Return a sentence for each breakdown that *file_format* has to cut."""
    if file_format not in WITH_BREAKDOWNS:
        return []
    from export.breakdowns import notices

    return notices(report, file_format)
