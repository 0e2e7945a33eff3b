"""An in-memory DuckDB for one question: the events as tables, and the SQL files run over them."""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from typing import Any, Final, Protocol, Self

import duckdb

from interaction_usage.evidence.errors import EvidenceTimeoutError

#: What DuckDB may use for one question; what does not fit into memory goes to a temporary folder.
_CONFIG: Final = {
    "threads": 2,
    "memory_limit": "2GB",
    "temp_directory": str(Path(gettempdir()) / f"usage-evidence-{os.getpid()}"),
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


class Source(Protocol):
    """Where the events come from."""

    @property
    def made_from(self) -> Mapping[str, Any]:
        """What the answer is made from, for its reader."""

    def attach(
        self, connection: "duckdb.DuckDBPyConnection", accounts: Sequence[str] | None
    ) -> None:
        """Make the tables `events` and `dead_letters` known to *connection*.

        Those of *accounts*, if they are given, must be there; others may be.
        """


class Database:
    """The events of a source, and the tables that the SQL files make of them; to be closed."""

    def __init__(
        self, source: Source, accounts: Sequence[str] | None, timeout_s: float | None = None,
        step: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._step = step
        self._connection = duckdb.connect(config=dict(_CONFIG))
        self._timeout_s, self._timer = timeout_s, _timer(timeout_s, self._connection)
        self._connection.execute("SET TimeZone = 'UTC'")
        source.attach(self._connection, accounts)
        self.run("seconds")
        self.run("series")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close it."""
        self.close()

    def close(self) -> None:
        """Forget everything."""
        if self._timer:
            self._timer.cancel()
        self._connection.close()

    def fill(self, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Make a *table* of *rows*; *columns* are names and types."""
        described = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        self._connection.execute(f"CREATE TEMP TABLE {table} ({described})")
        self._insert(table, rows)

    def replace(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Give a *table* that `fill` made other rows."""
        self._connection.execute(f"DELETE FROM {table}")
        self._insert(table, rows)

    def _insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            places = ", ".join("unnest(?)" for _ in columns)
            self._connection.execute(f"INSERT INTO {table} SELECT {places}", columns)

    def run(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run the file *name* of `sql/`; return the rows of its last statement.

        Raises EvidenceTimeoutError.
        """
        self._step(name)
        rows: list[tuple[Any, ...]] = []
        try:
            for statement in self._connection.extract_statements(_text(name)):
                wanted = {key: parameters[key] for key in statement.named_parameters}
                rows = self._connection.execute(statement, wanted).fetchall()
        except duckdb.InterruptException:
            raise EvidenceTimeoutError(self._timeout_s or 0) from None
        return rows


def _timer(
    seconds: float | None, connection: "duckdb.DuckDBPyConnection"
) -> threading.Timer | None:
    """Return a clock that has started, and interrupts *connection* after so many *seconds*."""
    if seconds is None:
        return None
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    return timer


@cache
def _text(name: str) -> str:
    return resources.files(__package__).joinpath("sql", f"{name}.sql").read_text("utf-8")
