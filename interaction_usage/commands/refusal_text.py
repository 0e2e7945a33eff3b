"""How refused records are shown: one by one, by cause, and for programs."""

from typing import TYPE_CHECKING, Any

import click

from interaction_usage.commands.replaying import left_out_of
from interaction_usage.commands.terminal import print_table

if TYPE_CHECKING:
    from stream_app.dead_letter_reader import RejectedRecord
    from stream_app.refusal_groups import Group


def state_of(record: "RejectedRecord") -> str:
    replayed = f"replayed {len(record.replays)}×" if record.replays else ""
    return ", ".join(filter(None, ("open" if record.open else "", replayed)))


def why(record: "RejectedRecord") -> str:
    """Return why *record* was refused, and which part of it is missing."""
    return "; ".join(filter(None, (record.newest.sentence, left_out_of(record))))


def summary(record: "RejectedRecord") -> dict[str, Any]:
    return {
        "origin": str(record.origin),
        "reason": record.newest.reason,
        "sentence": record.newest.sentence,
        "left_out": left_out_of(record),
        "refused_at": record.newest.at.isoformat(),
        "account": record.account,
        "state": "open" if record.open else "replayed",
        "refusals": len(record.rejections),
        "replays": len(record.replays),
    }


def group_summary(group: "Group") -> dict[str, Any]:
    return {
        "reason": group.reason,
        "cause": group.cause,
        "records": group.records,
        "accounts": sorted(group.accounts),
        "first": group.first_at.isoformat(),
        "last": group.last_at.isoformat(),
        "means": group.advice.means,
        "to_do": group.advice.to_do,
        "sample": summary(group.sample),
    }


def print_groups(groups: list["Group"]) -> None:
    """Print what was wrong, how often, and what to do about it."""
    for group in groups:
        sample = group.sample
        click.echo(
            f"{group.records:,}× {line_of(group.reason)}: {line_of(group.cause)}\n"
            f"    last    {group.last_at:%Y-%m-%d %H:%M:%S} UTC, {_whose(group)}\n"
            f"    sample  {sample.origin}, id {line_of(sample.event.id or '(not readable)')}"
        )
        if sample.newest.sentence != group.cause:
            click.echo(f"            {line_of(sample.newest.sentence)}")
        click.echo(f"    to do   {group.advice.to_do}")


def _whose(group: "Group") -> str:
    if not group.accounts:
        return "of no account that can be read"
    from stream_app.refusal_groups import MOST_ACCOUNTS

    more = " and more" if len(group.accounts) >= MOST_ACCOUNTS else ""
    return f"of {', '.join(map(line_of, sorted(group.accounts)))}{more}"


def print_records(records: list["RejectedRecord"]) -> None:
    print_table(
        ("Refused", "Origin", "Reason", "State", "Sentence"),
        [
            (
                f"{record.newest.at:%Y-%m-%dT%H:%M:%SZ}",
                str(record.origin),
                line_of(record.newest.reason),
                state_of(record),
                line_of(why(record)),
            )
            for record in records
        ],
    )


def text_of(content: bytes | None) -> str:
    """Return *content* as text of one line that a terminal can show, whatever the bytes are."""
    return "(none)" if content is None else line_of(content.decode("utf-8", "backslashreplace"))


def line_of(text: str) -> str:
    """Return *text* with everything escaped that would end the line, turn it or act on a terminal.

    What a producer wrote then looks like nothing that this command says itself.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
