"""What is kept of an account's UTC day, open or sealed, and how it is written as bytes.

An open day is a hash in Redis that scripts change in place, a few records at a time, and that must
be cheap to change: fields with records of one size, sorted by slot (see `lua/apply.lua`).

A sealed day never changes again, so it can be kept the way it is read: by column, and many days at
once. All sealed days of a block of 32 share one string. It has a grid of 3,072 slots, and for each
curve and counter a number for every one of them: 0 where nothing happened, which says the same as
nothing at all. Where a number stands, it belongs; so no slot is named, a report cuts its days out
of the column, and a year is put together from a dozen cuts a series. Zeros cost next to nothing,
for the columns are compressed, and a number takes as many bytes as the largest of its column needs,
nearly always one.

    grid      0    1    2  ...  95 | 96  97 ...       a day is a cut of 96
    nets      1    0   -1        0 |  0   2           one byte each (kind "b")
    amounts   0  300    0        0 |  7   0           two bytes each (kind "h")

Flows are many and each of them is rare: of a flow only the slots in which it ran are kept, as
distances, beside their amounts. A report adds up the amounts of whole blocks, and looks at the
distances only in the blocks that its period begins and ends in.

Curves, counters and flows are compressed apart, since a short report needs no flows. The same days
are always written as the same bytes, whatever order they were sealed in.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from struct import Struct, iter_unpack
from typing import Any, Final, NamedTuple

import msgspec

from rollups import columns
from rollups.fold import is_flow_metric
from rollups.slots import DAYS_PER_BLOCK, SLOTS_PER_DAY
from rollups.vocabulary import SERIES

#: Bytes of a record of a curve, (slot of the day, net, rise), and of a counter, (slot, amount); the
#: slot takes one, a net and a rise four, an amount seven.
CURVE_RECORD: Final = 9
AMOUNT_RECORD: Final = 8

#: (day of the block * series + series, net).
NET: Final = Struct(">Bi")
#: The sums of a block's nets, by series: five bytes each.
SUMS_BYTES: Final = 5

#: The field of an open day with the second of the newest record that touched it.
TOUCHED: Final = b"t"
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
    """Return the day that the *fields* of its hash hold."""
    day = Day({}, {}, {})
    for field, records in fields.items():
        if field in SERIES_FIELDS:
            slots = list(records[::CURVE_RECORD])
            day.curves[SERIES_FIELDS[field]] = Curve(
                slots, [*nets_in(records)], [*rises_in(records)]
            )
        elif field != TOUCHED:
            metric = field.decode()
            of_kind = day.flows if is_flow_metric(metric) else day.counters
            of_kind[metric] = Amounts(list(records[::AMOUNT_RECORD]), [*amounts_in(records)])
    return day


# The columns of records, which may be those of many days end to end.


def nets_in(records: bytes) -> Sequence[int]:
    """Return the nets in the *records* of a curve."""
    return columns.signed(records, CURVE_RECORD, 1, 4)


def rises_in(records: bytes) -> Sequence[int]:
    """Return the rises in the *records* of a curve."""
    return columns.signed(records, CURVE_RECORD, 5, 4)


def amounts_in(records: bytes) -> Sequence[int]:
    """Return the amounts in the *records* of a counter."""
    return columns.unsigned(records, AMOUNT_RECORD, 1, 7)


def total_in(records: bytes) -> int:
    """Return the sum of the amounts in the *records* of a counter."""
    return columns.total(records, AMOUNT_RECORD, 1, 7)


# ------------------------------------------------------- the nets of blocks and days, for levels


def block_nets(packed: bytes) -> list[int]:
    """Return the net of each series over a block of days, in the order of `SERIES`."""
    return [
        int.from_bytes(packed[at : at + SUMS_BYTES], "big", signed=True)
        for at in range(0, SUMS_BYTES * len(SERIES), SUMS_BYTES)
    ]


def day_nets(packed: bytes) -> list[tuple[int, str, int]]:
    """Return (day of the block, series, net) of the days of a block that have one."""
    records = packed[SUMS_BYTES * len(SERIES) :]
    return [
        (index // len(SERIES), SERIES[index % len(SERIES)], net)
        for index, net in iter_unpack(NET.format, records)
    ]


# ------------------------------------------------------------------------------ sealed days

#: What a block's string begins with: how it is written, for versions to come.
_WRITTEN_AS: Final = b"2"

_Column = tuple[str, bytes]
_encode = msgspec.msgpack.Encoder().encode
_sections = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes]).decode
_curves = msgspec.msgpack.Decoder(dict[int, tuple[_Column, _Column]]).decode
_counters = msgspec.msgpack.Decoder(dict[str, _Column]).decode
_flows = msgspec.msgpack.Decoder(dict[str, tuple[_Column, _Column]]).decode


def _section(packed: bytes, number: int) -> bytes:
    if packed[:1] != _WRITTEN_AS:
        raise ValueError(f"sealed days written as {packed[:1]!r}, which this version cannot read")
    return zlib.decompress(_sections(packed[1:])[number])


def sealed_curves(packed: bytes) -> dict[str, tuple[Sequence[int], Sequence[int]]]:
    """Return the nets and the rises of each series in the slots of a block, from its string."""
    return {
        SERIES[index]: (columns.read(*nets), columns.read(*rises))
        for index, (nets, rises) in _curves(_section(packed, 0)).items()
    }


def sealed_counters(packed: bytes) -> dict[str, Sequence[int]]:
    """Return the amount of each counter in the slots of a block, from its string."""
    return {
        metric: columns.read(*amounts) for metric, amounts in _counters(_section(packed, 1)).items()
    }


class Rare(NamedTuple):
    """What a flow did in a block: amounts, and their slots by how far each is from the last."""

    steps: Sequence[int]
    amounts: Sequence[int]

    def places(self) -> Iterator[int]:
        """Yield the slot of the block of each amount."""
        return accumulate(self.steps)


def sealed_flows(packed: bytes) -> dict[str, Rare]:
    """Return what is kept of each flow metric in a block, from its string."""
    return {
        metric: Rare(columns.read(*steps), columns.read(*amounts))
        for metric, (steps, amounts) in _flows(_section(packed, 2)).items()
    }


def sealed_days(packed: bytes | None) -> dict[int, Day]:
    """Return the sealed days of a block in which there is anything, by day of the block."""
    days = [Day({}, {}, {}) for _ in range(DAYS_PER_BLOCK)]
    if not packed:
        return {}
    for series, (nets, rises) in sealed_curves(packed).items():
        for day, its_nets, its_rises in zip(days, _by_day(nets), _by_day(rises), strict=True):
            slots = [
                slot for slot, its in enumerate(zip(its_nets, its_rises, strict=True)) if any(its)
            ]
            if slots:
                day.curves[series] = Curve(
                    slots, [its_nets[slot] for slot in slots], [its_rises[slot] for slot in slots]
                )
    for metric, amounts in sealed_counters(packed).items():
        for day, its in zip(days, _by_day(amounts), strict=True):
            slots = [slot for slot, amount in enumerate(its) if amount]
            if slots:
                day.counters[metric] = Amounts(slots, [its[slot] for slot in slots])
    for metric, flow in sealed_flows(packed).items():
        for place, amount in zip(flow.places(), flow.amounts, strict=True):
            number, slot = divmod(place, SLOTS_PER_DAY)
            slots, its = days[number].flows.setdefault(metric, Amounts([], []))
            slots.append(slot)
            its.append(amount)
    return {number: day for number, day in enumerate(days) if any(day)}


def _by_day(column: Sequence[int]) -> list[Sequence[int]]:
    return [column[first : first + SLOTS_PER_DAY] for first in range(0, GRID, SLOTS_PER_DAY)]


def seal(days: Mapping[int, Day]) -> bytes:
    """Return the string that keeps the sealed *days* of a block, by day of the block."""
    curves: dict[str, tuple[list[int], list[int]]] = {}
    counters: dict[str, list[int]] = {}
    flows: dict[str, dict[int, int]] = {}
    for number, day in sorted(days.items()):
        first = number * SLOTS_PER_DAY
        for series, curve in day.curves.items():
            nets, rises = curves.setdefault(series, ([0] * GRID, [0] * GRID))
            for slot, net, rise in zip(*curve, strict=True):
                nets[first + slot], rises[first + slot] = net, rise
        for metric, (slots, amounts) in day.counters.items():
            column = counters.setdefault(metric, [0] * GRID)
            for slot, amount in zip(slots, amounts, strict=True):
                column[first + slot] = amount
        for metric, (slots, amounts) in day.flows.items():
            places = flows.setdefault(metric, {})
            places.update(zip((first + slot for slot in slots), amounts, strict=True))
    return _WRITTEN_AS + _encode(
        (
            _pressed(
                {
                    SERIES.index(series): tuple(map(columns.written, curves[series]))
                    for series in SERIES
                    if series in curves and any(map(any, curves[series]))
                }
            ),
            _pressed({metric: columns.written(its) for metric, its in sorted(counters.items())}),
            _pressed(
                {
                    metric: (columns.written(_steps(places)), columns.written([*places.values()]))
                    for metric, places in sorted(flows.items())
                }
            ),
        )
    )


def _steps(places: Mapping[int, int]) -> list[int]:
    """Return how far each of the ascending *places* is from the one before, the first from 0."""
    return [here - before for before, here in pairwise((0, *places))]


def _pressed(section: Any) -> bytes:
    return zlib.compress(_encode(section), 9)
