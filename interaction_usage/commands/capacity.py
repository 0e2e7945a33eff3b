"""`usage capacity`: what a licence of so many sessions would have meant."""

from datetime import UTC, date, datetime

import click

from interaction_usage.commands.account_id import check_id
from interaction_usage.commands.evidence_options import (
    asked_options,
    check_asked,
    explaining,
    print_json,
    say_made_from,
    series_option,
)
from interaction_usage.reports.service import ReportRequest

#: How many licences can be compared at once, and the most sessions that one may have.
MAX_LICENCES, MAX_SESSIONS = 100, 1_000_000


class Licences(click.ParamType):
    """Numbers of sessions, `10,20,30`."""

    name = "numbers"

    def convert(
        self, value: str | list[int], param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        """Return the numbers that *value* lists, each once, in its order."""
        if isinstance(value, list):
            return value
        pieces = [piece.strip() for piece in value.split(",")]
        if not all(piece.isascii() and piece.isdigit() and len(piece) <= 7 for piece in pieces):
            self.fail(f"{value!r} is not a list of numbers; write it like 10,20,30", param, ctx)
        numbers = list(dict.fromkeys(map(int, pieces)))
        if len(numbers) > MAX_LICENCES or max(numbers) > MAX_SESSIONS:
            self.fail(
                f"compare at most {MAX_LICENCES} licences of at most {MAX_SESSIONS:,} sessions",
                param, ctx,
            )  # fmt: skip
        return numbers


@click.command("capacity")
@click.argument("account", callback=check_id)
@click.option(
    "--sessions", "licences", type=Licences(), required=True,
    help="The licences to compare, in sessions at once: 10,20,30.",
)  # fmt: skip
@series_option
@asked_options
def capacity(
    account: str, licences: list[int], series: str, first: date, last: date,
    timezone: str | None, as_of: datetime | None, output_format: str,
) -> None:  # fmt: skip
    """Show what a licence of so many sessions would have meant for ACCOUNT.

    How many sessions would have been refused, and for how long the curve was above the licence. A
    refused session is never present; sessions carried into the period are admitted.

    \b
    Examples:
      usage capacity acme --sessions 10,20,30 --month 2026-10
      usage capacity acme --sessions 5 --from 2026-10-12 --to 2026-10-12 --format json
    """
    as_of = as_of or datetime.now(UTC)
    check_asked(first, last, timezone, as_of)
    with explaining() as explainer:
        answer, made_from = explainer.capacity(
            ReportRequest(account, first, last, timezone, as_of), series, licences
        )
    if output_format == "json":
        print_json(answer)
    else:
        from interaction_usage.commands.evidence_text import show_capacity

        show_capacity(answer)
    say_made_from(made_from)
