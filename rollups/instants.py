"""Instants as whole numbers: microseconds since 1970-01-01T00:00:00Z, never floating point.

A *second* is floor(instant / 1,000,000) and stands for the half-open stretch [second, second + 1).
"""

import re
from datetime import date

SECOND = 1_000_000  #: microseconds
DAY_SECONDS = 86_400

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_SHAPE = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d+))?(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)

# Live events share their seconds, so the calendar arithmetic is done once for each of them.
_seconds_seen: dict[str, int] = {}
_SECONDS_KEPT = 20_000


def parse_rfc3339(text: str) -> int:
    """Return the instant that *text* names, in microseconds; digits beyond those are cut off.

    The offset is required. A leap second (``:60``) names no instant of this scale.
    Source: RFC 3339, section 5.6. Raises ValueError with a sentence that says what is wrong.
    """
    if len(text) == 20 and text[19] == "Z":  # the common shape, without a fraction
        second = _seconds_seen.get(text[:19])
        if second is not None:
            return second * SECOND
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        shown = repr(text) if len(text) <= 40 else f"{text[:39]!r}…"
        raise ValueError(f"{shown} is not an RFC 3339 time with an offset")
    whole, fraction, zulu, sign, hours, minutes = shape.groups()
    second = _second_of(whole)
    if zulu is None:
        offset = int(hours) * 3600 + int(minutes) * 60
        second += offset if sign == "-" else -offset
    micros = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return second * SECOND + micros


def _second_of(whole: str) -> int:
    """Return the second that *whole* (``YYYY-MM-DDThh:mm:ss``) names in UTC."""
    second = _seconds_seen.get(whole)
    if second is None:
        hour, minute, seconds = int(whole[11:13]), int(whole[14:16]), int(whole[17:19])
        if seconds == 60:
            raise ValueError(f"{whole!r} is a leap second, which has no instant of its own")
        if hour > 23 or minute > 59 or seconds > 60:
            raise ValueError(f"{whole!r} has no such time of day")
        try:
            days = date(int(whole[:4]), int(whole[5:7]), int(whole[8:10])).toordinal()
        except ValueError:
            raise ValueError(f"{whole!r} has no such day in the calendar") from None
        second = (days - _EPOCH_ORDINAL) * DAY_SECONDS + hour * 3600 + minute * 60 + seconds
        if len(_seconds_seen) >= _SECONDS_KEPT:
            _seconds_seen.clear()
        _seconds_seen[whole] = second
    return second
