"""Reading the rollups in Redis: what a report needs, the level now, how far they reach."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
from redis.cluster import RedisCluster
from redis.exceptions import ResponseError

from interaction_usage.store import keys
from interaction_usage.store.client import Client, live_keys, shares_of
from interaction_usage.store.day_encoding import SERIES_FIELDS
from interaction_usage.store.keys import Namespace
from interaction_usage.store.range_assembly import Days, Nets, flows_by_slot, reading_of
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT, METRICS, OUTCOMES, SERIES
from rollups.fold import flow_metric
from rollups.range_snapshot import Reading
from rollups.slots import (
    DAYS_PER_BLOCK,
    SLOT_SECONDS,
    SLOTS_PER_DAY,
    block_of,
    day_of,
    days_touched,
    first_slot_of,
    slot_of,
)
from rollups.watermark import Position

T = TypeVar("T")

#: Returns the list of numbers in a packed value.
unpack = msgspec.msgpack.Decoder(list[int]).decode

#: The fields of an open day that are no flow's.
FIELDS = [*SERIES_FIELDS, *(metric.encode() for metric in METRICS)]


class Rollups(NamedTuple):
    """The rollups of one namespace, to read from."""

    redis: Client
    keys: Namespace = keys.FIRST

    @classmethod
    def live(cls, redis: Client) -> "Rollups":
        """Return the rollups that are in force now."""
        pipe = redis.pipeline(transaction=False)
        for name in live_keys(redis):
            pipe.get(name)
        return cls(redis, keys.in_force(pipe.execute()))

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

    def sealed(self, account: str) -> dict[int, int]:
        """Return block to a bit for each of its days that is sealed, or closed for it."""
        fields = self.redis.hscan_iter(
            self.keys.head(account), match=f"{keys.SEALED_DAYS}*", count=1000
        )
        prefix = len(keys.SEALED_DAYS)
        return {int(field[prefix:]): int(bits) for field, bits in fields}

    def positions(self) -> dict[str, Position]:
        """Return how far each topic-partition is counted, by its name (`keys.fence`)."""
        places = [share.place for share in shares_of(self.redis)] or [""]
        return lowest(
            [
                cast(dict[bytes, bytes], self.redis.hgetall(self.keys.positions_at(place)))
                for place in places
            ]
        )

    def read(
        self, account: str, first: int, end: int, *, by_slot: bool = False, flows: bool = False
    ) -> Reading:
        """Return the rollups of *account* over the slots [first, end), as of one moment.

        The cost depends on the days in the range, not on the events.
        """
        return self.read_many([(account, first, end)], by_slot=by_slot, flows=flows)[0]

    def read_many(
        self,
        wanted: Sequence[tuple[str, int, int]],
        *,
        by_slot: bool = False,
        flows: bool = False,
    ) -> list[Reading]:
        """Return what `read` returns of each (account, first, end), in two round trips."""
        spans = [(account, _days_around(first, end)) for account, first, end in wanted]
        found = self.days_of_many(spans, flows=flows)
        return [
            reading_of(first, end, *its, by_slot=by_slot)
            for (_, first, end), its in zip(wanted, found, strict=True)
        ]

    def days_of_many(
        self, wanted: Sequence[tuple[str, range]], *, flows: bool
    ) -> list[tuple[Nets, Days]]:
        """Return, for each account and range of UTC days, its nets and those days that exist.

        Each account as of one moment; `gathering.reading_of` makes readings of it. Days beside the
        range may be among them.
        """
        return self._days_with(wanted, None if flows else FIELDS)

    def _days_with(
        self, wanted: Sequence[tuple[str, range]], only: Sequence[bytes] | None
    ) -> list[tuple[Nets, Days]]:
        """Return the same, of open days *only* some fields; all for None."""
        pipe = self.redis.pipeline(transaction=False)
        for account, days in wanted:
            pipe.hmget(self.keys.head(account), _open_fields(days))
        told = list(zip(wanted, pipe.execute(), strict=True))
        if isinstance(self.redis, RedisCluster):  # a transaction there has keys of one slot only
            return [days for one in told for days in self._in_one_step([one], only)]
        return self._in_one_step(told, only)

    def _in_one_step(
        self,
        told: Sequence[tuple[tuple[str, range], list[bytes | None]]],
        only: Sequence[bytes] | None,
    ) -> list[tuple[Nets, Days]]:
        """Return the same, given which days the heads say to be open."""
        atomic = self.redis.pipeline(transaction=True)
        readers = [self._ask(atomic, account, days, bits, only) for (account, days), bits in told]
        answers = iter(atomic.execute())
        # All answers first: where a head has changed since it was asked, all is asked once more.
        found = [reader(answers) for reader in readers]
        return [
            its or self._days_with([one], only)[0]
            for (one, _), its in zip(told, found, strict=True)
        ]

    def _ask(
        self,
        pipe: Any,
        account: str,
        days: range,
        bits: list[bytes | None],
        only: Sequence[bytes] | None,
    ) -> Callable[[Iterator[Any]], tuple[Nets, Days] | None]:
        """Put the commands of a read into *pipe*; return what takes their answers apart.

        That returns None where other days are open by then: a round that opens a day is seen whole
        or not at all, and a day that is sealed meanwhile is open or sealed and never neither.
        """
        blocks = _blocks(days)
        told = zip(blocks, bits, strict=True)
        is_open = [day for block, its in told for day in days_of(block, its) if day in days]
        pipe.hmget(self.keys.head(account), _open_fields(days))
        pipe.hgetall(self.keys.nets(account))
        for block in blocks:
            pipe.get(self.keys.sealed_days(account, block))
        for day in is_open:
            if only is None:
                pipe.hgetall(self.keys.day(account, day))
            else:
                pipe.hmget(self.keys.day(account, day), list(only))

        def take(answers: Iterator[Any]) -> tuple[Nets, Days] | None:
            bits_then = next(answers)
            nets = {int(block): packed for block, packed in next(answers).items()}
            found = {block: next(answers) for block in blocks}
            sealed = {block: packed for block, packed in found.items() if packed}
            opened: dict[int, Mapping[bytes, bytes]] = {}
            for day in is_open:
                fields = next(answers)
                if only is not None:
                    pairs = zip(only, fields, strict=True)
                    fields = {name: records for name, records in pairs if records is not None}
                opened[day] = fields
            return (nets, Days(opened, sealed, only is None)) if bits_then == bits else None

        return take

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

    def have_this_layout(self) -> bool:
        """Tell whether this version made these rollups, or one that keeps them in the same way."""
        try:
            told = cast(bytes | None, self.redis.get(self.keys.limits))
        except ResponseError:  # it was no string once
            return False
        recorded = msgspec.json.decode(told or b"{}", type=dict[str, int])
        return recorded.get(keys.LAYOUT_FIELD) == keys.LAYOUT

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
        names = {outcome: flow_metric(outcome, flow) for outcome in OUTCOMES}
        only = [name.encode() for name in names.values()]
        [(_, days)] = self._days_with([(account, _days_around(first, end))], only)
        found = flows_by_slot(first, end, days, list(names.values()))
        return {outcome: found[name] for outcome, name in names.items()}


def read_in_force(redis: Client, read: Callable[[Rollups], T]) -> T:
    """Return what *read* finds in the rollups that are in force, from before it to after it.

    A rebuild may switch to new rollups and drop the old ones while they are being read; what was
    found of them then is not all of it, and is read again.
    """
    while True:
        rollups = Rollups.live(redis)
        found = read(rollups)
        if Rollups.live(redis) == rollups:
            return found


def position(told: bytes) -> Position:
    """Return the position that Redis keeps as "offset second"."""
    offset, _, second = told.partition(b" ")
    return Position(int(offset), int(second) if second else None)


def lowest(of_nodes: Sequence[Mapping[bytes, bytes]]) -> dict[str, Position]:
    """Return how far each topic-partition is counted on every node, from each node's positions."""
    found: dict[str, Position] = {}
    for number, positions in enumerate(of_nodes):
        told = {name.decode(): position(packed) for name, packed in positions.items()}
        for name in found.keys() - told.keys():
            found[name] = Position(0)
        for name, at in told.items():
            known = found.get(name, at if number == 0 else Position(0))
            found[name] = min(known, at, key=lambda its: its.offset)
    return found


def days_of(block: int, told: bytes | None) -> list[int]:
    """Return the UTC days of *block* whose bits are set, as the head of an account tells them."""
    bits = int(told or 0)
    return [block * DAYS_PER_BLOCK + place for place in range(DAYS_PER_BLOCK) if bits >> place & 1]


def _days_around(first: int, end: int) -> range:
    """Return the UTC days that the slots [first, end) touch; that of *first* if there are none."""
    return days_touched(first, end) or range(day_of(first), day_of(first) + 1)


def _open_fields(days: range) -> list[str]:
    """Return the fields of a head that tell which of *days* are open."""
    return [f"{keys.OPEN_DAYS}{block}" for block in _blocks(days)]


def _blocks(days: range) -> range:
    return range(block_of(days[0]), block_of(days[-1]) + 1)
