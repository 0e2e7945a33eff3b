"""`usage reports`: issued reports, which never change."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.account_id import active_rollups, check_id
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.help_format import Subcommands
from interaction_usage.commands.terminal import print_table


@click.group("reports", cls=Subcommands)
def reports() -> None:
    """Issue reports, which never change, and compare them with what is counted now.

    \b
    Example:
      usage reports issue acme --month 2026-10
    """


@contextmanager
def issue_errors() -> Iterator[None]:
    """Turn an IssueError into a CommandError."""
    from interaction_usage.issued.errors import IssueError, sentence

    try:
        yield
    except IssueError as error:
        raise CommandError(sentence(error)) from None


@reports.command("list")
@click.argument("account", required=False, callback=check_id)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def list_(account: str | None, form: str) -> None:
    """List the issued reports of ACCOUNT, or of all accounts, by account and number.

    \b
    Examples:
      usage reports list
      usage reports list acme --format json
    """
    from interaction_usage.issued.manifest import list_members
    from interaction_usage.store.issued_table import accounts_with_reports, entries_of_many

    with redis_connection(settings.read()) as redis:
        accounts = [account] if account else accounts_with_reports(redis)
        found = [entry for some in entries_of_many(redis, accounts) for entry in some]
        if account and not found:
            active_rollups(redis, account)  # or else it is mistyped
    if form == "json":
        click.echo(orjson.dumps([*map(list_members, found)], option=orjson.OPT_INDENT_2))
        return
    if not found:
        of = f" for {account!r}" if account else ""
        click.echo(f"No report was issued{of} yet.", err=True)
        return
    headings = ("Number", "Account", "From", "To", "Time zone", "Issued", "Revises")
    print_table(
        headings, [[each or "" for each in list_members(entry).values()] for entry in found]
    )


from interaction_usage.commands import reports_diff, reports_issue, reports_show  # noqa: E402 - it needs this group

reports.add_command(reports_issue.issue)
reports.add_command(reports_issue.preview)
reports.add_command(reports_show.show)
reports.add_command(reports_diff.diff)
