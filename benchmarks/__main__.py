"""All benchmarks, one after the other, and one table at the end.

    python -m benchmarks [--short] [--write]

With `--write` the table also replaces the one in docs/performance.md, with the machine, the
versions and the date.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import (
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
)
from benchmarks.postgres import NoPostgres, programs
from benchmarks.table import Row, markdown
from interaction_usage.servers.apache_kafka import kafka_version
from interaction_usage.servers.redis_server import binary

_DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"
_ALL = (
    cost_curve, ingestion, budget, growth, report, export, report_pages, live_viewers, memory,
    freshness,
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


def _write(text: str) -> None:
    """Put *text* in the place of what was measured before."""
    document = _DOCUMENT.read_text("utf-8")
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _DOCUMENT.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}", "utf-8")


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer events, in under 10 minutes")
    parser.add_argument("--write", action="store_true", help="write into docs/performance.md, too")
    arguments = parser.parse_args()
    began = time.monotonic()
    rows: list[Row] = []
    for benchmark in _ALL:
        print(f"{benchmark.__name__} …", file=sys.stderr, flush=True)
        rows += benchmark.run(short=arguments.short)
    answer = surroundings(short=arguments.short, seconds=time.monotonic() - began)
    text = f"{answer}\n\n{markdown(rows)}"
    print(text)
    if arguments.write:
        _write(text)


if __name__ == "__main__":
    main()
