"""Gathering: what Redis keeps of an account's days, put together to a reading of some slots.

The days of a report lie there in two ways (see `days`): open ones each by itself, sealed ones a
block at a time. Either way each number is taken out together with all the others of its kind, and
the days are put into one list per curve or counter, which has a place for every slot of the range.
What lies outside of the range is cut off first, so that nothing behind that has to look at edges.

    blocks of days    |---- sealed ----|---- sealed --..o..o|o..o..o..o..     o: an open day
    slots asked for              [first ------------------------------ end)
    cuts                         |-----|--------------|o--o--o--o--o--o|
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rollups.days import (
    AMOUNT_RECORD,
    CURVE_RECORD,
    GRID,
    SERIES_FIELDS,
    TOUCHED,
    amounts_in,
    block_nets,
    day_nets,
    nets_in,
    rises_in,
    sealed_counters,
    sealed_curves,
    sealed_flows,
    total_in,
)
from rollups.fold import is_flow_metric
from rollups.reading import Curve, Reading
from rollups.slots import DAYS_PER_BLOCK, SLOTS_PER_DAY, block_of, day_of, first_slot_of
from rollups.vocabulary import SERIES

#: Block of days to the nets in it, packed (`days.block_nets`).
Nets = Mapping[int, bytes]


class Days(NamedTuple):
    """What there is of an account's days, as Redis keeps it."""

    opened: Mapping[int, Mapping[bytes, bytes]]  #: UTC day, in order, to the fields of its hash
    sealed: Mapping[int, bytes]  #: block to the string of its sealed days
    flows: bool  #: whether flows were asked for


class _Block(NamedTuple):
    """A block with sealed days."""

    packed: bytes
    at: int  #: its first slot, counted from the first of the reading


class _Piece(NamedTuple):
    """What an open day has in one field, in those of its slots that are needed."""

    at: int  #: the day's first slot, counted from the first of the reading
    records: bytes


_Pieces = Mapping[bytes, Sequence[_Piece]]


def reading_of(first: int, end: int, nets: Nets, days: Days, *, by_slot: bool = False) -> Reading:
    """Return the reading over the slots [first, end) that an account's *days* add up to.

    They must include every day that the slots touch, and the day of *first*.
    """
    size = end - first
    blocks = [
        _Block(packed, first_slot_of(block * DAYS_PER_BLOCK) - first)
        for block, packed in days.sealed.items()
    ]
    pieces = _pieces(days.opened, first, end)
    levels = _levels(nets, day_of(first))
    curves = _curves(blocks, pieces, first - first_slot_of(day_of(first)), size, levels)
    counters = _of_counters(pieces, flows=False)
    slots = _by_slot(blocks, counters, size) if by_slot else {}
    totals = (
        {metric: sum(amounts) for metric, amounts in slots.items()}
        if by_slot
        else _totals(blocks, counters, size)
    )
    flows = _flow_totals(blocks, _of_counters(pieces, flows=True), size) if days.flows else {}
    return Reading(first, end, levels, curves, totals, slots, flows)


# ---------------------------------------------------------------------------------- cutting


def _pieces(opened: Mapping[int, Mapping[bytes, bytes]], first: int, end: int) -> _Pieces:
    """Return what open days have in the slots [first, end), by the field it stands in.

    Curves also have what lies before *first* in its day: it is needed for the level there.
    """
    found: dict[bytes, list[_Piece]] = defaultdict(list)
    for day, fields in opened.items():
        at = first_slot_of(day) - first
        low, high = max(-at, 0), min(end - first - at, SLOTS_PER_DAY)
        if low >= SLOTS_PER_DAY or high < 0:
            continue
        is_whole = high - low == SLOTS_PER_DAY
        for field, records in fields.items():
            cut = records
            if not is_whole:
                is_curve = field in SERIES_FIELDS
                size = CURVE_RECORD if is_curve else AMOUNT_RECORD
                cut = _cut(records, size, 0 if is_curve else low, high)
            if cut:
                found[field].append(_Piece(at, cut))
    found.pop(TOUCHED, None)
    return found


def _cut(records: bytes, size: int, low: int, high: int) -> bytes:
    """Return those of *records* whose slot lies in [low, high)."""
    slots = records[::size]
    return records[bisect_left(slots, low) * size : bisect_left(slots, high) * size]


def _window(block: _Block, size: int, lead: int = 0) -> tuple[slice, slice]:
    """Return what a block has of the slots [-lead, size): its own slots, and where they lie."""
    low, high = max(-lead - block.at, 0), min(size - block.at, GRID)
    low = min(low, high)
    return slice(low, high), slice(lead + block.at + low, lead + block.at + high)


def _of_counters(pieces: _Pieces, *, flows: bool) -> dict[str, Sequence[_Piece]]:
    """Return the pieces of the counters that are flows, or of those that are not, by metric."""
    named = ((field.decode(), its) for field, its in pieces.items() if field not in SERIES_FIELDS)
    return {metric: its for metric, its in named if is_flow_metric(metric) == flows}


def _joined(pieces: Sequence[_Piece]) -> bytes:
    return b"".join([piece.records for piece in pieces])


# ----------------------------------------------------------------------------------- levels


def _levels(nets: Nets, day: int) -> dict[str, int]:
    """Return the level of each series before the UTC *day*: whole blocks, then days."""
    levels = dict.fromkeys(SERIES, 0)
    its_block = block_of(day)
    for block, packed in nets.items():
        if block < its_block:
            for series, net in zip(SERIES, block_nets(packed), strict=True):
                levels[series] += net
        elif block == its_block:
            for place, series, net in day_nets(packed):
                if block * DAYS_PER_BLOCK + place < day:
                    levels[series] += net
    return levels


def _curves(
    blocks: Sequence[_Block], pieces: _Pieces, lead: int, size: int, levels: dict[str, int]
) -> dict[str, Curve]:
    """Return what each series does in the slots [0, size).

    Adds to *levels*, which are those of *lead* slots before, what happens in between.
    """
    its_nets = {series: [0] * (lead + size) for series in SERIES}
    its_rises = {series: [0] * (lead + size) for series in SERIES}
    for block in blocks:
        source, place = _window(block, size, lead)
        if source.start < source.stop:
            for series, (of_block, rises_of_block) in sealed_curves(block.packed).items():
                its_nets[series][place] = of_block[source]
                its_rises[series][place] = rises_of_block[source]
    for field, series in SERIES_FIELDS.items():
        if field in pieces:
            records = _joined(pieces[field])
            _place(its_nets[series], lead, pieces[field], CURVE_RECORD, nets_in(records))
            _place(its_rises[series], lead, pieces[field], CURVE_RECORD, rises_in(records))
    if lead:
        for series in SERIES:
            levels[series] += sum(its_nets[series][:lead])
            del its_nets[series][:lead], its_rises[series][:lead]
    return {series: Curve(its_nets[series], its_rises[series]) for series in SERIES}


def _place(
    dense: list[int], lead: int, pieces: Sequence[_Piece], size: int, numbers: Sequence[int]
) -> None:
    """Put the *numbers* of records of *size* bytes, piece after piece, where their slots are."""
    if len(numbers) == len(dense):
        dense[:] = numbers
        return
    begin = 0
    for at, records in pieces:
        count = len(records) // size
        its, base = numbers[begin : begin + count], lead + at
        low, high = records[0], records[-size]
        if high - low + 1 == count:  # without a gap
            dense[base + low : base + high + 1] = its
        else:
            for slot, number in zip(records[::size], its, strict=True):
                dense[base + slot] = number
        begin += count


# --------------------------------------------------------------------------------- counters


def _by_slot(
    blocks: Sequence[_Block], pieces: Mapping[str, Sequence[_Piece]], size: int
) -> dict[str, list[int]]:
    """Return the amounts of each counter in the slots [0, size), of those that have any."""
    found: dict[str, list[int]] = {}
    for block in blocks:
        source, place = _window(block, size)
        if source.start < source.stop:
            for metric, amounts in sealed_counters(block.packed).items():
                its = amounts[source]
                if any(its):
                    found.setdefault(metric, [0] * size)[place] = its
    for metric, parts in pieces.items():
        numbers = amounts_in(_joined(parts))
        _place(found.setdefault(metric, [0] * size), 0, parts, AMOUNT_RECORD, numbers)
    return found


def _totals(
    blocks: Sequence[_Block], pieces: Mapping[str, Sequence[_Piece]], size: int
) -> dict[str, int]:
    """Return the sum of each counter over the slots [0, size), of those that have any."""
    found = {metric: total_in(_joined(parts)) for metric, parts in pieces.items()}
    for block in blocks:
        source, _ = _window(block, size)
        if source.start < source.stop:
            for metric, amounts in sealed_counters(block.packed).items():
                if its := sum(amounts[source]):
                    found[metric] = found.get(metric, 0) + its
    return found


def _flow_totals(
    blocks: Sequence[_Block], pieces: Mapping[str, Sequence[_Piece]], size: int
) -> dict[str, int]:
    """Return the same of flow metrics."""
    found = {metric: total_in(_joined(parts)) for metric, parts in pieces.items()}
    for block in blocks:
        source, _ = _window(block, size)
        if source.start >= source.stop:
            continue
        is_whole = source.stop - source.start == GRID
        for metric, flow in sealed_flows(block.packed).items():
            its = flow.amounts
            if not is_whole:
                places = list(flow.places())
                its = its[bisect_left(places, source.start) : bisect_left(places, source.stop)]
            if amount := sum(its):
                found[metric] = found.get(metric, 0) + amount
    return found
