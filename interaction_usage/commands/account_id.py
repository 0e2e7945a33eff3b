"""The ACCOUNT that a command is about: checked before Redis is asked, and when it is unknown."""

from typing import TYPE_CHECKING, Any

import click

from interaction_usage.commands.errors import CommandError

if TYPE_CHECKING:
    from interaction_usage.store.reads import Rollups


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


def active_rollups(redis: Any, account: str, hint: str = "") -> "Rollups":
    """Return the active rollups, which have *account*. Raises CommandError if they do not."""
    from interaction_usage.store.reads import Rollups

    rollups = Rollups.live(redis)
    if not rollups.exists(account):
        raise unknown_account(redis, account, hint)
    return rollups


def unknown_account(redis: Any, account: str, hint: str = "") -> CommandError:
    """Return the error for an account that does not exist: a similar one, and the *hint*."""
    from interaction_usage.store.account_table import similar_id
    from interaction_usage.store.reads import read_active

    similar = similar_id(account, read_active(redis, lambda rollups: rollups.accounts()))
    sentences = (
        f"There is no account {account!r}: it has no events and was never set up.",
        f"Did you mean {similar!r}?" if similar else "",
        hint,
    )
    return CommandError(" ".join(filter(None, sentences)))


def unusable_zone(account: str, error: ValueError) -> CommandError:
    """Return the error for an account whose time zone is not accepted any more."""
    return CommandError(
        f"The time zone of {account!r} cannot be used: {error}. Set another one with "
        f"`usage account set {account} --timezone ZONE`."
    )
