"""`python -m benchmarks` comes to its table whatever one of the benchmarks does."""

from types import SimpleNamespace
from typing import Any

from benchmarks.__main__ import measure
from benchmarks.table import Row


def benchmark(name: str, outcome: Any) -> Any:
    """Return a module that measures a row, or raises."""

    def run(*, short: bool) -> list[Row]:
        if isinstance(outcome, BaseException):
            raise outcome
        return [Row(name, outcome, "", "1 ms")]

    return SimpleNamespace(__name__=f"benchmarks.{name}", run=run)


def test_a_benchmark_that_fails_leaves_the_others_their_rows() -> None:
    """And a row that says why, in one line."""
    failing = benchmark("cost_curve", ValueError("no\nbroker"))
    rows, failures = measure([benchmark("a", "x"), failing, benchmark("b", "y")], short=True)
    assert [row.what for row in rows] == ["x", "not measured", "y"]
    assert rows[1] == Row("cost curve", "not measured", "", "", "failed: ValueError: no broker")
    assert failures == ["cost_curve failed: ValueError: no broker"]


def test_what_was_measured_before_an_interrupt_is_kept() -> None:
    """Ctrl-C ends all of them."""
    rows, failures = measure(
        [benchmark("a", "x"), benchmark("b", KeyboardInterrupt()), benchmark("c", "y")], short=True
    )
    assert [row.what for row in rows] == ["x"]
    assert failures == ["b was interrupted, and nothing behind it was run"]
