"""What the demo shows on terminals of any size: whole columns, and what to try first."""

from datetime import UTC, date, datetime

import pytest
from rich.console import Console

from interaction_usage.commands.demo_companies import COMPANIES
from interaction_usage.commands.demo_screen import Row, State, first_look, rate_of, screen
from rollups.catalog import SERIES

STATE = State(
    "live", 1_203.4, 480_112, 480_010, 0, 184, "http://127.0.0.1:8080/",
    "usage-demo/*/usage.xls, 90 ms for all three, 4.1 s after the start.",
    ["acme-000001", "acme-000002", "kumari-000002"], date(2026, 11, 27),
)  # fmt: skip
ROWS = [Row(company, dict.fromkeys(SERIES, 1_234), [*range(24)]) for company in COMPANIES]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("height", [24, 50])
def test_a_narrow_terminal_has_fewer_columns_and_no_cut_ones(width: int, height: int) -> None:
    """No line is longer than the terminal, and none ends in an ellipsis."""
    terminal = Console(width=width, height=height, force_terminal=True, color_system=None)
    with terminal.capture() as captured:
        shown = screen(STATE, ROWS, (width, height), datetime(2026, 11, 27, 20, tzinfo=UTC))
        terminal.print(shown)
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in captured.get()
    assert "Bluebird Airlines" in captured.get()
    assert "1,234" in captured.get()
    assert ("Service" in captured.get()) == (width == 200)  # the last column of sessions
    assert len(lines) <= height
    assert ("issued" in captured.get()) == (height == 50)


def test_a_first_look_leads_to_the_pages() -> None:
    """With the days of what happened, and the report that is worth a look."""
    found = dict(first_look(STATE))
    acme = "http://127.0.0.1:8080/accounts/acme"
    assert f"{acme}/live" in found
    assert found[f"{acme}?from=2026-11-19&to=2026-11-19"].startswith("an outage")
    assert found[f"{acme}/issued"].startswith("acme-000002:")
    assert f"{acme}/issued" not in dict(first_look(STATE._replace(issued=[])))


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (12_345.6, ("events/s", "12,346")),
        (1, ("events/s", "1")),
        (0.15, ("events/min", "9")),
        (0, ("events/min", "0")),
        (-2, ("events/min", "0")),  # what is behind was counted a moment later
    ],
)
def test_a_slow_rate_is_by_the_minute(rate: float, shown: tuple[str, str]) -> None:
    """A demo that shows 0 seems not to work."""
    assert rate_of(rate) == shown
