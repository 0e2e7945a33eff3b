"""Questions to an archive of 10,000,000 events: what a whole process of each takes, and each event.

    python -m benchmarks.evidence [--short] [--keep FOLDER]

All events are session events of one month, of 2,000 accounts of uneven size: what is hardest to
explain. They are archived as compaction leaves them, in files of 500,000 rows; the rollups
of the asked accounts are written by the worker's own writer, and the last events of all are in
Kafka alone. A process is timed from outside, from its start to its end, by the clock and by
processor time; the least of several runs counts, since others use the machine, too. It needs the
packages of `[archive]`. With `--keep`, the archive stays in FOLDER for the next run.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.ours import (
    EVENT_TOPICS,
    WORKER,
    Event,
    OffsetEvent,
    SessionStarted,
    SessionStopped,
    ensure_topics,
)
from benchmarks.stage import PARTITIONS, Failed, Stage, publish, running, stage
from benchmarks.table import Row, markdown
from interaction_usage.archive.archive import Archive
from interaction_usage.archive.location import Location
from interaction_usage.archive.records import EVENTS
from interaction_usage.store.writer import Writer
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT

_ACCOUNTS = 2_000
_FILE = 500_000
_TOPIC, _SOURCE = "usage.sessions", "/apps/contact-centre"
#: The id of the topic that was archived whole; it was deleted, and another one has its name.
_FORMER = "former00"
_MONTH_S, _BEGIN_S = 31 * 86_400, 1_790_812_800  # October 2026
_DAYS = ("--from", "2026-10-01", "--to", "2026-10-31", "--as-of", "2026-11-30T00:00:00Z")
#: So many events of all accounts are behind the archive's end, in Kafka.
_TAIL = 20_000
_LIMITS = dict.fromkeys(APPLICATIONS, DEFAULT_SESSION_LIMIT)
_STARTED, _STOPPED = "usage.session.started", "usage.session.stopped"
_QUESTIONS = ("explain", "concurrency", "capacity --sessions 10,20,30", "verify")
_DATA: dict[str, Any] = {_STARTED: SessionStarted, _STOPPED: SessionStopped}


class Spent(NamedTuple):
    """Seconds of a process."""

    wall: float
    cpu: float


def name_of(number: int) -> str:
    """Return the account with a number; 0 has the most events."""
    return f"account-{number:05}"


#: Of every event what it says, in the order of time. Numbers that look random come from hashes.
_EVENTS = """
CREATE MACRO draw(number, what) AS (hash(number, what) % 1_000_000_007) / 1_000_000_007.0;
CREATE TEMP TABLE drawn AS
WITH sessions AS (
    SELECT
        range AS number, CAST(floor($accounts * draw(range, 'owner') ** 1.48) AS INTEGER) AS owner,
        CAST(($begin + draw(range, 'start') * $seconds) * 1e6 AS BIGINT) AS start_us,
        CAST(-ln(1 - draw(range, 'length')) * 900e6 AS BIGINT) + 1_000_000 AS length_us,
        CASE WHEN draw(range, 'application') < 0.5 THEN 'agent' ELSE 'ticket-guidance' END
            AS application
    FROM range($sessions)
)
SELECT number, 'started' AS what, start_us AS time_us, owner, application FROM sessions
UNION ALL
SELECT number, 'stopped', start_us + length_us, owner, application FROM sessions
ORDER BY time_us, number, what;
"""

#: A stretch of them as rows of the archive. Values are as producers send them.
_ROWS = """
WITH named AS (
    SELECT
        *, 'usage.session.' || what AS type, printf('account-%05d', owner) AS account,
        $prefix || lpad(CAST(number * 7_919 % 1_000_000_007 AS VARCHAR), 10, '0') AS session,
        make_timestamptz(time_us) AS instant
    FROM drawn
    WHERE rowid >= $begin AND rowid < $end
    ORDER BY rowid
)
SELECT
    account, type, application, session, session || '/' || what AS id,
    owner % $partitions AS partition, instant AS time, time_us,
    '{"specversion":"1.0","id":"' || id || '","source":"/apps/contact-centre","type":"' || type
    || '","subject":"' || account || '","time":"' || strftime(instant, '%Y-%m-%dT%H:%M:%S.%fZ')
    || '","data":{"session":"' || session || '","application":"' || application || '"}}' AS value
FROM named
"""


def drawn(sessions: int) -> Any:
    """Return a database with the events of so many sessions."""
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    for statement in database.extract_statements(_EVENTS):
        parameters = {
            "accounts": _ACCOUNTS, "begin": _BEGIN_S, "seconds": _MONTH_S, "sessions": sessions,
        }  # fmt: skip
        wanted = {name: parameters[name] for name in statement.named_parameters}
        database.execute(statement, wanted)
    return database


def rows_of(database: Any, begin: int, end: int, prefix: str = "s-") -> pa.Table:
    """Return what the events from one to another say; names of sessions begin with *prefix*."""
    asked = {"begin": begin, "end": end, "partitions": PARTITIONS, "prefix": prefix}
    return database.sql(_ROWS, params=asked).to_arrow_table()


def _placed(rows: pa.Table, begin: int) -> pa.Table:
    """Return *rows* as the archive has them, from an offset on."""
    count = rows.num_rows
    known = {
        **{name: rows[name] for name in rows.column_names}, "key": rows["account"],
        "offset": pa.array(range(begin, begin + count)), "timestamp": rows["time"],
        "topic": pa.repeat(_TOPIC, count), "topic_id": pa.repeat(_FORMER, count),
        "outcome": pa.repeat("accepted", count), "source": pa.repeat(_SOURCE, count),
        "headers": pa.array([[]] * count, EVENTS.field("headers").type),
        "day": rows["time"].cast(pa.date32()),
    }  # fmt: skip
    columns = [
        known[field.name].cast(field.type) if field.name in known else pa.nulls(count, field.type)
        for field in EVENTS
    ]
    return pa.table(columns, schema=EVENTS)


def fill_archive(archive: Archive, count: int) -> None:
    """Archive *count* events, unless they are there."""
    after = {fence(number): count for number in range(PARTITIONS)}
    if archive.events.positions(after) == after:
        return
    before: dict[str, int] = {}
    with drawn(count // 2) as database:
        for begin in range(0, count, _FILE):
            after = dict.fromkeys(after, begin + _FILE)
            rows = _placed(rows_of(database, begin, begin + _FILE), begin)
            archive.events.append(rows, after, before)
            before = after


def fence(number: int) -> str:
    """Return the name of a partition of the topic that was archived whole."""
    return f"{_TOPIC}/{number}@{_FORMER}"


def count_archived(url: str, archive: Archive, accounts: Sequence[str]) -> None:
    """Write the rollups of the archived events of *accounts*."""
    condition = pc.field("account").isin(list(accounts))
    columns = ["account", "partition", "offset", "type", "time", "id", "session", "application"]
    rows = archive.events.dataset().to_table(columns, condition).sort_by("offset")
    micros = rows["time"].cast(pa.int64()).to_pylist()
    logs: dict[str, list[OffsetEvent]] = {}
    for row, time_us in zip(rows.to_pylist(), micros, strict=True):
        data = _DATA[row["type"]](row["session"], row["application"])
        event = Event(_SOURCE, row["id"], row["account"], time_us, data)
        logs.setdefault(fence(row["partition"]), []).append(OffsetEvent(row["offset"], event))

    async def write() -> None:
        writer = Writer.of(url, _LIMITS, timeout=60.0, clock=time.time)
        try:
            await writer.prepare()
            for name, log in logs.items():
                for begin in range(0, len(log), 20_000):
                    await writer.apply(name, log[begin : begin + 20_000])
        finally:
            await writer.close()

    asyncio.run(write())


def count_tail(on: Stage) -> None:
    """Publish events behind the archive's end, and have a worker count them."""
    with drawn(_TAIL // 2) as database:
        rows = rows_of(database, 0, _TAIL, "t-").select(["account", "value"]).to_pylist()
    ensure_topics(on.kafka, list(EVENT_TOPICS), PARTITIONS, 1)
    publish(on.kafka, ((_TOPIC, row["account"].encode(), row["value"].encode()) for row in rows))
    with running(WORKER, _environment(on), on.folder / "worker.log"):
        usage(["lag", "--until-zero", "120"], _environment(on))


def _environment(on: Stage) -> dict[str, str]:
    return {"USAGE_KAFKA": on.kafka, "USAGE_REDIS": on.url}


def usage(arguments: Sequence[str], environment: Mapping[str, str]) -> Spent:
    """Run the command `usage` with *arguments*; return what it took. Raises Failed."""
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, "-m", "interaction_usage.commands.main", *arguments],
        env={**os.environ, **environment}, capture_output=True, check=False,
    )  # fmt: skip
    wall, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise Failed(f"usage {arguments[0]}: {done.stderr.decode()}")
    cpu = after.children_user + after.children_system
    return Spent(wall, cpu - before.children_user - before.children_system)


def measure(folder: Path, *, short: bool) -> Iterator[Row]:
    """Yield what an event takes on the disk, and what each question takes."""
    count = 1_000_000 if short else 10_000_000
    archive = Archive.create(Location(str(folder)))
    fill_archive(archive, count)
    archive.events.reload()
    files = archive.events.files()
    size = sum(each.size for each in files) / count
    note = f"{count:,} session events of {_ACCOUNTS:,} accounts in {len(files)} files"
    yield Row("evidence", "an archived event", "", f"{size:.0f} bytes", note)
    accounts = [name_of(0), name_of(_ACCOUNTS - 1)]
    with stage() as on:
        count_archived(on.url, archive, accounts)
        count_tail(on)
        environment = {**_environment(on), "USAGE_ARCHIVE": str(folder)}
        for account in accounts:
            own = archive.events.dataset().count_rows(filter=pc.field("account") == account)
            note = f"{own:,} archived events of the account, {_TAIL:,} of all in Kafka alone"
            for question in _QUESTIONS:
                command, *options = question.split()
                asked = [command, account, *options, *_DAYS]
                tries = [usage(asked, environment) for _ in range(3 if short else 7)]
                best = Spent(*map(min, zip(*tries, strict=True)))
                took = f"{best.wall:.2f} s, {best.cpu:.2f} s of processor time"
                yield Row("evidence", f"usage {command}", "", took, note)


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="1,000,000 events, not 10,000,000")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="the archive stays there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="usage-benchmark-") as name:
        folder = arguments.keep or Path(name) / "archive"
        print(markdown(list(measure(folder, short=arguments.short))))


if __name__ == "__main__":
    main()
