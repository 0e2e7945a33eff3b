"""What one bar of a chart stands for: what the days in it have together."""

from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from interaction_usage.dashboard.spans import By, first_of, spans
from interaction_usage.reports.model import Days
from rollups.catalog import METRICS
from tests.export import samples
from tests.support.examples import examples

_amounts = st.lists(st.integers(-2, 2**40), min_size=70, max_size=70)


@given(
    st.sampled_from([By.DAY, By.WEEK, By.MONTH]),
    st.integers(20_000, 20_040),
    st.dictionaries(st.sampled_from(METRICS), _amounts, max_size=3),
)
@settings(deadline=None, max_examples=examples(20))
def test_a_span_has_the_sums_of_all_days_in_it(
    by: By, first: int, sums: dict[str, list[int]]
) -> None:
    """Wherever the period begins, its first week or month cut, each counter by itself."""
    days = Days(range(first, first + 70), sums)
    groups = groupby(days, lambda day: first_of(day.day, by))
    expected = [list(group) for _, group in groups]

    found = spans(samples.report(days=days), by)

    assert [(span.first, span.last) for span in found] == [
        (group[0].day, group[-1].day) for group in expected
    ]
    for span, group in zip(found, expected, strict=True):
        for metric in METRICS:
            together = sum(day.counts.amounts[metric] for day in group)
            assert span.counts.amounts[metric] == together
