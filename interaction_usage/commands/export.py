"""`usage export`: the rollups of some days as a file."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from export.formats import FORMATS
from interaction_usage import settings
from interaction_usage.commands.account_id import check_id, unusable_zone
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.ending import Stopped, ending_at_signals
from interaction_usage.commands.errors import Failure
from interaction_usage.commands.files import check_target, write_target
from interaction_usage.commands.period_options import Instant, period_options
from interaction_usage.commands.terminal import plain
from interaction_usage.reports.model import Report
from interaction_usage.reports.periods import PeriodError

if TYPE_CHECKING:
    from interaction_usage.store.reads import Rollups
    from rollups.range_snapshot import RangeSnapshot

#: Formats that hold more than the report's first sheet.
WITH_BREAKDOWNS = ("xls", "xlsx")

#: A zone in which every day has begun that has begun anywhere.
_EARLIEST_ZONE = "Etc/GMT-14"


@click.command("export")
@click.argument("account", required=False, callback=check_id)
@click.option("--all", "every", is_flag=True, help="Every account's report, into the folder of -d.")
@period_options
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
      usage export acme --month 2026-10
      usage export acme --from 2026-10-01 --to 2026-10-31 --tz Europe/Paris --format json -o -
      usage export --all --month 2026-10 -d reports
    """
    as_of = as_of or datetime.now(UTC)
    if every:
        from interaction_usage.commands.export_all import Job, write_all

        folder = _folder_of_all(account, output, directory)
        check_days(first, last, timezone, as_of)
        file_format = file_format or "xls"
        write_all(Job(settings.read(), first, last, timezone, as_of, file_format, folder))
        return
    if account is None:
        raise click.UsageError("Name an ACCOUNT, or take --all with -d DIR.")
    if directory is not None:
        raise click.UsageError("-d goes with --all; name the file of one account with -o.")
    file_format = file_format or _format_of(output)
    target = f"usage.{file_format}" if output is None else output
    if not target:
        raise click.UsageError("-o names a file, or is - for standard output; it is empty.")
    check_days(first, last, timezone, as_of)
    if target != "-":
        check_target(target)
    deep = file_format in WITH_BREAKDOWNS
    with redis_connection(settings.read()) as redis:
        report = make_report(redis, account, first, last, timezone, as_of, deep=deep)
    content = FORMATS[file_format](report)
    if target == "-":
        _write_to_output(content)
    else:
        try:
            with ending_at_signals():
                write_target(target, content)
        except Stopped:
            raise Failure(f"Stopped; {target!r} was not written.") from None
    for notice in notices_of(report, file_format):
        click.echo(notice, err=True)
    if target != "-":
        done = f"{target}: {report.name}, {first} to {last}, {report.timezone}"
        click.echo(plain(done), err=True)


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
    from interaction_usage.reports.build import Account, build, period
    from interaction_usage.store import account_settings
    from interaction_usage.store.reads import read_active
    from rollups.local_time import UnalignedZone, UnknownZone

    as_of = as_of or datetime.now(UTC)
    known = account_settings.get(redis, account)
    zone = known.timezone if timezone is None else timezone
    try:
        within = period(first, last, zone, as_of)
    except UnknownZone as error:
        if timezone is None:
            raise unusable_zone(account, error) from None
        raise click.BadParameter(str(error), param_hint="--tz") from None
    except (PeriodError, UnalignedZone) as error:
        raise click.UsageError(str(error)) from None

    def look(rollups: "Rollups") -> "RangeSnapshot | None":
        reading = rollups.read(account, *within.slots, by_slot=deep, flows=deep)
        # An account that something was counted for exists: two commands less.
        return reading if reading.totals or rollups.exists(account) else None

    reading = read_active(redis, look)
    if reading is None:
        names = read_active(redis, lambda rollups: rollups.accounts())
        raise Failure(
            f"There is no account {account!r}: no event was counted for it and it was never set"
            f"{_nearest(names, account)}"
        )
    told = Account(account, known.name, known.dnis, known.sms)
    return build(told, within, reading, as_of, breakdowns=deep)


def check_days(first: date, last: date, timezone: str | None, as_of: datetime) -> None:
    """Refuse, as wrong usage, days and a zone that no account could have a report for."""
    from interaction_usage.reports.build import period
    from rollups.local_time import UnalignedZone, UnknownZone

    try:
        period(first, last, _EARLIEST_ZONE if timezone is None else timezone, as_of)
    except UnknownZone as error:
        raise click.BadParameter(str(error), param_hint="--tz") from None
    except (PeriodError, UnalignedZone) as error:
        raise click.UsageError(str(error)) from None


def _write_to_output(content: bytes) -> None:
    if sys.stdout is None:
        raise Failure("Standard output is closed; name a file with -o.")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


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


def notices_of(report: Report, file_format: str) -> list[str]:
    """Return a sentence for each breakdown that *file_format* has to cut."""
    if file_format not in WITH_BREAKDOWNS:
        return []
    from export.breakdowns import notices

    return notices(report, file_format)
