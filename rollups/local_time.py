"""Local days and hours: where the wall clock of a time zone cuts the line of UTC seconds.

An hour is the set of instants that share local date, local hour and UTC offset, so a day has 23 or
25 of them when the clocks change by an hour, and a 30-minute change makes a short hour.

Zones come from the package `tzdata` and never from the system's files, which differ from machine to
machine: `localtime` is whatever the machine is set to, `right/…` counts leap seconds, and
distributions patch others. Two machines with one version of `tzdata` bill the same days.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rollups.slots import SLOT_SECONDS

_HOUR = 3600
_DAY = 86_400
_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: In the database, but no place's time: what a machine shows before anybody has set it.
_NO_PLACE = {"Factory"}
#: How many zones a hint names.
_MOST_HINTS = 2
#: Files beside the zones of many systems that stand for the machine's own setting.
_MACHINES_OWN = {"localtime", "posixrules", "factory"}


class Hour(NamedTuple):
    """An hour of the wall clock: the half-open stretch of seconds [begin, end)."""

    begin: int
    end: int
    offset: int  #: the UTC offset in seconds


class HourRun(NamedTuple):
    """Hours of one length and one UTC offset, one after the other: seconds [begin, end).

    Nearly all hours of a year are in three of them; only a clock change begins another.
    """

    begin: int
    hours: int  #: how many
    seconds: int  #: how long each hour is: 3600, less where a clock change cuts it
    offset: int  #: the UTC offset in seconds

    @property
    def end(self) -> int:
        """The second in which the last of the hours ends."""
        return self.begin + self.hours * self.seconds

    def before(self, second: int) -> "HourRun":
        """Return those of the hours that begin before *second*."""
        begun = -((self.begin - second) // self.seconds)
        return self._replace(hours=max(0, min(self.hours, begun)))


class UnknownZone(ValueError):
    """A name that is no IANA time zone."""


class UnalignedZone(ValueError):
    """A stretch of history in which a zone's hours do not begin on quarters of a UTC hour."""


def zone(name: str) -> ZoneInfo:
    """Return the IANA time zone *name*. Raises UnknownZone with a sentence."""
    if name not in zone_names():
        shown = repr(name) if len(name) <= 100 else f"{name[:100]!r}…"
        raise UnknownZone(
            f"there is no time zone {shown}; a name is like Europe/Paris{_nearest(name)}"
        )
    return _loaded(name)


@cache
def zone_names() -> frozenset[str]:
    """Return the names of the IANA database, those that other names replaced included."""
    names = resources.files("tzdata").joinpath("zones").read_text("ascii").split()
    return frozenset(names) - _NO_PLACE


@cache
def _loaded(name: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, name)


def _nearest(name: str) -> str:
    """Return a hint at the zones that *name* may be meant for; empty if there is none."""
    from rollups.zone_search import find_zones

    folded = name[:100].casefold()
    if folded in _MACHINES_OWN:
        return ", and this one is what each machine is set to. Did you mean UTC?"
    known = {zone.casefold(): zone for zone in zone_names()}
    tail = folded.partition("/")[2] if folded.startswith(("posix/", "right/")) else folded
    near = [known[tail]] if tail in known else find_zones(tail)
    if not near:
        return ""
    if len(near) <= _MOST_HINTS:
        return f". Did you mean {' or '.join(near)}?"
    return f". It may mean one of {len(near)}, such as {near[0]}; see: usage account zones {tail!r}"


def offset_at(second: int, tz: ZoneInfo) -> int:
    """Return the UTC offset of *tz* at *second*, in seconds."""
    offset = datetime.fromtimestamp(second, tz).utcoffset()
    assert offset is not None
    return offset.days * 86_400 + offset.seconds


def utc_offset(seconds: int) -> str:
    """Return an offset for people: `UTC+05:45`."""
    minutes = abs(seconds) // 60
    return f"UTC{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def local_date(second: int, tz: ZoneInfo) -> date:
    """Return the local date at *second*."""
    return local_datetime(second, offset_at(second, tz)).date()


def local_datetime(second: int, offset: int) -> datetime:
    """Return *second* as the wall clock shows it *offset* seconds ahead of UTC."""
    return datetime.fromtimestamp(second, _fixed(offset))


@lru_cache(256)
def _fixed(offset: int):  # type: ignore[no-untyped-def]
    from datetime import timezone

    return timezone(timedelta(seconds=offset))


def midnight(day: date, tz: ZoneInfo) -> int:
    """Return the second in which the local *day* begins.

    Where the clocks jump over midnight, the day begins when they have jumped; where *day* is left
    out altogether, so does the next one.
    """
    wall = (day - _EPOCH_DAY).days * 86_400
    guess = wall - _utc_offset_of_wall(day, tz)
    if guess + offset_at(guess, tz) == wall:
        return guess
    # A gap: find the jump, before which the local time is earlier than `wall`.
    return _first_second(guess - 86_400, guess + 86_400, lambda s: s + offset_at(s, tz) >= wall)


def _utc_offset_of_wall(day: date, tz: ZoneInfo) -> int:
    offset = datetime(day.year, day.month, day.day, tzinfo=tz).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _first_second(low: int, high: int, holds) -> int:  # type: ignore[no-untyped-def]
    """Return the first second in (low, high] for which *holds*, which stays true once it is."""
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def hours(begin: int, end: int, tz: ZoneInfo) -> list[Hour]:
    """Return the hours of the wall clock in the seconds [begin, end), in order.

    *begin* must begin an hour, as a local midnight does. Raises UnalignedZone where an hour does
    not consist of whole slots.
    """
    return list(each_hour(hour_runs(begin, end, tz)))


def each_hour(runs: Iterable[HourRun]) -> Iterator[Hour]:
    """Yield every hour of *runs*, in order."""
    for run in runs:
        for begin in range(run.begin, run.end, run.seconds):
            yield Hour(begin, begin + run.seconds, run.offset)


def by_local_day(runs: Iterable[HourRun]) -> Iterator[tuple[int, HourRun]]:
    """Yield the hours of *runs*, in order, as runs of one local day each, which stands before.

    Days are counted from 1970-01-01. One has several runs where the clocks change in it.
    """
    for begin, count, seconds, offset in runs:
        done = 0
        while done < count:
            start = begin + done * seconds
            day = (start + offset) // _DAY
            until_midnight = -((start + offset - (day + 1) * _DAY) // seconds)
            of_day = min(until_midnight, count - done)
            yield day, HourRun(start, of_day, seconds, offset)
            done += of_day


def hour_runs(begin: int, end: int, tz: ZoneInfo) -> list[HourRun]:
    """Return the hours of the wall clock in the seconds [begin, end) as runs of equal ones.

    *begin* must begin an hour, as a local midnight does. Raises UnalignedZone where an hour does
    not consist of whole slots.
    """
    found: list[HourRun] = []
    for start, stop, offset in _stretches(begin, end, tz):
        # start |--)first |-----)-----)-----)last |--)stop: only a clock change cuts an hour short.
        first = min(start + -(start + offset) % _HOUR, stop)
        last = max(first, stop - (stop + offset) % _HOUR)
        if any(edge % SLOT_SECONDS for edge in (start, first, last, stop)):
            cut_at_once = start % SLOT_SECONDS or first % SLOT_SECONDS
            raise UnalignedZone(_why_unaligned(tz, start if cut_at_once else last, offset))
        parts = (
            (start, 1, first - start),
            (first, (last - first) // _HOUR, _HOUR),
            (last, 1, stop - last),
        )
        found += [
            HourRun(at, count, seconds, offset) for at, count, seconds in parts if count * seconds
        ]
    return found


def _stretches(begin: int, end: int, tz: ZoneInfo) -> Iterator[tuple[int, int, int]]:
    """Yield (begin, end, UTC offset) of the stretches of [begin, end) in which it stays the same.

    The clock is looked at once a day: no zone has ever changed its own twice within one.
    """
    if begin >= end:
        return
    since, seen, offset = begin, begin, offset_at(begin, tz)
    while seen < end:
        look = min(seen + _DAY, end)
        if offset_at(look, tz) != offset:
            was = offset
            look = _first_second(seen, look, lambda s, was=was: offset_at(s, tz) != was)
            yield since, look, offset
            since, offset = look, offset_at(look, tz)
        seen = look
    if since < end:
        yield since, end, offset


def _why_unaligned(tz: ZoneInfo, begin: int, offset: int) -> str:
    if offset % SLOT_SECONDS:
        why = f"{tz.key} was offset by {_shown(offset)} in {_year(begin)}, which is no multiple"
        return f"{why} of 15 minutes; rollups are kept in quarters of an hour"
    when = local_datetime(begin, offset).date()
    return (
        f"{tz.key} changed its clocks off the quarter of an hour on {when}, and rollups are "
        "kept in quarters of an hour; leave that day out, or choose another time zone"
    )


def _shown(offset: int) -> str:
    sign = "-" if offset < 0 else "+"
    minutes, seconds = divmod(abs(offset), 60)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")


def _year(second: int) -> int:
    return datetime.fromtimestamp(second, UTC).year
