"""What another time zone does to the edges between months: hours on two bills, or on none. Pure.

A month ends at a local midnight. Where one month is billed in the zone before and the next one in
the zone after, the first ends and the second begins at two different instants:

    old zone   … October ------------------)
    new zone              [-------------------- November …      on both bills
    new zone                                     [--- November …     on no bill
"""

from datetime import UTC, date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rollups.local_time import local_date, midnight


class MonthEdge(NamedTuple):
    """The edge between a month in the old zone and the next one in the new zone."""

    before: date  #: the first day of the month that ends
    month: date  #: the first day of the month that begins
    ended: int  #: the second at which the first ends, in the old zone
    begins: int  #: the second at which the second begins, in the new zone

    @property
    def seconds(self) -> int:
        """How much later the month begins; below 0 it begins earlier."""
        return self.begins - self.ended


class ZoneChange(NamedTuple):
    """Another time zone for an account's days."""

    old: str
    new: str
    edges: tuple[MonthEdge, ...]  #: of this month and the next; none if unknown

    def sentences(self) -> list[str]:
        """Return what becomes of days and bills, for people; nothing where the zone stays."""
        if self.old == self.new or not self.edges:
            return []
        return [self._days(), *map(self._bills, self.edges)]

    def _days(self) -> str:
        edge = self.edges[-1]
        follow = f"The days of all reports, past ones included, will follow {self.new}"
        if not edge.seconds:
            return f"{follow}; {edge.month} begins when it did in {self.old}."
        how = "later" if edge.seconds > 0 else "earlier"
        return (
            f"{follow} and begin {duration(abs(edge.seconds))} {how} than in {self.old}: "
            f"{edge.month} begins at {_utc(edge.begins)} instead of {_utc(edge.ended)}."
        )

    def _bills(self, edge: MonthEdge) -> str:
        months = (
            f"If {edge.before:%B %Y} is billed in {self.old} and {edge.month:%B %Y} in {self.new}"
        )
        if not edge.seconds:
            return f"{months}, every hour is on exactly one bill."
        where = "no bill" if edge.seconds > 0 else "both bills"
        first, last = sorted((edge.ended, edge.begins))
        hours = duration(last - first)
        subject, verb = ("hour", "is") if hours == "1 hour" else (hours, "are")
        return f"{months}, the {subject} from {_utc(first)} to {_utc(last)} {verb} on {where}."


def zone_change(second: int, old: ZoneInfo, new: ZoneInfo) -> ZoneChange:
    """Return what changing the zone from *old* to *new* at *second* does."""
    this = local_date(second, old).replace(day=1)
    edges = (_edge(_month_before(this), this, old, new), _edge(this, _month_after(this), old, new))
    return ZoneChange(old.key, new.key, edges)


def _edge(before: date, month: date, old: ZoneInfo, new: ZoneInfo) -> MonthEdge:
    return MonthEdge(before, month, midnight(month, old), midnight(month, new))


def _month_before(month: date) -> date:
    return date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1)


def _month_after(month: date) -> date:
    return date(month.year + (month.month == 12), month.month % 12 + 1, 1)


def duration(seconds: int) -> str:
    """Return *seconds* in words, like 5 hours 45 minutes."""
    hours, rest = divmod(seconds, 3600)
    minutes, odd = divmod(rest, 60)
    parts = ((hours, "hour"), (minutes, "minute"), (odd, "second"))
    return " ".join(f"{count} {unit}{'s' if count != 1 else ''}" for count, unit in parts if count)


def _utc(second: int) -> str:
    instant = datetime.fromtimestamp(second, UTC)
    return f"{instant:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + " UTC"
