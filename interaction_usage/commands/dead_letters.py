"""`usage dead-letters`: refused events, the reasons, and replaying them."""

import json
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from interaction_usage import settings
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.publishing import ReportingPublisher, check_broker, patience_option
from interaction_usage.commands.terminal import plain, print_table

if TYPE_CHECKING:
    from stream_app.dead_letter_reader import RejectedRecord
    from stream_app.dead_letters import Place

#: How many records that were not sent are printed one by one.
_MAX_PRINTED = 20
_UNMARKED = "sent, but not marked as replayed"


@click.group("dead-letters")
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
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def list_(include_replayed: bool, limit: int, as_json: bool, **filters: str | None) -> None:
    """Count the refused records by reason, and show the newest.

    A record is open until it is replayed without being refused again. A record that was refused
    several times is listed once, with the newest reason and its first position.

    \b
    Example:
      usage dead-letters list --reason future --limit 5
    """
    matching = _matching(**filters)
    chosen = [record for record in matching if record.open or include_replayed]
    counts = Counter(record.newest.reason for record in chosen)
    newest = chosen[::-1][:limit]
    if as_json:
        shown = [_summary(record) for record in newest]
        # In ASCII: what a producer wrote must not be taken for commands by a terminal.
        click.echo(json.dumps({"counts": dict(counts), "newest": shown}, indent=2))
        return
    if not matching:
        click.echo("Nothing was refused.", err=True)
        return
    for name, count in counts.most_common():
        click.echo(f"{_line(name):<18}{count:>9,}")
    if chosen:
        click.echo()
        _print_table(newest)
    if len(chosen) > len(newest):
        click.echo(f"… and {len(chosen) - len(newest):,} older ones (--limit)", err=True)
    if hidden := len(matching) - len(chosen):
        click.echo(f"{hidden:,} replayed and not refused since (--include-replayed)", err=True)


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
    click.echo(f"Reason     {_line(newest.reason)}")
    click.echo(f"Sentence   {_line(newest.sentence)}")
    click.echo(f"Origin     {place.topic}, partition {place.partition}, offset {place.offset}")
    click.echo(f"Refused    {newest.at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(f"State      {_state(record)}")
    left_out = record.left_out.sizes if record.left_out else ()
    gone = "batch" in left_out
    click.echo(f"Key        {'(left out)' if gone or 'key' in left_out else _text(record.key)}")
    for name, value in record.headers:
        click.echo(f"Header     {_text(name.encode())}: {_text(value)}")
    for entry in record.history():
        what = "replayed"
        if isinstance(entry, Rejection):
            what = _line(f"{entry.reason}: {entry.sentence}")
        click.echo(f"History    {entry.at:%Y-%m-%d %H:%M:%S} UTC  {entry.place}  {what}")
    click.echo()
    click.echo(_left_out(record) or _text(record.value))


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
        _print_table(chosen)
        click.echo(f"{_count(whole)} would be replayed{_by_topic(whole)}", err=True)
        if missing := len(chosen) - len(whole):
            click.echo(
                f"{missing:,} cannot be replayed: part of the record was too large to keep",
                err=True,
            )
    else:
        _send_again(settings.read(), chosen, patience)


def _send_again(config: settings.Settings, chosen: list["RejectedRecord"], patience: float) -> None:
    """Publish the *chosen* records and a marker for each, and print the result.

    1. Kafka acknowledges the record. (Ended before: it is open as it was.)
    2. Kafka acknowledges its marker. (Ended before: it is still open and may be sent once more,
       which counts nothing twice. Refused again, the copy is listed as a record of its own.)
    """
    from stream_app.dead_letters import Marker, Place, marker_headers
    from stream_app.topics import DEAD_LETTERS

    check_broker(config)
    publisher = ReportingPublisher(config.kafka, patience)
    sent: list[RejectedRecord] = []  # without their bytes
    unmarked: deque[tuple[RejectedRecord, Place]] = deque()
    problems: list[str] = []

    def publish(record: "RejectedRecord") -> None:
        topic = record.origin.topic
        known = replace(record, key=None, value=None, headers=[])

        def on_delivery(problem: str | None, partition: int, offset: int) -> None:
            if problem is not None:
                problems.append(f"{record.origin}: not sent: {problem}")
                return
            sent.append(known)
            if offset >= 0:
                unmarked.append((known, Place(topic, partition, offset)))
            else:  # it was acknowledged at the second try as one that Kafka had already
                problems.append(f"{record.origin}: {_UNMARKED}: Kafka did not return its offset")

        publisher.publish(topic, record.key, record.value, record.headers, on_delivery=on_delivery)

    def mark() -> None:
        while unmarked:
            record, again = unmarked.popleft()

            def on_delivery(problem: str | None, *_: int, origin: "Place" = record.origin) -> None:
                if problem is not None:
                    problems.append(f"{origin}: {_UNMARKED}: {problem}")

            headers = marker_headers(Marker(record.newest.place, again))
            where = record.newest.partition
            publisher.publish(
                DEAD_LETTERS, None, None, headers, on_delivery=on_delivery, partition=where
            )

    whole: dict[Place, RejectedRecord] = {}
    for record in chosen:
        if left_out := _left_out(record):
            problems.append(f"{record.origin}: not sent: {left_out}")
        else:
            whole[record.newest.place] = record
    for record in _filled(list(whole.values())):
        del whole[record.newest.place]
        publish(record)
        mark()
    publisher.wait(mark)
    for record in whole.values():
        problems.append(f"{record.origin}: not sent: its dead letter was deleted in the meantime")
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
    return f"{len(records):,} record{'' if len(records) == 1 else 's'}"


def _by_topic(records: list["RejectedRecord"]) -> str:
    counts = Counter(record.origin.topic for record in records)
    shown = ", ".join(f"{count:,} to {topic}" for topic, count in sorted(counts.items()))
    return f": {shown}" if shown else ""


# -------------------------------------------------------------------------------- choosing


def _matching(
    reason: str | None = None, topic: str | None = None, account: str | None = None
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
            f"unknown value {given!r}; use one of {', '.join(known)}", param_hint=option
        )


# --------------------------------------------------------------------------------- showing


def _state(record: "RejectedRecord") -> str:
    replayed = f"replayed {len(record.replays)}×" if record.replays else ""
    return ", ".join(filter(None, ("open" if record.open else "", replayed)))


def _left_out(record: "RejectedRecord") -> str | None:
    """Return a sentence about the part of *record* that was not kept; None if all of it was."""
    if not record.left_out:
        return None
    place = record.newest.place
    if batch := record.left_out.sizes.get("batch"):
        return (
            f"this is a whole batch of {batch:,} bytes, which was too large to keep and cannot be "
            f"replayed; Kafka has it at {place.topic}/{place.partition}, offset {place.offset}, "
            "until it is deleted there"
        )
    parts = [f"its {name}, {size:,} bytes" for name, size in record.left_out.sizes.items()]
    one = parts == parts[:1] and "headers" not in record.left_out.sizes
    were, they_are = ("was", "it is") if one else ("were", "they are")
    return (
        f"{', and '.join(parts)}, {were} too large to keep; {they_are} at "
        f"{place.topic}/{place.partition} offset {place.offset} until Kafka deletes it"
    )


def _why(record: "RejectedRecord") -> str:
    """Return why *record* was refused, and which part of it is missing."""
    return "; ".join(filter(None, (record.newest.sentence, _left_out(record))))


def _summary(record: "RejectedRecord") -> dict[str, Any]:
    return {
        "origin": str(record.origin),
        "reason": record.newest.reason,
        "sentence": record.newest.sentence,
        "left_out": _left_out(record),
        "refused_at": record.newest.at.isoformat(),
        "account": record.account,
        "state": "open" if record.open else "replayed",
        "refusals": len(record.rejections),
        "replays": len(record.replays),
    }


def _print_table(records: list["RejectedRecord"]) -> None:
    print_table(
        ("Refused", "Origin", "Reason", "State", "Sentence"),
        [
            (
                f"{record.newest.at:%Y-%m-%dT%H:%M:%SZ}",
                str(record.origin),
                _line(record.newest.reason),
                _state(record),
                _line(_why(record)),
            )
            for record in records
        ],
    )


def _text(content: bytes | None) -> str:
    """Return *content* as text of one line that a terminal can show, whatever the bytes are."""
    return "(none)" if content is None else _line(content.decode("utf-8", "backslashreplace"))


def _line(text: str) -> str:
    """Return *text* with everything escaped that would end the line, turn it or act on a terminal.

    What a producer wrote then looks like nothing that this command says itself.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
