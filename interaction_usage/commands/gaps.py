"""`usage gaps`: what Kafka deleted before it was counted, and accepting that it is lost."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.connection import ledger_connection, redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.help_format import Subcommands
from interaction_usage.commands.terminal import is_one_line, plain, print_table
from interaction_usage.commands.user_name import user_name

if TYPE_CHECKING:
    from rollups.gaps import Gap

_MOST_REASON: Final = 200
_MOST_NAME: Final = 100


def _one_line(most: int) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def check(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
        text = value and value.strip()
        if text is not None and not is_one_line(text, most):
            raise click.BadParameter(f"use 1 to {most} characters and no control characters")
        return text

    return check


@click.group("gaps", cls=Subcommands)
def gaps() -> None:
    """List and accept gaps: events that Kafka deleted before they were counted.

    \b
    Example:
      usage gaps list
    """


@gaps.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(as_json: bool) -> None:
    """List every gap, accepted ones too; the one found first is first.

    When piped: tab-separated id, place, published after, published before, found by, state.

    \b
    Example:
      usage gaps list --json
    """
    from interaction_usage.store.gaps import read_gaps

    with redis_connection(settings.read()) as redis:
        found = read_gaps(redis)
    if as_json:
        click.echo(orjson.dumps([_members(gap) for gap in found], option=orjson.OPT_INDENT_2))
        return
    if not found:
        click.echo("There is no gap: Kafka deleted nothing that was not counted.", err=True)
        return
    headings = ("Id", "Deleted", "Published after", "Published before", "Found by", "State")
    print_table(headings, map(_row, found))


@gaps.command("accept")
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Accept every gap that is not accepted yet.")
@click.option(
    "--reason", required=True, callback=_one_line(_MOST_REASON),
    help="Why the missing events do not matter, or how they are billed.",
)  # fmt: skip
@click.option(
    "--by", metavar="NAME", callback=_one_line(_MOST_NAME),
    help="Who accepts them.  [default: the name of the user]",
)  # fmt: skip
def accept(ids: tuple[str, ...], every: bool, reason: str, by: str | None) -> None:
    """Accept the gaps with these IDs.

    Reports are not incomplete because of them any more. They stay listed, with who accepted them,
    when, and why.

    \b
    Examples:
      usage gaps accept 3f9a0c52e1 --reason "the producer sent these events again"
      usage gaps accept --all --reason "a test system"
    """
    from interaction_usage.store.gaps import GAPS, read_gaps
    from interaction_usage.store.gaps import accept as accept_gaps
    from rollups.gaps import Acceptance, unaccepted

    if every == bool(ids):
        raise click.UsageError("Give either the ids of gaps or --all.")
    with ledger_connection(settings.read()) as ledger:
        ledger.sync(GAPS)
        known = read_gaps(ledger.redis)
        chosen = unaccepted(known) if every else _with_ids(known, ids)
        accept_gaps(
            ledger, unaccepted(chosen), Acceptance(reason, by or user_name(), int(time.time()))
        )
    for gap in chosen:
        if gap.accepted:
            click.echo(f"{gap.id} was accepted before, by {plain(gap.accepted.by)}.", err=True)
        else:
            click.echo(f"Accepted: {gap.id}, {gap.place}")
    if not chosen:
        click.echo("There is no gap that is not accepted yet.", err=True)


def _with_ids(known: "Sequence[Gap]", ids: Sequence[str]) -> "list[Gap]":
    """Return the gaps with these ids, each once. Raises CommandError."""
    by_id = {gap.id: gap for gap in known}
    if unknown := [each for each in ids if each not in by_id]:
        near = get_close_matches(unknown[0], by_id, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see `usage gaps list`."
        raise CommandError(f"There is no gap {unknown[0]!r}; {hint} Nothing was accepted.")
    return [by_id[each] for each in dict.fromkeys(ids)]


def _row(gap: "Gap") -> Sequence[str]:
    state = "open"
    if gap.accepted:
        when = _shown(gap.accepted.second)
        state = f"accepted by {gap.accepted.by}, {when}: {gap.accepted.reason}"
    since = "unknown" if gap.since is None else _shown(gap.since)
    return gap.id, gap.place, since, _shown(gap.until), gap.found_by, state


def _members(gap: "Gap") -> dict[str, object]:
    members = gap._asdict() | {
        "since": None if gap.since is None else _shown(gap.since),
        "until": _shown(gap.until),
        "accepted": None,
    }
    if gap.accepted:
        reason, by, second = gap.accepted
        members["accepted"] = {"reason": reason, "by": by, "at": _shown(second)}
    return {"id": gap.id, **members}


def _shown(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
