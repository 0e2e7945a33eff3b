"""Every layout that was ever released is restored, and gives the reports that it gave then."""

from typing import Any

import pytest

from interaction_usage.reports.model import Counts
from interaction_usage.store import backup, keys
from interaction_usage.store.reads import Rollups
from tests.rollups import oracle
from tests.support import layout_samples, vector_files

#: The first layout of which a sample was kept, and the first that counts sessions.
FIRST, COUNTS_SESSIONS = 5, 6


def test_each_layout_has_the_samples() -> None:
    """A new layout needs new ones: python -m tests.support.layout_samples."""
    for layout in range(FIRST, keys.LAYOUT + 1):
        names = {path.name for path in (layout_samples.FOLDER / str(layout)).iterdir()}
        assert names >= {
            f"{name}.{state}.backup"
            for name in ("basics", "clock-change", "edges", "tangled", "unfinished")
            for state in layout_samples.STATES
        }


SAMPLES = sorted(layout_samples.FOLDER.glob("*/*.backup"))


@pytest.mark.parametrize(
    "path", SAMPLES, ids=[f"{each.parent.name}-{each.name}" for each in SAMPLES]
)
def test_a_sample_gives_the_reports_of_the_vector(redis: Any, server: Any, path: Any) -> None:
    """Open days and sealed ones, in any server; sessions are right, or said to be unknown."""
    backup.restore(redis, layout_samples.read(path))
    rollups = Rollups.live(redis)
    name, layout = path.name.split(".")[0], int(path.parent.name)
    events = [item.event for log in vector_files.placed(name).values() for item in log]
    for case in vector_files.expected(name):
        reading = rollups.read(case.account, *case.period.slots)
        assert vector_files.members_of(case, reading) == case.report
        assert reading.has_sessions or layout < COUNTS_SESSIONS
        if reading.has_sessions:
            mine = [event for event in events if event.account == case.account]
            days = case.period.timezone, case.period.first, case.period.last
            assert Counts.of(reading.totals).sessions == oracle.sessions(mine, *days)


def test_the_sealed_samples_are_sealed(redis: Any, server: Any) -> None:
    """Otherwise both would show the same."""
    path = layout_samples.FOLDER / str(keys.LAYOUT) / "basics.sealed.backup"
    accounts = [each for each in layout_samples.read(path) if isinstance(each, backup.Account)]
    kinds = {rest.split(":")[1] for each in accounts for rest, _, _ in each.keys if rest}
    assert kinds == {"k", "n"} or kinds == {"k"}
