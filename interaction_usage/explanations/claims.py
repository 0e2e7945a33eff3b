"""What a Usage Report says, as cells that evidence can be compared with (`evidence.cells`)."""

from collections.abc import Iterator

from interaction_usage.reports.model import Counts, Report
from rollups.catalog import ABANDONED, COMPLETED, METRICS, SESSION_METRICS

Cell = tuple[str, int | str]


def cells(report: Report) -> dict[str, int | str]:
    """Return the cells of *report* that are not 0; it must have all its breakdowns."""
    return {name: value for name, value in _all(report) if value not in (0, None)}


def _all(report: Report) -> Iterator[Cell]:
    yield from _counters(report.counts)
    for day in report.days:
        for name, amount in _counters(day.counts):
            if name not in SESSION_METRICS:
                yield f"{name} {day.day}", amount
    for flow in report.flows:
        yield f"flow {COMPLETED} {flow.flow}", flow.completed
        yield f"flow {ABANDONED} {flow.flow}", flow.abandoned
    for series, curve in report.concurrency.items():
        yield f"concurrency.{series}.max", curve.maximum
        yield f"concurrency.{series}.peak_sum", curve.peak_sum
        yield f"concurrency.{series}.reported_hours", curve.reported_hours
        if curve.busiest_hour:
            yield f"concurrency.{series}.busiest_hour", curve.busiest_hour.isoformat()
    for hour in report.hours:
        for series, peak in hour.peaks.items():
            yield f"concurrency.{series} {hour.begins.isoformat()}", peak


def _counters(counts: Counts) -> Iterator[Cell]:
    """Yield each counter; those of sessions only where they were counted."""
    for metric in METRICS:
        if counts.has_sessions or metric not in SESSION_METRICS:
            yield metric, counts.amounts[metric]
