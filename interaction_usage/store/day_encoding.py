"""What is stored of an account's UTC day, open or sealed, and how it is encoded as bytes.

An open day is a hash in Redis that scripts change in place, a few records at a time, and that must
be cheap to change: fields with records of one size, sorted by slot (see `lua/apply.lua`).

A sealed day never changes again, so it is stored the way it is read: by column, and many days
together. All sealed days of a block of 32 share one string, over a grid of 3,072 slots. A curve or
a counter has a number for every slot of the grid, 0 if nothing happened in it. The position of a
number is its slot; so no slot is named, a report cuts its days out of the column, and a year is
joined from a dozen cuts a series.

    grid      0    1    2  ...  95 | 96  97 ...       a day is a cut of 96
    nets      1    0   -1        0 |  0   2           one byte each (kind "b")
    amounts   0  300    0        0 |  7   0           two bytes each (kind "h")

That suits a busy block. If less than a quarter of the slots is in use, those in use are listed at
the head of the string, and a curve or counter has numbers only for slots where it has something,
with the steps from each to the next, counted in slots in use. So slots that several columns share
are listed once. Flows are many and each of them is rare, so they are always stored like that: a
report adds up the amounts of whole blocks, and reads the steps only in the blocks that its period
begins and ends in.

    in use    3   40   41   97                         the slots
    nets      1   -1    1   -1    steps  0  1  1  1
    amounts       2          1    steps  1  2          in slots 40 and 97

Slots, curves, counters and flows are compressed separately, since a short report needs no flows,
with a dictionary of the names that nearly every block has. The same zlib always encodes the same
days as the same bytes, whatever order they were sealed in.
"""

import zlib
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from struct import Struct, iter_unpack
from typing import Any, Final, NamedTuple

import msgspec

from interaction_usage.store import columns, keys
from interaction_usage.store.record_layout import (
    AMOUNT_RECORD,
    CURVE_RECORD,
    NET_RECORD,
    SUM_BYTES,
)
from rollups.catalog import SERIES
from rollups.fold import is_flow_metric
from rollups.slots import DAYS_PER_BLOCK, SLOTS_PER_DAY

#: (day of the block * series + series, net).
NET: Final = Struct(">Bi")

#: The field of an open day with the second at which it was last changed.
LAST_CHANGE: Final = keys.LAST_CHANGE.encode()
#: The fields of an open day that are curves.
SERIES_FIELDS: Final = {str(index).encode(): series for index, series in enumerate(SERIES)}

#: How many slots a block has.
GRID: Final = DAYS_PER_BLOCK * SLOTS_PER_DAY


class Curve(NamedTuple):
    """What a series does in the slots of a day in which it changes; columns of equal length."""

    slots: list[int]
    nets: list[int]
    rises: list[int]


class Amounts(NamedTuple):
    """How much a counter grew in the slots of a day in which it did; columns of equal length."""

    slots: list[int]
    amounts: list[int]


class Day(NamedTuple):
    """One account's UTC day."""

    curves: dict[str, Curve]  #: by series
    counters: dict[str, Amounts]  #: by metric
    flows: dict[str, Amounts]  #: by flow metric


def open_day(fields: Mapping[bytes, bytes]) -> Day:
    """Return the day in the *fields* of its hash."""
    day = Day({}, {}, {})
    for field, records in fields.items():
        if field in SERIES_FIELDS:
            slots = list(records[::CURVE_RECORD])
            day.curves[SERIES_FIELDS[field]] = Curve(
                slots, [*nets_in(records)], [*rises_in(records)]
            )
        elif field != LAST_CHANGE:
            metric = field.decode()
            of_kind = day.flows if is_flow_metric(metric) else day.counters
            of_kind[metric] = Amounts(list(records[::AMOUNT_RECORD]), [*amounts_in(records)])
    return day


# The columns of records, which may be those of many days, end to end.


def nets_in(records: bytes) -> Sequence[int]:
    """Return the nets in the *records* of a curve."""
    return columns.signed(records, CURVE_RECORD, 1, 4)


def rises_in(records: bytes) -> Sequence[int]:
    """Return the rises in the *records* of a curve."""
    return columns.signed(records, CURVE_RECORD, 5, 4)


def amounts_in(records: bytes) -> Sequence[int]:
    """Return the amounts in the *records* of a counter."""
    # A pending void makes an amount negative: the highest byte of one has its highest bit set.
    read = columns.unsigned if records[1::AMOUNT_RECORD].isascii() else columns.signed
    return read(records, AMOUNT_RECORD, 1, 7)


def total_in(records: bytes) -> int:
    """Return the sum of the amounts in the *records* of a counter."""
    return sum(amounts_in(records))


# ------------------------------------------------------- the nets of blocks and days, for levels


def block_nets(packed: bytes) -> list[int]:
    """Return the net of each series over a block of days, in the order of `SERIES`."""
    return [
        int.from_bytes(packed[at : at + SUM_BYTES], "big", signed=True)
        for at in range(0, SUM_BYTES * len(SERIES), SUM_BYTES)
    ]


def day_nets(packed: bytes) -> list[tuple[int, str, int]]:
    """Return (day of the block, series, net) of the days of a block that have one."""
    records = packed[SUM_BYTES * len(SERIES) :]
    return [
        (index // len(SERIES), SERIES[index % len(SERIES)], net)
        for index, net in iter_unpack(NET.format, records)
    ]


def nets_before(packed: bytes, place: int) -> list[int]:
    """Return the net of each series over the days of a block before its day *place*."""
    records = packed[SUM_BYTES * len(SERIES) :]
    nets = columns.signed(records, NET_RECORD, 1, 4)
    sums, count, end = [0] * len(SERIES), len(SERIES), place * len(SERIES)
    for index, net in zip(records[::NET_RECORD], nets, strict=True):
        if index < end:
            sums[index % count] += net
    return sums


# ------------------------------------------------------------------------------ sealed days

#: What a block's string begins with: the version of the encoding.
_ENCODING: Final = b"2"

#: The dictionary that sections are compressed with: the names when this encoding was introduced.
#: It must never change, or stored blocks cannot be read.
_COMMON: Final = (
    b"runs.agent runs.ticket-guidance runs.mobile-web runs.web-self-service outcome.completed "
    b"outcome.abandoned clicks.call-now clicks.callback clicks.chat clicks.email call.minutes "
    b"sms.link sms.plain numbers.purchased numbers.released"
)

#: The whole grid is stored if at least one slot in so many is in use.
_FEW: Final = 4

_Column = tuple[str, bytes]
#: A column of steps, and columns of numbers; no steps if there is a number for every slot.
_Table = tuple[_Column, ...]

_encode = msgspec.msgpack.Encoder().encode
_sections = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes, bytes]).decode
_slots = msgspec.msgpack.Decoder(_Column).decode
_of_series = msgspec.msgpack.Decoder(dict[int, _Table]).decode
_of_metrics = msgspec.msgpack.Decoder(dict[str, _Table]).decode


def _section(packed: bytes, number: int) -> bytes:
    if packed[:1] != _ENCODING:
        raise ValueError(
            f"sealed days have the encoding {packed[:1]!r}, which this version cannot read"
        )
    return zlib.decompressobj(-15, _COMMON).decompress(_sections(packed[1:])[number])


def _slots_in_use(packed: bytes) -> Sequence[int]:
    """Return the slots of a block that steps are counted in: those in use, or all."""
    steps = columns.decode(*_slots(_section(packed, 0)))
    return list(accumulate(steps)) if steps else range(GRID)


def _dense(slots: Sequence[int], table: _Table) -> list[Sequence[int]]:
    """Return each column of numbers in *table* with a number for every slot of the block."""
    steps, *numbers = (columns.decode(*column) for column in table)
    if not steps:
        return numbers
    places = [slots[rank] for rank in accumulate(steps)]
    filled: list[Sequence[int]] = []
    for column in numbers:
        dense = [0] * GRID
        for place, number in zip(places, column, strict=True):
            dense[place] = number
        filled.append(dense)
    return filled


def sealed_curves(packed: bytes) -> dict[str, tuple[Sequence[int], Sequence[int]]]:
    """Return the nets and the rises of each series in the slots of a block, from its string."""
    slots = _slots_in_use(packed)
    curves = {}
    for index, table in _of_series(_section(packed, 1)).items():
        nets, rises = _dense(slots, table)
        curves[SERIES[index]] = nets, rises
    return curves


def sealed_counters(packed: bytes) -> dict[str, Sequence[int]]:
    """Return the amount of each counter in the slots of a block, from its string."""
    slots = _slots_in_use(packed)
    tables = _of_metrics(_section(packed, 2))
    return {metric: _dense(slots, table)[0] for metric, table in tables.items()}


class RareAmounts(NamedTuple):
    """The amounts of a flow metric in a block, decoded as far as needed."""

    steps: _Column
    numbers: _Column

    def amounts(self) -> Sequence[int]:
        """Return its amounts, in order."""
        return columns.decode(*self.numbers)

    def ranks(self) -> list[int]:
        """Return the index of each amount's slot among the slots in use."""
        return list(accumulate(columns.decode(*self.steps)))


def sealed_flows(packed: bytes) -> tuple[Sequence[int], dict[str, RareAmounts]]:
    """Return the slots in use of a block, and the amounts of each flow metric, from its string."""
    tables = _of_metrics(_section(packed, 3))
    return _slots_in_use(packed), {metric: RareAmounts(*table) for metric, table in tables.items()}


def sealed_days(packed: bytes | None) -> dict[int, Day]:
    """Return the sealed days of a block that have any content, by day of the block."""
    days = [Day({}, {}, {}) for _ in range(DAYS_PER_BLOCK)]
    if not packed:
        return {}
    for series, (nets, rises) in sealed_curves(packed).items():
        for day, slot_nets, slot_rises in zip(days, _by_day(nets), _by_day(rises), strict=True):
            pairs = enumerate(zip(slot_nets, slot_rises, strict=True))
            if slots := [slot for slot, pair in pairs if any(pair)]:
                day.curves[series] = Curve(
                    slots, [slot_nets[slot] for slot in slots], [slot_rises[slot] for slot in slots]
                )
    for metric, amounts in sealed_counters(packed).items():
        for day, of_day in zip(days, _by_day(amounts), strict=True):
            if slots := [slot for slot, amount in enumerate(of_day) if amount]:
                day.counters[metric] = Amounts(slots, [of_day[slot] for slot in slots])
    in_use, flows = sealed_flows(packed)
    for metric, flow in flows.items():
        for rank, amount in zip(flow.ranks(), flow.amounts(), strict=True):
            number, slot = divmod(in_use[rank], SLOTS_PER_DAY)
            found = days[number].flows.setdefault(metric, Amounts([], []))
            found.slots.append(slot)
            found.amounts.append(amount)
    return {number: day for number, day in enumerate(days) if any(day)}


def _by_day(column: Sequence[int]) -> list[Sequence[int]]:
    return [column[first : first + SLOTS_PER_DAY] for first in range(0, GRID, SLOTS_PER_DAY)]


#: Slots of a block to a number of each column.
_Rows = dict[int, tuple[int, ...]]


def seal(days: Mapping[int, Day]) -> bytes:
    """Return the string of the sealed *days* of a block, by day of the block."""
    curves: dict[str, _Rows] = {}
    counters: dict[str, _Rows] = {}
    flows: dict[str, _Rows] = {}
    for number, day in sorted(days.items()):
        kinds: tuple[tuple[dict[str, _Rows], Mapping[str, tuple[list[int], ...]]], ...] = (
            (curves, day.curves),
            (counters, day.counters),
            (flows, day.flows),
        )
        for tables, of_day in kinds:
            for name, (slots, *numbers) in of_day.items():
                rows = tables.setdefault(name, {})
                for slot, *row in zip(slots, *numbers, strict=True):
                    if any(row):
                        rows[number * SLOTS_PER_DAY + slot] = tuple(row)
    in_use = sorted(
        {slot for kind in (curves, counters, flows) for rows in kind.values() for slot in rows}
    )
    is_full = len(in_use) * _FEW >= GRID
    ranks = {slot: rank for rank, slot in enumerate(range(GRID) if is_full else in_use)}
    sections = (
        columns.encode([] if is_full else _steps(in_use)),
        {
            SERIES.index(name): _table(curves[name], 2, ranks, is_full)
            for name in SERIES
            if curves.get(name)
        },
        {name: _table(rows, 1, ranks, is_full) for name, rows in sorted(counters.items()) if rows},
        {name: _table(rows, 1, ranks, False) for name, rows in sorted(flows.items()) if rows},
    )
    return _ENCODING + _encode(tuple(map(_compressed, sections)))


def _table(rows: _Rows, width: int, ranks: Mapping[int, int], is_full: bool) -> _Table:
    """Return the columns of *rows* of *width* numbers, for all slots, or with steps."""
    steps: list[int] = []
    if is_full:
        nothing = (0,) * width
        rows = {slot: rows.get(slot, nothing) for slot in range(GRID)}
    else:
        steps = _steps([ranks[slot] for slot in rows])
    return tuple(map(columns.encode, (steps, *zip(*rows.values(), strict=True))))


def _steps(ascending: Sequence[int]) -> list[int]:
    """Return how far each is from the one before, the first from 0."""
    return [here - before for before, here in pairwise((0, *ascending))]


def _compressed(section: Any) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _COMMON)
    return compressor.compress(_encode(section)) + compressor.flush()
