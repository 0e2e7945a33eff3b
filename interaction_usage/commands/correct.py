"""`usage correct`: voids of events and corrections of sessions, and the voids that are pending."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.account_id import active_rollups, check_id
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.durations import Seconds
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.help_format import Subcommands
from interaction_usage.commands.period_options import Day, Instant
from interaction_usage.commands.progress import progress_bar
from interaction_usage.commands.report_errors import report_errors
from interaction_usage.commands.terminal import is_one_line, plain, print_table
from interaction_usage.commands.user_name import user_name
from rollups.catalog import APPLICATIONS

if TYPE_CHECKING:
    from interaction_usage.corrections.service import Corrector, Proposal

_MOST_CHARACTERS: Final = 200
_PATIENCE_S: Final = 30.0


def _one_line(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    text = value and value.strip()
    if text is not None and not is_one_line(text, _MOST_CHARACTERS):
        raise click.BadParameter(
            f"use 1 to {_MOST_CHARACTERS} characters and no control characters"
        )
    return text


def _publishing_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--wait",
            "seconds",
            type=Seconds(0),
            default=_PATIENCE_S,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait until it is counted; 0: do not wait.",
        ),
        click.option(
            "--dry-run", is_flag=True, help="Only show what would change; publish nothing."
        ),
        click.option(
            "--actor",
            callback=_one_line,
            metavar="NAME",
            help="Who corrects it.  [default: the user's name]",
        ),
        click.option(
            "--reason",
            required=True,
            callback=_one_line,
            metavar="TEXT",
            help="Why; it is kept, and shown wherever the number is explained.",
        ),
    ):
        command = option(command)
    return command


@click.group("correct", cls=Subcommands)
def correct() -> None:
    """Take an event back, or correct a session, as an event of its own.

    Corrections are final for an event (to count it after all, send it under another id); a
    session can be corrected again. Nothing of a sealed day changes, and issued reports never do.

    \b
    Examples:
      usage correct event acme --source web --id 4711 --reason "sent twice" --dry-run
      usage correct list acme
    """


@correct.command("event")
@click.argument("account", callback=check_id)
@click.option("--source", required=True, help="The event's source.")
@click.option("--id", "event_id", required=True, help="The event's id.")
@click.option("--day", type=Day(), help="The UTC day of the event's time, where several have it.")
@_publishing_options
def event(
    account: str, source: str, event_id: str, day: date | None,
    reason: str, actor: str | None, dry_run: bool, seconds: float,
) -> None:  # fmt: skip
    """Void an event: take back what it counted, at its own time.

    The event is looked for in the archive and in Kafka. Shows the values of the account's report
    that change. The same command again is the same void.

    \b
    Example:
      usage correct event acme --source /apps/web --id run-90210 --reason "a load test"
    """
    why = reason, actor or user_name()
    with _corrector() as corrector, _reading() as progress:
        proposal = corrector.propose_void(
            account, source, event_id, why, datetime.now(UTC), progress,
            day.isoformat() if day else None,
        )  # fmt: skip
    _carry_out(proposal, dry_run, seconds)


@correct.command("session")
@click.argument("account", callback=check_id)
@click.argument("application", metavar="APPLICATION", type=click.Choice(list(APPLICATIONS)))
@click.argument("session")
@click.option("--start", type=Instant(), help="When it started, as RFC 3339.")
@click.option("--stop", type=Instant(), help="When it stopped; without it the end is inferred.")
@click.option("--remove", is_flag=True, help="The session never was.")
@click.option("--new", "is_new", is_flag=True, help="No event speaks of the session yet.")
@_publishing_options
def session(
    account: str, application: str, session: str,
    start: datetime | None, stop: datetime | None, remove: bool, is_new: bool,
    reason: str, actor: str | None, dry_run: bool, seconds: float,
) -> None:  # fmt: skip
    """Correct SESSION of an APPLICATION: what is given replaces everything that its events say.

    Shows the values of the account's report that change.

    \b
    Examples:
      usage correct session acme agent s-4711 --start 2026-10-05T09:00:00Z \\
        --stop 2026-10-05T10:45:00Z --reason "the stop was lost"
      usage correct session acme agent s-4712 --remove --reason "a load test"
    """
    if remove == (start is not None) or (remove and stop is not None):
        raise click.UsageError("Give --start, with --stop if it is known, or --remove.")
    now = datetime.now(UTC)
    for name, instant in (("--start", start), ("--stop", stop)):
        if instant is not None and instant > now:
            raise click.BadParameter("lies in the future", param_hint=[name])
    if start is not None and stop is not None and stop < start:
        raise click.BadParameter("lies before --start", param_hint=["--stop"])
    why = reason, actor or user_name()
    with _corrector() as corrector, _reading() as progress:
        proposal = corrector.propose_session(
            account, application, session, _micros(start), _micros(stop), why, now, progress,
            is_new=is_new,
        )  # fmt: skip
    _carry_out(proposal, dry_run, seconds)


@correct.command("list")
@click.argument("account", callback=check_id)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(account: str, as_json: bool) -> None:
    """List the pending voids of ACCOUNT: those whose event has not arrived.

    The sums of the account are lower by what they take back. When piped: tab-separated type,
    source, id, time, amounts, reason, actor.

    \b
    Example:
      usage correct list acme --json
    """
    from interaction_usage.corrections.drafts import rfc3339
    from interaction_usage.store.pending_voids import pending_voids

    with redis_connection(settings.read()) as redis:
        rollups = active_rollups(redis, account)
        found = sorted(pending_voids(rollups, account), key=lambda void: (void.time, void.id))
    if as_json:
        rows = [
            void._asdict() | {"time": rfc3339(void.time), "voided_at": rfc3339(void.voided_at)}
            for void in found
        ]
        click.echo(orjson.dumps(rows))
        return
    if not found:
        click.echo(f"No voids of {account} are pending.", err=True)
        return
    print_table(
        ("Type", "Source", "Id", "Time", "Takes back", "Reason", "Actor"),
        (
            (
                void.type, void.source, void.id, rfc3339(void.time),
                ", ".join(f"{metric} {amount}" for metric, amount in void.amounts.items()),
                void.reason, void.actor,
            )
            for void in found
        ),
    )  # fmt: skip


def _micros(instant: datetime | None) -> int | None:
    if instant is None:
        return None
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@contextmanager
def _corrector() -> Iterator["Corrector"]:
    """Yield what corrects; its errors become a CommandError."""
    from interaction_usage.commands.correcting import publish_one
    from interaction_usage.corrections.errors import CorrectionError
    from interaction_usage.corrections.service import Corrector

    config = settings.read()
    try:
        with redis_connection(config) as redis, report_errors(redis):
            yield Corrector(config, redis, publish_one(config))
    except CorrectionError as error:
        raise CommandError(str(error)) from None


@contextmanager
def _reading() -> Iterator[Callable[[int, int], None]]:
    with progress_bar("Reading events") as update:
        yield lambda done, total: update(done, total, f"{done:,} of {total:,} records")


def _carry_out(proposal: "Proposal", dry_run: bool, seconds: float) -> None:
    """Show what changes; publish it, and wait, unless this is a dry run."""
    from interaction_usage.reports.bill import name_at, value_text

    click.echo(plain(f"{proposal.draft.account}: {proposal.what}"))
    for report in proposal.preview.reports:
        click.echo(f"Report {report.first} to {report.last}, {report.timezone}:")
        if not report.cells:
            click.echo("  no value changes")
        for cell in report.cells:
            change = f"{value_text(cell.before)} -> {value_text(cell.after)}"
            click.echo(plain(f"  {name_at(cell.path)}  {change}"))
    for remark in proposal.remarks:
        click.echo(plain(remark), err=True)
    if proposal.preview.issued:
        numbers = ", ".join(proposal.preview.issued)
        click.echo(f"Issued reports of these days stay as they are: {numbers}", err=True)
    if dry_run:
        click.echo("Nothing was published (--dry-run).", err=True)
        return
    with _corrector() as corrector:
        began = time.monotonic()
        place = corrector.publish(proposal.draft)
        shown = f"{proposal.draft.topic}/{place[0]}/{place[1]}"
        if not seconds:
            click.echo(f"Published: {shown}", err=True)
        elif corrector.wait(proposal.draft, place, seconds):
            took = time.monotonic() - began
            click.echo(f"Counted after {took:.1f} s: {shown}", err=True)
        else:
            raise CommandError(
                f"Published as {shown}, but not counted within {seconds:g} s. It will be, once a "
                "worker comes to it; see: usage lag"
            )
