"""The reports of the dashboard as JSON members, from a report's breakdowns. Pure.

Every list of days has the local days of the period that have begun, in order. Shares are fractions
of 1, unrounded, and None where there is nothing to take a share of.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any, Final, NamedTuple

from interaction_usage.reports.model import Report
from rollups.catalog import APPLICATIONS, SERIES, SERVICES
from rollups.local_time import each_hour, local_datetime

#: Flows that are listed; the rest is summed up, exactly, as `other`.
MOST_FLOWS: Final = 1000

#: The services that a customer who gives up on a flow turns to.
TURNED_TO: Final = ("call-now", "callback", "chat")

_DAY: Final = 86_400
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_ALL_CLOCKS: Final = list(range(24))

View = dict[str, Any]


class Runs(NamedTuple):
    """Flow runs by how they ended."""

    completed: int = 0
    abandoned: int = 0

    @property
    def begun(self) -> int:
        """All of them: a run is reported of when it ends, one way or the other."""
        return self.completed + self.abandoned


#: One flow's runs by local day; days without any may be missing.
RunsByDay = Mapping[date, Runs]


def usage(report: Report, flow: str | None = None, of_flow: RunsByDay | None = None) -> View:
    """Return the flow runs per day, begun and abandoned; those *of_flow* if a *flow* is given."""
    days = _runs_by_day(report, of_flow)
    return {
        **_head(report),
        "flow": flow,
        "days": [{"day": day.isoformat(), **_runs(runs)} for day, runs in days],
        "total": _runs(_sum([runs for _, runs in days])),
    }


def _runs_by_day(report: Report, of_flow: RunsByDay | None) -> list[tuple[date, Runs]]:
    if of_flow is not None:
        return [(day.day, of_flow.get(day.day, Runs())) for day in report.days]
    return [(day.day, Runs(day.counts.completed, day.counts.abandoned)) for day in report.days]


def _runs(runs: Runs) -> View:
    return {"begun": runs.begun, "completed": runs.completed, "abandoned": runs.abandoned}


def _sum(runs: Sequence[Runs]) -> Runs:
    return Runs(sum(each.completed for each in runs), sum(each.abandoned for each in runs))


def heat(report: Report, flow: str | None = None, most: int = MOST_FLOWS) -> View:
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


def applications(report: Report) -> View:
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


def connectivity(report: Report) -> View:
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


def resolution(report: Report, flow: str | None = None, of_flow: RunsByDay | None = None) -> View:
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


class _Hours(NamedTuple):
    """The hours of a local day: which of all hours they are, and what each is on the clock."""

    day: date
    stretch: slice
    clocks: list[int]  #: the hour of the clock that each shows, 0 to 23
    begins: list[tuple[int, int]]  #: the second in which each begins, and its UTC offset


def concurrency(report: Report) -> View:
    """Return each series' highest concurrency per day, its hour and the average beside it.

    `heat` has the peak of every hour, per day a list of 24: None where the day has no such hour, or
    it has not begun; of two hours that the clocks show alike, the higher peak.
    """
    days = _hours_by_day(report)
    peaks = report.hours.peaks
    return {
        **_head(report),
        "series": {
            series: {
                **_whole(report, series),
                "days": [_day(hours, peaks[series]) for hours in days] if days else [],
            }
            for series in SERIES
        },
        "heat": {
            "days": [hours.day.isoformat() for hours in days],
            "peaks": {
                series: [_clock(hours, peaks[series]) for hours in days] if days else []
                for series in SERIES
            },
        },
    }


def _hours_by_day(report: Report) -> list[_Hours]:
    found: list[_Hours] = []
    numbered = enumerate(each_hour(report.hours.runs))
    for number, entry in groupby(numbered, lambda pair: (pair[1].begin + pair[1].offset) // _DAY):
        hours = list(entry)
        found.append(
            _Hours(
                date.fromordinal(_EPOCH_ORDINAL + number),
                slice(hours[0][0], hours[-1][0] + 1),
                [(hour.begin + hour.offset) % _DAY // 3600 for _, hour in hours],
                [(hour.begin, hour.offset) for _, hour in hours],
            )
        )
    return found


def _whole(report: Report, series: str) -> View:
    curve = report.concurrency[series]
    return {
        "max": curve.maximum,
        "average": curve.average,
        "reported_hours": curve.reported_hours,
        "busiest_hour": curve.busiest_hour.isoformat() if curve.busiest_hour else None,
    }


def _day(hours: _Hours, peaks: Sequence[int]) -> View:
    """Return a day's maximum, the earliest hour that has it, and the mean of its reported hours."""
    entry = peaks[hours.stretch]
    top, reported = max(entry), sum(map(bool, entry))
    busiest = local_datetime(*hours.begins[entry.index(top)]).isoformat() if top > 0 else None
    return {
        "day": hours.day.isoformat(),
        "max": top,
        "hour": busiest,
        "average": sum(entry) / reported if reported else 0,
    }


def _clock(hours: _Hours, peaks: Sequence[int]) -> list[int | None]:
    entry = peaks[hours.stretch]
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
