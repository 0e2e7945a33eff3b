"""`usage verify`: every number of the report, recomputed from the events, against the rollups."""

from datetime import UTC, date, datetime

import click

from interaction_usage.commands.account_id import check_id
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.evidence_options import (
    asked_options,
    check_asked,
    explaining,
    print_json,
    say_made_from,
)
from interaction_usage.commands.progress import progress_bar
from interaction_usage.reports.service import ReportBatch


@click.command("verify")
@click.argument("account", required=False, callback=check_id)
@asked_options
def verify(
    account: str | None, first: date, last: date, timezone: str | None, as_of: datetime | None,
    output_format: str,
) -> None:  # fmt: skip
    """Verify the reports of ACCOUNT, or of all accounts, from the events.

    Every number of the report is computed again, in SQL over the events, with code that shares
    nothing with the rollups, and compared. Then: where every record went, where every session went,
    voids whose event never came, identities used for two different events. Exit 1 if a number
    differs.

    \b
    Examples:
      usage verify --month 2026-10
      usage verify acme --from 2026-10-12 --to 2026-10-12 --format json
    """
    as_of = as_of or datetime.now(UTC)
    check_asked(first, last, timezone, as_of)
    batch = ReportBatch(first, last, timezone, as_of)
    with explaining() as explainer, progress_bar("Verifying") as update:
        answer = explainer.verify(batch, account, update)
    from interaction_usage.evidence.verification import problems

    if output_format == "json":
        print_json(answer)
    else:
        from interaction_usage.commands.evidence_text import show_verification

        show_verification(answer)
    say_made_from(answer.get("made_from", {}))
    if found := problems(answer):
        more = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
        raise CommandError(f"{found[0]}{more}.")
