"""What a large deployment needs, computed from what was measured: the numbers in docs/scaling.md.

The table in docs/performance.md is the one place of these numbers. `python -m benchmarks --write`
replaces it and computes docs/scaling.md from it; a test holds that the two agree.

    python -m benchmarks.scaling

computes docs/scaling.md again from the table as it is, as after a change of its text.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

from benchmarks.table import Row, parsed

_DOCS = Path(__file__).parent.parent / "docs"
PERFORMANCE, SCALING = _DOCS / "performance.md", _DOCS / "scaling.md"

_BUSY_CORE = 0.6  #: the share of a core that a worker or a Redis node is sized for
_MEAN_OF_PEAK = 0.25
_DAY_SECONDS = 86_400
#: Days for which identities are remembered, at least and at most; sessions; their share of events.
_IDENTITY_DAYS, _SESSION_DAYS, _SESSION_SHARE = (35, 67), 36, 0.12
_NODE_BYTES = 64e9
_FULL_NODE = 0.75  #: of a node's memory that is used


class MissingMeasurementError(Exception):
    """The table has no row that scaling needs; the text says which."""


class Costs(NamedTuple):
    """What was measured of one worker, and of what is kept."""

    worker: float  #: µs of a core for an event in bulk
    redis: float  #: the same of Redis
    broker: float  #: and of the broker
    identity: float  #: bytes
    session: float  #: bytes
    quiet_year: float  #: KB of rollups
    busy_year: float  #: KB of rollups
    hot_account: float  #: events/s of one account, through one worker
    reports: float  #: accounts/s of `usage export --all`

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Costs":
        """Return the costs that *rows* of the table have. Raises MissingMeasurementError."""
        bulk = _row(rows, "cost curve", "bulk: **usage worker**")
        return cls(
            worker=_number(bulk.measured),
            redis=_number(bulk.note.partition("Redis ")[2]),
            broker=_broker(_row(rows, "ingestion", "**usage worker**").note),
            identity=_number(_row(rows, "memory", "remembered identity").measured),
            session=_number(_row(rows, "memory", "remembered session").measured),
            quiet_year=_number(_row(rows, "memory", "a quiet year").measured),
            busy_year=_number(_row(rows, "memory", "a busy year").measured),
            hot_account=_number(_row(rows, "hot account", "all events").measured),
            reports=_number(_row(rows, "export", "`--all`, xls").measured),
        )


def _row(rows: Sequence[Row], benchmark: str, what: str) -> Row:
    """Return the last row of *benchmark* about *what*: that of the most events."""
    found = [row for row in rows if row.benchmark == benchmark and row.what.startswith(what)]
    if not found:
        raise MissingMeasurementError(f"the table has no row “{what}” of `{benchmark}`")
    return found[-1]


def _number(text: str) -> float:
    found = re.match(r"[\d,]+(\.\d+)?", text)
    if not found:
        raise MissingMeasurementError(f"there is no number in “{text}”")
    return float(found[0].replace(",", ""))


def _broker(note: str) -> float:
    """Return the broker's µs, of a note such as `7.8 µs CPU an event (broker 3%, …`."""
    found = re.search(r"([\d.]+) µs CPU an event \(broker (\d+)%", note)
    if not found:
        raise MissingMeasurementError(f"there is no share of the broker in “{note}”")
    return float(found[1]) * int(found[2]) / 100


# ------------------------------------------------------------------------------------ the blocks


def _costs(costs: Costs) -> Iterator[Sequence[str]]:
    yield "component", "cost", "grows with", "measured by"
    curve, memory = "`python -m benchmarks.cost_curve`", "`python -m benchmarks.memory`"
    yield (
        "worker", f"{costs.worker:.1f} µs of a core per event in bulk",
        "events; at low rates more "
        "([cost curve](performance.md#what-an-event-costs-at-every-rate))",
        curve,
    )  # fmt: skip
    yield (
        "Redis, scripts", f"{costs.redis:.1f} µs of a core per event in bulk",
        "events, and the number of accounts in a micro-batch", "the same",
    )  # fmt: skip
    yield (
        "broker", f"{costs.broker:.1f} µs of a core per event that is read", "events",
        "`python -m benchmarks.ingestion`",
    )  # fmt: skip
    yield (
        "Redis, identities",
        f"{costs.identity:.1f} bytes",
        "events of the last 35 to 67 days",
        memory,
    )
    yield (
        "Redis, sessions",
        f"{costs.session:.0f} bytes",
        "sessions of the last 36 days",
        "the same",
    )
    yield (
        "Redis, deltas", "at most 0.5 KB for each slot of a series that had changes",
        "sessions of the last 35 days", "the same",
    )  # fmt: skip
    yield (
        "Redis, rollups",
        f"{costs.quiet_year:.0f} KB (20 events a day) to {costs.busy_year:.0f} KB (every slot of "
        "every series) a year",
        "accounts, and how many slots they use; not events", "the same",
    )  # fmt: skip
    yield "report", "milliseconds", "days in its period", "`python -m benchmarks.export`"


class _Size(NamedTuple):
    """A deployment."""

    name: str
    accounts: int
    peak: int  #: events/s
    partitions: int
    stays: bool = True  #: whether it runs for long, so that memory fills


_SIZES = (
    _Size("this machine", 2_000, 100_000, 12, stays=False),
    _Size("a platform", 100_000, 20_000, 24),
    _Size("a million a second", 1_000_000, 1_000_000, 96),
)


def _sizes(costs: Costs) -> Iterator[Sequence[str]]:
    yield "", *(size.name for size in _SIZES)

    def line(name: str, cell: Callable[[_Size], str], *, filled: bool = False) -> Sequence[str]:
        return name, *(cell(size) if size.stays or not filled else "" for size in _SIZES)

    yield line("accounts", lambda size: f"{size.accounts:,}")
    yield line("events/s at the peak", lambda size: f"{size.peak:,}")
    yield line("events a day", lambda size: f"{_daily(size) / 1e6:,.0f} million", filled=True)
    yield line("partitions of each topic", lambda size: f"{size.partitions}")
    yield line("workers", lambda size: _with_standby(_cores(size, costs.worker)))
    yield line("cores for workers", lambda size: f"{_cores(size, costs.worker):.2g}")
    yield line(
        "Redis nodes (primaries), for the scripts",
        lambda size: f"{_processes(_cores(size, costs.redis))}",
    )
    yield line("cores for Redis", lambda size: f"{_cores(size, costs.redis):.2g}")
    yield line(
        "Redis memory for identities (35 to 67 days)",
        lambda size: _span([_daily(size) * days * costs.identity for days in _IDENTITY_DAYS]),
        filled=True,
    )
    yield line(
        "Redis memory for sessions (36 days), at 12 % of events",
        lambda size: _bytes(_sessions(size, costs)), filled=True,
    )  # fmt: skip
    yield line("Redis memory for a year of rollups", lambda size: _span(_rollups(size, costs)))
    yield line("Redis nodes of 64 GB, for the memory", lambda size: _nodes(size, costs))


def _daily(size: _Size) -> float:
    return size.peak * _MEAN_OF_PEAK * _DAY_SECONDS


def _sessions(size: _Size, costs: Costs) -> float:
    return _daily(size) * _SESSION_SHARE * _SESSION_DAYS * costs.session


def _rollups(size: _Size, costs: Costs) -> list[float]:
    return [size.accounts * kb * 1024 for kb in (costs.quiet_year, costs.busy_year)]


def _cores(size: _Size, microseconds: float) -> float:
    return size.peak * microseconds / 1e6


def _processes(cores: float) -> int:
    return max(1, ceil(round(cores / _BUSY_CORE, 6)))


def _with_standby(cores: float) -> str:
    return "1, and one on standby" if _processes(cores) == 1 else f"{_processes(cores)}"


def _nodes(size: _Size, costs: Costs) -> str:
    if not size.stays:
        return "1"
    totals = [
        _daily(size) * days * costs.identity + _sessions(size, costs) + rollups
        for days, rollups in zip(_IDENTITY_DAYS, _rollups(size, costs), strict=True)
    ]
    return " to ".join(f"{ceil(total / (_NODE_BYTES * _FULL_NODE)):,}" for total in totals)


def _bytes(number: float) -> str:
    if number >= 1e12:
        return f"{number / 1e12:.1f} TB"
    return f"{number / 1e9:.0f} GB" if number >= 1e10 else f"{number / 1e9:.1g} GB"


def _span(numbers: Sequence[float]) -> str:
    return " to ".join(map(_bytes, numbers))


def _limits(costs: Costs) -> Iterator[Sequence[str]]:
    yield "what", "its limit here", "beyond it"
    yield (
        "one account, in its Redis node", f"{1e6 / costs.redis:,.0f} events/s",
        "the producer divides the account",
    )  # fmt: skip
    yield (
        "one account, in one worker", f"{costs.hot_account:,.0f} events/s",
        "spread the account's events over several topics, or divide the account",
    )  # fmt: skip
    yield (
        "one worker, a whole core of its own", f"{1e6 / costs.worker:,.0f} events/s",
        "add workers, up to the number of partitions",
    )  # fmt: skip
    yield (
        "the reports of all accounts at once, xls", f"{costs.reports:,.0f} accounts/s",
        f"a million take {1e6 / costs.reports / 60:.0f} minutes; run it on several machines, each "
        "with a share of the accounts",
    )  # fmt: skip


_BLOCKS = {"costs": _costs, "sizes": _sizes, "limits": _limits}


def computed(page: str, costs: Costs) -> str:
    """Return *page* with its tables computed from *costs*."""
    for name, rows in _BLOCKS.items():
        head, *lines = rows(costs)
        table = ["| " + " | ".join(line) + " |" for line in lines]
        text = "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *table])
        page = replaced(page, name, text)
    return page


def replaced(page: str, name: str, text: str) -> str:
    """Return *page* with *text* between the marks of the block *name*."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, mark, rest = page.partition(begin)
    _, closing, after = rest.partition(end)
    if not mark or not closing:
        raise ValueError(f"the page has no block {name!r}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def write(text: str, rows: Sequence[Row]) -> list[str]:
    """Write the table into docs/performance.md, and what it means into docs/scaling.md.

    Returns why scaling.md stays as it is, where the table lacks a row that it needs.
    """
    page = PERFORMANCE.read_text("utf-8")
    PERFORMANCE.write_text(replaced(page, "measured", text), "utf-8")
    try:
        costs = Costs.of(rows)
    except MissingMeasurementError as error:
        return [f"docs/scaling.md was not computed again: {error}"]
    SCALING.write_text(computed(SCALING.read_text("utf-8"), costs), "utf-8")
    return []


def measured() -> list[Row]:
    """Return the rows of the table in docs/performance.md."""
    page = PERFORMANCE.read_text("utf-8")
    return parsed(page.partition("<!-- measured: begin -->")[2].partition("<!-- measured: end")[0])


if __name__ == "__main__":
    SCALING.write_text(computed(SCALING.read_text("utf-8"), Costs.of(measured())), "utf-8")
