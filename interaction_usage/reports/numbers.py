"""What a report bills, by name: what two reports of one period are compared by. Pure."""

from collections.abc import Mapping
from typing import Final

from interaction_usage.reports.model import Report
from rollups import catalog

#: The names of a series' numbers, behind the series and a dot.
MAXIMUM: Final = "max"
SUM: Final = "peak_sum"
HOURS: Final = "reported_hours"
BUSIEST: Final = "busiest_hour"


def numbers_of(report: Report) -> dict[str, int | str]:
    """Return the numbers of *report*, exact; those of a section that does not apply are left out.

    Its name, its status and its as-of instant are no such numbers.
    """
    found: dict[str, int | str] = {}
    for section in catalog.SECTIONS:
        if not report.has(section):
            continue
        for metric in catalog.metrics_of(section):
            found[metric.id] = report.counts.amount(metric)
        for series in catalog.series_of(section):
            curve = report.concurrency[series.id]
            busiest = curve.busiest_hour.isoformat() if curve.busiest_hour else ""
            found |= {
                f"{series.id}.{MAXIMUM}": curve.maximum,
                f"{series.id}.{SUM}": curve.peak_sum,
                f"{series.id}.{HOURS}": curve.reported_hours,
                f"{series.id}.{BUSIEST}": busiest,
            }
    for name, sessions in report.counts.sessions.items():
        for what, amount in sessions._asdict().items():
            if amount is not None:
                found[f"{name}.{what}"] = amount
    return found


def is_equal(issued: Mapping[str, int | str], now: Mapping[str, int | str]) -> bool:
    """Tell whether a report bills *now* what one *issued* does.

    What the issued one does not have was not reported by the version that issued it.
    """
    return all(now.get(name) == amount for name, amount in issued.items())
