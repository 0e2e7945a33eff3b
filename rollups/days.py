"""What is kept of an account's UTC day, open or sealed, and how it is written as bytes.

An open day is a hash in Redis that scripts change in place: fields with records of one size, sorted
by slot (see `lua/apply.lua`). A sealed day never changes again. All sealed days of a block share
one string, packed and compressed together, which is what makes a year small: what repeats from day
to day (names of metrics and flows, the slots in use) is stored once, and small numbers take a byte
or less.
"""

import zlib
from collections.abc import Mapping
from struct import Struct, iter_unpack, unpack
from typing import Final, NamedTuple

import msgspec

from rollups.fold import is_flow_metric
from rollups.vocabulary import SERIES

#: (slot of the day, net, rise) of a curve, and (day of the block * series + series, net).
SUMMARY: Final = Struct(">Bii")
NET: Final = Struct(">Bi")
#: The sums of a block's nets, by series: five bytes each.
SUMS_BYTES: Final = 5

#: A counter's amount lies in the lower 56 bits of a record, the slot above it.
_SLOT_SHIFT: Final = 56
_AMOUNT: Final = (1 << _SLOT_SHIFT) - 1

#: The field of an open day with the second of the newest record that touched it.
TOUCHED: Final = b"t"
_SERIES_FIELD: Final = {str(index).encode(): series for index, series in enumerate(SERIES)}


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
    curves: dict[str, Curve] = {}
    counters: dict[str, Amounts] = {}
    flows: dict[str, Amounts] = {}
    for field, records in fields.items():
        if field in _SERIES_FIELD:
            slots, nets, rises = zip(*SUMMARY.iter_unpack(records), strict=True)
            curves[_SERIES_FIELD[field]] = Curve(list(slots), list(nets), list(rises))
        elif field != TOUCHED:
            metric = field.decode()
            (flows if is_flow_metric(metric) else counters)[metric] = _amounts(records)
    return Day(curves, counters, flows)


def _amounts(records: bytes) -> Amounts:
    numbers = unpack(f">{len(records) // 8}Q", records)
    return Amounts([n >> _SLOT_SHIFT for n in numbers], [n & _AMOUNT for n in numbers])


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
_WRITTEN_AS: Final = b"1"

_Columns = dict[str, tuple[bytes, list[int]]]
_Curves = dict[int, tuple[bytes, list[int], list[int]]]
#: Day of the block to its curves by the series' index, its counters, its flows; slots as bytes.
_Packed = dict[int, tuple[_Curves, _Columns, _Columns]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def sealed_days(packed: bytes | None) -> dict[int, Day]:
    """Return the sealed days of a block, by day of the block, from its string."""
    if not packed:
        return {}
    if packed[:1] != _WRITTEN_AS:
        raise ValueError(f"sealed days written as {packed[:1]!r}, which this version cannot read")
    return {
        place: Day(
            {SERIES[i]: Curve(list(slots), *rest) for i, (slots, *rest) in curves.items()},
            {name: Amounts(list(slots), amounts) for name, (slots, amounts) in counters.items()},
            {name: Amounts(list(slots), amounts) for name, (slots, amounts) in flows.items()},
        )
        for place, (curves, counters, flows) in _decode(zlib.decompress(packed[1:])).items()
    }


def seal(days: Mapping[int, Day]) -> bytes:
    """Return the string that keeps the sealed *days* of a block, by day of the block."""
    packed = {
        place: (
            {
                SERIES.index(series): (bytes(slots), nets, rises)
                for series, (slots, nets, rises) in day.curves.items()
            },
            {name: (bytes(slots), amounts) for name, (slots, amounts) in day.counters.items()},
            {name: (bytes(slots), amounts) for name, (slots, amounts) in day.flows.items()},
        )
        for place, day in days.items()
    }
    return _WRITTEN_AS + zlib.compress(_encode(packed), 9)
