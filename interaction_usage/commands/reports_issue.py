"""`usage reports issue` and `usage reports preview`."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.account_id import active_rollups, check_id
from interaction_usage.commands.connection import ledger_connection, redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.period_options import period_options
from interaction_usage.commands.report_errors import report_errors
from interaction_usage.commands.terminal import plain
from interaction_usage.commands.user_name import user_name
from interaction_usage.reports.service import ReportBatch, check_request

if TYPE_CHECKING:
    from interaction_usage.issued.issuing import Explain, Order, Outcome


def _terms_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options with which an operator says what is meant."""
    for option in (
        click.option(
            "--revises", metavar="NUMBER",
            help="Replace the issued report NUMBER, which stays as it is.",
        ),
        click.option(
            "--overlap", is_flag=True, help="Bill time that is on an issued report already."
        ),
        click.option(
            "--gap", is_flag=True, help="Leave out time beside the period that is on no report."
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("issue")
@click.argument("account", required=False, callback=check_id)
@click.option("--all", "every", is_flag=True, help="Issue the reports of all accounts.")
@period_options
@_terms_options
def issue(
    account: str | None, every: bool, first: date, last: date, gap: bool, overlap: bool,
    revises: str | None,
) -> None:  # fmt: skip
    """Issue the report of ACCOUNT for a period that has ended, and print its number.

    The report is stored for ever, and never changes. If one is issued for this period already, its
    number is printed and nothing is done. A report that is incomplete is not issued, nor one whose
    period leaves a gap to those issued before, or overlaps one, unless an option says that it is
    meant.

    With --all, issue the reports of all accounts, each in its account's time zone. One that fails
    does not stop the others; repeat the command to issue those that failed.

    \b
    Examples:
      usage reports issue acme --month 2026-10
      usage reports issue --all --month previous
      usage reports issue acme --month 2026-10 --revises acme-000001
    """
    if every == (account is not None):
        raise click.UsageError("Name an ACCOUNT, or use --all, and not both.")
    if every and revises:
        raise click.UsageError("--revises names one account's report; it does not go with --all.")
    batch = _batch(first, last)
    if every:
        from interaction_usage.commands.reports_issue_all import Job, issue_all

        order = _order(batch, gap, overlap, None)
        issue_all(Job(settings.read(), order))
    else:
        assert account is not None
        _issue_one(account, batch, gap, overlap, revises)


def _batch(first: date, last: date) -> ReportBatch:
    batch = ReportBatch(first, last, None, datetime.now(UTC))
    with report_errors():
        check_request(*batch)
    return batch


def _order(batch: ReportBatch, gap: bool, overlap: bool, revises: int | None) -> "Order":
    from interaction_usage.issued.issuing import Order
    from interaction_usage.issued.succession import Terms

    return Order(batch, user_name(), Terms(gap, overlap, revises))


def _issue_one(
    account: str, batch: ReportBatch, gap: bool, overlap: bool, revises: str | None
) -> None:
    from interaction_usage.commands.reports_adjust import event_counter
    from interaction_usage.issued.issuing import issue as issue_reports
    from interaction_usage.store.issued_table import find

    config = settings.read()
    order = _order(batch, gap, overlap, _revised(account, revises))
    with ledger_connection(config) as ledger:
        active_rollups(ledger.redis, account)
        if revises:
            order = order._replace(explain=_explain(config, ledger, revises))
        order = order._replace(count_events=event_counter(config, ledger.redis))
        [outcome] = issue_reports(ledger, [account], order)
        _raise_error(ledger.redis, outcome)
        entry = outcome.entry
        assert entry is not None
        revised = entry.revises and find(ledger.redis, account, entry.revises)
    click.echo(entry.number)
    what = f"{entry.first} to {entry.last}, {entry.timezone}"
    if outcome.is_new:
        click.echo(f"Issued: {what}", err=True)
        if revised and revised.numbers == entry.numbers:
            click.echo(f"It bills the same as {revised.number}", err=True)
        for number in entry.adjusted_numbers:
            click.echo(f"With an adjustment of {number}", err=True)
    else:
        click.echo(
            f"It was issued before: {what}. What differs since: usage reports diff {entry.number}",
            err=True,
        )


def _explain(config: settings.Settings, ledger: Any, revises: str) -> "Explain":
    """Return what finds out what a revision changes: from the events in Kafka."""
    from interaction_usage.commands.reports import issue_errors
    from interaction_usage.commands.reports_diff import revision_of
    from interaction_usage.issued.reading import find
    from interaction_usage.store.issued_table import REPORTS

    ledger.sync(REPORTS)
    with issue_errors():
        stored = find(ledger.redis, revises)
    return lambda basis: revision_of(config, stored, basis)


def _revised(account: str, number: str | None) -> int | None:
    """Return the ordinal of the report that is to be revised."""
    from interaction_usage.store.issued_table import parse_number

    if number is None:
        return None
    try:
        owner, ordinal = parse_number(number)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=["--revises"]) from None
    if owner != account:
        raise click.BadParameter(
            f"{number!r} is a report of {owner!r}, not of {account!r}", param_hint=["--revises"]
        )
    return ordinal


def _raise_error(redis: Any, outcome: "Outcome") -> None:
    """Raise the error of an *outcome* as a command's."""
    from interaction_usage.reports.errors import ReportError

    error = outcome.error
    if isinstance(error, ReportError):
        with report_errors(redis):
            raise error
    if error is not None:
        raise CommandError(f"No report was issued for {outcome.account!r}: {error}.") from None


# ------------------------------------------------------------------------------------ preview


@click.command("preview")
@click.argument("account", callback=check_id)
@period_options
@_terms_options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def preview(
    account: str, first: date, last: date, gap: bool, overlap: bool, revises: str | None, form: str
) -> None:
    """Show what `usage reports issue` would store, and what would hold it up.

    \b
    Example:
      usage reports preview acme --month 2026-10
    """
    from export.json_renderer import document
    from interaction_usage.commands.reports import issue_errors
    from interaction_usage.commands.reports_adjust import event_counter
    from interaction_usage.issued.issuing import issued_form
    from interaction_usage.issued.issuing import preview as preview_report

    config = settings.read()
    order = _order(_batch(first, last), gap, overlap, _revised(account, revises))
    with redis_connection(config) as redis, report_errors(redis), issue_errors():
        active_rollups(redis, account)
        order = order._replace(count_events=event_counter(config, redis))
        found = preview_report(redis, account, order)
    report = found.basis.report
    issued = found.issued.number if found.issued else None
    members = {
        "number": issued or found.number,
        "issued": issued is not None,
        "account": account,
        "from": report.first.isoformat(),
        "to": report.last.isoformat(),
        "timezone": report.timezone,
        "revises": revises,
        "obstacles": [] if issued else [str(each) for each in found.obstacles],
        "report": document(issued_form(report, issued or found.number, None, found.adjustments)),
    }
    if form == "json":
        click.echo(orjson.dumps(members, option=orjson.OPT_INDENT_2))
        return
    _print_preview(members)


def _print_preview(members: dict[str, Any]) -> None:
    from interaction_usage.issued.cells import cells_of
    from interaction_usage.reports.bill import name_at, value_text

    state = "issued before" if members["issued"] else "would be issued"
    click.echo(plain(f"{members['number']}  {state}"))
    click.echo(plain(f"{members['from']} to {members['to']}, {members['timezone']}"))
    for path, value in cells_of(members["report"]).items():
        click.echo(plain(f"  {name_at(path)}  {value_text(value)}"))
    for adjustment in members["report"].get("adjustments", ()):
        for line in _adjustment_lines(adjustment):
            click.echo(plain(line))
    for obstacle in members["obstacles"]:
        click.echo(plain(f"Held up: {obstacle}."))


def _adjustment_lines(adjustment: dict[str, Any]) -> Iterator[str]:
    from interaction_usage.reports.bill import name_at, value_text

    yield f"Adjustment of {adjustment['number']}, {adjustment['from']} to {adjustment['to']}"
    for cell in adjustment["cells"]:
        difference = cell["difference"]
        change = "" if difference is None else f"{value_text(difference, sign='+')} "
        count = cell["events"]
        events = "events not known" if count is None else f"{count:,} event{'s' * (count != 1)}"
        before, now = map(value_text, (cell["billed"], cell["now"]))
        yield f"  {name_at(cell['path'])}  {change}({before} billed, {now} now; {events})"
    for note in adjustment["notes"]:
        yield f"  {note}"
