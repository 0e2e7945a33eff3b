"""`usage sessions`: who was connected for long, and who still is."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import click

from interaction_usage.commands.account_id import check_id
from interaction_usage.commands.evidence_options import (
    asked_options,
    check_asked,
    explaining,
    print_json,
    say_made_from,
)
from interaction_usage.reports.service import ReportRequest

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_STATES = ("open", "limit", "stopped")
#: What the table says of each state.
_WORDS = {"open": "open", "limit": "ended by the limit", "stopped": "stopped"}
#: Sessions that JSON lists; the table has `--limit`.
_MOST = 100_000


class Span(click.ParamType):
    """A span of time like 90m, 4h or 1d; in seconds."""

    name = "span"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the seconds that *value* stands for."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,9})([smhd])", value)
        if not found:
            self.fail(f"{value!r} is not a span of time like 90m, 4h or 1d", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


@click.command("sessions")
@click.argument("account", callback=check_id)
@click.option(
    "--longer", type=Span(), default="1h", show_default=True, metavar="90m|4h|1d",
    help="Only sessions that were open for at least so long.",
)  # fmt: skip
@click.option(
    "--state", type=click.Choice(["any", *_STATES]), default="any", show_default=True,
    help="Only those that are open, that were ended by the session limit, or by a stop.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True,
    help="Maximum number of sessions in the table, the longest first; JSON has all.",
)  # fmt: skip
@asked_options
def sessions(
    account: str, longer: int, state: str, limit: int, first: date, last: date,
    timezone: str | None, as_of: datetime | None, output_format: str,
) -> None:  # fmt: skip
    """List ACCOUNT's sessions that were open for long, or still are.

    Of those that were present in the period. A session without a stop is open until the session
    limit has passed, and then counts as ended.

    \b
    Examples:
      usage sessions acme --month 2026-10 --longer 1d
      usage sessions acme --month 2026-10 --state limit
    """
    as_of = as_of or datetime.now(UTC)
    check_asked(first, last, timezone, as_of)
    states = _STATES if state == "any" else (state,)
    most = _MOST if output_format == "json" else limit
    with explaining() as explainer:
        request = ReportRequest(account, first, last, timezone, as_of)
        answer = explainer.long_sessions(request, longer, states, most)
    if output_format == "json":
        print_json({name: answer[name] for name in ("account", "as_of", "total", "sessions")})
    else:
        _show(answer)
    say_made_from(answer["made_from"])


def _show(answer: Mapping[str, Any]) -> None:
    from interaction_usage.commands.evidence_text import duration
    from interaction_usage.commands.terminal import print_table

    listed = answer["sessions"]
    if not listed:
        click.echo("No session was open for so long.")
        return
    print_table(
        ("Application", "Session", "Start", "Open for", "State"),
        [
            (
                each["application"], each["session"], each["start"], duration(each["seconds"]),
                _WORDS[each["state"]] + (", corrected" if each["corrected"] else ""),
            )
            for each in listed
        ],
    )  # fmt: skip
    if answer["total"] > len(listed):
        click.echo(f"… and {answer['total'] - len(listed):,} shorter ones (--limit)", err=True)
