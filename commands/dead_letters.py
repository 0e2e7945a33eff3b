"""`usage dead-letters`: what was refused, and why."""

import sys
from collections import Counter
from typing import Any

import click
import orjson

import settings
from commands.errors import Failure


@click.group("dead-letters")
def dead_letters() -> None:
    """See what was refused, and why.

    \b
    Example:
      usage dead-letters list --reason invalid-data
    """


@dead_letters.command("list")
@click.option("--reason", help="Only these, as `invalid-data`.")
@click.option("--topic", help="Only those that were published on this topic.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="How many to show, newest first.",
)
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def list_(reason: str | None, topic: str | None, limit: int, as_json: bool) -> None:
    """Count the refused records by reason, and show the newest.

    \b
    Example:
      usage dead-letters list --reason future --limit 5
    """
    from stream_app.refusals import Reason
    from stream_app.topics import EVENT_TOPICS

    _check("--reason", reason, [str(known) for known in Reason])
    _check("--topic", topic, list(EVENT_TOPICS))
    chosen = [
        refusal
        for refusal in _refusals()
        if (reason is None or refusal.reason == reason)
        and (topic is None or refusal.topic == topic)
    ]
    counts = Counter(refusal.reason for refusal in chosen)
    newest = chosen[::-1][:limit]
    if as_json:
        shown = [_summary(refusal) for refusal in newest]
        click.echo(
            orjson.dumps({"counts": dict(counts), "newest": shown}, option=orjson.OPT_INDENT_2)
        )
        return
    if not chosen:
        click.echo("Nothing was refused.", err=True)
        return
    for name, count in counts.most_common():
        click.echo(f"{name:<18}{count:>9,}")
    click.echo()
    _print_table(newest)
    if len(chosen) > len(newest):
        click.echo(f"… and {len(chosen) - len(newest):,} older ones (--limit)", err=True)


@dead_letters.command("show")
@click.argument("origin", metavar="TOPIC/PARTITION/OFFSET")
def show(origin: str) -> None:
    """Show one refused record: why, from where, its headers and its bytes.

    \b
    Example:
      usage dead-letters show usage.flows/3/1204
    """
    found = [refusal for refusal in _refusals() if refusal.origin == origin]
    if not found:
        raise Failure(
            f"No refused record came from {origin!r}; `usage dead-letters list` names them."
        )
    refusal = found[0]
    click.echo(f"Reason     {refusal.reason}")
    click.echo(f"Sentence   {refusal.sentence}")
    click.echo(
        f"Origin     {refusal.topic}, partition {refusal.partition}, offset {refusal.offset}"
    )
    click.echo(f"Refused    {refusal.refused_at:%Y-%m-%d %H:%M:%S} UTC")
    click.echo(f"Key        {_text(refusal.key)}")
    for name, value in refusal.headers:
        click.echo(f"Header     {name}: {_text(value)}")
    click.echo()
    click.echo(_text(refusal.value))


def _refusals() -> list[Any]:
    from stream_app.broker import BrokerAway
    from stream_app.dead_letter_log import refusals

    config = settings.read()
    try:
        return refusals(config.kafka)
    except BrokerAway as error:
        raise Failure(f"Kafka at {config.kafka}: {error}.") from None


def _check(option: str, given: str | None, known: list[str]) -> None:
    if given is not None and given not in known:
        raise click.BadParameter(
            f"there is none called {given!r}; there are {', '.join(known)}", param_hint=option
        )


def _summary(refusal: Any) -> dict[str, Any]:
    return {
        "origin": refusal.origin,
        "reason": refusal.reason,
        "sentence": refusal.sentence,
        "refused_at": refusal.refused_at.isoformat(),
    }


def _print_table(newest: list[Any]) -> None:
    if not sys.stdout.isatty():
        for refusal in newest:
            when = f"{refusal.refused_at:%Y-%m-%dT%H:%M:%SZ}"
            click.echo("\t".join([when, refusal.origin, refusal.reason, refusal.sentence]))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("Refused (UTC)", "Origin", "Reason", "Sentence", box=None, header_style="bold")
    for refusal in newest:
        when = f"{refusal.refused_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(when, refusal.origin, refusal.reason, escape(refusal.sentence))
    Console().print(table)


def _text(content: bytes | None) -> str:
    """Return *content* as text that a terminal can show, whatever the bytes are."""
    if content is None:
        return "(none)"
    text = content.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
