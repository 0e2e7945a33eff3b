"""`usage token`: access to the dashboard and its API."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.account_id import active_rollups, check_id
from interaction_usage.commands.connection import ledger_connection, redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.help_format import Subcommands
from interaction_usage.commands.terminal import print_table

if TYPE_CHECKING:
    from interaction_usage.dashboard.tokens import Token


@click.group("token", cls=Subcommands)
def token() -> None:
    """Create, list and revoke access tokens for the dashboard and its API.

    \b
    Example:
      usage token create --account acme
    """


class _Expiry(click.ParamType):
    """When a token expires: the second, or None for never."""

    name = "expiry"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Return the second that *value* stands for: after so many days, or after a day."""
        from interaction_usage.dashboard.token_terms import expiry_of

        try:
            return expiry_of(value, int(time.time()))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _check_label(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    from interaction_usage.dashboard.token_terms import label_of

    try:
        return label_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@token.command("create")
@click.option(
    "--account", metavar="ACCOUNT", callback=check_id, help="Give access to this account only."
)
@click.option("--operator", is_flag=True, help="Access to all accounts and their settings.")
@click.option(
    "--role",
    type=click.Choice(["viewer", "manager"]),
    help="With --account: a viewer (the default) cannot change anything; a manager can change "
    "the account's name and time zone.",
)
@click.option(
    "--label", default="", callback=_check_label,
    help="Who uses it; shown in the list and in the history of accounts.",
)  # fmt: skip
@click.option(
    "--expires", type=_Expiry(), default="365d", show_default=True,
    metavar="30d|2027-01-31|never", help="Number of days, or the last day (UTC), or never.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Create it even if the account does not exist.")
def create(
    account: str | None, operator: bool, role: str | None, label: str, expires: int | None,
    force: bool,
) -> None:  # fmt: skip
    """Create a token and print it once: only a hash of it is stored.

    \b
    Examples:
      usage token create --account acme
      usage token create --account acme --role manager --label "Jane, Acme" --expires 30d
      usage token create --operator
    """
    from interaction_usage.dashboard import tokens
    from interaction_usage.dashboard.tokens import Role

    if operator == (account is not None):
        raise click.UsageError("Give either --account ACCOUNT or --operator.")
    if operator and role:
        raise click.UsageError("--role goes with --account; an operator may change everything.")
    granted = Role.OPERATOR if operator else Role(role or "viewer")
    with ledger_connection(settings.read()) as ledger:
        if account is not None and not force:
            active_rollups(ledger.redis, account, "To create the token anyway, pass --force.")
        secret = tokens.create(
            ledger, account, int(time.time()), role=granted, label=label, expires=expires
        )
    until = "never expires" if expires is None else f"expires {_shown(expires)}"
    click.echo(f"Token for {_whose(account, granted)}, {until}, shown this once: {secret}")


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
def list_(as_json: bool) -> None:
    """List all tokens by id; the tokens themselves are not stored.

    When piped: tab-separated id, account (* for all), role, label, created, expires, last use.

    \b
    Example:
      usage token list
    """
    from interaction_usage.dashboard import tokens

    with redis_connection(settings.read()) as redis:
        found = tokens.every(redis)
    if as_json:
        click.echo(orjson.dumps([_members(each) for each in found], option=orjson.OPT_INDENT_2))
        return
    if not found:
        click.echo("There is no token yet: usage token create --operator", err=True)
        return
    print_table(
        ("Id", "Account", "Role", "Label", "Created", "Expires", "Last use"),
        [_row(each, int(time.time())) for each in found],
    )


@token.command("revoke")
@click.argument("token_id", metavar="ID")
def revoke(token_id: str) -> None:
    """Revoke the token with this ID, and end the logins and streams that use it.

    \b
    Example:
      usage token revoke 3f9a0c52e1
    """
    from interaction_usage.dashboard import tokens

    with ledger_connection(settings.read()) as ledger:
        try:
            gone = tokens.revoke(ledger, token_id, int(time.time()))
        except tokens.TokenNotFoundError as error:
            raise CommandError(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
    click.echo(f"Revoked: {gone.id}, for {_whose(gone.account, gone.role)}")


def _whose(account: str | None, role: str) -> str:
    return f"account {account} ({role})" if account else "operators"


def _row(each: "Token", now: int) -> list[str]:
    expires = "never" if each.expires is None else _shown(each.expires)
    if each.is_expired(now):
        expires = f"expired {expires}"
    return [
        each.id, each.account or "*", each.role, each.label, _shown(each.created), expires,
        "never" if each.used is None else _shown(each.used),
    ]  # fmt: skip


def _members(each: "Token") -> dict[str, str | None]:
    return {
        "id": each.id,
        "account": each.account,
        "role": each.role,
        "label": each.label,
        "created": _shown(each.created),
        "expires": None if each.expires is None else _shown(each.expires),
        "last_used": None if each.used is None else _shown(each.used),
    }


def _shown(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
