"""`usage account`: the settings of accounts."""

import time
from datetime import UTC, datetime
from typing import Any, Final, Literal

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.account_id import active_rollups, check_id
from interaction_usage.commands.connection import ledger_connection, redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.help_format import Subcommands
from interaction_usage.commands.terminal import plain, print_json, print_table

_LATE_USAGE: Final = {
    "revise": "a revision of its report, by an operator",
    "adjust": "an adjustment in the next report",
}


@click.group("account", cls=Subcommands)
def account() -> None:
    """Configure and show accounts: name, time zone, which sections of the report apply.

    \b
    Example:
      usage account set acme --name "Acme Ltd" --timezone Europe/Paris --no-dnis
    """


@account.command("set")
@click.argument("account_id", metavar="ACCOUNT", callback=check_id)
@click.option("--name", help="Name on the report.  [default: the id]")
@click.option("--timezone", metavar="ZONE", help="IANA time zone of its days.  [default: UTC]")
@click.option(
    "--dnis/--no-dnis", default=None, help="Whether the DNIS section applies.  [default: it does]"
)
@click.option(
    "--sms/--no-sms",
    default=None,
    help="Whether the Outgoing SMS section applies.  [default: it does]",
)
@click.option(
    "--late-usage",
    type=click.Choice(list(_LATE_USAGE)),
    help="What becomes of usage that comes after its report was issued: an operator revises the "
    "report, or the account's next one has an adjustment.  [default: revise]",
)
def set_(
    account_id: str, name: str | None, timezone: str | None, dnis: bool | None, sms: bool | None,
    late_usage: Literal["revise", "adjust"] | None,
) -> None:  # fmt: skip
    """Set the given settings of ACCOUNT and keep the others; creates the account if needed.

    A new time zone moves the boundaries between the account's days and months. The hours that are
    on two bills then, or on none, are printed to standard error.

    \b
    Example:
      usage account set acme --name "Acme Ltd" --timezone Europe/Paris
    """
    from interaction_usage.store import account_settings
    from interaction_usage.store.errors import InvalidAccountSettingError
    from rollups.local_time import UnknownZone

    try:
        account_settings.check(name, timezone)
    except UnknownZone as error:
        raise click.BadParameter(str(error), param_hint=["--timezone"]) from None
    except InvalidAccountSettingError as error:
        raise click.BadParameter(str(error), param_hint=["--name"]) from None
    with ledger_connection(settings.read()) as ledger:
        for sentence in _moves(ledger.redis, account_id, timezone):
            click.echo(sentence, err=True)
        if similar := _similar_to_new(ledger.redis, account_id):
            click.echo(f"{account_id!r} is a new account; there is also {similar!r}.", err=True)
        account_settings.put(
            ledger, account_id, name=name, timezone=timezone, dnis=dnis, sms=sms,
            late_usage=late_usage,
        )  # fmt: skip
        _show(ledger.redis, account_id)


@account.command("show")
@click.argument("account_id", metavar="ACCOUNT", callback=check_id)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show(account_id: str, as_json: bool) -> None:
    """Show the settings of ACCOUNT.

    \b
    Example:
      usage account show acme
    """
    with redis_connection(settings.read()) as redis:
        active_rollups(redis, account_id)
        _show(redis, account_id, as_json=as_json)


@account.command("zones")
@click.argument("text", metavar="CITY_OR_COUNTRY")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def zones(text: str, as_json: bool) -> None:
    """Find time zones by city, country or former name, with their offset from UTC now.

    \b
    Examples:
      usage account zones "new york"
      usage account zones india
    """
    from rollups.local_time import offset_at, utc_offset, zone
    from rollups.zone_search import find_zones, places

    countries = {place.name: place.country for place in places()}
    now = int(time.time())
    found = [
        {"name": name, "country": countries[name], "offset": utc_offset(offset_at(now, zone(name)))}
        for name in find_zones(text)
    ]
    if as_json:
        print_json(found)
    elif found:
        print_table(("zone", "country", "now"), [tuple(each.values()) for each in found])
    if not found:
        raise CommandError(f"No time zone matches {text!r}; name a city or a country in English.")


@account.command("history")
@click.argument("account_id", metavar="ACCOUNT", callback=check_id)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True,
    help="Maximum number of changes.",
)  # fmt: skip
@click.option("--before", metavar="ID", help="Only changes before the one with this id.")
def history(account_id: str, form: str, limit: int, before: str | None) -> None:
    """Show every change of ACCOUNT's settings, newest first: when, by whom, old and new value.

    \b
    Examples:
      usage account history acme
      usage account history acme --format json --limit 500
    """
    from interaction_usage.store import account_history

    with redis_connection(settings.read()) as redis:
        active_rollups(redis, account_id)
        try:
            found = account_history.read(redis, account_id, limit, before)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=["--before"]) from None
    if form == "json":
        print_json([_change(each) for each in found])
        return
    if not found:
        click.echo(f"The settings of {account_id!r} have never been changed.", err=True)
        return
    print_table(("When", "Who", "Setting", "Change"), map(_row, found))
    if len(found) == limit:
        click.echo(f"For older changes: --before {found[-1].id}", err=True)


@account.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(as_json: bool) -> None:
    """List every account that was set up or has events.

    \b
    Example:
      usage account list
    """
    from interaction_usage.store import account_settings
    from interaction_usage.store.reads import Rollups

    with redis_connection(settings.read()) as redis:
        names = Rollups.live(redis).accounts()
        known = account_settings.get_many(redis, names)
    if as_json:
        rows = [
            {"account": name, **kept._asdict()} for name, kept in zip(names, known, strict=True)
        ]
        print_json(rows)
        return
    if not names:
        click.echo("There is no account yet.", err=True)
        return
    print_table(
        ("Account", "Name", "Time zone", "Sections"),
        [
            (name, kept.name, kept.timezone, _applies(kept))
            for name, kept in zip(names, known, strict=True)
        ],
    )


def _similar_to_new(redis: Any, account_id: str) -> str | None:
    """Return an account with an id like that of one that does not exist yet: a typo, perhaps."""
    from interaction_usage.store.account_table import similar_id
    from interaction_usage.store.reads import Rollups

    rollups = Rollups.live(redis)
    return None if rollups.exists(account_id) else similar_id(account_id, rollups.accounts())


def _moves(redis: Any, account_id: str, timezone: str | None) -> list[str]:
    """Return what another *timezone* does to the account's months. Raises UnknownZone."""
    from interaction_usage.store import account_settings
    from interaction_usage.store.reads import Rollups
    from rollups.local_time import UnknownZone, zone
    from rollups.zone_change import zone_change

    if timezone is None:
        return []
    new = zone(timezone)
    if not Rollups.live(redis).exists(account_id):
        return []
    try:
        old = zone(account_settings.get(redis, account_id).timezone)
    except UnknownZone:
        return []  # an earlier version accepted this name; there is nothing to compare with
    return zone_change(int(time.time()), old, new).sentences()


def _change(each: Any) -> dict[str, Any]:
    return {
        "id": each.id,
        "at": f"{datetime.fromtimestamp(each.second, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "by": each.author.name,
        "token": each.author.token or None,
        "field": each.field,
        "from": each.old,
        "to": each.new,
    }


def _row(each: Any) -> tuple[str, str, str, str]:
    shown = _change(each)
    who = f"{shown['by']} ({shown['token']})" if shown["token"] else shown["by"]
    old, new = (
        {True: "on", False: "off"}[value] if isinstance(value, bool) else value
        for value in (each.old, each.new)
    )
    return shown["at"], who, each.field, f"{old} → {new}"


def _show(redis: Any, account_id: str, *, as_json: bool = False) -> None:
    from interaction_usage.store import account_settings

    kept = account_settings.get(redis, account_id)
    if as_json:
        click.echo(orjson.dumps({"account": account_id, **kept._asdict()}))
        return
    click.echo(f"Account    {account_id}")
    click.echo(f"Name       {plain(kept.name)}")
    click.echo(f"Time zone  {kept.timezone}")
    click.echo(f"Sections   {_applies(kept)}")
    click.echo(f"Late usage {_LATE_USAGE[kept.late_usage]}")


def _applies(kept: Any) -> str:
    names = [name for name, applies in (("DNIS", kept.dnis), ("SMS", kept.sms)) if applies]
    return ", ".join(names) or "neither DNIS nor SMS"
