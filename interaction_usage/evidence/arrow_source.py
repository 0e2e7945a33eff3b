"""Events from Arrow: a table in memory, or a dataset that DuckDB reads only what it needs of."""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

_NO_DEAD_LETTERS = """
    CREATE TEMP TABLE dead_letters (
        refused_topic VARCHAR, refused_partition INTEGER, refused_offset BIGINT, kind VARCHAR,
        reason VARCHAR, account VARCHAR, time TIMESTAMPTZ
    )
"""


class ArrowSource:
    """The events, and the dead letters of those that were refused; both as Arrow has them."""

    def __init__(
        self, events: Any, dead_letters: Any = None, made_from: Mapping[str, Any] | None = None
    ) -> None:
        self._events, self._dead_letters = events, dead_letters
        self.made_from: Mapping[str, Any] = made_from or {}

    def attach(
        self, connection: "duckdb.DuckDBPyConnection", accounts: Sequence[str] | None
    ) -> None:
        """Make the tables known to *connection*, those of all accounts."""
        connection.register("events", self._events)
        if self._dead_letters is None:
            connection.execute(_NO_DEAD_LETTERS)
        else:
            connection.register("dead_letters", self._dead_letters)
