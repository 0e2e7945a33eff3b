"""`usage reports show`: an issued report as it was issued, and its manifest."""

import sys
from typing import TYPE_CHECKING

import click
import orjson

from export.formats import FORMATS
from interaction_usage import settings
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.encoding import output_is_closed
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.files import check_target, write_target
from rollups.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interaction_usage.store.issued_table import Entry, StoredReport


@click.command("show")
@click.argument("number")
@click.option(
    "--format", "file_format", type=click.Choice(list(FORMATS)),
    help="File format.  [default: by the file's extension, otherwise json]",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Output file.  [default: standard output]")
@click.option(
    "--reproduce", is_flag=True,
    help="Make it again from its events, and fail unless it is the same byte for byte.",
)  # fmt: skip
@click.option("--manifest", "with_manifest", is_flag=True, help="Print the manifest.")
def show(
    number: str, file_format: str | None, output: str | None, reproduce: bool, with_manifest: bool
) -> None:
    """Show the issued report NUMBER: the bytes that were issued.

    Its JSON (keys sorted, no white space) and its xls are stored, and never change. xlsx and csv
    are drawn from what is stored. With --reproduce, JSON and xls are made again from the events up
    to the offsets in the manifest; if they differ, the error says what is gone or has changed. An
    xls that another version of the product arranged differently is not compared, and the command
    says so; the JSON always is.

    \b
    Examples:
      usage reports show acme-000001
      usage reports show acme-000001 -o october.xls
      usage reports show acme-000001 --manifest
    """
    from interaction_usage.commands.reports import issue_errors
    from interaction_usage.issued.reading import content, find

    chosen = file_format or _format_of(output)
    if output == "":
        raise click.UsageError("-o is empty; name a file, or leave it out.")
    if output not in (None, "-"):
        check_target(output)
    config = settings.read()
    with redis_connection(config) as redis, issue_errors():
        report = find(redis, number)
        adjusted = [find(redis, each).entry for each in report.entry.adjusted_numbers]
        wanted = not with_manifest or output is not None or file_format is not None
        stored = content(report, chosen) if wanted else b""
    if reproduce:
        _reproduce(config, report, adjusted)
    if wanted:
        _write(stored, output, chosen)
    if with_manifest:
        click.echo(orjson.dumps(report.manifest, option=orjson.OPT_INDENT_2))


def _reproduce(
    config: settings.Settings, report: "StoredReport", adjusted: "Sequence[Entry]"
) -> None:
    """Make the report again; raise a CommandError unless the bytes are those that were issued."""
    from interaction_usage.archive.account_events import Stretch, read_stretches
    from interaction_usage.commands.reports_diff import event_errors
    from interaction_usage.issued.manifest import dead_letter_ends_in, ends_in
    from interaction_usage.issued.reproduction import (
        Adjusted,
        frame_then,
        other_circumstances,
        reproduce,
    )
    from interaction_usage.reports.bill import name_at, value_text

    ends = ends_in(report.manifest)
    of_adjusted = {each["number"]: ends_in(each) for each in report.manifest.get("adjusts", ())}
    upto = [ends, *(of_adjusted[entry.number] for entry in adjusted)]
    stretches = [Stretch(report.entry.account, each, each) for each in upto]
    with event_errors(config):
        events, *of_earlier = read_stretches(
            config, stretches, dead_letters=dead_letter_ends_in(report.manifest)
        )
    earlier = [
        Adjusted(entry, [each.event for each in found.before])
        for entry, found in zip(adjusted, of_earlier, strict=True)
    ]
    found = reproduce(report, [each.event for each in events.before], earlier)
    number = report.entry.number
    if not found.differs:
        what = "JSON" if found.redrawn else "bytes"
        records = f"{quantity(len(events.before), 'record')} of events"
        click.echo(f"{number}: the same {what} from {records}", err=True)
        if found.redrawn:
            click.echo(f"Its xls was not compared: {found.redrawn}.", err=True)
        return
    within = frame_then(report).within
    reasons = [*events.gone, *other_circumstances(report, None, (within.begin, within.end))]
    cells = ", ".join(
        f"{name_at(cell.path)} {value_text(cell.before)} issued, {value_text(cell.after)} now"
        for cell in found.cells[:10]
    )
    why = "; ".join(reasons) or "the events are not those that were counted then"
    raise CommandError(
        f"{number} cannot be made again from the events: {why}. "
        f"{f'It would differ in {cells}' if cells else 'Its numbers would be the same'}."
    )


def _write(stored: bytes, output: str | None, file_format: str) -> None:
    if output not in (None, "-"):
        write_target(output, stored)
        click.echo(f"{output}: {len(stored):,} bytes", err=True)
        return
    if output_is_closed():
        raise CommandError("Standard output is closed; name a file with -o.")
    if file_format in ("xls", "xlsx") and sys.stdout.isatty():
        raise CommandError(f"An {file_format} file is not for a terminal; name a file with -o.")
    sys.stdout.buffer.write(stored)
    if file_format == "json" and sys.stdout.isatty():
        click.echo()
    sys.stdout.buffer.flush()


def _format_of(output: str | None) -> str:
    """Return the format that the file's extension asks for, json if it asks for none."""
    suffix = output.rpartition(".")[2].lower() if output and "." in output else ""
    return suffix if suffix in FORMATS else "json"
