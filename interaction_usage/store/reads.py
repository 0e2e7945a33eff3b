"""Reading the rollups in Redis: what a report needs, the current level, how far they reach."""

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

import msgspec
from redis.cluster import RedisCluster
from redis.exceptions import ResponseError

from interaction_usage.store import keys, slot_deltas
from interaction_usage.store.account_read import AccountRead, head_fields
from interaction_usage.store.client import Client, live_keys, primaries_of
from interaction_usage.store.day_encoding import SERIES_FIELDS
from interaction_usage.store.keys import Namespace
from interaction_usage.store.layouts import check_layout, is_of_first_layout, layout_of
from interaction_usage.store.range_assembly import Days, Nets, assemble, flows_by_slot
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT, METRICS, OUTCOMES, SERIES
from rollups.fold import flow_metric
from rollups.range_snapshot import RangeSnapshot
from rollups.slots import (
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    day_of,
    days_touched,
    first_slot_of,
    slot_of,
)
from rollups.watermark import Position

T = TypeVar("T")

#: The fields of an open day that do not belong to a flow.
FIELDS = [*SERIES_FIELDS, *(metric.encode() for metric in METRICS)]


#: The namespace that was active when a client last looked.
_last_active: "WeakKeyDictionary[Client, Namespace]" = WeakKeyDictionary()


class Rollups(NamedTuple):
    """The rollups of one namespace, to read from."""

    redis: Client
    keys: Namespace = keys.FIRST

    @classmethod
    def live(cls, redis: Client) -> "Rollups":
        """Return the rollups that are active now. Raises LayoutDiffersError.

        Their layout is read in the same step as their name, which is mostly that of the last time.
        """
        expected = _last_active.get(redis, keys.FIRST)
        pipe = redis.pipeline(transaction=False)
        for name in live_keys(redis):
            pipe.get(name)
        pipe.get(expected.limits)
        *names, recorded = pipe.execute(raise_on_error=False)
        for answer in names:
            if isinstance(answer, Exception):
                raise answer
        rollups = cls(redis, keys.active(names))
        if rollups.keys != expected:
            _last_active[redis] = rollups.keys
            recorded = rollups._recorded()
        elif isinstance(recorded, Exception):
            recorded = _recorded_despite(recorded)
        check_layout(recorded)
        return rollups

    @classmethod
    def of_any_layout(cls, redis: Client) -> "Rollups":
        """Return the same without a look at their layout, for what upgrades or replaces them."""
        pipe = redis.pipeline(transaction=False)
        for name in live_keys(redis):
            pipe.get(name)
        return cls(redis, keys.active(pipe.execute()))

    def layout(self) -> int | None:
        """Return the layout of these rollups; None if there are none."""
        return layout_of(self._recorded())

    def _recorded(self) -> bytes | None:
        """Return what is recorded with these rollups: their layout, and session limits."""
        try:
            return cast(bytes | None, self.redis.get(self.keys.limits))
        except ResponseError as error:
            return _recorded_despite(error)

    def exists(self, account: str) -> bool:
        """Return whether *account* has settings or an event was counted for it."""
        # Two commands, since on a cluster the two keys may live on different nodes.
        return self.has_events(account) or bool(self.redis.exists(keys.settings(account)))

    def accounts(self) -> list[str]:
        """Return every account that exists, sorted."""
        names = set(self.redis.sscan_iter(keys.SETTINGS_ACCOUNTS, count=1000))
        return sorted(self.counted() | {name.decode() for name in names})

    def counted(self) -> set[str]:
        """Return every account that an event was counted for."""
        return {name.decode() for name in self.redis.sscan_iter(self.keys.accounts, count=1000)}

    def sealed(self, account: str) -> dict[int, int]:
        """Return block to a bit for each day of it that is sealed, or closed for sealing."""
        fields = self.redis.hscan_iter(
            self.keys.head(account), match=f"{keys.SEALED_DAYS}*", count=1000
        )
        prefix = len(keys.SEALED_DAYS)
        return {int(field[prefix:]): int(bits) for field, bits in fields}

    def fences(self, account: str) -> dict[str, int]:
        """Return topic-partition (`keys.fence`) to the last offset applied to *account*."""
        fields = self.redis.hscan_iter(self.keys.head(account), match=f"{keys.FENCE}*", count=1000)
        return {field[len(keys.FENCE) :].decode(): int(offset) for field, offset in fields}

    def positions(self) -> dict[str, Position]:
        """Return how far each topic-partition is counted, by its name (`keys.fence`)."""
        suffixes = [primary.key_suffix for primary in primaries_of(self.redis)] or [""]
        return lowest_positions(
            [
                cast(dict[bytes, bytes], self.redis.hgetall(self.keys.positions_at(suffix)))
                for suffix in suffixes
            ]
        )

    def read(
        self,
        account: str,
        first: int,
        end: int,
        *,
        by_slot: bool = False,
        flows: bool = False,
        edges: Sequence[int] = (),
    ) -> RangeSnapshot:
        """Return a snapshot of the rollups of *account* over the slots [first, end).

        The cost depends on the days in the range, not on the events.
        """
        wanted = [(account, first, end)]
        return self.read_many(wanted, by_slot=by_slot, flows=flows, edges=[edges])[0]

    def read_many(
        self,
        wanted: Sequence[tuple[str, int, int]],
        *,
        by_slot: bool = False,
        flows: bool = False,
        fences: bool = False,
        edges: Sequence[Sequence[int]] = (),
    ) -> list[RangeSnapshot]:
        """Return what `read` returns of each (account, first, end), in two round trips.

        With *fences*, each has those of the same moment; counters are summed between the *edges*
        of each.
        """
        spans = [(account, _days_around(first, end)) for account, first, end in wanted]
        stored = self._days_with(spans, None if flows else FIELDS, fences=fences)
        return [
            assemble(
                first, end, nets, days, by_slot=by_slot, edges=between,
            )._replace(fences=days.fences)
            for (_, first, end), (nets, days), between in zip(
                wanted, stored, edges or repeat(()), strict=False
            )
        ]  # fmt: skip

    def days_of_many(
        self, wanted: Sequence[tuple[str, range]], *, flows: bool
    ) -> list[tuple[Nets, Days]]:
        """Return, for each account and range of UTC days, the nets and the days that exist.

        Each account as of one moment, for `range_assembly.assemble`. Days outside the range may be
        among them.
        """
        return self._days_with(wanted, None if flows else FIELDS)

    def _days_with(
        self,
        wanted: Sequence[tuple[str, range]],
        only: Sequence[bytes] | None,
        *,
        fences: bool = False,
    ) -> list[tuple[Nets, Days]]:
        """Return the same, with *only* some fields of open days; None for all."""
        pipe = self.redis.pipeline(transaction=False)
        for account, days in wanted:
            pipe.hmget(self.keys.head(account), head_fields(days))
        asked = list(zip(wanted, pipe.execute(), strict=True))
        if isinstance(self.redis, RedisCluster):  # a transaction there has keys of one slot only
            return [days for one in asked for days in self._read_atomically([one], only, fences)]
        return self._read_atomically(asked, only, fences)

    def _read_atomically(
        self,
        asked: Sequence[tuple[tuple[str, range], list[bytes | None]]],
        only: Sequence[bytes] | None,
        fences: bool,
    ) -> list[tuple[Nets, Days]]:
        """Return the same, given which days are open according to the heads."""
        atomic = self.redis.pipeline(transaction=True)
        reads = [AccountRead(account, days, bits, only, fences) for (account, days), bits in asked]
        for read in reads:
            read.queue(atomic, self.keys)
        answers = iter(atomic.execute())
        # All answers first; then an account is read again if its head has changed in between.
        parsed = [read.parse(answers) for read in reads]
        return [
            result or self._days_with([one], only, fences=fences)[0]
            for (one, _), result in zip(asked, parsed, strict=True)
        ]

    def levels(self, account: str, second: int) -> dict[str, int]:
        """Return how many sessions of each series are present at *second*.

        Only for seconds of the last 35 days: older ones have no deltas per second.
        """
        return self.levels_of_many([account], second)[0]

    def levels_of_many(self, accounts: Sequence[str], second: int) -> list[dict[str, int]]:
        """Return the same of each of *accounts*, in three round trips."""
        slot = slot_of(second)
        day, offset = day_of(slot), second - slot * SLOT_SECONDS
        fields = [f"{index}.{slot - first_slot_of(day)}" for index in range(len(SERIES))]
        around = _days_around(slot, slot)
        days = self._days_with([(account, around) for account in accounts], list(SERIES_FIELDS))
        pipe = self.redis.pipeline(transaction=False)
        for account in accounts:
            pipe.hmget(self.keys.slot_deltas(account, day), fields)
        answers: list[list[bytes | None]] = pipe.execute() if accounts else []
        found = []
        for of_account, packed in zip(days, answers, strict=True):
            levels = dict(assemble(slot, slot, *of_account).carry)
            for series, deltas in zip(SERIES, packed, strict=True):
                changes = slot_deltas.unpack(deltas) if deltas else ()
                levels[series] += sum(change for when, change in changes if when <= offset)
            found.append(levels)
        return found

    # ------------------------------------------------------------------ for the dashboard

    def limits(self) -> dict[str, int]:
        """Return the session limit in seconds that these rollups are built with, by application."""
        stored = cast(bytes | None, self.redis.get(self.keys.limits))
        recorded = msgspec.json.decode(stored) if stored else {}
        return {name: recorded.get(name, DEFAULT_SESSION_LIMIT) for name in APPLICATIONS}

    def has_events(self, account: str) -> bool:
        """Return whether an event was counted for *account*."""
        return bool(self.redis.exists(self.keys.head(account)))

    def changes(
        self, account: str, first: int, end: int, series: Sequence[str] = SERIES
    ) -> dict[str, list[tuple[int, int]]]:
        """Return each series' (second, change of its level) over the slots [first, end), in order.

        Only for slots of the last 35 days and later ones: older ones have no deltas per second. The
        cost depends on the slots and on the seconds in which something changed.
        """
        days = list(days_touched(first, end))
        pipe = self.redis.pipeline(transaction=False)
        asked = []
        for day in days:
            base = first_slot_of(day)
            slots = range(max(first, base), min(end, base + SLOTS_PER_DAY))
            asked.append([(name, slot) for slot in slots for name in series])
            fields = [f"{SERIES.index(name)}.{slot - base}" for name, slot in asked[-1]]
            pipe.hmget(self.keys.slot_deltas(account, day), fields)
        changes: dict[str, list[tuple[int, int]]] = {name: [] for name in series}
        for names, packed in zip(asked, pipe.execute() if days else (), strict=True):
            for (name, slot), deltas in zip(names, packed, strict=True):
                if deltas:
                    base = slot * SLOT_SECONDS
                    pairs = slot_deltas.unpack(deltas)
                    changes[name] += [(base + second, change) for second, change in pairs]
        return changes

    def flow_by_slot(self, account: str, flow: str, first: int, end: int) -> dict[str, list[int]]:
        """Return outcome to the runs of *flow* that ended so, a number per slot of [first, end)."""
        names = {outcome: flow_metric(outcome, flow) for outcome in OUTCOMES}
        only = [name.encode() for name in names.values()]
        [(_, days)] = self._days_with([(account, _days_around(first, end))], only)
        runs = flows_by_slot(first, end, days, list(names.values()))
        return {outcome: runs[name] for outcome, name in names.items()}


def _recorded_despite(error: Exception) -> bytes:
    """Return what layout 1 would record, where reading it failed with *error* for that reason."""
    if is_of_first_layout(error):
        return b"{}"
    raise error


def read_active(redis: Client, read: Callable[[Rollups], T]) -> T:
    """Return what *read* returns for rollups that are active both before and after it.

    A rebuild may switch to new rollups and drop the old ones while they are being read; what was
    read of them may be incomplete then, and is read again. Raises LayoutDiffersError.
    """
    while True:
        rollups = Rollups.live(redis)
        result = read(rollups)
        if Rollups.live(redis) == rollups:
            return result


def parse_position(value: bytes) -> Position:
    """Return the position in a *value* of the form "offset second"."""
    offset, _, second = value.partition(b" ")
    return Position(int(offset), int(second) if second else None)


def lowest_positions(of_nodes: Sequence[Mapping[bytes, bytes]]) -> dict[str, Position]:
    """Return how far each topic-partition is counted on every node, from each node's positions."""
    lowest: dict[str, Position] = {}
    for number, stored in enumerate(of_nodes):
        positions = {name.decode(): parse_position(value) for name, value in stored.items()}
        for name in lowest.keys() - positions.keys():
            lowest[name] = Position(0)
        for name, position in positions.items():
            known = lowest.get(name, position if number == 0 else Position(0))
            lowest[name] = min(known, position, key=lambda each: each.offset)
    return lowest


def _days_around(first: int, end: int) -> range:
    """Return the UTC days that the slots [first, end) touch; that of *first* if there are none."""
    return days_touched(first, end) or range(day_of(first), day_of(first) + 1)
