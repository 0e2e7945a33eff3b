"""The first and the last local day of an account with usage, for a period that has none."""

from datetime import date, datetime, timedelta
from typing import Any, Final

from interaction_usage.dashboard.spans import By, Span, spans
from interaction_usage.reports.model import Report
from interaction_usage.reports.periods import FIRST_DAY
from interaction_usage.reports.service import Detail, ReportRequest, make_report
from interaction_usage.store.activity import days_with_events
from interaction_usage.store.reads import Rollups

_EPOCH: Final = date(1970, 1, 1)
_DAY: Final = timedelta(days=1)


def days_with_usage(redis: Any, account: str, now: datetime) -> tuple[date, date] | None:
    """Return the first and the last local day on which something was counted or present.

    None where there is none. Days are stored in UTC: which local day it is, a report of the days
    around tells.
    """
    stored = days_with_events(Rollups.live(redis), account)
    if stored is None:
        return None
    first, last = (_EPOCH + timedelta(days=day) for day in stored)
    last = min(last, now.date() + _DAY)  # open sessions reach into days to come
    begins = _busy_days(redis, account, first, now)
    ends = _busy_days(redis, account, last, now)
    return (begins or ends or [first])[0], (ends or begins or [last])[-1]


def _busy_days(redis: Any, account: str, day: date, now: datetime) -> list[date]:
    """Return the local days with usage among those that the UTC day *day* is a part of."""
    first = max(day - _DAY, FIRST_DAY)
    request = ReportRequest(account, first, max(day + _DAY, first), None, now)
    report = make_report(redis, request, Detail.HOURS)
    return [span.first for span in spans(report, By.DAY) if _is_busy(report, span)]


def _is_busy(report: Report, span: Span) -> bool:
    peaks = report.hours.peaks.values()
    return any(span.counts.amounts.values()) or any(any(each[span.hours]) for each in peaks)
