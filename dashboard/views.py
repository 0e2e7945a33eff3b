"""The reports of the dashboard as JSON members, from a report's breakdowns. Pure.

Every list of days has the local days of the period that have begun, in order. Shares are fractions
of 1, unrounded, and None where there is nothing to take a share of.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from dashboard.reports import Breakdown, Hour
from rollups.vocabulary import APPLICATIONS, SERIES, SERVICES

#: Flows that are listed; the rest is summed up, exactly, as `other`.
MOST_FLOWS: Final = 1000

#: The services that a customer who gives up on a flow turns to.
TURNED_TO: Final = ("call-now", "callback", "chat")

View = dict[str, Any]


class Runs(NamedTuple):
    """Flow runs by how they ended."""

    completed: int = 0
    abandoned: int = 0

    @property
    def begun(self) -> int:
        """All of them: a run is told of when it ends, one way or the other."""
        return self.completed + self.abandoned


#: One flow's runs by local day; days without any may be missing.
RunsByDay = Mapping[date, Runs]


def usage(report: Breakdown, flow: str | None = None, of_flow: RunsByDay | None = None) -> View:
    """Return the flow runs per day, begun and abandoned; those *of_flow* if a *flow* is given."""
    days = _runs_by_day(report, of_flow)
    return {
        **_head(report),
        "flow": flow,
        "days": [{"day": day.isoformat(), **_runs(runs)} for day, runs in days],
        "total": _runs(_sum([runs for _, runs in days])),
    }


def _runs_by_day(report: Breakdown, of_flow: RunsByDay | None) -> list[tuple[date, Runs]]:
    if of_flow is not None:
        return [(day.day, of_flow.get(day.day, Runs())) for day in report.days]
    return [(day.day, Runs(day.counts.completed, day.counts.abandoned)) for day in report.days]


def _runs(runs: Runs) -> View:
    return {"begun": runs.begun, "completed": runs.completed, "abandoned": runs.abandoned}


def _sum(runs: Sequence[Runs]) -> Runs:
    return Runs(sum(each.completed for each in runs), sum(each.abandoned for each in runs))


def heat(report: Breakdown, flow: str | None = None, most: int = MOST_FLOWS) -> View:
    """Return how often each flow ran, most used first; only *flow* if one is given.

    Beyond the *most* used, `other` is the exact sum of the rest and says of how many flows.
    """
    every = [(each.flow, Runs(each.completed, each.abandoned)) for each in report.flows]
    total = _sum([runs for _, runs in every])
    listed = every if flow is None else [item for item in every if item[0] == flow]
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


def applications(report: Breakdown) -> View:
    """Return the flow runs by application, per day and altogether."""
    return {
        **_head(report),
        "days": [
            {"day": day.day.isoformat(), **_each(day.counts.flow_runs, APPLICATIONS)}
            for day in report.days
        ],
        "total": _each(report.counts.flow_runs, APPLICATIONS),
        "all": report.counts.flow_runs_total,
    }


def connectivity(report: Breakdown) -> View:
    """Return the clicks by service, per day and altogether."""
    return {
        **_head(report),
        "days": [
            {"day": day.day.isoformat(), **_each(day.counts.clicks, SERVICES)}
            for day in report.days
        ],
        "total": _each(report.counts.clicks, SERVICES),
        "all": sum(report.counts.clicks.values()),
    }


def resolution(
    report: Breakdown, flow: str | None = None, of_flow: RunsByDay | None = None
) -> View:
    """Return the flow runs against the clicks on call, callback and chat.

    Clicks are counted for the account and not by flow: for one *flow* they are None, for the runs
    of one held against the clicks of all would say nothing.
    """
    days = _runs_by_day(report, of_flow)
    clicks = [None if flow else day.counts.clicks for day in report.days]
    every = _sum([runs for _, runs in days])
    return {
        **_head(report),
        "flow": flow,
        "days": [
            {"day": day.isoformat(), **_runs(runs), **_turned(runs, clicked)}
            for (day, runs), clicked in zip(days, clicks, strict=True)
        ],
        "total": {**_runs(every), **_turned(every, None if flow else report.counts.clicks)},
    }


def _turned(runs: Runs, clicks: Mapping[str, int] | None) -> View:
    if clicks is None:
        return dict.fromkeys((*TURNED_TO, "turned", "share"))
    turned = sum(clicks.get(service, 0) for service in TURNED_TO)
    share = turned / runs.begun if runs.begun else None
    return {**_each(clicks, TURNED_TO), "turned": turned, "share": share}


def concurrency(report: Breakdown) -> View:
    """Return each series' highest concurrency per day, its hour and the average beside it.

    `heat` has the peak of every hour, per day a list of 24: None where the day has no such hour, or
    it has not begun; of two hours that the clocks show alike, the higher peak.
    """
    days = [
        (day, list(hours)) for day, hours in groupby(report.hours, lambda hour: hour.begins.date())
    ]
    return {
        **_head(report),
        "series": {
            series: {
                **_whole(report, series),
                "days": [{"day": day.isoformat(), **_day(hours, series)} for day, hours in days],
            }
            for series in SERIES
        },
        "heat": {
            "days": [day.isoformat() for day, _ in days],
            "peaks": {series: [_clock(hours, series) for _, hours in days] for series in SERIES},
        },
    }  # fmt: skip


def _whole(report: Breakdown, series: str) -> View:
    curve = report.concurrency[series]
    return {
        "max": curve.maximum,
        "average": curve.average,
        "reported_hours": curve.reported_hours,
        "busiest_hour": curve.busiest_hour.isoformat() if curve.busiest_hour else None,
    }


def _day(hours: Sequence[Hour], series: str) -> View:
    """Return a day's maximum, the earliest hour that has it, and the mean of its reported hours."""
    peaks = [hour.peaks[series] for hour in hours]
    top, reported = max(peaks), sum(map(bool, peaks))
    return {
        "max": top,
        "hour": hours[peaks.index(top)].begins.isoformat() if top > 0 else None,
        "average": sum(peaks) / reported if reported else 0,
    }


def _clock(hours: Sequence[Hour], series: str) -> list[int | None]:
    row: list[int | None] = [None] * 24
    for hour in hours:
        known = row[hour.begins.hour]
        peak = hour.peaks[series]
        row[hour.begins.hour] = peak if known is None else max(known, peak)
    return row


def _head(report: Breakdown) -> View:
    return {
        "account": report.account,
        "from": report.first.isoformat(),
        "to": report.last.isoformat(),
        "timezone": report.timezone,
        "as_of": shown(report.as_of),
    }


def shown(instant: datetime) -> str:
    """Return *instant* in UTC as RFC 3339 has it, with a Z."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _each(sums: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    return {name: sums.get(name, 0) for name in names}
