"""The live object: an account's hour as it happens, read from the rollups, as JSON members."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from interaction_usage.dashboard.health import Health, Stale
from interaction_usage.dashboard.live_curve import (
    CURVE_SECONDS,
    Now,
    long_after,
    moment,
    slots_ahead,
    slots_of_curve,
)
from interaction_usage.dashboard.views import View, shown
from interaction_usage.store import account_settings
from interaction_usage.store.errors import LayoutDiffersError
from interaction_usage.store.reads import Rollups
from rollups.catalog import APPLICATIONS, SERIES
from rollups.local_time import hours, local_datetime, offset_at, zone


class Live(NamedTuple):
    """An account at one second."""

    account: str
    second: int
    timezone: str
    hour: tuple[int, int]  #: the hour of the wall clock, seconds [begin, end)
    limits: Mapping[str, int]  #: application to its session limit in seconds
    series: Mapping[str, Now]


def look(rollups: Rollups, account: str, second: int) -> Live:
    """Return *account* at *second*, from a bounded number of reads, however busy it is."""
    timezone = account_settings.get(rollups.redis, account).timezone
    limits = rollups.limits()
    first, end = slots_of_curve(second)
    carry = rollups.read(account, first, first).carry
    past = rollups.changes(account, first, end)
    ahead = rollups.changes(account, *slots_ahead(second, limits), APPLICATIONS)
    hour = hour_of(second, zone(timezone))
    return Live(
        account, second, timezone, hour, limits,
        moment(second, hour[0], carry, past, ahead, limits),
    )  # fmt: skip


def hour_of(second: int, tz: ZoneInfo) -> tuple[int, int]:
    """Return the hour of the wall clock of *tz* that *second* lies in, seconds [begin, end)."""
    # The search begins at a full hour of the clock some time before: `hours` sees every change of
    # the clocks from there on.
    before = second - 2 * 3600
    begin = before - (before + offset_at(before, tz)) % 3600
    hour = next(hour for hour in hours(begin, begin + 5 * 3600, tz) if second < hour.end)
    return hour.begin, hour.end


def members(live: Live, health: Health, since: int | None = None) -> View:
    """Return the live object. Its curve begins at *since*, or holds the whole 60 minutes."""
    tz = zone(live.timezone)
    first = live.second - CURVE_SECONDS + 1
    begin = first if since is None else min(max(since, first), live.second)
    return {
        "account": live.account,
        "as_of": _utc(live.second),
        "timezone": live.timezone,
        "hour": {"from": _local(live.hour[0], tz), "to": _local(live.hour[1], tz)},
        "series": {
            series: {
                "now": answer.now,
                "peak": answer.peak,
                "peak_at": None if answer.peak_second is None else _local(answer.peak_second, tz),
                "open": answer.now,
                "open_long": answer.long,
                "oldest_began": None if answer.oldest is None else _local(answer.oldest, tz),
            }
            for series, answer in live.series.items()
        },
        "curve": {
            "from": begin,
            "levels": {name: live.series[name].levels[begin - first :] for name in SERIES},
        },
        "long_after": {name: long_after(live.limits[name]) for name in APPLICATIONS},
        **state(health),
    }


def state(health: Health) -> dict[str, Any]:
    """Return the members that say how the stream is."""
    stale = health.stale
    return {
        "stream": {
            "workers": health.workers,
            "events_per_second": health.events_per_second,
            "lag": health.lag,
        },
        "stale": {"reason": stale.reason, "message": stale.message} if stale else None,
        "warnings": list(health.warnings),
    }


def redis_away() -> Stale:
    """Return the reason where the rollups cannot be read at all."""
    return Stale("redis-away", "Redis does not answer; the numbers are the last ones read")


def other_layout(error: LayoutDiffersError) -> Stale:
    """Return the reason where the rollups are of another version."""
    return Stale("layout", f"Not shown: {error}")


def first_difference(before: Live, after: Live) -> int:
    """Return the first second at which the curve of *after* says something that *before* did not.

    That is the second after *before* ends, unless an event came late.
    """
    shift = after.second - before.second
    if not 0 <= shift < CURVE_SECONDS:
        return after.second - CURVE_SECONDS + 1
    earliest = before.second + 1
    for series in SERIES:
        old = before.series[series].levels[shift:]
        new = after.series[series].levels[: CURVE_SECONDS - shift]
        if old != new:
            place = next(i for i, (x, y) in enumerate(zip(old, new, strict=True)) if x != y)
            earliest = min(earliest, after.second - CURVE_SECONDS + 1 + place)
    return earliest


def _utc(second: int) -> str:
    return shown(datetime.fromtimestamp(second, UTC))


def _local(second: int, tz: ZoneInfo) -> str:
    return local_datetime(second, offset_at(second, tz)).isoformat()
