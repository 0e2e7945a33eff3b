"""Explanations as text for people: tables, and a small curve around a maximum."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import click

from interaction_usage.commands.terminal import plain, print_table
from rollups.catalog import SERIES_LABELS
from rollups.quantity import quantity

#: Sessions and events that are listed before the rest is only counted; JSON has all of them.
MAX_ROWS: Final = 50

_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def show_maximum(answer: Mapping[str, Any]) -> None:
    """Print when a maximum was reached, the curve around it, and who was there."""
    label = SERIES_LABELS[answer["series"]]
    if not answer["max"]:
        click.echo(f"No session of {label} was present.")
        return
    at = datetime.fromisoformat(answer["at"])
    click.echo(
        f"{label}: {answer['max']:,} at once, first at {at.isoformat(sep=' ')}, "
        f"for {duration(answer['seconds_at_max'])} in all. {_agreement(answer)}"
    )
    _show_curve(answer["curve"], at)
    click.echo()
    print_table(
        ["Application", "Session", "From", "To", "Events"],
        [
            (
                session["application"],
                session["session"],
                _clock(session["start"], at),
                "no stop" if session["inferred"] else _clock(session["stop"], at),
                _places(session["events"]) + _why(session["events"]),
            )
            for session in answer["sessions"][:MAX_ROWS]
        ],
    )
    _say_rest(len(answer["sessions"]), "sessions")


def _why(events: Sequence[Mapping[str, Any]]) -> str:
    """Return why something was corrected, and by whom; nothing if it was not."""
    return "".join(
        ", corrected"
        + (f" by {each['actor']}" if each.get("actor") else "")
        + f": {each['reason']}"
        for each in events
        if each.get("reason")
    )


def show_counter(answer: Mapping[str, Any]) -> None:
    """Print the events that a counter sums."""
    events = answer["events"]
    click.echo(
        f"{answer['counter']}: {answer['sum']:,} by {quantity(len(events), 'event')}. "
        f"{_agreement(answer)}"
    )
    click.echo()
    print_table(
        ["Time", "Adds", "Source", "Id", "Type", "Place"],
        [
            (
                event["time"],
                f"{event['amount']:,}",
                event["source"],
                event["id"],
                event["type"] + (" (taken back)" if event["void"] else ""),
                _place(event) + _why([event]),
            )
            for event in events[:MAX_ROWS]
        ],
    )
    _say_rest(len(events), "events")


def show_concurrency(answer: Mapping[str, Any]) -> None:
    """Print the other ways to bill a curve."""
    rows = [("Maximum", f"{answer['max']:,}", "the most sessions at any second")]
    rows += [
        (f"Sustained {n} min", f"{level:,}", f"so many or more for {n} minutes in a row")
        for n, level in answer["sustained"].items()
    ]
    rows += [
        (f"Accumulated {n} min", f"{level:,}", f"so many or more for {n} minutes in all")
        for n, level in answer["accumulated"].items()
    ]
    rows += [
        (f"Percentile {n}", f"{level:,}", f"not exceeded in {n} % of the minutes")
        for n, level in answer["percentile"].items()
    ]
    average = f"{answer['time_average']:,.4f}"
    rows.append(("Average over time", average, f"over {duration(answer['seconds'])}"))
    print_table(["Billed by", "Sessions", ""], rows)


def show_capacity(answer: Sequence[Mapping[str, Any]]) -> None:
    """Print what licences would have meant."""
    print_table(
        ["Licence", "Started", "Refused", "Time above", "Episodes", "Longest"],
        [
            (
                f"{row['sessions']:,}",
                f"{row['started']:,}",
                f"{row['refused']:,}",
                duration(row["seconds_above"]),
                f"{row['episodes']:,}",
                duration(row["longest"]),
            )
            for row in answer
        ],
    )


def duration(seconds: int) -> str:
    """Return a number of seconds as people say it: `2 h 05 min`, `45 s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02} min" + (f" {rest:02} s" if rest else "")
    return f"{minutes} min" + (f" {rest:02} s" if rest else "") if minutes else f"{rest} s"


def _agreement(answer: Mapping[str, Any]) -> str:
    if answer["agrees"]:
        return "The rollups agree."
    return f"The rollups say {answer['rollups']:,}."


def _show_curve(curve: Mapping[str, Any], at: datetime) -> None:
    """Print a block for each minute, and below it when the line begins, the maximum, its end."""
    minutes = curve["minutes"]
    begins = datetime.fromisoformat(curve["begins"])
    ends = begins + timedelta(minutes=len(minutes))
    top = max(max(minutes), 1)
    line = "".join(
        _BLOCKS[-(-level * len(_BLOCKS) // top) - 1] if level else " " for level in minutes
    )
    place = int((at - begins).total_seconds() // 60)
    marks = [" "] * (len(minutes) + 10)
    for column, text in ((0, f"{begins:%H:%M}"), (len(minutes) - 5, f"{ends:%H:%M}")):
        marks[column : column + 5] = text
    marks[place] = "▲"
    click.echo(f"\n  {line}  up to {top:,}\n  {''.join(marks).rstrip()}")


def _clock(text: str, at: datetime) -> str:
    """Return an instant: the time alone on the day of the maximum."""
    instant = datetime.fromisoformat(text)
    return f"{instant:%H:%M:%S}" if instant.date() == at.date() else f"{instant:%m-%d %H:%M:%S}"


def _places(events: Sequence[Mapping[str, Any]]) -> str:
    """Return where events are: topic/partition/offset, and the offsets of the same partition."""
    offsets: dict[str, list[int]] = {}
    for event in events:
        offsets.setdefault(f"{event['topic']}/{event['partition']}", []).append(event["offset"])
    return " ".join(f"{place}/{','.join(map(str, each))}" for place, each in offsets.items())


def _place(event: Mapping[str, Any]) -> str:
    return f"{event['topic']}/{event['partition']}/{event['offset']}"


def _say_rest(count: int, what: str) -> None:
    if count > MAX_ROWS:
        click.echo(plain(f"and {count - MAX_ROWS:,} more {what}; --format json lists all of them"))


def show_verification(answer: Mapping[str, Any]) -> None:
    """Print what a verification found: one line each, and what differs in detail."""
    accounts = quantity(answer["accounts"], "account")
    counts = f"{accounts}, {quantity(answer['cells'], 'number')}"
    differences = answer["differences"]
    agree = "all agree" if not differences else f"{len(differences):,} differ"
    click.echo(f"Report: {counts} from the events against the rollups, {agree}.")
    for row in differences[:MAX_ROWS]:
        click.echo(
            plain(
                f"  {row['account']}: {row['cell']} is {row['events']} from the events, "
                f"{row['rollups']} in the rollups"
            )
        )
    _say_rest(len(differences), "differences")
    total = _sums(answer["records"], ("read", "applied", "duplicates", "refused", "voided"))
    click.echo(
        "Records: {read:,} read = {applied:,} applied + {duplicates:,} duplicates + {refused:,} "
        "refused + {voided:,} voided.".format(**total)
    )
    total = _sums(answer["sessions"], ("started", "stopped", "inferred", "open"))
    click.echo(
        "Sessions: {started:,} started - {stopped:,} stopped - {inferred:,} inferred = {open:,} "
        "open.".format(**total)
    )
    voids = answer["pending_voids"]
    click.echo(f"Voids whose event never came: {len(voids):,}.")
    for row in voids[:MAX_ROWS]:
        event = row["event"]
        click.echo(plain(f"  {row['account']}: {event['source']} {event['id']}, at {row['place']}"))
    mismatched = answer["mismatched_voids"]
    click.echo(f"Voids that describe their event otherwise than it was: {len(mismatched):,}.")
    for row in mismatched[:MAX_ROWS]:
        event = row["event"]
        click.echo(
            plain(
                f"  {row['account']}: the void at {row['void']} of {event['source']} "
                f"{event['id']}, at {row['place']}: other {', '.join(row['differing'])}. What it "
                "describes is taken away, and the rest of the event stays"
            )
        )
    _say_rest(len(mismatched), "voids")
    conflicts = answer["conflicts"]
    click.echo(f"Identities used for two different events: {len(conflicts):,}.")
    for row in conflicts[:MAX_ROWS]:
        events = " and ".join(f"{each['type']} at {_place(each)}" for each in row["events"])
        click.echo(
            plain(
                f"  {row['account']}: source {row['source']}, id {row['id']}: {events}. Only one "
                "of them counts; a producer must not reuse an id"
            )
        )
    _say_rest(len(conflicts), "identities")


def _sums(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in names}
