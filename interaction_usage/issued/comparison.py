"""What an issued report would say now: cell by cell, and event by event. Pure.

The events that were published since are added one after the other, in the order in which they were
published, and the report is made again after each. So what they changed adds up, for every cell, to
the difference: exactly, for each step is the difference of two reports.

A maximum is no sum. Of each that differs it is said which of the events' absence alone would make
it smaller (or larger) again: the maximum without that event, and with all others.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from interaction_usage.issued.cells import Value, cells_of, changed
from interaction_usage.issued.usage_model import UsageModel
from interaction_usage.reports.build import Account, Period, build
from interaction_usage.reports.model import ChangedCell, Report
from rollups.corrections import TYPE_NAMES
from rollups.events import Event
from rollups.timestamps import SECOND

#: Renders a report as the members of its JSON.
Document = Callable[[Report], dict[str, Any]]

#: Events of sessions for which it is examined what their absence alone would do.
_MOST_EXAMINED = 500
_MAXIMUM = ".max"


class Frame(NamedTuple):
    """The report that is made again and again: everything of it but the events."""

    account: Account
    within: Period
    as_of: datetime
    limits: Mapping[str, int]
    document: Document

    def report(self, model: UsageModel, *, breakdowns: bool = False) -> Report:
        """Return the report of what a *model* has."""
        reading = model.snapshot(*self.within.slots)
        return build(self.account, self.within, reading, self.as_of, breakdowns=breakdowns)

    def cells(self, model: UsageModel) -> dict[str, Value]:
        """Return what it bills, by path."""
        return cells_of(self.document(self.report(model)))


class Change(NamedTuple):
    """An event that touches the period, and what it changed."""

    place: int  #: its number among those since
    cells: tuple[ChangedCell, ...]


class MovedPeak(NamedTuple):
    """A maximum that differs, and the events whose absence alone would move it."""

    path: str
    issued: int
    now: int
    without: tuple[tuple[int, int], ...]  #: number of the event, and the maximum without it
    is_complete: bool  #: whether every event was examined


class Comparison(NamedTuple):
    """What is different now, and why."""

    #: What the same events give today where they do not give what was issued: the zone's rules
    #: are others, or the events are not all there.
    before_events: tuple[ChangedCell, ...]
    changes: tuple[Change, ...]
    peaks: tuple[MovedPeak, ...]
    after: dict[str, Value]  #: what all events together give
    #: What the events changed that were counted then, and refused since: first, and in this order.
    refusals: tuple[Change, ...] = ()


def compare(
    frame: Frame, issued: Mapping[str, Value], before: Sequence[Event], since: Sequence[Event],
    refused: Sequence[Event] = (),
) -> Comparison:  # fmt: skip
    """Return what the events *since* changed of what was *issued*, given those *before*.

    Those *refused* were counted then, and are not now.
    """
    start, changes, cells, of_sessions = steps(frame, before, since)
    peaks = tuple(_moved_peaks(frame, (before, since), (start, cells), of_sessions))
    then, refusals = _refusals(frame, before, refused)
    return Comparison(changed(issued, then), changes, peaks, cells, refusals)


def _refusals(
    frame: Frame, before: Sequence[Event], refused: Sequence[Event]
) -> tuple[dict[str, Value], tuple[Change, ...]]:
    """Return what all events gave, and what the absence of each of the *refused* changed.

    A report depends on the set of its events alone, so they are added to the others from the last
    to the first, and each step is read the other way.
    """
    backwards = steps(frame, before, refused[::-1])
    changes = (
        Change(
            len(refused) - 1 - change.place,
            tuple(cell._replace(before=cell.after, after=cell.before) for cell in change.cells),
        )
        for change in reversed(backwards.changes)
    )
    return backwards.end, tuple(changes)


class Steps(NamedTuple):
    """A report made again after each event."""

    start: dict[str, Value]  #: with the events before them
    changes: tuple[Change, ...]
    end: dict[str, Value]
    of_sessions: list[int]  #: which of the events that changed something are a session's

    def events_by_cell(self) -> Counter[str]:
        """Return how many events changed each cell."""
        return Counter(cell.path for change in self.changes for cell in change.cells)


def steps(frame: Frame, before: Sequence[Event], since: Sequence[Event]) -> Steps:
    """Return what each of the events *since* changed, given those *before*."""
    model = UsageModel(frame.limits)
    model.add(before)
    start = cells = frame.cells(model)
    changes: list[Change] = []
    of_sessions: list[int] = []
    for index, event in enumerate(since):
        effect = model.add([event])
        if effect.touches(frame.within.begin, frame.within.end):
            after = frame.cells(model)
            changes.append(Change(index, changed(cells, after)))
            cells = after
            if effect.sessions:
                of_sessions.append(index)
    return Steps(start, tuple(changes), cells, of_sessions)


def _moved_peaks(
    frame: Frame,
    events: tuple[Sequence[Event], Sequence[Event]],
    cells: tuple[Mapping[str, Value], Mapping[str, Value]],
    of_sessions: Sequence[int],
) -> Iterator[MovedPeak]:
    """Yield each maximum that differs, with the events that alone make it do so."""
    (before, since), (start, now) = events, cells
    moved = [path for path in now if path.endswith(_MAXIMUM) and start[path] != now[path]]
    if not moved:
        return
    without: dict[str, list[tuple[int, int]]] = {path: [] for path in moved}
    for index in of_sessions[:_MOST_EXAMINED]:
        model = UsageModel(frame.limits)
        model.add([*before, *since[:index], *since[index + 1 :]])
        others = frame.cells(model)
        for path in moved:
            if others[path] != now[path]:
                without[path].append((index, _number(others[path])))
    for path in moved:
        yield MovedPeak(
            path, _number(start[path]), _number(now[path]), tuple(without[path]),
            len(of_sessions) <= _MOST_EXAMINED,
        )  # fmt: skip


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0


def event_time(event: Event) -> str:
    """Return when an event happened, as RFC 3339 in UTC."""
    seconds, micros = divmod(event.time, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{micros:06}Z" if micros else f"{text}Z"


def event_type(event: Event) -> str:
    """Return the type of an event: `usage.flow.run`."""
    return TYPE_NAMES[type(event.data)]
