"""`usage reports diff`: what an issued report would say now, and the events behind that."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.report_errors import report_errors
from interaction_usage.commands.terminal import plain
from interaction_usage.settings import Settings

if TYPE_CHECKING:
    from interaction_usage.archive.account_events import AccountEvents, PlacedEvent
    from interaction_usage.archive.published import Ends
    from interaction_usage.issued.comparison import Change, Comparison, MovedPeak
    from interaction_usage.issued.reproduction import Now
    from interaction_usage.reports.bill import Numbers
    from interaction_usage.reports.model import ChangedCell, Revision
    from interaction_usage.reports.service import Basis
    from interaction_usage.store.issued_table import Entry, StoredReport


@click.command("diff")
@click.argument("number")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def diff(number: str, form: str) -> None:
    """Show what the issued report NUMBER would say now, and exit 1 if anything differs.

    Each cell that differs is listed, and each event that was published since and touches the
    period, with its place in Kafka and what it changed; so is each that was counted then and
    refused since. What events changed adds up to the difference. Of a maximum it is said which
    events' absence alone would move it back.

    \b
    Examples:
      usage reports diff acme-000001
      usage reports diff acme-000001 --format json
    """
    config = settings.read()
    members = find_differences(config, number)
    if form == "json":
        click.echo(orjson.dumps(members, option=orjson.OPT_INDENT_2))
    else:
        _print(members)
    if members["changed"]:
        sys.exit(1)


def find_differences(config: Settings, number: str) -> dict[str, Any]:
    """Return what differs from an issued report, and why, as members of a JSON document."""
    from export.json_renderer import document
    from interaction_usage.commands.reports import issue_errors
    from interaction_usage.issued import reading
    from interaction_usage.issued.cells import cells_of
    from interaction_usage.issued.reproduction import other_circumstances, report_now
    from interaction_usage.store.issued_table import entries
    from stream_app.rejection import Reason

    with redis_connection(config) as redis, issue_errors(), report_errors(redis):
        stored = reading.find(redis, number)
        known = entries(redis, stored.entry.account)
        now = report_now(redis, stored, datetime.now(UTC))
    found, events, within = explained(config, stored, now)
    causes = other_circumstances(stored, now.basis, within) if found.before_events else []
    return {
        "number": stored.entry.number,
        "changed": bool(now.cells),
        "cells": [_cell(each, "issued", "now") for each in now.cells],
        "events": _events(found.changes, events.since),
        "refused": [
            {**each, "reason": str(Reason.SEALED)}
            for each in _events(found.refusals, events.refused)
        ],
        "adjusted": [*_adjusted(stored.entry, known)],
        "peaks": [_peak(each, events.since) for each in found.peaks],
        "without_events": [_cell(each, "issued", "now") for each in found.before_events],
        "causes": causes,
        "gone": list(events.gone),
        "explained": found.after == cells_of(document(now.basis.report)),
    }


def explained(
    config: Settings, stored: "StoredReport", now: "Now"
) -> "tuple[Comparison, AccountEvents, tuple[int, int]]":
    """Return why a report differs from what was issued, the events, and the period in seconds."""
    from interaction_usage.issued.comparison import compare
    from interaction_usage.issued.reproduction import frame_now

    events = read_events(config, stored, now.basis.ends)
    frame = frame_now(now)
    before, since, refused = (
        [each.event for each in some] for some in (events.before, events.since, events.refused)
    )
    found = compare(frame, now.issued, before, since, refused)
    return found, events, (frame.within.begin, frame.within.end)


def revision_of(config: Settings, stored: "StoredReport", basis: "Basis") -> "Revision":
    """Return what a report made of *basis* changes of the issued one that it revises."""
    from interaction_usage.issued.reproduction import against
    from interaction_usage.reports.model import LateEvent, Revision

    now = against(stored, basis)
    found, events, _ = explained(config, stored, now)
    late = tuple(
        LateEvent(
            each["source"], each["id"], each["type"], each["time"], f"{_place(each)}{what}",
            change.cells,
        )
        for changes, places, what in (
            (found.refusals, events.refused, ", refused as sealed since"),
            (found.changes, events.since, ""),
        )
        for change in changes
        for each in (event_members(places[change.place]),)
    )  # fmt: skip
    return Revision(stored.entry.number, now.cells, late, "; ".join(events.gone))


def read_events(config: Settings, stored: "StoredReport", now: "Ends") -> "AccountEvents":
    """Return the events of an account up to *now*, those of its issued report apart.

    What goes wrong with their reading is a CommandError.
    """
    from interaction_usage.archive.account_events import read_account_events
    from interaction_usage.issued.manifest import dead_letter_ends_in, ends_in

    issued, dead_letters = ends_in(stored.manifest), dead_letter_ends_in(stored.manifest)
    with event_errors(config):
        return read_account_events(config, stored.entry.account, issued, now, dead_letters)


@contextmanager
def event_errors(config: Settings) -> Iterator[None]:
    """Turn what goes wrong with Kafka or the archive into a CommandError."""
    from aiokafka.errors import KafkaError

    from interaction_usage.archive.errors import ArchiveError
    from stream_app.errors import BrokerUnavailableError, RecordsUnavailableError

    try:
        yield
    except (BrokerUnavailableError, KafkaError, RecordsUnavailableError) as error:
        raise CommandError(f"Kafka at {config.kafka}: {error}.") from None
    except ArchiveError as error:
        raise CommandError(f"The archive cannot be read: {plain(str(error))}.") from None


def _cell(cell: "ChangedCell", before: str, after: str) -> dict[str, Any]:
    return {"path": cell.path, before: cell.before, after: cell.after}


def _adjusted(entry: "Entry", known: "Sequence[Entry]") -> Iterator[dict[str, Any]]:
    """Yield by how much later reports adjust the values of an issued one."""
    from interaction_usage.issued.adjustments import adjusted_by, cells, plus

    before: Numbers = entry.numbers
    for each, adjusted in adjusted_by(known, entry.ordinal):
        after = plus(before, adjusted)
        lines = [
            {"path": cell.path, "difference": cell.difference}
            for cell in cells(before, after, None)
        ]
        yield {"number": each.number, "cells": lines}
        before = after


def _events(changes: "Sequence[Change]", events: "Sequence[PlacedEvent]") -> list[dict[str, Any]]:
    return [
        {
            **event_members(events[change.place]),
            "changes": [_cell(cell, "before", "after") for cell in change.cells],
        }
        for change in changes
    ]


def event_members(placed: "PlacedEvent") -> dict[str, Any]:
    """Return what a list says of an event."""
    from interaction_usage.issued.comparison import event_time, event_type

    event = placed.event
    return {
        "source": event.source,
        "id": event.id,
        "type": event_type(event),
        "time": event_time(event),
        "topic": placed.topic,
        "partition": placed.partition,
        "offset": placed.offset,
    }


def _peak(peak: "MovedPeak", since: "Sequence[PlacedEvent]") -> dict[str, Any]:
    return {
        "path": peak.path,
        "before": peak.issued,
        "now": peak.now,
        "without": [
            {"source": since[index].event.source, "id": since[index].event.id, "max": level}
            for index, level in peak.without
        ],
        "complete": peak.is_complete,
    }


# ---------------------------------------------------------------------------------- as text


def _print(members: dict[str, Any]) -> None:
    for line in _lines(members):
        click.echo(plain(line))
    for clause in members["gone"]:
        click.echo(plain(f"Not all events are there: {clause}."), err=True)
    if not members["explained"] and not members["gone"]:
        click.echo(
            "The events do not add up to what is counted, so the list of events may lack "
            "some. Check with `usage rebuild --verify`.",
            err=True,
        )


def _name(cell: Mapping[str, Any]) -> str:
    from interaction_usage.reports.bill import name_at

    return name_at(cell["path"])


def _place(event: Mapping[str, Any]) -> str:
    return f"{event['topic']}/{event['partition']} at offset {event['offset']}"


def _event_text(event: Mapping[str, Any]) -> str:
    what = f"{event['type']} {event['id']} of {event['source']}"
    return f"{what}, {event['time']}, {_place(event)}"


def _change_lines(event: Mapping[str, Any]) -> Iterator[str]:
    from interaction_usage.reports.bill import value_text

    for cell in event["changes"]:
        yield f"  {_name(cell)}  {value_text(cell['before'])} to {value_text(cell['after'])}"


def _lines(members: dict[str, Any]) -> Iterator[str]:
    from interaction_usage.reports.bill import value_text

    if not members["changed"]:
        yield f"{members['number']}: nothing differs"
    for cell in members["cells"]:
        yield f"{_name(cell)}  {value_text(cell['issued'])} issued, {value_text(cell['now'])} now"
    for adjusted in members["adjusted"]:
        lines = (
            _name(cell)
            if cell["difference"] is None
            else f"{_name(cell)} {value_text(cell['difference'], sign='+')}"
            for cell in adjusted["cells"]
        )
        yield f"Adjusted in {adjusted['number']}: {', '.join(lines)}"
    if members["without_events"] and members["changed"]:
        why = "; ".join(members["causes"]) or "the events before it are not all there, or others"
        names = ", ".join(map(_name, members["without_events"]))
        yield f"Without any event since: {names} ({why})"
    for event in members["refused"]:
        yield f"{_event_text(event)}: counted then, refused as {event['reason']} since"
        yield from _change_lines(event)
    for event in members["events"]:
        yield _event_text(event)
        yield from _change_lines(event)
    for peak in members["peaks"]:
        yield f"{_name(peak)} moved from {peak['before']:,} to {peak['now']:,}"
        for each in peak["without"]:
            yield f"  without {each['id']} of {each['source']} alone: {each['max']}"
        if not peak["without"]:
            yield "  no event's absence alone would move it"
        if not peak["complete"]:
            yield "  (only the first 500 events were examined)"
