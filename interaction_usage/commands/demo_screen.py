"""What `usage demo` shows on a terminal: the figures, the companies, and what to try first."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from math import ceil
from typing import Any, Final, NamedTuple

from interaction_usage.commands.demo_companies import COMPANIES, Company
from interaction_usage.commands.terminal import Fitting, columns_that_fit, curve
from rollups.catalog import SERIES_ROWS
from rollups.local_time import zone

#: Columns of a terminal that are taken by the frame around the content, and around the table.
_FRAME: Final = 8
_CURVE_HOURS: Final = 24
_NAME_WIDTH: Final = 32  # "Bluebird Airlines New York 15:50"
#: Lines of the screen besides those of the first look.
_OTHER_LINES: Final = 20


class State(NamedTuple):
    """How far the demo is."""

    phase: str
    rate: float  #: events per second
    published: int
    counted: int
    behind: int
    refused: int
    dashboard: str
    written: str  #: which reports were written; empty before
    issued: Sequence[str]  #: the numbers of issued reports
    today: date


class Row(NamedTuple):
    """A company's line."""

    company: Company
    present: dict[str, int]  #: sessions at this second, by series
    peaks: Sequence[int]  #: of the last hours, of agents together


def screen(state: State, rows: Sequence[Row], size: tuple[int, int], now: datetime) -> Any:
    """Return the screen of a terminal of *size*, columns and lines."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    width, height = size
    inner = width - _FRAME
    parts = [_figures(state, inner), _companies(rows, inner, now), _places(state)]
    tips = _tips(state, inner, height - _OTHER_LINES)
    if tips:
        parts += ["", Text("First look", "bold"), *tips]
    return Panel(
        Group(*parts), title=Text(f"usage demo · {state.phase}"), title_align="left",
        subtitle="Ctrl-C to stop", subtitle_align="right", border_style="blue", padding=(1, 2),
        width=width,
    )  # fmt: skip


def _tips(state: State, width: int, most: int) -> list[Any]:
    """Return the lines of the first look, at most so many: two for each where one is too short."""
    from rich.text import Text

    lines: list[Any] = []
    room = most
    for address, what in first_look(state):
        is_short = len(what) + len(address) + 4 <= width
        room -= 1 if is_short else 1 + ceil((len(address) + 2) / width)
        if room < 0:
            break
        if is_short:
            lines.append(Text.assemble(f"  {what}: ", (address, "cyan")))
        else:
            lines += [Text(f"  {what}"), Text(f"  {address}", "cyan", overflow="fold")]
    return lines


def first_look(state: State) -> list[tuple[str, str]]:
    """Return what a newcomer may look at first: where, and what there is to see."""
    today = state.today
    acme = f"{state.dashboard}accounts/acme"
    found = [
        (f"{acme}/live", "who is there now, by the second"),
        (f"{acme}/evidence", "the week's peak, and who was there"),
        (f"{acme}?from={today - timedelta(days=364)}&to={today}", "a year: seasons, growth"),
    ]
    for episode in COMPANIES[0].episodes[:2]:
        day = today - timedelta(days=episode.days_ago)
        last = min(today, day + timedelta(days=episode.days - 1))
        found.append((f"{acme}?from={day}&to={last}", f"{episode.title}: find the hours"))
    own = [number for number in state.issued if number.startswith(f"{COMPANIES[0].id}-")]
    if own:
        found.append((f"{acme}/issued", f"{own[-1]}: corrected since; see what differs"))
    return found


def rate_of(rate: float) -> tuple[str, str]:
    """Return what *rate*, in events per second, is counted in, and the number as it is shown."""
    if rate >= 1:
        return "events/s", f"{rate:,.0f}"
    return "events/min", f"{max(rate, 0) * 60:.0f}"


def _figures(state: State, width: int) -> Any:
    from rich.table import Table

    figures = [
        rate_of(state.rate),
        ("published", f"{state.published:,}"),
        ("counted", f"{state.counted:,}"),
        ("behind", f"{max(state.behind, 0):,}"),
        ("refused", f"{state.refused:,}"),
    ]
    while sum(len(label) + len(value) + 4 for label, value in figures) > width:
        figures.pop()
    grid = Table.grid(padding=(0, 3))
    grid.add_row(*(_figure(label, value) for label, value in figures))
    return grid


def _figure(label: str, value: str) -> Any:
    from rich.text import Text

    return Text.assemble((value, "bold cyan"), " ", (label, "dim"))


def _companies(rows: Sequence[Row], width: int, now: datetime) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    titles = [series.short_label or series.label for series in SERIES_ROWS]
    wanted = [Fitting("Sessions present now", _NAME_WIDTH, 0)]
    wanted += [
        Fitting(title, max(map(len, title.split())), number + 1)
        for number, title in enumerate(titles)
    ]
    wanted.append(Fitting("Agents, last 24 hours", 24, 1))
    kept = columns_that_fit(wanted, width)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for place, column in enumerate(wanted):
        if place in kept:
            is_number = 0 < place <= len(titles)
            table.add_column(
                column.title, justify="right" if is_number else "left",
                max_width=column.width if is_number else None, no_wrap=not is_number,
            )  # fmt: skip
    for row in rows:
        local = now.astimezone(zone(row.company.timezone))
        city = row.company.timezone.rpartition("/")[2].replace("_", " ")
        name = Text.assemble(row.company.name, (f" {city} {local:%H:%M}", "dim"))
        cells: list[Any] = [
            name, *(f"{row.present[series.id]:,}" for series in SERIES_ROWS),
            Text(curve(row.peaks, 24), "cyan"),
        ]  # fmt: skip
        table.add_row(*(cell for place, cell in enumerate(cells) if place in kept))
    return table


def _places(state: State) -> Any:
    from rich.text import Text

    return Text.assemble(
        ("Dashboard  ", "dim"), (state.dashboard, "bold"),
        ("\nReports    ", "dim"), state.written or "as soon as two days are counted",
    )  # fmt: skip


def peaks_of_last_day(redis: Any, company: Company, now: datetime) -> list[int]:
    """Return the hourly peaks of agents together, of the last 24 hours."""
    from interaction_usage.reports.service import Detail, ReportRequest, make_report

    today = now.astimezone(zone(company.timezone)).date()
    request = ReportRequest(company.id, today - timedelta(days=1), today, None, now)
    report = make_report(redis, request, Detail.HOURS)
    return list(report.hours.peaks[SERIES_ROWS[0].id])[-_CURVE_HOURS:]
