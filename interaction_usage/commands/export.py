"""`usage export`: the Usage Report of one account, or of all, as files."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path

import click

from export.formats import FORMATS
from interaction_usage import settings
from interaction_usage.commands.account_id import check_id
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.encoding import output_is_closed
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.files import check_target, write_target
from interaction_usage.commands.period_options import Instant, period_options
from interaction_usage.commands.rendering import detail_of, notices, render, why_unfinished
from interaction_usage.commands.report_errors import report_errors
from interaction_usage.commands.signals import StopRequested, stopping_on_signals
from interaction_usage.commands.terminal import plain
from interaction_usage.reports.service import (
    ReportBatch,
    ReportRequest,
    check_request,
    make_report,
)


@click.command("export")
@click.argument("account", required=False, callback=check_id)
@click.option("--all", "every", is_flag=True, help="Export the reports of all accounts; needs -d.")
@period_options
@click.option(
    "--tz", "timezone", metavar="ZONE", help="IANA time zone.  [default: the account's own]"
)
@click.option(
    "--as-of",
    type=Instant(),
    help="Leave out hours that begin at or after this instant.  [default: now]",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(list(FORMATS)),
    help="File format.  [default: by the file's extension, otherwise xls]",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Output file, or - for standard output.  [default: usage.xls, or .xlsx, …]",
)
@click.option("--force", is_flag=True, help="On a terminal too: replace the file if it exists.")
@click.option(
    "-d",
    "--directory",
    metavar="DIR",
    help="With --all: the directory for the files, each named for its account; created if missing.",
)
@click.option(
    "--require-complete",
    is_flag=True,
    help="Write no report that is incomplete, or whose period has not ended; exit 1 instead.",
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
    force: bool,
    directory: str | None,
    require_complete: bool,
) -> None:
    """Write the Usage Report of ACCOUNT for a range of days, first and last included.

    With --all, write the reports of all accounts as of the same instant, each in its account's
    time zone; exit 1 if one is incomplete.

    Each report has a status. Incomplete: something published may be missing, and the report says
    what. Open: its period has not ended. Provisional: everything published is counted.

    \b
    Examples:
      usage export acme --month 2026-10
      usage export acme --from 2026-10-01 --to 2026-10-31 --tz Europe/Paris --format json -o -
      usage export --all --month 2026-10 -d reports
    """
    batch = ReportBatch(first, last, timezone, as_of or datetime.now(UTC))
    if every:
        where = output, directory
        _export_all(batch, account, file_format or "xls", where, require_complete)
    elif account is None:
        raise click.UsageError("Name an ACCOUNT, or use --all with -d DIR.")
    elif directory is not None:
        raise click.UsageError("-d goes with --all; name the file of one account with -o.")
    else:
        wanted = batch.request(account)
        _export_one(
            wanted, file_format or _format_of(output), output, require_complete, force=force
        )


def _export_one(
    request: ReportRequest, file_format: str, output: str | None, require_complete: bool, *,
    force: bool,
) -> None:  # fmt: skip
    """Write the report of one account to the *output* that was named, or not."""
    target = f"usage.{file_format}" if output is None else output
    if not target:
        raise click.UsageError("-o is empty; name a file, or - for standard output.")
    with report_errors():
        check_request(*request[1:5])
    if target != "-":
        check_target(target, force=force)
    with redis_connection(settings.read()) as redis, report_errors(redis):
        report = make_report(redis, request, detail_of(file_format))
    if require_complete and (why := why_unfinished(report)):
        raise CommandError(f"{target!r} was not written. {why}")
    content = render(report, file_format)
    if target == "-":
        _write_to_output(content)
    else:
        _write_to_file(target, content)
    for notice in notices(report, file_format):
        click.echo(notice, err=True)
    if why := why_unfinished(report):
        click.echo(plain(why), err=True)
    if target != "-":
        done = f"{target}: {report.name}, {report.first} to {report.last}, {report.timezone}"
        click.echo(plain(done), err=True)


def _export_all(
    batch: ReportBatch,
    account: str | None,
    file_format: str,
    where: tuple[str | None, str | None],
    require_complete: bool,
) -> None:
    """Write the report of every account *where* is said; options that do not apply are refused."""
    output, directory = where
    from interaction_usage.commands.export_all import Job, write_all

    if account is not None:
        raise click.UsageError(f"Give the account {account!r} or --all, not both.")
    if output is not None:
        raise click.UsageError("-o names one file; with --all, name a directory with -d.")
    if not directory:
        raise click.UsageError("With --all, name a directory for the reports with -d.")
    with report_errors():
        check_request(*batch)
    write_all(Job(settings.read(), batch, file_format, directory, require_complete))


def _write_to_file(target: str, content: bytes) -> None:
    try:
        with stopping_on_signals():
            write_target(target, content)
    except StopRequested:
        raise CommandError(f"Stopped; {target!r} was not written.") from None


def _write_to_output(content: bytes) -> None:
    if output_is_closed():
        raise CommandError("Standard output is closed; name a file with -o.")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _format_of(output: str | None) -> str:
    """Return the format that the file's extension asks for, xls if it asks for none."""
    suffix = Path(output).suffix[1:].lower() if output and output != "-" else ""
    return suffix if suffix in FORMATS else "xls"
