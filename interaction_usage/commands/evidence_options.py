"""What the commands that explain numbers share: their options, their connections, their errors."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from interaction_usage import settings
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.period_options import Instant, period_options
from interaction_usage.commands.report_errors import report_errors
from interaction_usage.commands.terminal import plain
from rollups.catalog import AGENT_SESSIONS, SERIES

if TYPE_CHECKING:
    from interaction_usage.explanations.service import Explainer

#: What a command without the extra says.
_MISSING = (
    "This command needs packages that a plain install does not have: run "
    "`pip install 'interaction-usage[archive]'`."
)


def asked_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options of what is asked: period, time zone, as-of instant, format."""
    for option in (
        click.option(
            "--format", "output_format", type=click.Choice(["text", "json"]), default="text",
            help="Text for people, or JSON for programs.  [default: text]",
        ),
        click.option(
            "--as-of", type=Instant(),
            help="Leave out hours that begin at or after this instant.  [default: now]",
        ),
        click.option(
            "--tz", "timezone", metavar="ZONE",
            help="IANA time zone.  [default: the account's own]",
        ),
    ):  # fmt: skip
        command = option(command)
    return period_options(command)


def series_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the option of a concurrency curve."""
    return click.option(
        "--series", type=click.Choice(list(SERIES)), default=AGENT_SESSIONS,
        help=f"The concurrency curve.  [default: {AGENT_SESSIONS}]",
    )(command)  # fmt: skip


def check_asked(first: date, last: date, timezone: str | None, as_of: datetime) -> None:
    """Raise a UsageError for days and a zone that no report can have."""
    from interaction_usage.reports.service import check_request

    with report_errors():
        check_request(first, last, timezone, as_of)


@contextmanager
def explaining() -> Iterator["Explainer"]:
    """Yield what explains the numbers of this deployment; every failure becomes a CommandError."""
    config = settings.read()
    try:
        from interaction_usage.explanations.service import Explainer
        from interaction_usage.explanations.sources import source_of
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith(("interaction_usage", "stream_app")):
            raise
        raise CommandError(_MISSING) from None
    from interaction_usage.evidence.errors import EvidenceError
    from interaction_usage.explanations.errors import ExplanationError

    with redis_connection(config) as redis, report_errors(redis):
        try:
            yield Explainer(redis, source_of(config))
        except (EvidenceError, ExplanationError) as error:
            text = str(error)
            end = "" if text.endswith("?") else "."
            raise CommandError(f"{text[0].upper()}{text[1:]}{end}") from None


def print_json(answer: Any) -> None:
    """Print *answer* as JSON."""
    import orjson

    click.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2))


def say_made_from(made_from: Mapping[str, Any]) -> None:
    """Say on standard error what an answer was made from."""
    if sentence := made_from.get("sentence"):
        click.echo(plain(sentence), err=True)
