"""Readings put together from open and sealed days, against the same added up slot by slot."""

from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interaction_usage.store.day_encoding import Day, seal
from interaction_usage.store.range_assembly import Days, assemble, flows_by_slot
from rollups.catalog import SERIES
from rollups.range_snapshot import Curve
from rollups.slots import DAYS_PER_BLOCK, SLOTS_PER_DAY, days_touched
from tests.store.day_drawing import FLOWS, days, fields
from tests.support.examples import examples

FIRST_DAY = 20 * DAYS_PER_BLOCK - 2  # the drawn days lie on both sides of where a block begins
kept = st.dictionaries(st.integers(FIRST_DAY, FIRST_DAY + 5), days, max_size=5)
edges = st.integers(FIRST_DAY * SLOTS_PER_DAY - 100, (FIRST_DAY + 6) * SLOTS_PER_DAY + 100)


def lying(kept: dict[int, Day], is_sealed: dict[int, bool], wanted: range, flows: bool) -> Days:
    """Return *kept* days as Redis has them; of open ones only the *wanted*."""
    blocks: dict[int, dict[int, Day]] = {}
    opened = {}
    for number, day in sorted(kept.items()):
        if is_sealed[number]:
            block, place = divmod(number, DAYS_PER_BLOCK)
            blocks.setdefault(block, {})[place] = day
        elif number in wanted:
            opened[number] = fields(day if flows else day._replace(flows={}))
    return Days(opened, {block: seal(entry) for block, entry in blocks.items()}, flows)


def nets(kept: dict[int, Day]) -> dict[int, bytes]:
    """Return the nets of blocks and days as the script keeps them."""
    found = {}
    for block in {number // DAYS_PER_BLOCK for number in kept}:
        sums, records = Counter(), b""
        for number, day in sorted(kept.items()):
            if number // DAYS_PER_BLOCK == block:
                for index, series in enumerate(SERIES):
                    if series in day.curves and (net := sum(day.curves[series].nets)):
                        sums[index] += net
                        place = number % DAYS_PER_BLOCK * len(SERIES) + index
                        # As wide as drawn nets need; a real one is that of sessions and fits four.
                        records += bytes([place]) + net.to_bytes(4, "big", signed=True)
        found[block] = b"".join(sums[i].to_bytes(5, "big", signed=True) for i in range(5)) + records
    return found


def slots_of(kept: dict[int, Day], kind: str) -> dict[str, dict[int, Any]]:
    """Return name to slot to numbers, for a kind of what days have."""
    found: dict[str, dict[int, Any]] = {}
    for number, day in kept.items():
        for name, (slots, *numbers) in getattr(day, kind).items():
            for slot, *row in zip(slots, *numbers, strict=True):
                found.setdefault(name, {})[number * SLOTS_PER_DAY + slot] = row
    return found


def is_moderate(kept: dict[int, Day]) -> bool:
    """Tell whether the net of every day fits where the script keeps it."""
    curves = [curve for day in kept.values() for curve in day.curves.values()]
    return all(abs(sum(curve.nets)) < 2**31 for curve in curves)


@given(kept.filter(is_moderate), st.data(), edges, edges, st.booleans())
@settings(deadline=None, max_examples=examples(200))
def test_a_reading_is_what_the_days_add_up_to(
    kept: dict[int, Day], data: st.DataObject, first: int, end: int, deep: bool
) -> None:
    """Whichever days are sealed, wherever the range begins and ends, days beside it or not."""
    first, end = min(first, end), max(first, end)
    is_sealed = {number: data.draw(st.booleans(), f"{number} is sealed") for number in kept}
    around = days_touched(first, end + 1)
    spare = data.draw(st.integers(0, 3), "days beside the range")
    wanted = range(around.start - spare, around.stop + spare)
    inner = data.draw(st.lists(st.integers(first, end), unique=True, max_size=6), "edges")
    between = sorted({first, end, *inner}) if deep else []
    found = assemble(
        first, end, nets(kept), lying(kept, is_sealed, wanted, flows=deep), by_slot=deep,
        edges=between,
    )  # fmt: skip
    inside = range(first, end)
    curves = slots_of(kept, "curves")
    for series in SERIES:
        entry = curves.get(series, {})
        assert found.carry[series] == sum(net for slot, (net, _) in entry.items() if slot < first)
        assert found.curves[series] == Curve(
            [entry.get(slot, (0, 0))[0] for slot in inside],
            [entry.get(slot, (0, 0))[1] for slot in inside],
        )
    counters = by_slot(slots_of(kept, "counters"), inside)
    assert found.totals == {metric: sum(amounts) for metric, amounts in counters.items()}
    assert found.by_slot == (counters if deep else {})
    spans = list(pairwise(between))
    sums = {m: [sum(a[b - first : e - first]) for b, e in spans] for m, a in counters.items()}
    assert found.by_span == {m: of_spans for m, of_spans in sums.items() if any(of_spans)}
    flows = by_slot(slots_of(kept, "flows"), inside)
    assert found.flows == ({m: sum(amounts) for m, amounts in flows.items()} if deep else {})


def by_slot(slots: dict[str, dict[int, Any]], inside: range) -> dict[str, list[int]]:
    """Return the amount in each slot, of those counters that have any."""
    dense = {
        metric: [entry[slot][0] if slot in entry else 0 for slot in inside]
        for metric, entry in slots.items()
    }
    return {metric: amounts for metric, amounts in dense.items() if any(amounts)}


@given(kept, st.data(), edges, edges)
@settings(deadline=None)
def test_some_flows_by_slot(
    kept: dict[int, Day], data: st.DataObject, first: int, end: int
) -> None:
    """Those that were asked for, and zeros for one that never ran."""
    first, end = min(first, end), max(first, end)
    is_sealed = {number: data.draw(st.booleans(), f"{number} is sealed") for number in kept}
    found = flows_by_slot(
        first, end, lying(kept, is_sealed, days_touched(first, end), flows=True), FLOWS[:3]
    )
    expected = by_slot(slots_of(kept, "flows"), range(first, end))
    assert found == {flow: expected.get(flow, [0] * (end - first)) for flow in FLOWS[:3]}
