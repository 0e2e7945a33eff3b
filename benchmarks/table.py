"""What the benchmarks print: rows of one table, ratios first."""

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One result."""

    benchmark: str
    what: str
    ratio: str  #: to the row it is compared with; empty where there is none
    measured: str
    note: str = ""  #: what it guarantees, the goal, or why it was not run


_HEADS = Row("benchmark", "what", "ratio", "measured", "note")


def markdown(rows: Sequence[Row]) -> str:
    """Return *rows* as a Markdown table whose columns are also aligned as text."""
    cells = [
        tuple(row[index] for index in (0, 2, 1, 3, 4)) for row in (_HEADS, *rows)
    ]  # the ratio is the second column
    widths = [max(len(row[index]) for row in cells) for index in range(5)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def parsed(text: str) -> list[Row]:
    """Return the rows of the table in *text*, as `markdown` writes it."""
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5 and cells[0] not in ("", _HEADS.benchmark):
            benchmark, ratio, what, measured, note = cells
            if benchmark.strip("-"):
                rows.append(Row(benchmark, what, ratio, measured, note))
    return rows


def times(ratio: float) -> str:
    """Return *ratio* with as many digits as it deserves, and a times sign."""
    return f"{ratio:.0f} ×" if ratio >= 20 else f"{ratio:.1f} ×" if ratio >= 2 else f"{ratio:.2f} ×"
