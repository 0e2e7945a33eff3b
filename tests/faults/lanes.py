"""A pytest plugin that says what many fault runs come to: `make faults` loads it.

    seed 17  passed   46 s
    seed 20  FAILED  131 s
             AssertionError: account-3, (found, reference): {'totals.clicks.chat': (19, 20)}
    200 fault runs in 31 min: 199 passed, 1 failed (seed 20). Longest row without a failure: 180,
    seeds 21 to 200. Slowest: seed 20, 131 s.

Runs go on side by side, so the lines are in the order of their ends; the row is one of seeds.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

_SEED = re.compile(r"\[(\d+)\]$")


def pytest_configure(config: pytest.Config) -> None:
    """Say it in the process that shares the runs out, or in the only one."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Lanes())


class Lanes:
    """A line for each run, and a summary."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seconds: dict[int, float] = defaultdict(float)
        self._failed: set[int] = set()
        self._why: dict[int, str] = {}
        self._ended: list[int] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """Write no dot for a run: it has a line."""
        if not isinstance(report, pytest.TestReport):
            return None
        if report.when == "call" or not report.passed:
            return report.outcome, "", ""
        return "", "", ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a part of a run; write its line after the last, or where its process has ended."""
        found = _SEED.search(report.nodeid)
        if not found:
            return
        seed = int(found[1])
        self._seconds[seed] += report.duration
        if not report.passed:
            self._failed.add(seed)
            self._why[seed] = why_in(report.longreprtext)
        if report.when in ("setup", "call"):
            return
        self._ended.append(seed)
        said = "FAILED" if seed in self._failed else "passed"
        print(f"seed {seed:<5}  {said}  {self._seconds[seed]:4.0f} s", flush=True)
        if seed in self._why:
            print(f"            {self._why[seed]}", flush=True)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say how many passed, and how many in a row."""
        if not self._ended:
            return
        failed = sorted(self._failed)
        which = f" (seed{'s' * (len(failed) > 1)} {', '.join(map(str, failed))})" if failed else ""
        minutes = (time.monotonic() - self._began) / 60
        row = longest_row(set(self._ended) - self._failed)
        slowest = max(self._ended, key=lambda seed: self._seconds[seed])
        terminalreporter.write_line(
            f"{len(self._ended)} fault runs in {minutes:.1f} min: "
            f"{len(self._ended) - len(failed)} passed, {len(failed)} failed{which}. "
            f"Longest row without a failure: {len(row)}"
            f"{f', seeds {row[0]} to {row[-1]}' if row else ''}. "
            f"Slowest: seed {slowest}, {self._seconds[slowest]:.0f} s."
        )


def why_in(text: str) -> str:
    """Return the last error that a failure's *text* names, in one line."""
    errors = re.findall(r"^E\s+((?:\w+\.)*\w*Error\b.*)$", text, re.M)
    return errors[-1][:300] if errors else ""


def longest_row(seeds: Iterable[int]) -> range:
    """Return the longest row of seeds that follow each other, the first of those as long."""
    longest = row = range(0)
    for seed in sorted(seeds):
        row = range(row.start, seed + 1) if row and seed == row.stop else range(seed, seed + 1)
        longest = max(longest, row, key=len)
    return longest
