"""Reports for the dashboard, made by the code of `usage export`."""

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from interaction_usage.dashboard.reports import Asked, Breakdown, FlowBreakdown, Impossible, Missing

if TYPE_CHECKING:
    from interaction_usage.reports.model import Report
    from rollups.range_snapshot import RangeSnapshot
    from interaction_usage.store.reads import Rollups


class Reporting:
    """Makes reports from the rollups in one Redis (`dashboard.reports.Reports`)."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    def check_period(self, first: date, last: date) -> None:
        """Raise Impossible unless a report may cover the local days *first* to *last*."""
        from interaction_usage.reports.periods import PeriodError, check_period

        try:
            check_period(first, last)
        except PeriodError as error:
            raise Impossible("from", str(error)) from None

    def document(self, asked: Asked) -> bytes:
        """Return the report as `usage export --format json` writes it."""
        return self._file(asked, "json", deep=False)

    def spreadsheet(self, asked: Asked) -> bytes:
        """Return the report as `usage export` writes `usage.xls`."""
        return self._file(asked, "xls", deep=True)

    def _file(self, asked: Asked, file_format: str, *, deep: bool) -> bytes:
        from interaction_usage.commands.errors import Failure
        from interaction_usage.commands.export import make_report
        from export.formats import FORMATS

        try:
            report = make_report(self._redis, *asked, deep=deep)
        except click.BadParameter as error:
            raise Impossible("tz", error.message) from None
        except click.UsageError as error:
            raise Impossible("from", error.message) from None
        except Failure:
            raise Missing(asked.account) from None
        return FORMATS[file_format](report)

    def breakdown(self, asked: Asked) -> Breakdown:
        """Return the same report with its days and hours."""
        return self._part(asked, by_slot=True)

    def flows(self, asked: Asked) -> FlowBreakdown:
        """Return the same report with its flows."""
        return self._part(asked, flows=True)

    def _part(self, asked: Asked, **depth: bool) -> "Report":
        """Return the report as deep as a page needs it; `usage.xls` has it all."""
        from interaction_usage.reports.periods import PeriodError
        from interaction_usage.reports.build import Account, build, period
        from interaction_usage.store import account_settings
        from rollups.local_time import UnalignedZone, UnknownZone
        from interaction_usage.store.reads import read_active

        known = account_settings.get(self._redis, asked.account)
        zone = asked.timezone or known.timezone
        try:
            within = period(asked.first, asked.last, zone, asked.as_of)
        except UnknownZone as error:
            raise Impossible("tz", str(error)) from None
        except (PeriodError, UnalignedZone) as error:
            raise Impossible("from", str(error)) from None

        def read(rollups: "Rollups") -> "RangeSnapshot | None":
            if not rollups.exists(asked.account):
                return None
            return rollups.read(asked.account, *within.slots, **depth)

        reading = read_active(self._redis, read)
        if reading is None:
            raise Missing(asked.account)
        told = Account(asked.account, known.name, known.dnis, known.sms)
        return build(told, within, reading, asked.as_of)
