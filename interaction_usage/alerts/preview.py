"""How often a rule would have fired in the last 90 days, from the rollups."""

from collections.abc import Iterator
from datetime import date
from typing import Final, NamedTuple

from interaction_usage.alerts import measuring, states, stretches
from interaction_usage.alerts.rules import Rule
from interaction_usage.alerts.states import Stretch
from interaction_usage.store import account_settings, alert_reads
from interaction_usage.store.alert_reads import Wanted
from interaction_usage.store.client import Client
from interaction_usage.store.reads import Rollups
from rollups.local_time import local_date, zone
from rollups.slots import SLOT_SECONDS, slot_of

#: Days that a preview covers.
DAYS: Final = 90
_DAY_S: Final = 86_400


class Preview(NamedTuple):
    """What a rule would have done."""

    since: int  #: the second that it begins at
    stretches: tuple[Stretch, ...]  #: when it would have been triggered; the last one may be open
    reason: str = ""  #: why there is no preview, or why it is coarse
    is_known: bool = True

    @property
    def sentence(self) -> str:
        """How often it would have fired, in words."""
        if not self.is_known:
            return self.reason
        count = len(self.stretches)
        times = {1: "once", 2: "twice"}.get(count, f"{count:,} times")
        fired = f"have fired {times}" if count else "not have fired"
        more = f" {self.reason}" if self.reason else ""
        return f"It would {fired} in the last {DAYS} days.{more}"


def preview(redis: Client, rule: Rule, now: int) -> Preview:
    """Return what *rule* would have done up to *now*.

    Raises LayoutDiffersError, UnknownZone and UnalignedZone.
    """
    since = now - DAYS * _DAY_S
    if not rule.reads_rollups or rule.kind == "silence":
        return Preview(since, (), "There is no preview: nothing records this over time.", False)
    rollups = Rollups.live(redis)
    if rule.is_monthly:
        found = _of_months(rollups, rule, since, now)
    else:
        found = _of_level(rollups, rule, since, now)
    reason = "It is exact to 15 minutes." if rule.kind == "level" else ""
    return Preview(since, tuple(found), reason)


def _of_months(rollups: Rollups, rule: Rule, since: int, now: int) -> Iterator[Stretch]:
    timezone = account_settings.get(rollups.redis, rule.account).timezone
    day = local_date(since, zone(timezone))
    month = measuring.month_of(day, timezone)
    while month.begin <= now:
        span = slot_of(month.begin), min(slot_of(month.end), slot_of(now) + 1)
        wanted = Wanted(rule.account, now, (span,), measuring.stored(rule))
        [numbers] = alert_reads.read(rollups, [wanted])
        while numbers is None:
            [numbers] = alert_reads.read(rollups, [wanted])
        reading = measuring.of_month(rule, month, numbers.months[0], now)
        yield from (each for each in reading.stretches if each.since >= since)
        month = measuring.month_of(date.fromordinal(_after(month, timezone)), timezone)


def _after(month: stretches.Month, timezone: str) -> int:
    """Return the ordinal of the first day after *month*."""
    return local_date(month.end, zone(timezone)).toordinal()


def _of_level(rollups: Rollups, rule: Rule, since: int, now: int) -> Iterator[Stretch]:
    """Yield when a level was high, slot by slot: the peak of a slot stands for all of it."""
    span = slot_of(since), slot_of(now) + 1
    wanted = Wanted(rule.account, now, (span,), (rule.target,))
    [numbers] = alert_reads.read(rollups, [wanted])
    while numbers is None:
        [numbers] = alert_reads.read(rollups, [wanted])
    snapshot = numbers.months[0]
    curve, level = snapshot.curves[rule.target], snapshot.carry[rule.target]
    needed = -(-60 * rule.minutes // SLOT_SECONDS)
    began, peak = None, 0
    for number, (net, rise) in enumerate(zip(curve.nets, curve.rises, strict=True)):
        begin = (span[0] + number) * SLOT_SECONDS
        if level + rise >= rule.threshold:
            began, peak = (
                (begin, level + rise) if began is None else (began, max(peak, level + rise))
            )
        elif began is not None:
            if begin - began >= needed * SLOT_SECONDS:
                yield states.Stretch(began, begin, peak)
            began = None
        level += net
    if began is not None and span[1] * SLOT_SECONDS - began >= needed * SLOT_SECONDS:
        yield states.Stretch(began, None, peak)
