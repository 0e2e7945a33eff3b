"""The catalogue for the pages: labels, order and colours. Pure.

Scripts show what is here and have no list of their own, so that a counter of the catalogue is on
the page without a change to it.
"""

from functools import cache
from typing import Any, Final

import orjson

from interaction_usage.dashboard.views import TURNED_TO
from interaction_usage.reports.bill import LINES, name_at
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

#: What has a colour of its own in `static/palette.css`, named for its id.
_COLORED: Final = frozenset(
    (
        "agent-sessions", "agent", "ticket-guidance", "mobile-web", "web-self-service",
        "completed", "abandoned", "call-now", "callback", "chat", "email",
    )
)  # fmt: skip
#: What has none takes these in turn, until it gets one.
_SPARE: Final = ("--spare-1", "--spare-2", "--spare-3")

#: What the button of a curve says where its label is too long for one.
_BUTTONS: Final = {"agent-sessions": "Agent and Guidance"}


@cache
def page_catalog() -> str:
    """Return the catalogue as pages have it, as JSON."""
    members = {
        "series": [{**_series(row), **_drawn(n, row.id)} for n, row in enumerate(SERIES_ROWS)],
        "applications": _named(APPLICATION_LABELS),
        "outcomes": _named(OUTCOME_LABELS),
        "services": _named(SERVICE_LABELS),
        "turnedTo": TURNED_TO,
        "sections": [_section(section) for section in SECTIONS],
    }
    return orjson.dumps(members).decode()


@cache
def bill_labels() -> str:
    """Return what each number of a report is called, by its path, as JSON."""
    return orjson.dumps({path: name_at(path) for path in LINES}).decode()


def concurrency_sections() -> list[tuple[Section, tuple[Series, ...]]]:
    """Return the sections that have curves, and those."""
    return [(section, curves) for section in SECTIONS if (curves := series_of(section))]


def _series(row: Series) -> dict[str, Any]:
    return {
        "id": row.id,
        "label": row.label,
        "button": _BUTTONS.get(row.id, row.label),
        "applications": row.applications,
    }


def _named(labels: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"id": name, "label": label, **_drawn(number, name)}
        for number, (name, label) in enumerate(labels.items())
    ]


def _drawn(number: int, name: str) -> dict[str, str]:
    """Return the colour of *name*, which is the *number*-th of those drawn together."""
    return {"color": f"--{name}" if name in _COLORED else _SPARE[number % len(_SPARE)]}


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "counters": [
            {"label": row.label, "path": row.json_path, "unit": row.unit.name}
            for row in metrics_of(section)
        ],
        "series": [row.id for row in series_of(section)],
    }
