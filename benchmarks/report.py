"""The report: a month of one account against SQL over the raw events.

    python -m benchmarks.report [--short] [--events N]

The same events go into the rollups, into a Parquet file for DuckDB, and into a table of PostgreSQL
with an index on (account, time) and default settings. All make the same Usage Report; a peer's time
counts only if its members are those of `usage export --format json`. Medians of several runs, all
with an open connection and everything in the page cache.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from redis.client import Redis

from benchmarks import ours
from benchmarks.month import (
    ACCOUNT,
    AS_OF,
    COLUMNS,
    CONCURRENCY,
    COUNTS,
    FIRST,
    LAST,
    ZONE,
    document,
    events,
    sql,
    write_csv,
)
from benchmarks.postgres import NoPostgres, postgres
from benchmarks.progress import say
from benchmarks.table import Row, markdown, times
from interaction_usage.servers.redis_server import redis_server

_RUNS = 9


def _median(make: Callable[[], bytes]) -> float:
    """Return the median milliseconds that *make* takes."""
    taken = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        make()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def _ours(events_count: int, folder: Path) -> tuple[dict[str, Any], float]:
    """Return the report from the rollups and the milliseconds it takes."""
    with redis_server(folder / "redis") as server, Redis.from_url(server.url) as redis:
        ours.fill(server.url, events(events_count))

        def make() -> bytes:
            return ours.export(redis, ACCOUNT, FIRST, LAST, ZONE, AS_OF, "json")

        return ours.decoded(make()), _median(make)


def _duckdb(raw: Path) -> tuple[dict[str, Any], float]:
    """Return DuckDB's report from a Parquet file and the milliseconds it takes."""
    import duckdb

    parquet = raw.with_suffix(".parquet")
    types = {name: kind.replace("text", "varchar") for name, kind in COLUMNS.items()}
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * FROM read_csv('{raw}', header = true, columns = {types})) "
            f"TO '{parquet}' (FORMAT parquet)"
        )
        queries = [sql(query, f"'{parquet}'", "//") for query in (COUNTS, CONCURRENCY)]

        def make() -> bytes:
            counts, curves = (connection.execute(query).fetchall() for query in queries)
            return orjson.dumps(document(counts, curves))

        return orjson.loads(make()), _median(make)


def _postgres(raw: Path) -> tuple[dict[str, Any], float]:
    """Return PostgreSQL's report from a table with an index and the milliseconds it takes."""
    import psycopg

    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    with postgres() as address, psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE events ({columns})")
        with (
            raw.open("rb") as file,
            connection.cursor() as cursor,
            cursor.copy("COPY events FROM STDIN (FORMAT csv, HEADER true)") as copy,
        ):
            while piece := file.read(1 << 20):
                copy.write(piece)
        connection.execute("CREATE INDEX ON events (account, time)")
        connection.execute("VACUUM ANALYZE events")
        queries = [sql(query, "events", "/") for query in (COUNTS, CONCURRENCY)]

        def make() -> bytes:
            counts, curves = (connection.execute(query).fetchall() for query in queries)
            return orjson.dumps(document(counts, curves))

        return orjson.loads(make()), _median(make)


def _peer(
    label: str, package: str, measure: Callable[[], tuple[dict[str, Any], float]],
    expected: dict[str, Any], own: float,
) -> Row:  # fmt: skip
    """Return the row of a peer: its time if its report is right, otherwise why it has none."""
    if find_spec(package) is None:
        return Row("report", label, "", "", f"not run: the package {package} is not installed")
    say(f"report: {label}")
    try:
        found, milliseconds = measure()
    except NoPostgres as error:
        return Row("report", label, "", "", f"not run: {error}")
    wrong = [name for name in expected if found.get(name) != expected[name]]
    if wrong:
        say(f"{label}: {[(expected[n], found.get(n)) for n in wrong]}")
        return Row("report", label, "", "", f"does not count: {', '.join(wrong)} differ")
    return Row(
        "report", label, times(milliseconds / own), f"{milliseconds:,.1f} ms", "the same report"
    )


def run(*, short: bool, count: int | None = None) -> list[Row]:
    """Run everything of this benchmark and return its rows."""
    count = count or (200_000 if short else 1_000_000)
    with tempfile.TemporaryDirectory(prefix="usage-benchmark-") as name:
        folder = Path(name)
        say(f"report: filling {count:,} events")
        expected, own = _ours(count, folder)
        raw = folder / "events.csv"
        write_csv(raw, events(count))
        return [
            Row(
                "report", f"**usage export**, an account with a tenth of {count:,}", times(1),
                f"{own:,.1f} ms", "in process, from the first Redis command to the JSON",
            ),
            _peer("DuckDB on Parquet", "duckdb", lambda: _duckdb(raw), expected, own),
            _peer("PostgreSQL, indexed", "psycopg", lambda: _postgres(raw), expected, own),
        ]  # fmt: skip


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="200,000 events")
    parser.add_argument("--events", type=int, help="how many events of all accounts")
    arguments = parser.parse_args()
    print(markdown(run(short=arguments.short, count=arguments.events)))


if __name__ == "__main__":
    main()
