"""The wall clock of a time zone, as a table for the SQL: the stretches of one UTC offset.

From the package `tzdata`, as the report's zones, so that both mean the same rules.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_EPOCH: Final = date(1970, 1, 1)
_DAY: Final = 86_400
#: Seconds between two looks at the clock; no zone changed it twice within so short a time.
_STEP: Final = 6 * 3600


class Stretch(NamedTuple):
    """The seconds [begins, ends) that have one UTC offset."""

    begins: int
    ends: int
    utc_offset: int  #: seconds ahead of UTC


def days_since_1970(day: date) -> int:
    """Return the number of *day*, 1970-01-01 being 0."""
    return (day - _EPOCH).days


def second_not_before(instant: datetime) -> int:
    """Return the first whole second that is not before *instant*."""
    return -((datetime(1970, 1, 1, tzinfo=UTC) - instant) // timedelta(seconds=1))


def local_time(second: int, timezone: str) -> datetime:
    """Return *second* as the clocks of *timezone* show it, with its UTC offset."""
    return datetime.fromtimestamp(second, _zone(timezone))


def stretches(timezone: str, first: date, last: date) -> list[Stretch]:
    """Return the stretches of one UTC offset around the local days *first* to *last*, in order."""
    zone = _zone(timezone)
    begin = (days_since_1970(first) - 2) * _DAY
    end = (days_since_1970(last) + 3) * _DAY
    found = [Stretch(begin, end, _offset(begin, zone))]
    for second in range(begin, end, _STEP):
        after = min(second + _STEP, end)
        offset = _offset(after, zone)
        if offset != found[-1].utc_offset:
            changed = _change(second, after, zone)
            found[-1] = found[-1]._replace(ends=changed)
            found.append(Stretch(changed, end, offset))
    return found


def _offset(second: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    return 0 if offset is None else offset.days * _DAY + offset.seconds


def _change(low: int, high: int, zone: ZoneInfo) -> int:
    """Return the first second in (low, high] with the offset of *high*; *low* has another one."""
    new = _offset(high, zone)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(middle, zone) == new else (middle, high)
    return high


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, name)


def rfc3339(microsecond: int) -> str:
    """Return an instant as it stands in an event: UTC, to the microsecond where it has one."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microsecond)
    return instant.isoformat().replace("+00:00", "Z")
