"""What a revision changes, in the words of the report."""

from export import changes
from interaction_usage.reports.model import ChangedCell, LateEvent, Revision
from tests.export import samples


def test_numbers_have_the_names_of_the_report() -> None:
    """And not their places in its JSON document, unless they have no name."""
    cells = (ChangedCell("flow_runs.total", 1, 2), ChangedCell("dnis.call_minutes", 0.0, 1.5))
    event = LateEvent("source", "id", "usage.flow.run", "2026-10-01T00:00:00Z", "a", cells[:1])
    report = samples.with_breakdowns()._replace(
        revision=Revision("acme-000001", (*cells, ChangedCell("new.thing", None, 1)), (event,), "")
    )
    rows = [tuple(row) for row in changes.rows(report)]
    assert rows[1:4] == [
        ("Interaction Flows Run: Total", "1", "2"),
        ("DNIS Service: Call Now minutes", "0.0", "1.5"),
        ("new.thing", "none", "1"),
    ]
    assert rows[-1][4] == "Interaction Flows Run: Total 1 to 2"
