"""`usage token`: who may see what in the dashboard and its API."""

import time
from datetime import UTC, datetime

import click
import orjson

import settings
from commands.account_id import check_id
from commands.connection import redis_connection
from commands.errors import Failure


@click.group("token")
def token() -> None:
    """Make, list and revoke the tokens that open the dashboard and its API.

    \b
    Example:
      usage token create --account acme
    """


@token.command("create")
@click.option("--account", metavar="ACCOUNT", callback=check_id, help="For this one account.")
@click.option("--operator", is_flag=True, help="For all accounts.")
def create(account: str | None, operator: bool) -> None:
    """Make a token and print it, once: it is kept as a hash only.

    \b
    Examples:
      usage token create --account acme
      usage token create --operator
    """
    from dashboard import tokens

    if operator == (account is not None):
        raise click.UsageError("Say for whom: --account ACCOUNT, or --operator.")
    with redis_connection(settings.read()) as redis:
        secret = tokens.create(redis, account, int(time.time()))
    click.echo(f"Token for {_whose(account)}, shown this once: {secret}")


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
def list_(as_json: bool) -> None:
    """List all tokens by their ids; the tokens themselves are not kept.

    \b
    Example:
      usage token list
    """
    from dashboard import tokens

    with redis_connection(settings.read()) as redis:
        found = tokens.every(redis)
    if as_json:
        rows = [{"id": t.id, "account": t.account, "created": _shown(t.created)} for t in found]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    if not found:
        click.echo("There is no token yet: usage token create --operator", err=True)
    for each in found:
        click.echo(f"{each.id}  {_shown(each.created)}  {_whose(each.account)}")


@token.command("revoke")
@click.argument("token_id", metavar="ID")
def revoke(token_id: str) -> None:
    """Make the token with this ID worthless, and end the logins made with it.

    \b
    Example:
      usage token revoke 3f9a0c52e1
    """
    from dashboard import tokens

    with redis_connection(settings.read()) as redis:
        try:
            gone = tokens.revoke(redis, token_id)
        except tokens.NoSuchToken as error:
            raise Failure(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
    click.echo(f"Revoked: {gone.id}, for {_whose(gone.account)}")


def _whose(account: str | None) -> str:
    return f"account {account}" if account else "operators"


def _shown(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
