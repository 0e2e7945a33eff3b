"""From the rollups of accounts to the readings of their rules, for many accounts at once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from interaction_usage.alerts import stretches
from interaction_usage.alerts.rules import METRICS_BY_ID, Rule
from interaction_usage.alerts.states import Reading
from interaction_usage.alerts.stretches import Month, Window
from interaction_usage.store import alert_reads
from interaction_usage.store.alert_reads import Numbers, Wanted
from interaction_usage.store.reads import Rollups
from rollups.local_time import local_date, midnight, zone
from rollups.range_snapshot import RangeSnapshot
from rollups.slots import SLOT_SECONDS, slot_of

#: Seconds of a curve behind now in which a late event is still noticed.
LOOK_BACK_S: Final = 86_400
#: Slots of it ahead of now: what is there begins or ends without an event.
_AHEAD: Final = 2
#: Accounts that are read in one go.
_AT_ONCE: Final = 100


class Plan(NamedTuple):
    """An account with its rules that are judged by rollups."""

    account: str
    timezone: str
    rules: tuple[Rule, ...]
    with_last_month: bool  #: whether to look at the month before this one, too


@lru_cache(maxsize=4096)
def month_of(day: date, timezone: str) -> Month:
    """Return the month of a local *day*. Raises UnknownZone and UnalignedZone."""
    tz = zone(timezone)
    first = day.replace(day=1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return Month(f"{first:%Y-%m}", midnight(first, tz), midnight(following, tz))


def months_at(now: int, timezone: str, *, with_last: bool) -> list[Month]:
    """Return the month of *now*, and the one before it first if wanted."""
    day = local_date(now, zone(timezone))
    months = [month_of(day, timezone)]
    if with_last:
        first = day.replace(day=1)
        months.insert(0, month_of(date.fromordinal(first.toordinal() - 1), timezone))
    return months


def read(
    rollups: Rollups, plans: Sequence[Plan], now: int
) -> Iterable[tuple[Plan, Mapping[str, Reading] | None]]:
    """Yield each plan with its rules' readings, by id; None where the account is to be read again.

    Raises UnknownZone and UnalignedZone.
    """
    for begin in range(0, len(plans), _AT_ONCE):
        some = plans[begin : begin + _AT_ONCE]
        wanted = [_wanted(plan, now) for plan in some]
        found = alert_reads.read(rollups, wanted)
        for plan, one, numbers in zip(some, wanted, found, strict=True):
            yield plan, None if numbers is None else _readings(plan, one, numbers, now)


def _wanted(plan: Plan, now: int) -> Wanted:
    wanted = Wanted(plan.account, now)
    if monthly := [rule for rule in plan.rules if rule.is_monthly]:
        months = months_at(now, plan.timezone, with_last=plan.with_last_month)
        names = {name for rule in monthly for name in stored(rule)}
        spans = tuple((slot_of(m.begin), min(slot_of(m.end), slot_of(now) + 1)) for m in months)
        wanted = wanted._replace(months=spans, of_months=tuple(sorted(names)))
    if levels := [rule for rule in plan.rules if rule.kind == "level"]:
        back = LOOK_BACK_S + 60 * max(rule.minutes for rule in levels)
        curve = slot_of(now - back), slot_of(now) + _AHEAD
        names = {rule.target for rule in levels}
        wanted = wanted._replace(curve=curve, series=tuple(sorted(names)))
    silent = any(rule.kind == "silence" for rule in plan.rules)
    return wanted._replace(last_change=silent)


def stored(rule: Rule) -> tuple[str, ...]:
    """Return the series or counters that *rule* is judged by."""
    if rule.kind == "maximum":
        return (rule.target,)
    return METRICS_BY_ID[rule.target].sum_of or (rule.target,)


def _readings(plan: Plan, wanted: Wanted, numbers: Numbers, now: int) -> dict[str, Reading]:
    months: list[Month] = []
    if wanted.months:
        months = months_at(now, plan.timezone, with_last=plan.with_last_month)
    found = {}
    for rule in plan.rules:
        if rule.is_monthly:
            found[rule.id] = stretches.joined(
                of_month(rule, month, snapshot, now)
                for month, snapshot in zip(months, numbers.months, strict=True)
            )
        elif rule.kind == "level":
            assert wanted.curve
            found[rule.id] = stretches.of_level(
                Window(wanted.curve[0] * SLOT_SECONDS, now, wanted.curve[1] * SLOT_SECONDS),
                numbers.carry[rule.target],
                numbers.changes[rule.target],
                rule.threshold,
                rule.minutes,
            )
        else:
            found[rule.id] = stretches.of_silence(
                now, numbers.last_change, rule.created, rule.minutes
            )
    return found


def of_month(rule: Rule, month: Month, snapshot: RangeSnapshot, now: int) -> Reading:
    """Return the reading of a rule about a month, given its slots up to *now*."""
    if rule.kind == "maximum":
        curve = snapshot.curves[rule.target]
        return stretches.of_maximum(
            month, now, snapshot.carry[rule.target], curve.nets, curve.rises, rule.threshold
        )
    nothing = [0] * (snapshot.end - snapshot.first)
    columns = [snapshot.by_slot.get(name, nothing) for name in stored(rule)]
    amounts = columns[0] if len(columns) == 1 else list(map(sum, zip(*columns, strict=True)))
    return stretches.of_counter(month, now, amounts, rule.threshold)
