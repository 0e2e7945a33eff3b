"""`usage explain`: the sessions behind a maximum, and the events behind a counter."""

from datetime import UTC, date, datetime
from typing import Any

import click

from interaction_usage.commands.account_id import check_id
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.evidence_options import (
    asked_options,
    check_asked,
    explaining,
    print_json,
    say_made_from,
    series_option,
)
from interaction_usage.reports.service import ReportRequest

#: Members of the JSON answers, in their order.
_MAXIMUM = (
    "account", "series", "max", "at", "seconds_at_max", "agrees", "sessions", "made_from",
)  # fmt: skip
_COUNTER = ("account", "counter", "sum", "agrees", "events", "made_from")


@click.command("explain")
@click.argument("account", callback=check_id)
@series_option
@click.option(
    "--counter",
    metavar="NAME",
    help="The events of a counter instead, like clicks.chat, runs.agent or call.minutes.",
)
@asked_options
def explain(
    account: str, series: str, counter: str | None, first: date, last: date,
    timezone: str | None, as_of: datetime | None, output_format: str,
) -> None:  # fmt: skip
    """Explain a number of ACCOUNT's report by the events behind it.

    Without --counter: the first second at which the maximum was reached, and exactly the sessions
    present at it, each with the events that say so. The answer is computed from the events alone;
    exit 1 if the rollups, and so the report, have another number.

    \b
    Examples:
      usage explain acme --month 2026-10
      usage explain acme --month 2026-10 --series mobile-web --format json
      usage explain acme --from 2026-10-12 --to 2026-10-12 --counter clicks.chat
    """
    as_of = as_of or datetime.now(UTC)
    check_asked(first, last, timezone, as_of)
    request = ReportRequest(account, first, last, timezone, as_of)
    with explaining() as explainer:
        if counter is None:
            answer = explainer.explain(request, series)
        else:
            answer = explainer.counter(request, counter)
    if output_format == "json":
        members = _MAXIMUM if counter is None else _COUNTER
        print_json({name: answer[name] for name in members})
    else:
        from interaction_usage.commands.evidence_text import show_counter, show_maximum

        (show_maximum if counter is None else show_counter)(answer)
    say_made_from(answer["made_from"])
    if not answer["agrees"]:
        raise CommandError(_differs(answer))


def _differs(answer: dict[str, Any]) -> str:
    what = f"maximum of {answer['series']}" if "series" in answer else f"sum of {answer['counter']}"
    mine = answer["max"] if "series" in answer else answer["sum"]
    return (
        f"The {what} is {mine:,} by these events, but {answer['rollups']:,} in the rollups. "
        "`usage verify` shows every number that differs."
    )
