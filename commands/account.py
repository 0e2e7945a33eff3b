"""`usage account`: what is known of accounts besides their events."""

from typing import Any

import click
import orjson

import settings
from commands.account_id import check_id
from commands.connection import redis_connection
from commands.errors import Failure
from commands.terminal import plain, print_table


@click.group("account")
def account() -> None:
    """Set and show accounts: name, time zone, which sections of the report apply.

    \b
    Example:
      usage account set acme --name "Acme Ltd" --timezone Europe/Paris --no-dnis
    """


@account.command("set")
@click.argument("account_id", metavar="ACCOUNT", callback=check_id)
@click.option("--name", help="The name on the report; the id if never set.")
@click.option("--timezone", metavar="ZONE", help="IANA time zone of its days; UTC if never set.")
@click.option(
    "--dnis/--no-dnis", default=None, help="Whether the DNIS section applies; it does if never set."
)
@click.option(
    "--sms/--no-sms",
    default=None,
    help="Whether the Outgoing SMS section applies; it does if never set.",
)
def set_(
    account_id: str, name: str | None, timezone: str | None, dnis: bool | None, sms: bool | None
) -> None:
    """Set what is given of ACCOUNT and keep the rest; the account exists from then on.

    \b
    Example:
      usage account set acme --name "Acme Ltd" --timezone Europe/Paris
    """
    from rollups import accounts
    from rollups.local_time import UnknownZone

    with redis_connection(settings.read()) as redis:
        try:
            accounts.put(redis, account_id, name=name, timezone=timezone, dnis=dnis, sms=sms)
        except UnknownZone as error:
            raise click.BadParameter(str(error), param_hint="--timezone") from None
        except accounts.InvalidAccount as error:
            raise click.BadParameter(str(error), param_hint="--name") from None
        _show(redis, account_id)


@account.command("show")
@click.argument("account_id", metavar="ACCOUNT", callback=check_id)
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def show(account_id: str, as_json: bool) -> None:
    """Show the settings of ACCOUNT.

    \b
    Example:
      usage account show acme
    """
    from rollups.reads import Rollups

    with redis_connection(settings.read()) as redis:
        if not Rollups.live(redis).exists(account_id):
            raise Failure(
                f"There is no account {account_id!r}: no event was counted for it and it was "
                "never set."
            )
        _show(redis, account_id, as_json=as_json)


@account.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
def list_(as_json: bool) -> None:
    """List every account that was set or that an event was counted for.

    \b
    Example:
      usage account list
    """
    from rollups import accounts
    from rollups.reads import Rollups

    with redis_connection(settings.read()) as redis:
        names = Rollups.live(redis).accounts()
        known = accounts.get_many(redis, names)
    if as_json:
        rows = [
            {"account": name, **kept._asdict()} for name, kept in zip(names, known, strict=True)
        ]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    if not names:
        click.echo("There is no account yet: none was set, and no event was counted.", err=True)
        return
    print_table(
        ("Account", "Name", "Time zone", "Sections"),
        [
            (name, kept.name, kept.timezone, _applies(kept))
            for name, kept in zip(names, known, strict=True)
        ],
    )


def _show(redis: Any, account_id: str, *, as_json: bool = False) -> None:
    from rollups import accounts

    kept = accounts.get(redis, account_id)
    if as_json:
        click.echo(orjson.dumps({"account": account_id, **kept._asdict()}))
        return
    click.echo(f"Account    {account_id}")
    click.echo(f"Name       {plain(kept.name)}")
    click.echo(f"Time zone  {kept.timezone}")
    click.echo(f"Sections   {_applies(kept)}")


def _applies(kept: Any) -> str:
    names = [name for name, applies in (("DNIS", kept.dnis), ("SMS", kept.sms)) if applies]
    return ", ".join(names) or "neither DNIS nor SMS"
