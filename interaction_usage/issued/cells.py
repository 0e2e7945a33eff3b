"""The values of a report's JSON, by path, and where two reports of one period differ. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from interaction_usage.reports.model import ChangedCell

Value = str | int | float | bool | None

#: Members that say something of the report itself, and not what it bills.
_ABOUT = frozenset(
    {
        "account", "name", "from", "to", "timezone", "as_of", "completeness", "number", "revises",
    }
)  # fmt: skip


def cells_of(document: Mapping[str, Any]) -> dict[str, Value]:
    """Return what a report bills: each value of its JSON *document* by its path, `a.b.c`."""
    return {
        path: value
        for name, member in document.items()
        if name not in _ABOUT
        for path, value in _flat(name, member)
    }


def _flat(path: str, member: Any) -> Iterator[tuple[str, Value]]:
    if isinstance(member, Mapping):
        for name, inner in member.items():
            yield from _flat(f"{path}.{name}", inner)
    elif not isinstance(member, list):
        yield path, member


def changed(issued: Mapping[str, Value], now: Mapping[str, Value]) -> tuple[ChangedCell, ...]:
    """Return the cells that differ, in the order of the report.

    A section that applies no more has None for each of its values. What only *now* has was not
    reported by the version that issued the report, unless a section applies since.
    """
    paths = [*issued, *(path for path in now if path not in issued)]
    pairs = ((path, issued.get(path), now.get(path)) for path in paths)
    return tuple(ChangedCell(*each) for each in pairs if each[1] != each[2])
