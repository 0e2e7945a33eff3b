"""What is stored of a report is all of it: every format is drawn from it as from the report."""

import pytest

from export.formats import FORMATS
from interaction_usage.issued.errors import DamagedReportError
from interaction_usage.issued.packing import pack, report_in, xls_in
from interaction_usage.reports.model import ChangedCell, LateEvent, Revision
from tests.export import samples


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_is_the_same_from_what_is_stored(file_format: str) -> None:
    """Byte for byte, with hours of a clock change, flows and a revision."""
    cell = ChangedCell("flow_runs.total", 1, 2)
    event = LateEvent("source", "id", "usage.flow.run", "2026-10-01T00:00:00Z", "a", (cell,))
    report = samples.with_breakdowns(
        number="acme-000002", revision=Revision("acme-000001", (cell,), (event,))
    )
    stored = report_in(pack(report, b"xls"))
    assert FORMATS[file_format](stored) == FORMATS[file_format](report)
    assert stored.revision == report.revision


def test_damage_is_noticed() -> None:
    """Whatever of it is missing."""
    packed = pack(samples.report(), b"xls")
    assert xls_in(packed) == b"xls"
    for damaged in (b"", packed[:-9], packed[9:], b"x" * 100):
        with pytest.raises(DamagedReportError):
            xls_in(damaged)
