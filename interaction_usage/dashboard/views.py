"""The reports of the dashboard as JSON members, from a report's breakdowns. Pure.

Every list of `days` has the spans of the period that have begun, in order: local days, unless
hours, weeks or months are asked for. `day` is the first local day of a span, `last` its last one
where that is another, and `begins` the instant at which an hour begins. Shares are fractions of 1,
unrounded, and None where there is nothing to take a share of.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from interaction_usage.dashboard.spans import DayHours, Span
from interaction_usage.reports.model import Report
from rollups.catalog import APPLICATIONS, SERIES, SERVICES
from rollups.local_time import local_datetime

#: Flows that are listed; the rest is summed up, exactly, as `other`.
MOST_FLOWS: Final = 1000

#: The services that a customer who gives up on a flow turns to.
TURNED_TO: Final = ("call-now", "callback", "chat")

_ALL_CLOCKS: Final = range(24)

View = dict[str, Any]


class Runs(NamedTuple):
    """Flow runs by how they ended."""

    completed: int = 0
    abandoned: int = 0

    @property
    def begun(self) -> int:
        """All of them: a run is reported of when it ends, one way or the other."""
        return self.completed + self.abandoned


#: The spans of a report, in order.
Spans = Sequence[Span]

#: One flow's runs, for each span.
RunsOfFlow = Sequence[Runs]


def usage(
    report: Report, within: Spans, flow: str | None = None, of_flow: RunsOfFlow | None = None
) -> View:
    """Return the flow runs per span; those *of_flow* if a *flow* is given."""
    runs = _runs_by_span(within, of_flow)
    return {
        **_head(report),
        "flow": flow,
        "days": [{**each.members(), **_runs(ran)} for each, ran in zip(within, runs, strict=True)],
        "total": _runs(_sum(runs)),
    }


def _runs_by_span(within: Spans, of_flow: RunsOfFlow | None) -> RunsOfFlow:
    if of_flow is not None:
        return of_flow
    return [Runs(each.counts.completed, each.counts.abandoned) for each in within]


def _runs(runs: Runs) -> View:
    return {"begun": runs.begun, "completed": runs.completed, "abandoned": runs.abandoned}


def _sum(runs: Sequence[Runs]) -> Runs:
    return Runs(sum(each.completed for each in runs), sum(each.abandoned for each in runs))


def heat(report: Report, flow: str | None = None, most: int | None = None) -> View:
    """Return how often each flow ran, most used first; only *flow* if one is given.

    Beyond the *most* used, `other` is the exact sum of the rest and says of how many flows. Without
    a limit that is asked for, a single flow is never hidden there.
    """
    every = [(each.flow, Runs(each.completed, each.abandoned)) for each in report.flows]
    total = _sum([runs for _, runs in every])
    listed = every if flow is None else [item for item in every if item[0] == flow]
    if most is None:
        most = MOST_FLOWS + (len(listed) == MOST_FLOWS + 1)
    shown, rest = listed[:most], listed[most:]
    other = {"flows": len(rest), **_ran(_sum([runs for _, runs in rest]), total)}
    return {
        **_head(report),
        "flow": flow,
        "flows": [{"flow": name, **_ran(runs, total)} for name, runs in shown],
        "other": other if rest else None,
        "flow_count": len(every),
        "total": _ran(total, total),
    }


def _ran(runs: Runs, every: Runs) -> View:
    return {
        "runs": runs.begun,
        "completed": runs.completed,
        "abandoned": runs.abandoned,
        "share": runs.begun / every.begun if every.begun else None,
    }


def applications(report: Report, within: Spans) -> View:
    """Return the flow runs by application, per span and altogether."""
    return {
        **_head(report),
        "days": [
            {**each.members(), **_each(each.counts.flow_runs, APPLICATIONS)} for each in within
        ],
        "total": _each(report.counts.flow_runs, APPLICATIONS),
        "all": report.counts.flow_runs_total,
    }


def connectivity(report: Report, within: Spans) -> View:
    """Return the clicks by service, per span and altogether."""
    return {
        **_head(report),
        "days": [{**each.members(), **_each(each.counts.clicks, SERVICES)} for each in within],
        "total": _each(report.counts.clicks, SERVICES),
        "all": sum(report.counts.clicks.values()),
    }


def resolution(
    report: Report, within: Spans, flow: str | None = None, of_flow: RunsOfFlow | None = None
) -> View:
    """Return the flow runs against the clicks on call, callback and chat.

    Clicks are counted for the account and not by flow: for one *flow* they are None, for the runs
    of one held against the clicks of all would say nothing.
    """
    runs = _runs_by_span(within, of_flow)
    clicks = [None if flow else each.counts.clicks for each in within]
    every = _sum(runs)
    return {
        **_head(report),
        "flow": flow,
        "days": [
            {**each.members(), **_runs(ran), **_turned(ran, clicked)}
            for each, ran, clicked in zip(within, runs, clicks, strict=True)
        ],
        "total": {**_runs(every), **_turned(every, None if flow else report.counts.clicks)},
    }


def _turned(runs: Runs, clicks: Mapping[str, int] | None) -> View:
    if clicks is None:
        return dict.fromkeys((*TURNED_TO, "turned", "share"))
    turned = sum(clicks.get(service, 0) for service in TURNED_TO)
    share = turned / runs.begun if runs.begun else None
    return {**_each(clicks, TURNED_TO), "turned": turned, "share": share}


def concurrency(report: Report, within: Spans) -> View:
    """Return each series' highest concurrency per span, its hour and the average beside it.

    `heat` has the peak of every hour of the clock, per span a list of 24: None where no day of it
    has such an hour that has begun; of several, the highest peak.
    """
    peaks = report.hours.peaks
    has_hours = bool(report.hours.runs)
    return {
        **_head(report),
        "series": {
            series: {
                **_whole(report, series),
                "days": [_peak(each, peaks[series]) for each in within] if has_hours else [],
            }
            for series in SERIES
        },
        "heat": {
            "days": [each.first.isoformat() for each in within] if has_hours else [],
            "peaks": {
                series: [_clock(each, peaks[series]) for each in within] if has_hours else []
                for series in SERIES
            },
        },
    }


def _whole(report: Report, series: str) -> View:
    curve = report.concurrency[series]
    return {
        "max": curve.maximum,
        "average": curve.average,
        "reported_hours": curve.reported_hours,
        "busiest_hour": curve.busiest_hour.isoformat() if curve.busiest_hour else None,
    }


def _peak(span: Span, peaks: Sequence[int]) -> View:
    """Return a span's maximum, the earliest hour with it, and the mean of its reported hours."""
    entry = peaks[span.hours]
    top, reported = max(entry, default=0), sum(map(bool, entry))
    busiest = None
    if top > 0:
        number = span.hours.start + entry.index(top)
        day = next(each for each in span.days if number < each.end)
        busiest = local_datetime(*day.begins[number - day.begin]).isoformat()
    return {
        **span.members(),
        "max": top,
        "hour": busiest,
        "average": sum(entry) / reported if reported else 0,
        "reported_hours": reported,
    }


def _clock(span: Span, peaks: Sequence[int]) -> list[int | None]:
    rows = [_clock_of_day(day, peaks[day.begin : day.end]) for day in span.days]
    if len(rows) == 1:
        return rows[0]
    columns = ([peak for peak in column if peak is not None] for column in zip(*rows, strict=True))
    return [max(column, default=None) for column in columns]


def _clock_of_day(hours: DayHours, entry: Sequence[int]) -> list[int | None]:
    if hours.clocks == _ALL_CLOCKS:
        return list(entry)
    row: list[int | None] = [None] * 24
    for clock, peak in zip(hours.clocks, entry, strict=True):
        known = row[clock]
        row[clock] = peak if known is None else max(known, peak)
    return row


def _head(report: Report) -> View:
    return {
        "account": report.account,
        "from": report.first.isoformat(),
        "to": report.last.isoformat(),
        "timezone": report.timezone,
        "as_of": shown(report.as_of),
        "completeness": report.completeness.members(),
    }


def shown(instant: datetime) -> str:
    """Return *instant* in UTC as RFC 3339 has it, with a Z."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _each(sums: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    return {name: sums.get(name, 0) for name in names}
