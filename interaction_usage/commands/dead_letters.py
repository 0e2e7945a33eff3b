"""`usage dead-letters`: refused events, the reasons, and replaying them."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from interaction_usage import settings
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.help_format import Subcommands
from interaction_usage.commands.publishing import patience_option
from interaction_usage.commands.refusal_text import (
    group_summary,
    line_of,
    print_groups,
    print_records,
    state_of,
    summary,
    text_of,
)
from interaction_usage.commands.replaying import left_out_of
from interaction_usage.commands.terminal import plain
from rollups.quantity import quantity

if TYPE_CHECKING:
    from stream_app.dead_letter_reader import RejectedRecord
    from stream_app.dead_letters import Place

#: How many records that were not sent are printed one by one.
_MAX_PRINTED = 20


@click.group("dead-letters", cls=Subcommands)
def dead_letters() -> None:
    """Inspect refused events and replay them.

    \b
    Example:
      usage dead-letters list --reason invalid-data
    """


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that choose records; each narrows the choice."""
    for option in (
        click.option("--account", help="Only events with this `subject`, where it is readable."),
        click.option("--id", "event_id", help="Only events with this `id`, where it is readable."),
        click.option("--topic", help="Only events that were published to this topic."),
        click.option("--reason", help="Only events refused for this reason, like `invalid-data`."),
    ):
        command = option(command)
    return command


class _Origin(click.ParamType):
    """Where a record was published."""

    name = "TOPIC/PARTITION/OFFSET"

    def convert(self, value: Any, param: Any, ctx: Any) -> "Place":
        """Return the place that *value* names."""
        from stream_app.dead_letters import Place
        from stream_app.topics import FLOWS

        try:
            return Place.parse(value)
        except ValueError:
            self.fail(f"{value!r} is not a position like {FLOWS}/3/1204", param, ctx)


# ---------------------------------------------------------------------------------- seeing


@dead_letters.command("list")
@_filters
@click.option(
    "--include-replayed", is_flag=True, help="Also events replayed and not refused again."
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Maximum number of events to show, newest first.",
)
@click.option(
    "--group/--each",
    "group",
    default=None,
    help="What was wrong, once for all records with the same cause, and how to fix it; or each of "
    "the newest records.  [default: --group on a terminal]",
)
@click.option("--json", "as_json", is_flag=True, help="As a JSON object, with both.")
def list_(
    include_replayed: bool, limit: int, group: bool | None, as_json: bool, **filters: str | None
) -> None:
    """Show what was refused: by reason and cause with how to fix it, or the newest records.

    A record is open until it is replayed without being refused again. A record that was refused
    several times is listed once, with the newest reason and its first position.

    \b
    Example:
      usage dead-letters list --reason future --each --limit 5
      usage dead-letters list --id 01J9ZQ3Z8K --each
    """
    from stream_app.refusal_groups import grouped

    matching = _matching(**filters)
    chosen = [record for record in matching if record.open or include_replayed]
    counts = Counter(record.newest.reason for record in chosen)
    newest = chosen[::-1][:limit]
    if as_json:
        shown = [summary(record) for record in newest]
        # In ASCII: what a producer wrote must not be taken for commands by a terminal.
        groups = [group_summary(each) for each in grouped(chosen)]
        answer = {"counts": dict(counts), "groups": groups, "newest": shown}
        click.echo(json.dumps(answer, indent=2))
        return
    if not matching:
        click.echo(_nothing(filters), err=True)
        return
    if sys.stdout.isatty() if group is None else group:
        print_groups(grouped(chosen))
        _print_hidden(len(matching) - len(chosen))
        return
    for name, count in counts.most_common():
        click.echo(f"{line_of(name):<18}{count:>9,}")
    if chosen:
        click.echo()
        print_records(newest)
    if len(chosen) > len(newest):
        click.echo(f"… and {len(chosen) - len(newest):,} older ones (--limit)", err=True)
    _print_hidden(len(matching) - len(chosen))


def _print_hidden(count: int) -> None:
    if count:
        click.echo(f"{count:,} replayed and not refused since (--include-replayed)", err=True)


def _nothing(filters: Mapping[str, str | None]) -> str:
    return "No refused record matches." if any(filters.values()) else "Nothing was refused."


@dead_letters.command("show")
@click.argument("origin", type=_Origin(), metavar="TOPIC/PARTITION/OFFSET")
def show(origin: "Place") -> None:
    """Show one refused record with its history and its bytes.

    \b
    Example:
      usage dead-letters show usage.flows/3/1204
    """
    from stream_app.dead_letter_reader import Rejection

    record = _named({origin}, _matching())[-1]
    record = next(_filled([record]), record)
    newest, place = record.newest, record.origin
    click.echo(f"Reason     {line_of(newest.reason)}")
    click.echo(f"Sentence   {line_of(newest.sentence)}")
    click.echo(f"Origin     {place.topic}, partition {place.partition}, offset {place.offset}")
    click.echo(f"Refused    {newest.at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(f"State      {state_of(record)}")
    left_out = record.left_out.sizes if record.left_out else ()
    gone = "batch" in left_out
    click.echo(f"Key        {'(left out)' if gone or 'key' in left_out else text_of(record.key)}")
    for name, value in record.headers:
        click.echo(f"Header     {text_of(name.encode())}: {text_of(value)}")
    for entry in record.history():
        what = "replayed"
        if isinstance(entry, Rejection):
            what = line_of(f"{entry.reason}: {entry.sentence}")
        click.echo(f"History    {entry.at:%Y-%m-%d %H:%M:%S} UTC  {entry.place}  {what}")
    click.echo()
    click.echo(left_out_of(record) or text_of(record.value))


# --------------------------------------------------------------------------- sending again


@dead_letters.command("replay")
@click.argument("origins", nargs=-1, type=_Origin(), metavar="[TOPIC/PARTITION/OFFSET]...")
@_filters
@click.option("--all", "everything", is_flag=True, help="Replay all open records.")
@click.option("--dry-run", is_flag=True, help="Only show what would be replayed.")
@patience_option
def replay(
    origins: tuple["Place", ...],
    everything: bool,
    dry_run: bool,
    patience: float,
    **filters: str | None,
) -> None:
    """Send refused records again, unchanged.

    Each goes to the topic it came from. Replayed are the open records that match the options; a
    record that is named by its position need not be open. An event counts once, however often it
    is sent. A record that is refused again is open again, and keeps its history. Records that were
    too large for the dead-letter topic cannot be replayed.

    \b
    Examples:
      usage dead-letters replay --reason future --dry-run
      usage dead-letters replay usage.flows/3/1204 usage.sms/0/17
    """
    if not (origins or everything or any(filters.values())):
        raise click.UsageError(
            "Name what to replay: --reason, --topic, --account, the TOPIC/PARTITION/OFFSET of a "
            "record, or --all."
        )
    matching = _matching(**filters)
    if origins:
        chosen = _named(set(origins), matching)
    else:
        chosen = [record for record in matching if record.open]
    if not chosen:
        click.echo("Nothing to replay.", err=True)
    elif dry_run:
        whole = [record for record in chosen if not record.left_out]
        print_records(chosen)
        click.echo(f"{_count(whole)} would be replayed{_by_topic(whole)}", err=True)
        if missing := len(chosen) - len(whole):
            click.echo(
                f"{missing:,} cannot be replayed: part of the record was too large to keep",
                err=True,
            )
    else:
        _send_again(settings.read(), chosen, patience)


def _send_again(config: settings.Settings, chosen: list["RejectedRecord"], patience: float) -> None:
    """Publish the *chosen* records again and print the result."""
    from interaction_usage.commands.replaying import send_again
    from stream_app.errors import BrokerUnavailableError

    try:
        sent, problems = send_again(config, chosen, patience)
    except BrokerUnavailableError as error:
        raise CommandError(f"Kafka at {config.kafka}: {error}.") from None
    _print_summary(chosen, sent, problems)


def _print_summary(
    chosen: list["RejectedRecord"], sent: list["RejectedRecord"], problems: list[str]
) -> None:
    """Print what was replayed and what was not; fail unless all of it was."""
    for problem in problems[:_MAX_PRINTED]:
        click.echo(plain(problem), err=True)
    if len(problems) > _MAX_PRINTED:
        click.echo(f"… and {len(problems) - _MAX_PRINTED:,} more", err=True)
    click.echo(f"{_count(sent)} replayed{_by_topic(sent)}", err=True)
    unsent = len(chosen) - len(sent)
    unmarked = len(problems) - unsent
    what = [f"{unsent:,} not sent"] * bool(unsent) + [f"{unmarked:,} not marked"] * bool(unmarked)
    if what:
        sys.stderr.flush()
        raise CommandError(f"Of {_count(chosen)}, {' and '.join(what)}; these are still open.")


def _count(records: list["RejectedRecord"]) -> str:
    return quantity(len(records), "record")


def _by_topic(records: list["RejectedRecord"]) -> str:
    counts = Counter(record.origin.topic for record in records)
    shown = ", ".join(f"{count:,} to {topic}" for topic, count in sorted(counts.items()))
    return f": {shown}" if shown else ""


# -------------------------------------------------------------------------------- choosing


def _matching(
    reason: str | None = None,
    topic: str | None = None,
    account: str | None = None,
    event_id: str | None = None,
) -> list["RejectedRecord"]:
    """Return the records that match, open or not, the one refused last at the end."""
    from stream_app.dead_letter_reader import read_rejected_records
    from stream_app.errors import BrokerUnavailableError
    from stream_app.rejection import Reason
    from stream_app.topics import EVENT_TOPICS

    _check("--reason", reason, [str(known) for known in Reason])
    _check("--topic", topic, list(EVENT_TOPICS))
    config = settings.read()
    try:
        records = read_rejected_records(config.kafka, with_bytes=False)
    except BrokerUnavailableError as error:
        raise CommandError(f"Kafka at {config.kafka}: {error}.") from None
    return [
        record
        for record in records
        if (reason is None or record.newest.reason == reason)
        and (topic is None or record.origin.topic == topic)
        and (account is None or record.account == account)
        and (event_id is None or record.has_id(event_id))
    ]


def _filled(records: list["RejectedRecord"]) -> Iterator["RejectedRecord"]:
    """Yield *records* with their bytes."""
    from stream_app.dead_letter_reader import filled
    from stream_app.errors import BrokerUnavailableError

    config = settings.read()
    try:
        yield from filled(config.kafka, records)
    except BrokerUnavailableError as error:
        raise CommandError(f"Kafka at {config.kafka}: {error}.") from None


def _named(places: set["Place"], records: list["RejectedRecord"]) -> list["RejectedRecord"]:
    """Return those of *records* that were published at one of *places*; there must be each."""
    known = {place for record in records for place in record.places}
    if unknown := sorted(places - known):
        raise CommandError(
            f"No refused record came from {unknown[0]}; "
            "`usage dead-letters list --include-replayed` lists them."
        )
    return [record for record in records if record.places & places]


def _check(option: str, given: str | None, known: list[str]) -> None:
    if given is not None and given not in known:
        raise click.BadParameter(
            f"unknown value {given!r}; use one of {', '.join(known)}", param_hint=[option]
        )
