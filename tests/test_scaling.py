"""docs/scaling.md says what the measurements in docs/performance.md come to, and nothing else."""

import pytest

from benchmarks import scaling
from benchmarks.table import Row, markdown, parsed

ROWS = [
    Row("growth", "an event in order", "1.26 ×", "11.9 µs"),
    Row("budget", "fold", "", "1.75 µs", "x"),
]


def test_the_page_is_computed_from_the_measurements() -> None:
    """After a change of either: `python -m benchmarks.scaling`."""
    page = scaling.SCALING.read_text("utf-8")
    assert page == scaling.computed(page, scaling.Costs.of(scaling.measured()))


def test_a_table_is_read_as_it_was_written() -> None:
    """The table is the one place of the numbers."""
    assert parsed(f"- a machine\n\n{markdown(ROWS)}\n") == ROWS


def test_a_measurement_that_is_missing_is_named() -> None:
    """As where a benchmark failed: the page stays as it is."""
    rows = [row for row in scaling.measured() if row.benchmark != "memory"]
    with pytest.raises(scaling.MissingMeasurementError, match=r"remembered identity.*memory"):
        scaling.Costs.of(rows)


def test_cores_follow_the_costs() -> None:
    """A million events/s at 6 µs each take 6 cores, and ten workers that use 60 % of theirs."""
    costs = scaling.Costs.of(scaling.measured())._replace(worker=6.0)
    page = scaling.computed(scaling.SCALING.read_text("utf-8"), costs)
    assert "| cores for workers | 0.6 | 0.12 | 6 |" in page
    assert "| workers | 1, and one on standby | 1, and one on standby | 10 |" in page
