"""A report made again from events: the same bytes, or what is gone or changed is named."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from export.json_renderer import document
from interaction_usage.issued.cells import cells_of
from interaction_usage.issued.comparison import Frame, compare
from interaction_usage.issued.issuing import Order, proposal_of
from interaction_usage.issued.manifest import dead_letter_ends_in
from interaction_usage.issued.reproduction import frame_then, other_circumstances, reproduce
from interaction_usage.issued.usage_model import UsageModel
from interaction_usage.reports.build import Account, period
from interaction_usage.reports.service import Basis, ReportBatch
from interaction_usage.store.issued_table import StoredReport
from rollups.catalog import APPLICATIONS
from rollups.completeness import Completeness, Status
from rollups.events import CallMinutes, Event, FlowRun, SessionStarted, SessionStopped
from rollups.timestamps import SECOND
from tests.rollups.drawing import NOON
from tests.support.zone_database import VERSION, changed_zone

LIMITS = dict.fromkeys(APPLICATIONS, 3_600)
AS_OF = datetime(2026, 11, 1, 9, tzinfo=UTC)
SAID = Completeness(Status.PROVISIONAL, NOON, 0, 2)


def session(name: str, begin: int, end: int) -> list[Event]:
    """Return a session's start and stop, in seconds after noon of 5 October."""
    data = (SessionStarted(name, "agent"), SessionStopped(name, "agent"))
    return [
        Event("test", f"{name} {number}", "acme", (NOON + second) * SECOND, each)
        for number, (second, each) in enumerate(zip((begin, end), data, strict=True))
    ]


EVENTS = [
    *session("a", 0, 600),
    *session("b", 300, 900),
    *(Event("test", f"{n}", "acme", NOON * SECOND, FlowRun("f", "agent")) for n in range(9)),
    Event("test", "call", "acme", NOON * SECOND, CallMinutes(1_500)),
]


def issued(events: Sequence[Event], rejected: Mapping[str, int] | None = None) -> StoredReport:
    """Return the report of October that was issued with these events."""
    first, last = date(2026, 10, 1), date(2026, 10, 31)
    within = period(first, last, "Europe/Paris", AS_OF)
    frame = Frame(Account("acme", "Acme", True, True), within, AS_OF, LIMITS, document)
    model = UsageModel(LIMITS)
    model.add(events)
    report = frame.report(model, breakdowns=True)._replace(completeness=SAID)
    basis = Basis(report, within.begin, within.end, {"usage.flows/0@ab": 9}, LIMITS)
    order = Order(ReportBatch(first, last, None, AS_OF), "ann")
    return proposal_of(basis, 7, order, rejected=rejected)


def test_the_same_events_give_the_same_bytes() -> None:
    """In any order, and however often."""
    found = reproduce(issued(EVENTS), [*EVENTS[::-1], *EVENTS])
    assert found.differs == found.cells == ()


def test_the_manifest_has_where_dead_letters_ended() -> None:
    """A report of before they were recorded has none, which is not the same as no dead letters."""
    ends = {"usage.dead-letters/0@ab": 3, "usage.dead-letters/1@ab": 0}
    assert dead_letter_ends_in(issued(EVENTS, ends).manifest) == ends
    assert dead_letter_ends_in(issued(EVENTS, {}).manifest) == {}
    assert dead_letter_ends_in(issued(EVENTS).manifest) is None


def test_what_an_event_changed_is_named_where_it_is_gone() -> None:
    """Both files differ, in the cells of that event."""
    found = reproduce(issued(EVENTS), EVENTS[:-1])
    assert found.differs == ("json", "xls")
    assert [(each.path, each.before, each.after) for each in found.cells] == [
        ("dnis.call_minutes", 1.5, 0.0)
    ]


def test_a_workbook_of_another_version_is_named_and_the_json_compared() -> None:
    """Its JSON is made byte for byte; the first version of the workbook was not recorded."""
    stored = issued(EVENTS)
    older = {**stored.manifest, "version": "0.1.0"}
    del older["workbook_version"]
    earlier = msgspec.structs.replace(stored, manifest=older)
    found = reproduce(earlier, EVENTS)
    assert found.differs == ()
    assert found.redrawn.startswith("its xls is workbook version 1, made by version 0.1.0; this")
    assert reproduce(earlier, EVENTS[:-1]).differs == ("json",)


def test_another_zone_database_is_named_and_that_it_moves_the_period() -> None:
    """A country that abolished a clock change in the meantime, say."""
    stored = issued(EVENTS)
    within = frame_then(stored).within
    span = within.begin, within.end
    assert other_circumstances(stored, None, span) == []
    older = {**stored.manifest, "tzdata": "2020a"}
    [named] = other_circumstances(msgspec.structs.replace(stored, manifest=older), None, span)
    assert "and was 2020a" in named
    assert "moves" not in named
    moved = msgspec.structs.replace(stored.entry, begin=span[0] - 3_600)
    other = msgspec.structs.replace(stored, manifest=older, entry=moved)
    [named] = other_circumstances(other, None, span)
    assert named.endswith("it moves the period in Europe/Paris")


def test_a_changed_zone_that_moves_a_bill_is_named(tmp_path: Path) -> None:
    """Paris gets London's rules: the first hour of its October is September's now."""
    at = int(datetime(2026, 9, 30, 22, 30, tzinfo=UTC).timestamp())
    first = Event("test", "first", "acme", at * SECOND, FlowRun("f", "agent"))
    stored = issued([*EVENTS, first])
    assert reproduce(stored, [*EVENTS, first]).differs == ()
    with changed_zone(tmp_path, "Europe/Paris", "Europe/London"):
        found = reproduce(stored, [*EVENTS, first])
        within = frame_then(stored).within
        [cause] = other_circumstances(stored, None, (within.begin, within.end))
        now = compare(frame_then(stored), cells_of(msgspec.json.decode(stored.json)), EVENTS, [])
    assert found.differs == ("json", "xls")
    assert ("flow_runs.total", 10, 9) in found.cells
    assert cause.startswith(f"the time zone database is {VERSION}, and was ")
    assert cause.endswith("; it moves the period in Europe/Paris")
    assert ("flow_runs.total", 10, 9) in now.before_events
    assert reproduce(stored, [*EVENTS, first]).differs == ()


def test_what_was_refused_since_is_named_with_what_it_takes_away() -> None:
    """Each step is a report without one more of them; with those since, they explain the rest."""
    at = int(datetime(2026, 10, 5, 9, tzinfo=UTC).timestamp())
    runs = [
        Event("test", f"run {n}", "acme", (at + n) * SECOND, FlowRun("f", "agent"))
        for n in range(3)
    ]
    stored = issued([*EVENTS, *runs])
    then = cells_of(msgspec.json.decode(stored.json))
    late = Event("test", "late", "acme", at * SECOND, FlowRun("f", "mobile-web"))
    again = [runs[0], runs[1], runs[1]]  # a repeat was refused with its event: it is named once
    found = compare(frame_then(stored), then, [*EVENTS, runs[2]], [late], again)
    total = then["flow_runs.total"]
    assert isinstance(total, int)
    assert found.before_events == ()
    steps = [
        (change.place, cell.before, cell.after)
        for change in found.refusals
        for cell in change.cells
        if cell.path == "flow_runs.total"
    ]
    assert steps == [(0, total, total - 1), (2, total - 1, total - 2)]
    assert found.after["flow_runs.total"] == total - 1


#         0         600  900
#     a   [----------)
#     b        [---------)          the maximum is 2
#     c           [--)              late: it would be 3
#     d           [--)  or not at all
@pytest.mark.parametrize(
    ("others", "now", "named"),
    [
        ([], 3, [("c 0", 2)]),
        (session("d", 400, 500), 4, [("c 0", 3), ("d 0", 3)]),
        (session("d", 1_000, 1_100), 3, [("c 0", 2)]),
    ],
)
def test_events_are_named_without_which_alone_a_maximum_moves_back(
    others: list[Event], now: int, named: list[tuple[str, int]]
) -> None:
    """And what each event changed adds up to the difference, whatever the order."""
    stored = issued(EVENTS)
    frame = frame_then(stored)
    since = [*EVENTS[:2], *session("c", 400, 500), *others]
    before = cells_of(msgspec.json.decode(stored.json))
    found = compare(frame, before, EVENTS, since)
    assert found.before_events == ()
    [peak] = [each for each in found.peaks if each.path == "concurrency.agent.max"]
    assert (peak.issued, peak.now) == (2, now)
    assert [(since[place].id, level) for place, level in peak.without] == named
    for path in ("sessions.agent.started", "concurrency.agent.max"):
        changes = [cell for each in found.changes for cell in each.cells if cell.path == path]
        whole = found.after[path] - before[path]  # type: ignore[operator]
        assert sum(cell.after - cell.before for cell in changes) == whole  # type: ignore[operator,misc]
