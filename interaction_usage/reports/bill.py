"""The lines of a bill: each number of a report by its place in the JSON document. Pure.

`numbers` has the exact ones, an average as the sum and the hours that it is made of. Here they
become what a report shows, in its order, and the difference of two of them.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from interaction_usage.reports.numbers import BUSIEST, HOURS, MAXIMUM, SUM
from rollups import catalog
from rollups.catalog import APPLICATION_LABELS, MINUTES, Unit

if TYPE_CHECKING:
    from fractions import Fraction

#: What `numbers_of` returns.
Numbers = Mapping[str, int | str]
#: A number of a report as it is shown.
Value = str | int | float


class Line(NamedTuple):
    """A number of the report: where it stands, and the exact numbers that it is made of."""

    path: str  #: in the JSON document
    section: str
    label: str
    names: tuple[str, ...]
    unit: Unit | None = None

    @property
    def is_average(self) -> bool:
        """Tell whether it is a sum divided by hours."""
        return len(self.names) > 1

    @property
    def is_minutes(self) -> bool:
        """Tell whether it counts minutes."""
        return self.unit is MINUTES

    def value(self, numbers: Numbers) -> Value | None:
        """Return it as the report shows it; None where the *numbers* have none, or no instant."""
        if any(numbers.get(name, "") == "" for name in self.names):
            return None
        exact = self._exact(numbers)
        return exact if isinstance(exact, str) else self._shown(exact)

    def difference(self, before: Numbers, after: Numbers) -> int | float | None:
        """Return by how much it differs, rounded once; None for an instant."""
        first, second = self._exact(before), self._exact(after)
        if isinstance(first, str) or isinstance(second, str):
            return None
        return self._shown(second - first)

    def _exact(self, numbers: Numbers) -> "Fraction | str":
        from fractions import Fraction  # which reports without adjustments do without

        amounts = [numbers.get(name, 0) for name in self.names]
        first = amounts[0]
        if isinstance(first, str):
            return first
        return Fraction(first, int(amounts[1]) or 1) if self.is_average else Fraction(first)

    def _shown(self, amount: "Fraction") -> int | float:
        if self.is_average:
            return float(amount) if amount else 0
        return self.unit.reported(int(amount)) if self.unit else int(amount)


def lines() -> Iterator[Line]:
    """Yield every line of a bill, in the order of the report."""
    for section in catalog.SECTIONS:
        for metric in catalog.metrics_of(section):
            path = ".".join(metric.json_path)
            yield Line(path, section.title, metric.label, (metric.id,), metric.unit)
        for series in catalog.series_of(section):
            for member, label, names in _CURVE:
                yield Line(
                    f"concurrency.{series.id}.{member}", section.title, f"{series.label}, {label}",
                    tuple(f"{series.id}.{name}" for name in names),
                )  # fmt: skip
    for name, title in APPLICATION_LABELS.items():
        for member, label in (("started", "started"), ("without_stop", "without a stop")):
            path = f"{name}.{member}"
            yield Line(f"sessions.{path}", "Sessions", f"{title}, {label}", (path,))


#: The members of a curve, what they are called, and the numbers they are made of.
_CURVE: Final = (
    ("max", "maximum", (MAXIMUM,)),
    ("average", "average", (SUM, HOURS)),
    ("reported_hours", "reported hours", (HOURS,)),
    ("busiest_hour", "busiest hour", (BUSIEST,)),
)

LINES: Final = {line.path: line for line in lines()}


def name_at(path: str) -> str:
    """Return the name of the number at *path*: its section and label; the path for any other."""
    line = LINES.get(path)
    return f"{line.section}: {line.label}" if line else path


def value_text(value: str | int | float | None, *, sign: str = "") -> str:
    """Return a value of a report as a terminal shows it: averages with six decimals at most.

    Two averages of 3,660 days differ by more than that, or are the same.
    """
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:{sign},.6f}".rstrip("0").removesuffix(".")
    return f"{value:{sign},}" if isinstance(value, int) else value
