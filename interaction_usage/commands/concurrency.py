"""`usage concurrency`: other ways to bill the same curve, side by side."""

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


@click.command("concurrency")
@click.argument("account", callback=check_id)
@series_option
@asked_options
def concurrency(
    account: str, series: str, first: date, last: date, timezone: str | None,
    as_of: datetime | None, output_format: str,
) -> None:  # fmt: skip
    """Show other ways to bill the concurrency of ACCOUNT, beside the maximum.

    The highest level that was sustained for so many minutes in a row, or reached for so many
    minutes in all; percentiles of the minutes; the average over time. All of them are computed from
    the events, over the seconds of the period up to the as-of instant.

    \b
    Examples:
      usage concurrency acme --month 2026-10
      usage concurrency acme --month 2026-10 --series web-self-service --format json
    """
    as_of = as_of or datetime.now(UTC)
    check_asked(first, last, timezone, as_of)
    with explaining() as explainer:
        answer = explainer.concurrency(ReportRequest(account, first, last, timezone, as_of), series)
    if output_format == "json":
        print_json(answer)
    else:
        from interaction_usage.commands.evidence_text import show_concurrency

        show_concurrency(answer)
    say_made_from(answer["made_from"])
