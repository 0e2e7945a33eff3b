"""The ACCOUNT that a command is about: checked before Redis is asked, and when it is unknown."""

from collections.abc import Sequence

import click

from interaction_usage.commands.errors import CommandError


def check_id(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Return *value* if it is a valid account id, or left out; anything else is wrong usage."""
    from interaction_usage.store.account_table import is_valid_id

    if value is None or is_valid_id(value):
        return value
    shown = repr(value) if len(value) <= 128 else f"{value[:128]!r}…"
    raise click.BadParameter(
        f"{shown} is not a valid account id: use 1 to 128 of the characters A-Z a-z 0-9 . _ : -, "
        "but not . or .."
    )


def unknown_account(account: str, near: Sequence[str] = (), hint: str = "") -> CommandError:
    """Return the error for an account that does not exist, with what to do about it."""
    if near:
        hint = f"Did you mean {near[0]!r}?"
    return CommandError(
        f"There is no account {account!r}: it has no events and was never set up. {hint}".rstrip()
    )


def unusable_zone(account: str, error: ValueError) -> CommandError:
    """Return the error for an account whose time zone is not accepted any more."""
    return CommandError(
        f"The time zone of {account!r} cannot be used: {error}. Set another one with "
        f"`usage account set {account} --timezone ZONE`."
    )
