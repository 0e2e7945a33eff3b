"""Reading the rollups in Redis: what a report needs, the level now, how far they reach."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from redis.client import Redis

from rollups import keys
from rollups.fold import flow_metric
from rollups.keys import Namespace
from rollups.reading import Curve, Reading
from rollups.slots import (
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    block_of,
    day_of,
    days_touched,
    first_slot_of,
    slot_of,
    whole_days,
)
from rollups.vocabulary import APPLICATIONS, DEFAULT_SESSION_LIMIT, OUTCOMES, SERIES

#: Returns the list of numbers in a packed value.
unpack = msgspec.msgpack.Decoder(list[int]).decode


class Position(NamedTuple):
    """How far a topic-partition is counted."""

    offset: int  #: every record before it is counted or refused
    second: int | None = None  #: the timestamp of the newest of them; None if there is none


class Rollups(NamedTuple):
    """The rollups of one namespace, to read from."""

    redis: Redis
    keys: Namespace = keys.FIRST

    @classmethod
    def live(cls, redis: Redis) -> "Rollups":
        """Return the rollups that are in force now."""
        return cls(redis, keys.namespace(cast(bytes | None, redis.get(keys.LIVE))))

    def exists(self, account: str) -> bool:
        """Tell whether *account* was set by an operator or an event was counted for it."""
        # Two commands, for on a cluster the two keys may live on different nodes.
        found = self.redis.exists(self.keys.head(account))
        return bool(found or self.redis.exists(keys.settings(account)))

    def accounts(self) -> list[str]:
        """Return every account that exists, sorted."""
        names = set(self.redis.sscan_iter(keys.SETTINGS_ACCOUNTS, count=1000))
        return sorted(self.counted() | {name.decode() for name in names})

    def counted(self) -> set[str]:
        """Return every account that an event was counted for."""
        return {name.decode() for name in self.redis.sscan_iter(self.keys.accounts, count=1000)}

    def positions(self) -> dict[str, Position]:
        """Return how far each topic-partition is counted, by its name (`keys.fence`)."""
        raw = cast(dict[bytes, bytes], self.redis.hgetall(self.keys.positions))
        return {name.decode(): position(told) for name, told in raw.items()}

    def read(
        self, account: str, first: int, end: int, *, by_slot: bool = False, flows: bool = False
    ) -> Reading:
        """Return the rollups of *account* over the slots [first, end).

        Whole UTC days come from the daily counters and only the two edges from slots, unless the
        amounts are wanted *by_slot*. The cost depends on the days in the range, not on the events.
        """
        days = list(days_touched(first, end))
        whole = whole_days(first, end)
        edges = [day for day in days if day not in whole]
        slot_days = days if by_slot else edges
        blocks = sorted({block_of(day) for day in whole})
        before = day_of(first)
        pipe = self.redis.pipeline(transaction=False)
        pipe.hgetall(self.keys.block_nets(account))
        pipe.hgetall(self.keys.day_nets(account, block_of(before)))
        for day in days or [before]:
            pipe.hgetall(self.keys.peaks(account, day))
        for block in blocks:
            pipe.hgetall(self.keys.day_counters(account, block))
        for day in slot_days:
            pipe.hgetall(self.keys.slot_counters(account, day))
        if flows:
            for block in blocks:
                pipe.hgetall(self.keys.day_flows(account, block))
            for day in edges:
                pipe.hgetall(self.keys.slot_flows(account, day))
        answers = iter(pipe.execute())
        block_nets, day_nets = next(answers), next(answers)
        peaks = {day: next(answers) for day in days or [before]}
        daily = [next(answers) for _ in blocks]
        slotwise = {day: next(answers) for day in slot_days}
        curves, before_first = _curves(peaks, first, end)
        per_slot = unpack_by_slot(slotwise) if by_slot else {}
        flow_sums: dict[str, int] = {}
        if flows:
            daily_flows = [next(answers) for _ in blocks]
            edge_flows = {day: next(answers) for day in edges}
            flow_sums = _sums(daily_flows, whole, edge_flows, first, end)
        return Reading(
            first,
            end,
            _carry(block_nets, day_nets, before_first, first),
            curves,
            _sums(daily, whole, {day: slotwise[day] for day in edges}, first, end),
            {name: _within(slots, first, end) for name, slots in per_slot.items()},
            flow_sums,
        )

    def levels(self, account: str, second: int) -> dict[str, int]:
        """Return how many sessions of each series are present at *second*.

        Only for seconds of the last 35 days: older ones have no deltas per second any more.
        """
        slot = slot_of(second)
        day, offset = day_of(slot), second - slot * SLOT_SECONDS
        fields = [f"{index}.{slot - first_slot_of(day)}" for index in range(len(SERIES))]
        found = dict(self.read(account, slot, slot).carry)
        packed = cast(
            list[bytes | None], self.redis.hmget(self.keys.slot_deltas(account, day), fields)
        )
        for series, deltas in zip(SERIES, packed, strict=True):
            numbers = iter(unpack(deltas) if deltas else ())
            found[series] += sum(
                change for when, change in zip(numbers, numbers, strict=True) if when <= offset
            )
        return found

    # ------------------------------------------------------------------ for the dashboard

    def limits(self) -> dict[str, int]:
        """Return the session limit of each application that these rollups are made with, in s."""
        told = cast(bytes | None, self.redis.get(self.keys.limits))
        recorded = msgspec.json.decode(told) if told else {}
        return {name: recorded.get(name, DEFAULT_SESSION_LIMIT) for name in APPLICATIONS}

    def has_events(self, account: str) -> bool:
        """Tell whether an event was counted for *account*."""
        return bool(self.redis.exists(self.keys.head(account)))

    def changes(
        self, account: str, first: int, end: int, series: Sequence[str] = SERIES
    ) -> dict[str, list[tuple[int, int]]]:
        """Return each series' (second, change of its level) over the slots [first, end), in order.

        Only for slots of the last 35 days and later ones: older ones have no deltas per second any
        more. The cost depends on the slots and on the seconds in which something changed.
        """
        days = list(days_touched(first, end))
        pipe = self.redis.pipeline(transaction=False)
        places = []
        for day in days:
            base = first_slot_of(day)
            slots = range(max(first, base), min(end, base + SLOTS_PER_DAY))
            places.append([(name, slot) for slot in slots for name in series])
            fields = [f"{SERIES.index(name)}.{slot - base}" for name, slot in places[-1]]
            pipe.hmget(self.keys.slot_deltas(account, day), fields)
        found: dict[str, list[tuple[int, int]]] = {name: [] for name in series}
        for named, packed in zip(places, pipe.execute() if days else (), strict=True):
            for (name, slot), deltas in zip(named, packed, strict=True):
                if deltas:
                    numbers, base = unpack(deltas), slot * SLOT_SECONDS
                    told = zip(numbers[::2], numbers[1::2], strict=True)
                    found[name] += sorted((base + second, change) for second, change in told)
        return found

    def flow_by_slot(self, account: str, flow: str, first: int, end: int) -> dict[str, list[int]]:
        """Return outcome to the runs of *flow* with it, one number per slot of [first, end)."""
        days = list(days_touched(first, end))
        names = [flow_metric(outcome, flow) for outcome in OUTCOMES]
        pipe = self.redis.pipeline(transaction=False)
        for day in days:
            pipe.hmget(self.keys.slot_flows(account, day), names)
        runs = {outcome: [0] * (end - first) for outcome in OUTCOMES}
        for day, answer in zip(days, pipe.execute() if days else (), strict=True):
            base = first_slot_of(day) - first
            for outcome, packed in zip(OUTCOMES, answer, strict=True):
                numbers = iter(unpack(packed) if packed else ())
                for place, amount in zip(numbers, numbers, strict=True):
                    if 0 <= base + place < end - first:
                        runs[outcome][base + place] = amount
        return runs


def position(told: bytes) -> Position:
    """Return the position that Redis keeps as "offset second"."""
    offset, _, second = told.partition(b" ")
    return Position(int(offset), int(second) if second else None)


def _curves(
    days: Mapping[int, Mapping[bytes, bytes]], first: int, end: int
) -> tuple[dict[str, Curve], dict[str, int]]:
    """Return the curves over [first, end), and each one's net in the slots of its day before."""
    size = end - first
    nets = {series: [0] * size for series in SERIES}
    rises = {series: [0] * size for series in SERIES}
    before = dict.fromkeys(SERIES, 0)
    for day, fields in days.items():
        base = first_slot_of(day) - first
        whole = base >= 0 and base + SLOTS_PER_DAY <= size
        for index, packed in fields.items():
            series = SERIES[int(index)]
            numbers = unpack(packed)
            if whole and len(numbers) == 3 * SLOTS_PER_DAY:
                nets[series][base : base + SLOTS_PER_DAY] = numbers[1::3]
                rises[series][base : base + SLOTS_PER_DAY] = numbers[2::3]
                continue
            for place, net, rise in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
                at = base + place
                if 0 <= at < size:
                    nets[series][at] = net
                    rises[series][at] = rise
                elif at < 0:
                    before[series] += net
    return {series: Curve(nets[series], rises[series]) for series in SERIES}, before


def _carry(
    block_nets: Mapping[bytes, bytes],
    day_nets: Mapping[bytes, bytes],
    slots_before: Mapping[str, int],
    first: int,
) -> dict[str, int]:
    """Return the level of each series before the slot *first*: blocks, then days, then slots."""
    day = day_of(first)
    levels = dict(slots_before)
    for nets, bound in ((block_nets, block_of(day)), (day_nets, day)):
        for place, net in nets.items():
            index, _, number = place.partition(b".")
            if int(number) < bound:
                levels[SERIES[int(index)]] += int(net)
    return levels


def unpack_by_slot(days: Mapping[int, Mapping[bytes, bytes]]) -> dict[str, dict[int, int]]:
    """Return metric to slot to amount from the packed days."""
    found: dict[str, dict[int, int]] = {}
    for day, fields in days.items():
        base = first_slot_of(day)
        for metric, packed in fields.items():
            numbers = iter(unpack(packed))
            slots = found.setdefault(metric.decode(), {})
            for place, amount in zip(numbers, numbers, strict=True):
                slots[base + place] = amount
    return found


def _sums(
    daily: Iterable[Mapping[bytes, bytes]],
    whole: range,
    edges: Mapping[int, Mapping[bytes, bytes]],
    first: int,
    end: int,
) -> dict[str, int]:
    """Return metric to its sum: *daily* counters of *whole* days, slots of *edges* in the range."""
    sums: dict[str, int] = {}
    for fields in daily:
        for place, amount in fields.items():
            day, _, metric = place.partition(b".")
            if int(day) in whole:
                name = metric.decode()
                sums[name] = sums.get(name, 0) + int(amount)
    for name, slots in unpack_by_slot(edges).items():
        total = sum(amount for slot, amount in slots.items() if first <= slot < end)
        if total:
            sums[name] = sums.get(name, 0) + total
    return sums


def _within(slots: Mapping[int, Any], first: int, end: int) -> dict[int, Any]:
    return {slot: value for slot, value in slots.items() if first <= slot < end}
