"""From the rollups of accounts to the readings of their rules, for many accounts at once.

A *deep* look reads all that a late event may have changed: two months, and the curves of a day. It
keeps what the month had before today. A *quick* one reads today and the last hour, and takes the
rest from there; so it costs a tenth.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from interaction_usage.alerts import stretches
from interaction_usage.alerts.rules import METRICS_BY_ID, Rule
from interaction_usage.alerts.states import Reading
from interaction_usage.alerts.stretches import Before, Month, Window
from interaction_usage.store import alert_reads
from interaction_usage.store.alert_reads import Numbers, Wanted
from interaction_usage.store.alert_recent import read_recent
from interaction_usage.store.reads import Rollups
from rollups.local_time import local_date, midnight, zone
from rollups.range_snapshot import RangeSnapshot
from rollups.slots import SLOT_SECONDS, day_of, first_slot_of, slot_of

#: Seconds of a curve behind now that a deep look and a quick one read.
LOOK_BACK_S: Final = 86_400
_QUICK_BACK_S: Final = 3_600
#: Slots of it ahead of now: what is there begins or ends without an event.
_AHEAD: Final = 2
#: Accounts that are read in one go.
_AT_ONCE: Final = 100


class RuleSet(NamedTuple):
    """Rules of an account that are judged by rollups, and what is read for them."""

    rules: tuple[Rule, ...]
    monthly: tuple[Rule, ...]
    of_months: tuple[str, ...]  #: series and counters
    series: tuple[str, ...]  #: of levels
    minutes: int  #: the longest that a level must last
    is_silence: bool  #: whether one of them is about silence

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> "RuleSet":
        """Return *rules* as a set."""
        every = tuple(rules)
        monthly = tuple(rule for rule in every if rule.is_monthly)
        levels = [rule for rule in every if rule.kind == "level"]
        return cls(
            every,
            monthly,
            tuple(sorted({name for rule in monthly for name in stored(rule)})),
            tuple(sorted({rule.target for rule in levels})),
            max((rule.minutes for rule in levels), default=0),
            any(rule.kind == "silence" for rule in every),
        )


class Plan(NamedTuple):
    """An account that is looked at."""

    account: str
    timezone: str
    of: RuleSet
    deep: bool


@lru_cache(maxsize=4096)
def month_of(day: date, timezone: str) -> Month:
    """Return the month of a local *day*. Raises UnknownZone and UnalignedZone."""
    tz = zone(timezone)
    first = day.replace(day=1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return Month(f"{first:%Y-%m}", midnight(first, tz), midnight(following, tz))


@lru_cache(maxsize=256)  # a look asks for the same of every account
def months_at(now: int, timezone: str, *, with_last: bool) -> tuple[Month, ...]:
    """Return the month of *now*, and the one before it first if wanted."""
    day = local_date(now, zone(timezone))
    month = month_of(day, timezone)
    if not with_last:
        return (month,)
    first = day.replace(day=1)
    return month_of(date.fromordinal(first.toordinal() - 1), timezone), month


#: What months had before today when they were last looked at deeply, by rule.
Memory = dict[str, Before]


def must_be_deep(rules: RuleSet, timezone: str, now: int, memory: Memory) -> bool:
    """Tell whether nothing is known yet of the month of one of these rules."""
    if not rules.monthly:
        return False
    [month] = months_at(now, timezone, with_last=False)
    return any(
        memory[rule.id].month != month.begin if rule.id in memory else True
        for rule in rules.monthly
    )


def read(
    rollups: Rollups, plans: Sequence[Plan], now: int, memory: Memory
) -> Iterator[tuple[Plan, Mapping[str, Reading] | None]]:
    """Yield each plan with its rules' readings, by id; None where the account is to be read again.

    Deep looks are kept in *memory*. Raises UnknownZone and UnalignedZone.
    """
    for begin in range(0, len(plans), _AT_ONCE):
        some = plans[begin : begin + _AT_ONCE]
        wanted = [_wanted(plan, now, memory) for plan in some]
        found = _read(rollups, some, wanted)
        for plan, one, numbers in zip(some, wanted, found, strict=True):
            yield plan, None if numbers is None else _readings(plan, one, numbers, now, memory)


def _read(
    rollups: Rollups, plans: Sequence[Plan], wanted: Sequence[Wanted]
) -> list[Numbers | None]:
    """Return the numbers of each account, by the cheaper way where that is possible."""
    quick = [place for place, plan in enumerate(plans) if not plan.deep]
    recent = dict(zip(quick, read_recent(rollups, [wanted[place] for place in quick]), strict=True))
    others = [place for place in range(len(plans)) if recent.get(place) is None]
    read = alert_reads.read(rollups, [wanted[place] for place in others])
    found = recent | dict(zip(others, read, strict=True))
    return [found[place] for place in range(len(plans))]


def _wanted(plan: Plan, now: int, memory: Memory) -> Wanted:
    rules, slot = plan.of, slot_of(now)
    months: tuple[tuple[int, int], ...] = ()
    if rules.monthly and plan.deep:
        every = months_at(now, plan.timezone, with_last=True)
        months = tuple((slot_of(m.begin), min(slot_of(m.end), slot + 1)) for m in every)
    elif rules.monthly:
        months = ((min(memory[rule.id].slot for rule in rules.monthly), slot + 1),)
    curve = None
    if rules.series:
        back = (LOOK_BACK_S if plan.deep else _QUICK_BACK_S) + 60 * rules.minutes
        curve = slot_of(now - back), slot + _AHEAD
    return Wanted(plan.account, now, months, rules.of_months, curve, rules.series, rules.is_silence)


def stored(rule: Rule) -> tuple[str, ...]:
    """Return the series or counters that *rule* is judged by."""
    if rule.kind == "maximum":
        return (rule.target,)
    return METRICS_BY_ID[rule.target].sum_of or (rule.target,)


def _readings(
    plan: Plan, wanted: Wanted, numbers: Numbers, now: int, memory: Memory
) -> dict[str, Reading]:
    found = {}
    for rule in plan.of.rules:
        if rule.is_monthly:
            found[rule.id] = _of_months(rule, plan, numbers.months, now, memory)
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


def _of_months(
    rule: Rule, plan: Plan, snapshots: Sequence[RangeSnapshot], now: int, memory: Memory
) -> Reading:
    months = months_at(now, plan.timezone, with_last=plan.deep)
    current = months[-1]
    if plan.deep:
        today = max(first_slot_of(day_of(slot_of(now))), snapshots[-1].first)
        begin = Before(current.begin, snapshots[-1].first)
        memory[rule.id] = _continued(rule, begin, snapshots[-1], today)
    readings = [
        of_month(rule, month, snapshot, now)
        for month, snapshot in zip(months[:-1], snapshots[:-1], strict=True)
    ]
    known = _continued(rule, memory[rule.id], snapshots[-1], snapshots[-1].end)
    return stretches.joined([*readings, stretches.of_month(current, now, known)])


def of_month(rule: Rule, month: Month, snapshot: RangeSnapshot, now: int) -> Reading:
    """Return the reading of a rule about a month, given its slots up to *now*."""
    begin = Before(month.begin, snapshot.first)
    return stretches.of_month(month, now, _continued(rule, begin, snapshot, snapshot.end))


def _continued(rule: Rule, before: Before, snapshot: RangeSnapshot, end: int) -> Before:
    """Return *before* with what *snapshot* has from there to the slot *end*."""
    low, high = before.slot - snapshot.first, end - snapshot.first
    if rule.kind == "maximum":
        curve = snapshot.curves[rule.target]
        carry = snapshot.carry[rule.target] + sum(curve.nets[:low])
        return stretches.maximum(
            before, carry, curve.nets[low:high], curve.rises[low:high], rule.threshold
        )
    nothing = [0] * (snapshot.end - snapshot.first)
    columns = [snapshot.by_slot.get(name, nothing)[low:high] for name in stored(rule)]
    return stretches.counted(before, columns, rule.threshold)
