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

# Live events share their seconds, so the calendar arithmetic is done once for each of them. The
# keys are wall times that were found to be right, `YYYY-MM-DDThh:mm:ss`, each without and with the
# dot of a fraction behind it; the value is the instant, in microseconds, if that is meant in UTC.
_seen: dict[str, int] = {}
_offsets_seen = {"Z": 0}  #: how far ahead of UTC, in microseconds; there are 2,881 of them at most
_SECONDS_KEPT = 20_000


def parse_rfc3339(text: str) -> int:
    """Return the instant that *text* names, in microseconds; digits beyond those are cut off.

    The offset is required. A leap second (``:60``) names no instant of this scale.
    Source: RFC 3339, section 5.6. Raises ValueError with a sentence that says what is wrong.
    """
    # The common shapes, if their second and their offset were seen before.
    if len(text) == 20 and text[19] == "Z" and (start := _seen.get(text[:19])) is not None:
        return start
    zone = "Z" if text[-1:] == "Z" else text[-6:]
    start, fraction, ahead = _seen.get(text[:20]), text[20 : -len(zone)], _offsets_seen.get(zone)
    if start is not None and ahead is not None and fraction.isdigit() and fraction.isascii():
        return start + int(fraction[:6].ljust(6, "0")) - ahead
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        shown = repr(text) if len(text) <= 40 else f"{text[:39]!r}…"
        raise ValueError(f"{shown} is not an RFC 3339 time with an offset")
    whole, fraction, zulu, sign, hours, minutes = shape.groups()
    start, ahead = _start_of(whole), 0
    if zulu is None:
        ahead = (int(hours) * 3600 + int(minutes) * 60) * (-SECOND if sign == "-" else SECOND)
        _offsets_seen[text[-6:]] = ahead
    return start + (int(fraction[:6].ljust(6, "0")) if fraction else 0) - ahead


def parse_rfc3339_all(texts: list[str]) -> list[int | None]:
    """Return what `parse_rfc3339` returns for each of *texts*; None where it raises.

    Six digits and a Z, which most producers send, are read here: a call for each costs as much.
    """
    if not "".join(texts).isascii():  # digits are those of ASCII, so each needs a closer look
        return [_parsed(text) for text in texts]
    seen = _seen.get
    return [
        start + int(fraction)
        if (start := seen(text[:20])) is not None
        and text[26:] == "Z"
        and (fraction := text[20:26]).isdigit()
        else _parsed(text)
        for text in texts
    ]


def _parsed(text: str) -> int | None:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


def _start_of(whole: str) -> int:
    """Return the instant at which *whole* (``YYYY-MM-DDThh:mm:ss``) begins in UTC."""
    start = _seen.get(whole)
    if start is None:
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
        start = second * SECOND
        if len(_seen) >= 2 * _SECONDS_KEPT:
            _seen.clear()
        _seen[whole] = _seen[f"{whole}."] = start
    return start
