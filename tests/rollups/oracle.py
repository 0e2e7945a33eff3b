"""The report once more, straight from the contract, with none of the product's arithmetic.

A set of events becomes sessions, sessions become intervals of whole seconds, and each hour of the
wall clock is swept over the seconds at which something changes. Slow, and simple enough to check by
eye against the contract ("What is counted"). Only the types of events are shared with the product.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from importlib import resources
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from rollups.events import (
    AssistClicked,
    CallMinutes,
    Event,
    EventVoided,
    FlowRun,
    NumberPurchased,
    SessionCorrected,
    SessionStarted,
    SessionStopped,
    SmsSent,
)

MICRO = 1_000_000
APPLICATIONS = ("agent", "ticket-guidance", "mobile-web", "web-self-service")
CURVES = {
    "agent-sessions": ("agent", "ticket-guidance"),
    "agent": ("agent",),
    "ticket-guidance": ("ticket-guidance",),
    "mobile-web": ("mobile-web",),
    "web-self-service": ("web-self-service",),
}


def report(
    answer: Iterable[Event],
    limits: Mapping[str, int],
    zone: str,
    first: date,
    last: date,
    as_of: datetime,
) -> dict[str, Any]:
    """Return what one account's report must say, given its events, reported however often."""
    events = {(event.source, event.id): event for event in answer}.values()
    tz = time_zone(zone)
    begin, end = _day_begins(first, tz), _day_begins(last + timedelta(1), tz)
    wall = [hour for hour in _hours(begin, end, tz) if hour[0] < as_of.timestamp()]
    present = intervals(events, limits)
    within = [event for event in events if begin * MICRO <= event.time < end * MICRO]
    voided = [original for original in _voided(events) if begin <= original.time / MICRO < end]
    return {
        **_difference(_counters(within), _counters(voided)),
        "concurrency": {
            curve: _concurrency([stretch for name in parts for stretch in present[name]], wall, tz)
            for curve, parts in CURVES.items()
        },
        "sessions": _sessions(events, begin, end),
    }


def sessions(
    answer: Iterable[Event], zone: str, first: date, last: date
) -> dict[str, tuple[int, int]]:
    """Return what the report says of sessions alone, without the slow rest of it."""
    events = {(event.source, event.id): event for event in answer}.values()
    tz = time_zone(zone)
    return _sessions(events, _day_begins(first, tz), _day_begins(last + timedelta(1), tz))


def _voided(events: Iterable[Event]) -> list[Event]:
    """Return what voids name, each event once, as the first of its voids describes it.

    An identity is that of an event of one UTC day.
    """
    found: dict[Any, Event] = {}
    for event in sorted(events, key=lambda void: (void.time, void.source, void.id)):
        if isinstance(event.data, EventVoided):
            original = event.data.event
            day = datetime.fromtimestamp(original.time // MICRO, UTC).date()
            named = Event(original.source, original.id, event.account, original.time, original.data)
            found.setdefault((original.source, original.id, day), named)
    return list(found.values())


def _difference(counted: dict[str, Any], voided: dict[str, Any]) -> dict[str, Any]:
    """Return *counted* less *voided*, where flows with nothing left are left out."""
    found: dict[str, Any] = {}
    for name, amount in counted.items():
        if isinstance(amount, dict):
            less = {
                key: amount.get(key, 0) - voided[name].get(key, 0) for key in amount | voided[name]
            }
            found[name] = {key: left for key, left in less.items() if left or name != "flows"}
        else:
            found[name] = amount - voided[name]
    return found


def _sessions(events: Iterable[Event], begin: int, end: int) -> dict[str, tuple[int, int]]:
    """Return by application how many sessions start in [begin, end), and how many never stop."""
    starts, stops = _edges(events)
    found = {}
    for application in APPLICATIONS:
        started = {
            edge
            for edge, times in starts.items()
            if edge[0] == application and begin * MICRO <= min(times) < end * MICRO
        }
        found[application] = len(started), len(started - stops.keys())
    return found


#: (application, session) to the times of one kind of its events.
Edges = dict[tuple[str, str], list[int]]


def _edges(events: Iterable[Event]) -> tuple[Edges, Edges]:
    """Return the starts and the stops of each session: of a corrected one those it has then."""
    starts: Edges = {}
    stops: Edges = {}
    for event in events:
        if isinstance(event.data, SessionStarted):
            starts.setdefault((event.data.application, event.data.session), []).append(event.time)
        elif isinstance(event.data, SessionStopped):
            stops.setdefault((event.data.application, event.data.session), []).append(event.time)
    corrections = [event for event in events if isinstance(event.data, SessionCorrected)]
    for event in sorted(corrections, key=_rank):  # so the last one is in effect
        edge = event.data.application, event.data.session
        for edges, time in ((starts, event.data.start), (stops, event.data.stop)):
            edges.pop(edge, None)
            if time is not None:
                edges[edge] = [time]
    return starts, stops


def _rank(correction: Event) -> tuple[Any, ...]:
    start, stop = correction.data.start, correction.data.stop
    return correction.time, start is not None, start or 0, stop is not None, stop or 0


def time_zone(name: str) -> ZoneInfo:
    """Return a zone of the package `tzdata`: the machine's own files may know other rules."""
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, name)


def intervals(
    events: Iterable[Event], limits: Mapping[str, int]
) -> dict[str, list[tuple[int, int]]]:
    """Return by application the seconds [begin, end) of each session that has started."""
    starts, stops = _edges(events)
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in APPLICATIONS}
    for (application, name), times in starts.items():
        begin = _floor(min(times))
        if (application, name) in stops:
            end = max(_ceil(min(stops[application, name])), begin + 1)
        else:
            end = begin + limits[application]
        found[application].append((begin, end))
    return found


def _floor(micros: int) -> int:
    return micros // MICRO


def _ceil(micros: int) -> int:
    return _floor(micros) + (1 if micros % MICRO else 0)


def _day_begins(day: date, tz: ZoneInfo) -> int:
    """Return the first quarter of an hour that shows *day* or a later one."""
    moment = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) - 16 * 3600
    while datetime.fromtimestamp(moment, tz).date() < day:
        moment += 900
    return moment


def _hours(begin: int, end: int, tz: ZoneInfo) -> list[tuple[int, int]]:
    """Return the stretches [begin, end) that share local date, local hour and UTC offset."""

    def shown(moment: int) -> tuple[Any, ...]:
        local = datetime.fromtimestamp(moment, tz)
        return local.date(), local.hour, local.utcoffset()

    runs = [list(run) for _, run in groupby(range(begin, end, 900), shown)]
    return [(run[0], run[-1] + 900) for run in runs]


def _concurrency(
    stretches: list[tuple[int, int]], wall: list[tuple[int, int]], tz: ZoneInfo
) -> dict[str, Any]:
    peaks = [_peak(stretches, begin, end) for begin, end in wall]
    top, reported = max(peaks, default=0), sum(peak > 0 for peak in peaks)
    busiest = wall[peaks.index(top)][0] if top else None
    return {
        "max": top,
        "average": Fraction(sum(peaks), reported) if reported else Fraction(0),
        "reported_hours": reported,
        "busiest_hour": None
        if busiest is None
        else datetime.fromtimestamp(busiest, tz).isoformat(),
    }


def _peak(stretches: list[tuple[int, int]], begin: int, end: int) -> int:
    """Return the most sessions present at any second of [begin, end).

    The level only rises where a session begins, so those seconds and the first one are enough.
    """
    seconds = {begin} | {start for start, _ in stretches if begin <= start < end}
    return max(sum(start <= second < stop for start, stop in stretches) for second in seconds)


def _counters(events: list[Event]) -> dict[str, Any]:
    runs, clicks, flows = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    minutes = messages = numbers = 0
    for data in (event.data for event in events):
        match data:
            case FlowRun():
                runs[data.application] += 1
                flows[data.flow, data.outcome] += 1
            case AssistClicked():
                clicks[data.service] += 1
            case CallMinutes():
                minutes += data.thousandths
            case SmsSent():
                messages += data.link
            case NumberPurchased():
                numbers += 1
    return {
        "flow_runs": {name: runs[name] for name in APPLICATIONS},
        "flows": dict(flows),
        "clicks": {name: clicks[name] for name in ("call-now", "callback", "chat", "email")},
        "call_thousandths": minutes,
        "sms_with_link": messages,
        "numbers_purchased": numbers,
    }
