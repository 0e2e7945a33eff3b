"""All benchmarks, one after the other, and one table at the end.

    python -m benchmarks [--short] [--write] [--only NAME,...]

With `--write` the table also replaces the one in docs/performance.md, with the machine, the
versions and the date, and docs/scaling.md is computed from it. A benchmark that fails leaves a row
that says why, and the exit code is 1; the others go on. Ctrl-C ends the one that runs and those
behind it, and what was measured is printed.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import (
    alerts,
    budget,
    cost_curve,
    export,
    freshness,
    growth,
    ingestion,
    live_viewers,
    memory,
    report,
    report_pages,
    scaling,
    send,
)
from benchmarks.postgres import NoPostgres, programs
from benchmarks.progress import say
from benchmarks.table import Row, markdown
from interaction_usage.servers.kafka_files import kafka_version
from interaction_usage.servers.redis_server import binary

_ALL = (
    cost_curve, ingestion, send, budget, growth, report, export, report_pages, live_viewers, memory,
    freshness, alerts,
)  # fmt: skip
_PACKAGES = (
    "faust-streaming", "aiokafka", "confluent-kafka", "orjson", "redis", "bytewax", "quixstreams",
    "duckdb", "psycopg",
)  # fmt: skip


def surroundings(*, short: bool, seconds: float) -> str:
    """Return what the numbers were measured on, with what and when, as Markdown lines."""
    programs_found = [
        f"Apache Kafka and Kafka Streams {kafka_version()}",
        _first_line(str(binary()), "--version").split(" sha=")[0],
        _postgres(),
        _first_line("java", "-version"),
        f"Python {platform.python_version()}",
    ]
    packages = [f"{name} {_version(name)}" for name in _PACKAGES]
    return "\n".join(
        [
            f"- measured on {datetime.now(UTC):%Y-%m-%d}, the {'short' if short else 'long'} form,"
            f" in {seconds / 60:.0f} minutes; load of the machine {_load()} at the end",
            f"- machine: {os.cpu_count()} cores ({_cpu()}), {_memory()} GB, everything on it:"
            " broker, Redis, producers and what is measured",
            f"- {', '.join(filter(None, programs_found))}",
            f"- {', '.join(packages)}",
        ]
    )


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return f"no {command[0]}"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()[0]


def _postgres() -> str:
    try:
        return _first_line(str(programs() / "postgres"), "--version")
    except NoPostgres:
        return "no PostgreSQL"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def _load() -> str:
    return f"{os.getloadavg()[1]:.1f}"


def _name(benchmark: Any) -> str:
    return str(benchmark.__name__).rpartition(".")[2]


def measure(benchmarks: Sequence[Any], *, short: bool) -> tuple[list[Row], list[str]]:
    """Run *benchmarks*; return the rows, and what went wrong."""
    rows: list[Row] = []
    failures: list[str] = []
    for benchmark in benchmarks:
        name, began = _name(benchmark), time.monotonic()
        say(f"{name}: begins")
        try:
            rows += benchmark.run(short=short)
        except KeyboardInterrupt:
            failures.append(f"{name} was interrupted, and nothing behind it was run")
            break
        except Exception as error:  # the others have nothing to do with it
            traceback.print_exc()
            why = " ".join(f"{type(error).__name__}: {error}".split())
            failures.append(f"{name} failed: {why}")
            rows.append(Row(name.replace("_", " "), "not measured", "", "", f"failed: {why}"))
        say(f"{name}: took {time.monotonic() - began:.0f} s")
    return rows, failures


def _only(names: str) -> Sequence[Any]:
    """Return the benchmarks with these *names*, by commas; all of them for none."""
    known = {_name(benchmark): benchmark for benchmark in _ALL}
    wanted = list(filter(None, names.split(",")))
    if unknown := [name for name in wanted if name not in known]:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]}; there are {', '.join(known)}")
    return [known[name] for name in wanted] or _ALL


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer events, in under 10 minutes")
    parser.add_argument("--write", action="store_true", help="write into docs/, too; needs all")
    parser.add_argument("--only", type=_only, default=_ALL, help="names of benchmarks, by commas")
    arguments = parser.parse_args()
    if arguments.write and arguments.only is not _ALL:
        parser.error("--write replaces the whole table, so it needs all benchmarks, not --only")
    began = time.monotonic()
    rows, failures = measure(arguments.only, short=arguments.short)
    conditions = surroundings(short=arguments.short, seconds=time.monotonic() - began)
    text = f"{conditions}\n\n{markdown(rows)}"
    print(text)
    if arguments.write:
        failures += scaling.write(text, rows)
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
