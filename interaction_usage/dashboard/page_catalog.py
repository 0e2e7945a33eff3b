"""The catalogue for the pages: labels, order and colours. Pure.

Scripts show what is here and have no list of their own, so that a counter of the catalogue is on
the page without a change to it.
"""

from collections.abc import Iterable
from functools import cache
from itertools import cycle
from typing import Any, Final

import orjson

from interaction_usage.dashboard.views import TURNED_TO
from interaction_usage.reports.bill import LINES
from rollups.catalog import (
    APPLICATION_LABELS,
    OUTCOME_LABELS,
    SECTIONS,
    SERIES_ROWS,
    SERVICE_LABELS,
    Section,
    Series,
    metrics_of,
    series_of,
)

#: The style sheet's colours for what is drawn together, in the order in which they are given out.
_CURVES: Final = ("--c1", "--c2", "--c3", "--c4", "--c5")
_SERVICES: Final = ("--c1", "--c2", "--c4", "--c3", "--c5")

_OUTCOMES: Final = ("--c1", "--c3")

#: What the button of a curve says where its label is too long for one.
_BUTTONS: Final = {"agent-sessions": "Agent and Guidance"}


@cache
def page_catalog() -> str:
    """Return the catalogue as pages have it, as JSON."""
    colors = dict(zip((row.id for row in SERIES_ROWS), cycle(_CURVES)))
    members = {
        "series": [_series(row, colors[row.id]) for row in SERIES_ROWS],
        "applications": _named(APPLICATION_LABELS, (colors[name] for name in APPLICATION_LABELS)),
        "outcomes": _named(OUTCOME_LABELS, _OUTCOMES),
        "services": _named(SERVICE_LABELS, cycle(_SERVICES)),
        "turnedTo": TURNED_TO,
        "sections": [_section(section) for section in SECTIONS],
    }
    return orjson.dumps(members).decode()


@cache
def bill_labels() -> str:
    """Return what each number of a report is called, by its path, as JSON."""
    return orjson.dumps(
        {path: f"{line.section}: {line.label}" for path, line in LINES.items()}
    ).decode()


def concurrency_sections() -> list[tuple[Section, tuple[Series, ...]]]:
    """Return the sections that have curves, and those."""
    return [(section, curves) for section in SECTIONS if (curves := series_of(section))]


def _series(row: Series, color: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "label": row.label,
        "button": _BUTTONS.get(row.id, row.label),
        "applications": row.applications,
        "color": color,
    }


def _named(labels: dict[str, str], colors: Iterable[str]) -> list[dict[str, str]]:
    return [
        {"id": name, "label": label, "color": color}
        for (name, label), color in zip(labels.items(), colors, strict=False)
    ]


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "counters": [
            {"label": row.label, "path": row.json_path, "unit": row.unit.name}
            for row in metrics_of(section)
        ],
        "series": [row.id for row in series_of(section)],
    }
