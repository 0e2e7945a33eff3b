"""Assembling what Redis stores of an account's days into a snapshot of a range of slots.

Days are stored in two ways (see `day_encoding`): open ones each by itself, sealed ones a block at a
time. Either way a number is extracted together with all the others of its kind, and the days are
joined into one list per curve or counter, with an element for every slot of the range. What is
outside the range is cut off first, so that no later step has to consider the edges.

The last step of concurrency is not here: hourly peaks come from the curves in `reports/build.py`.

    blocks of days   |---- sealed ----|---- sealed --..o..o|o..o..o..o..     o: an open day
    slots wanted                [first ------------------------------ end)
    cuts                        |-----|--------------|o--o--o--o--o--o|

No Python statement runs per slot, unless an open day has gaps between its records.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from operator import add
from typing import NamedTuple

from interaction_usage.store.day_encoding import (
    GRID,
    LAST_CHANGE,
    SERIES_FIELDS,
    amounts_in,
    block_nets,
    nets_before,
    nets_in,
    rises_in,
    sealed_counters,
    sealed_curves,
    sealed_flows,
    total_in,
)
from interaction_usage.store.record_layout import AMOUNT_RECORD, CURVE_RECORD
from rollups.catalog import METRICS, SERIES
from rollups.fold import is_flow_metric
from rollups.range_snapshot import Curve, RangeSnapshot
from rollups.slots import (
    DAYS_PER_BLOCK,
    SLOTS_PER_DAY,
    block_of,
    day_of,
    days_touched,
    first_slot_of,
)

#: Block of days to the nets in it, packed (`day_encoding.block_nets`).
Nets = Mapping[int, bytes]


class Days(NamedTuple):
    """An account's days as Redis stores them."""

    opened: Mapping[int, Mapping[bytes, bytes]]  #: UTC day, in order, to the fields of its hash
    sealed: Mapping[int, bytes]  #: block to the string of its sealed days
    flows: bool  #: whether flows were asked for
    sessions_from: int | None = None  #: UTC day from which on sessions are counted; None: always
    fences: Mapping[str, int] = {}  #: by topic-partition, if asked for
    pending_voids: int = 0  #: of the account, whatever the days


#: What an open day has in one field, in the slots that are wanted: the day's first slot, counted
#: from the first of the range, and records. A report has thousands of them, so nothing finer.
_Piece = tuple[int, bytes]
_Pieces = Mapping[str, Sequence[_Piece]]
#: Flow metric to its records, of whatever slots: only sums are made of them.
_FlowRecords = Mapping[str, Sequence[bytes]]
#: The fields of an open day that are no flow metrics. There are a few dozen of these, and hundreds
#: of flow metrics.
_CURVES_AND_COUNTERS = frozenset((*SERIES_FIELDS, *map(str.encode, METRICS)))


class _Cut(NamedTuple):
    """The slots that a block with sealed days and the range have in common."""

    packed: bytes  #: the string of the block
    source: slice  #: in the block
    place: slice  #: in the range


def assemble(
    first: int,
    end: int,
    nets: Nets,
    days: Days,
    *,
    by_slot: bool = False,
    edges: Sequence[int] = (),
) -> RangeSnapshot:
    """Return the snapshot of the slots [first, end) that an account's *days* add up to.

    They must include every day that the slots touch, and the day of *first*. Between two *edges*,
    ascending slots from *first* to *end*, counters are summed.
    """
    lead = first - first_slot_of(day_of(first))
    of_curves, of_counters, of_flows = _pieces(days.opened, first, end)
    cuts = _cuts(days, first, end)
    # The level at `first` is that at the beginning of its day, and what happens in between.
    curves = _curves(_cuts(days, first - lead, end), of_curves, lead, end - first)
    levels = levels_before(nets, day_of(first))
    if lead:
        for series, (slot_nets, slot_rises) in curves.items():
            levels[series] += sum(slot_nets[:lead])
            del slot_nets[:lead], slot_rises[:lead]
    blocks = [(cut, sealed_counters(cut.packed)) for cut in cuts]
    by_span = _by_span(blocks, of_counters, [edge - first for edge in edges])
    return RangeSnapshot(
        first,
        end,
        levels,
        {series: Curve(*curve) for series, curve in curves.items()},
        _without_zeros({metric: sum(sums) for metric, sums in by_span.items()})
        if edges
        else _totals(blocks, of_counters),
        _by_slot(blocks, of_counters, end - first) if by_slot else {},
        _flow_totals(cuts, of_flows) if days.flows else {},
        days.sessions_from is None or day_of(first) >= days.sessions_from,
        pending_voids=days.pending_voids,
        by_span=by_span,
    )


# ---------------------------------------------------------------------------------- cutting


def _cuts(days: Days, first: int, end: int) -> list[_Cut]:
    """Return what sealed blocks have of [first, end), unless all of a block's days are open."""
    cuts = []
    for block, packed in days.sealed.items():
        begin = first_slot_of(block * DAYS_PER_BLOCK)
        low, high = max(first, begin), min(end, begin + GRID)
        if not all(map(days.opened.get, days_touched(low, high))):
            source, place = (slice(low - base, high - base) for base in (begin, first))
            cuts.append(_Cut(packed, source, place))
    return cuts


def _pieces(
    opened: Mapping[int, Mapping[bytes, bytes]], first: int, end: int
) -> tuple[_Pieces, _Pieces, _FlowRecords]:
    """Return what open days have in the slots [first, end): of series, counters, flow metrics.

    The pieces of series begin with the day of *first*.
    """
    pieces: dict[bytes, list[_Piece]] = defaultdict(list)
    flows: dict[bytes, list[bytes]] = defaultdict(list)
    for at, low, high, fields in _touched(opened, first, end):
        if high - low == SLOTS_PER_DAY:
            for field in _CURVES_AND_COUNTERS & fields.keys():
                pieces[field].append((at, fields[field]))
            for field, records in fields.items():
                flows[field].append(records)  # with the others, which go below: the test costs more
            continue
        for field, records in fields.items():
            if field not in _CURVES_AND_COUNTERS:
                flows[field].append(_cut(records, low, high))
            elif field in SERIES_FIELDS:
                if cut := _cut(records, 0, high, CURVE_RECORD):
                    pieces[field].append((at, cut))
            elif cut := _cut(records, low, high):
                pieces[field].append((at, cut))
    for field in (LAST_CHANGE, *_CURVES_AND_COUNTERS):
        flows.pop(field, None)
    series = {name: pieces.pop(field) for field, name in SERIES_FIELDS.items() if field in pieces}
    counters = {field.decode(): of_field for field, of_field in pieces.items()}
    return series, counters, {field.decode(): of_field for field, of_field in flows.items()}


def _touched(
    opened: Mapping[int, Mapping[bytes, bytes]], first: int, end: int
) -> Iterator[tuple[int, int, int, Mapping[bytes, bytes]]]:
    """Yield of each open day its first slot, counted from *first*, and its fields.

    Between them, the slots [low, high) of the day that lie in [first, end); days that lie before
    *first* have none.
    """
    for day, fields in opened.items():
        at = first_slot_of(day) - first
        low, high = max(-at, 0), min(end - first - at, SLOTS_PER_DAY)
        if low < SLOTS_PER_DAY:
            yield at, low, high, fields


def _cut(records: bytes, low: int, high: int, size: int = AMOUNT_RECORD) -> bytes:
    """Return those of *records* whose slot lies in [low, high)."""
    slots = records[::size]
    return records[bisect_left(slots, low) * size : bisect_left(slots, high) * size]


def _joined(pieces: Sequence[_Piece]) -> bytes:
    return b"".join([records for _, records in pieces])


def _dense(
    known: list[int] | None,
    length: int,
    pieces: Sequence[_Piece],
    size: int,
    numbers: Sequence[int],
    lead: int = 0,
) -> list[int]:
    """Return a list over *length* slots, *lead* of them before the range, with *numbers* in it.

    These are those of records of *size* bytes, piece after piece. They are put into *known*, if
    that is given.
    """
    if len(numbers) == length:
        return list(numbers)
    dense = [0] * length if known is None else known
    begin = 0
    for at, records in pieces:
        count, base = len(records) // size, at + lead
        of_piece = numbers[begin : begin + count]
        low, high = records[0], records[-size]
        if high - low + 1 == count:  # without a gap
            dense[base + low : base + high + 1] = of_piece
        else:
            for slot, number in zip(records[::size], of_piece, strict=True):
                dense[base + slot] = number
        begin += count
    return dense


# ----------------------------------------------------------------------------------- curves


def levels_before(nets: Nets, day: int) -> dict[str, int]:
    """Return the level of each series before the UTC *day*: whole blocks, then days."""
    levels = [0] * len(SERIES)
    for block, packed in nets.items():
        if block < block_of(day):
            levels = list(map(add, levels, block_nets(packed)))
        elif block == block_of(day):
            levels = list(map(add, levels, nets_before(packed, day - block * DAYS_PER_BLOCK)))
    return dict(zip(SERIES, levels, strict=True))


def _curves(
    cuts: Sequence[_Cut], pieces: _Pieces, lead: int, size: int
) -> dict[str, tuple[list[int], list[int]]]:
    """Return the nets and rises of each series over *size* slots, after *lead* slots."""
    length = lead + size
    nets: dict[str, list[int]] = {}
    rises: dict[str, list[int]] = {}
    for packed, source, place in cuts:
        for series, columns in sealed_curves(packed).items():
            for dense, column in zip((nets, rises), columns, strict=True):
                if series not in dense:
                    dense[series] = [0] * length
                dense[series][place] = column[source]
    for series, of_series in pieces.items():
        records = _joined(of_series)
        for dense, column in ((nets, nets_in(records)), (rises, rises_in(records))):
            dense[series] = _dense(dense.get(series), length, of_series, CURVE_RECORD, column, lead)
    return {
        series: (nets.get(series) or [0] * length, rises.get(series) or [0] * length)
        for series in SERIES
    }


# --------------------------------------------------------------------------------- counters

_Blocks = Sequence[tuple[_Cut, Mapping[str, Sequence[int]]]]


def _by_slot(blocks: _Blocks, pieces: _Pieces, size: int) -> dict[str, list[int]]:
    """Return the amounts of each counter in *size* slots, for counters that have any."""
    amounts: dict[str, list[int]] = {}
    for cut, counters in blocks:
        for metric, column in counters.items():
            wanted = column[cut.source]
            if any(wanted):
                if metric not in amounts:
                    amounts[metric] = [0] * size
                amounts[metric][cut.place] = wanted
    for metric, of_metric in pieces.items():
        numbers = amounts_in(_joined(of_metric))
        amounts[metric] = _dense(amounts.get(metric), size, of_metric, AMOUNT_RECORD, numbers)
    return amounts


def _by_span(blocks: _Blocks, pieces: _Pieces, edges: Sequence[int]) -> dict[str, list[int]]:
    """Return the sums of each counter between two *edges* each, for counters that have any.

    A span is mostly a local day; its edges fall within the UTC days of the records.
    """
    if not edges:
        return {}
    sums: dict[str, list[int]] = {}
    for cut, counters in blocks:
        begin, end = cut.place.start, cut.place.stop
        low, high = bisect_right(edges, begin) - 1, bisect_left(edges, end)  # spans in the block
        places = [min(max(edge, begin), end) - begin for edge in edges[low : high + 1]]
        for metric, column in counters.items():
            wanted = column[cut.source]
            if any(wanted):
                of_metric = sums.setdefault(metric, [0] * (len(edges) - 1))
                for index, (first, last) in enumerate(pairwise(places), low):
                    of_metric[index] += sum(wanted[first:last])
    for metric, of_pieces in pieces.items():
        numbers = amounts_in(_joined(of_pieces))
        before = _places(of_pieces, len(numbers), edges)
        found = [sum(numbers[first:last]) for first, last in pairwise(before)]
        sums[metric] = list(map(add, sums[metric], found)) if metric in sums else found
    return {metric: of_metric for metric, of_metric in sums.items() if any(of_metric)}


def _places(pieces: Sequence[_Piece], count: int, edges: Sequence[int]) -> Sequence[int]:
    """Return how many of the *count* records of all *pieces* lie before each of *edges*."""
    (first, of_first), (last, of_last) = pieces[0], pieces[-1]
    begin, end = first + of_first[0], last + of_last[-AMOUNT_RECORD] + 1
    if end - begin == count:  # without a gap, as in a busy account
        return _places_without_gap(begin, count, tuple(edges))
    days = [at for at, _ in pieces]
    before = [0, *accumulate(len(records) // AMOUNT_RECORD for _, records in pieces)]
    places = []
    for edge in edges:
        index = bisect_right(days, edge) - 1  # the last day that begins at the edge or before it
        within = edge - days[index] if index >= 0 else 0
        if 0 < within < SLOTS_PER_DAY:
            slots = pieces[index][1][::AMOUNT_RECORD]
            places.append(before[index] + bisect_left(slots, within))
        else:
            places.append(before[index + 1] if within else before[max(index, 0)])
    return places


@lru_cache(32)  # nearly all counters of a busy account have the same
def _places_without_gap(begin: int, count: int, edges: tuple[int, ...]) -> Sequence[int]:
    return [min(max(edge - begin, 0), count) for edge in edges]


def _totals(blocks: _Blocks, pieces: _Pieces) -> dict[str, int]:
    """Return the sum of each counter, for counters that have any."""
    totals = {metric: total_in(_joined(of_metric)) for metric, of_metric in pieces.items()}
    for cut, counters in blocks:
        for metric, column in counters.items():
            if total := sum(column[cut.source]):
                totals[metric] = totals.get(metric, 0) + total
    return _without_zeros(totals)


def _without_zeros(totals: dict[str, int]) -> dict[str, int]:
    """Return the sums that are not 0; where a void is pending, amounts may cancel each other."""
    return {metric: total for metric, total in totals.items() if total}


def _flow_totals(cuts: Sequence[_Cut], records: _FlowRecords) -> dict[str, int]:
    """Return the sum of each flow metric."""
    totals = {
        metric: total_in(b"".join(of_metric))
        for metric, of_metric in records.items()
        if is_flow_metric(metric)
    }
    for packed, source, _ in cuts:
        is_whole = source == slice(0, GRID)
        in_use, flows = sealed_flows(packed)
        first, end = (bisect_left(in_use, edge) for edge in (source.start, source.stop))
        for metric, flow in flows.items():
            amounts = flow.amounts()
            if not is_whole:
                ranks = flow.ranks()
                amounts = amounts[bisect_left(ranks, first) : bisect_left(ranks, end)]
            if total := sum(amounts):
                totals[metric] = totals.get(metric, 0) + total
    return _without_zeros(totals)


def flows_by_slot(
    first: int, end: int, days: Days, metrics: Collection[str]
) -> dict[str, list[int]]:
    """Return the amounts of some flow *metrics* in each slot of [first, end)."""
    runs = {metric: [0] * (end - first) for metric in metrics}
    for packed, source, place in _cuts(days, first, end):
        in_use, flows = sealed_flows(packed)
        for metric in flows.keys() & runs.keys():
            flow, shift = flows[metric], place.start - source.start
            for rank, amount in zip(flow.ranks(), flow.amounts(), strict=True):
                if source.start <= in_use[rank] < source.stop:
                    runs[metric][shift + in_use[rank]] = amount
    for at, low, high, fields in _touched(days.opened, first, end):
        for metric in metrics:
            if cut := _cut(fields.get(metric.encode(), b""), low, high):
                for slot, amount in zip(cut[::AMOUNT_RECORD], amounts_in(cut), strict=True):
                    runs[metric][at + slot] = amount
    return runs
