"""The ACCOUNT that a command is about, checked before anything is connected to."""

import click

from interaction_usage.commands.errors import Failure


def check_id(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return *value* if it can be an account id, or is left out; anything else is wrong usage."""
    from interaction_usage.store.account_settings import is_valid_id

    if value is None or is_valid_id(value):
        return value
    shown = repr(value) if len(value) <= 128 else f"{value[:128]!r}…"
    raise click.BadParameter(
        f"{shown} is no account id: 1 to 128 of the characters A-Z a-z 0-9 . _ : -, but not . or .."
    )


def unusable_zone(account: str, error: ValueError) -> Failure:
    """Return the failure of an account that was set to what is no time zone any more."""
    return Failure(
        f"{account!r} has a time zone that cannot be used: {error}. Set another with "
        f"`usage account set {account} --timezone ZONE`."
    )
