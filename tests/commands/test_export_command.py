"""`usage export`: what it writes, and what it says when it cannot."""

import asyncio
import csv
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import xlrd
from click.testing import Result
from redis.asyncio import Redis
from redis.client import Redis as RedisClient

from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups, read_active
from interaction_usage.store.writer import Writer
from tests.support import vector_files
from tests.support.caught_up import caught_up
from tests.support.reference import LIMITS

MONTH = ("--from", "2026-10-01", "--to", "2026-10-31")
Usage = Callable[..., Result]


@pytest.fixture(autouse=True, scope="module")
def _basics(redis_url: str) -> None:
    """Put the vector `basics` into the rollups."""

    async def fill() -> None:
        async with Redis.from_url(redis_url) as redis:
            writer = Writer(redis, LIMITS, clock=time.time)
            await writer.prepare()
            for topic, placed in vector_files.placed("basics").items():
                await writer.apply(f"{topic}/0", placed)

    asyncio.run(fill())
    with RedisClient.from_url(redis_url) as client:
        caught_up(client)


def test_the_file_is_usage_xls_in_the_current_folder(
    usage: Usage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without -o and --format it is usage.xls, and xlrd reads the report's numbers in it."""
    monkeypatch.chdir(tmp_path)
    done = usage("export", "acme", *MONTH)
    assert done.exit_code == 0, done.output
    with xlrd.open_workbook("usage.xls") as book:
        sheet = book.sheet_by_name("Usage Report")
        values = {sheet.cell_value(row, 0): sheet.cell_value(row, 1) for row in range(sheet.nrows)}
    assert values["Call Now minutes"] == 3.725
    assert values["Agent Application and Ticket Guidance"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["usage.xls"]


@pytest.mark.parametrize(
    ("output", "begins"),
    [("a.xls", b"\xd0\xcf"), ("a.xlsx", b"PK"), ("a.csv", b"\xef\xbb\xbf"), ("a.json", b"{")],
)
def test_the_name_of_the_file_tells_the_format(
    usage: Usage, tmp_path: Path, output: str, begins: bytes
) -> None:
    """`-o a.csv` needs no --format."""
    done = usage("export", "acme", *MONTH, "-o", str(tmp_path / output))
    assert done.exit_code == 0, done.output
    assert (tmp_path / output).read_bytes().startswith(begins)
    assert "in the format" not in done.stderr


def test_another_ending_than_that_of_the_format_is_said(usage: Usage, tmp_path: Path) -> None:
    """Nobody takes it for what its name says."""
    done = usage("export", "acme", *MONTH, "-o", str(tmp_path / "usage.pdf"))
    assert done.stderr.endswith(", UTC, in the format xls\n")


def test_standard_output_carries_the_report_and_nothing_else(usage: Usage) -> None:
    """`-o -` can be piped."""
    done = usage("export", "acme", *MONTH, "--format", "csv", "-o", "-")
    rows = list(csv.reader(io.StringIO(done.stdout_bytes.decode("utf-8-sig"))))
    assert rows[0][0] == "Usage Report"
    assert done.stderr == ""


def test_as_of_leaves_later_hours_out(usage: Usage) -> None:
    """Hours that begin at or after the instant are not part of the report."""
    at = ("--as-of", "2026-10-01T10:00:00Z", "--format", "json", "-o", "-")
    report = orjson.loads(usage("export", "acme", *MONTH, *at).stdout_bytes)
    assert report["concurrency"]["agent"]["reported_hours"] == 1
    assert report["as_of"] == "2026-10-01T10:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("acmee", *MONTH), 1, "no account 'acmee'"),
        (("acmee", *MONTH), 1, "Did you mean 'acme'?"),
        (("acme", "--from", "2026-10-31", "--to", "2026-10-01"), 2, "reversed"),
        (("acme", "--from", "2999-10-01", "--to", "2999-10-31"), 2, "lies in the future"),
        (("acme", *MONTH, "--tz", "Europe/Pariss"), 2, "no time zone 'Europe/Pariss'"),
        (("acme", *MONTH, "--tz", "../../etc/passwd"), 2, "no time zone"),
        (("acme", *MONTH, "-o", "nowhere/usage.xls"), 1, "no folder 'nowhere'"),
        (("acme", *MONTH, "-o", "/"), 1, "is a folder"),
        (("acme", "--from", "2026-02-30", "--to", "2026-10-01"), 2, "not a calendar day"),
        (("acme", "--from", "yesterday", "--to", "2026-10-01"), 2, "write it like 2026-10-01"),
        (("acme", "--from", "26-10-01", "--to", "2026-10-01"), 2, "write it like 2026-10-01"),
        (("acme", "--from", "2026-+1-01", "--to", "2026-10-01"), 2, "write it like 2026-10-01"),
        (("acme", "--from", "2026-1０-01", "--to", "2026-10-01"), 2, "write it like 2026-10-01"),
        (("acme", "--from", "20261001", "--to", "2026-10-01"), 2, "write it like 2026-10-01"),
        (("acme", *MONTH, "--as-of", "noon"), 2, "write it like 2026-11-01T09:00:00Z"),
        (
            ("acme", *MONTH, "--as-of", "9999-12-31T23:59:59Z", "--tz", "Asia/Tokyo"),
            2,
            "outside the calendar",
        ),
        (("acme", *MONTH, "--format", "pdf"), 2, "'pdf' is not one of"),
        (("acme", "--to", "2026-10-01"), 2, "Missing option '--from'"),
        (("acme", "--from", "2026-10-01"), 2, "Missing option '--to'"),
        (("acme",), 2, "--month 2026-10, or --from and --to"),
        (("acme", "--month", "2026-10", "--to", "2026-10-31"), 2, "not both"),
        (("acme", "--month", "2026-13"), 2, "'2026-13' is not a calendar month"),
        (("acme", "--month", "2026-10-01"), 2, "write it like 2026-10"),
        (("acme", "--month", "10/2026"), 2, "write it like 2026-10"),
        (("acme", "--month", "1999-12"), 2, "between 2000-01-01"),
        (("acme", "--month", "9999-12"), 2, "not a calendar month"),
        (("acme", "--month", "2999-10"), 2, "lies in the future"),
        (("acme", *MONTH, "--tz", ""), 2, "no time zone ''"),
        (("acme", *MONTH, "--tz", "localtime"), 2, "Did you mean UTC?"),
        (tuple(MONTH), 2, "Name an ACCOUNT"),
        (("", *MONTH), 2, "'' is not a valid account id"),
        (("\udcff", *MONTH), 2, "is not a valid account id"),
        (("..", *MONTH), 2, "but not . or .."),
        (("x" * 3000, *MONTH), 2, "is not a valid account id"),
        (("acme", *MONTH, "--as-of", "0001-01-01T00:00:00+14:00"), 2, "outside the calendar"),
        (("acme", *MONTH, "-o", ""), 2, "-o is empty"),
        (("acme", *MONTH, "-o", "a\0b"), 1, "cannot be the name of a file"),
        (
            ("acme", "--from", "2006-10-01", "--to", "2006-10-31", "--tz", "America/St_Johns"),
            2,
            "off the quarter of an hour",
        ),
        (("acme", "--from", "1999-12-31", "--to", "2000-01-01"), 2, "between 2000-01-01"),
        (("acme", "--from", "0002-01-01", "--to", "9998-12-31"), 2, "between 2000-01-01"),
        (("acme", "--from", "2010-01-01", "--to", "2020-01-09"), 2, "at most 3,660 days"),
    ],
)
def test_what_cannot_be_written_is_said_in_a_sentence(
    usage: Usage, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """Wrong usage is exit code 2, a failure exit code 1, and never a traceback."""
    done = usage("export", *arguments)
    assert done.exit_code == code, done.output
    assert says in " ".join(done.stderr.split())
    assert isinstance(done.exception, SystemExit)


@pytest.mark.parametrize(
    "arguments",
    [
        ("acme", "--from", "0002-01-01", "--to", "9998-12-31"),
        ("acme", "--from", "2010-01-01", "--to", "2020-01-09"),
        ("acme", "--month", "1999-12"),
        ("acme", "--month", "2999-01"),
        ("acme", "--month", "2026-10", "--tz", "right/UTC"),
        ("--all", "--from", "0002-01-01", "--to", "9998-12-31", "-d", "reports"),
        ("--all", "--month", "2026-10", "--tz", "localtime", "-d", "reports"),
        ("--all", "--month", "2026-10"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_connected_to(
    usage: Usage, arguments: tuple[str, ...]
) -> None:
    """At once, also where Redis is far away."""
    done = usage("export", *arguments, redis="redis://127.0.0.1:1/0")
    assert done.exit_code == 2
    assert "Redis" not in done.stderr


@pytest.mark.parametrize(
    ("month", "first", "last"),
    [
        ("2026-10", "2026-10-01", "2026-10-31"),
        ("2026-2", "2026-02-01", "2026-02-28"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2025-12", "2025-12-01", "2025-12-31"),
    ],
)
def test_a_month_is_the_first_and_the_last_day(
    usage: Usage, month: str, first: str, last: str
) -> None:
    """The report is the same as with --from and --to."""
    as_of = ("--as-of", "2026-11-26T00:00:00Z", "--format", "json", "-o", "-")
    one = usage("export", "acme", "--month", month, *as_of)
    assert one.exit_code == 0, one.output
    assert one.stdout == usage("export", "acme", "--from", first, "--to", last, *as_of).stdout
    assert orjson.loads(one.stdout_bytes)["to"] == last


def test_an_account_with_a_zone_that_is_none_any_more_is_reported_what_to_do(
    usage: Usage, redis_url: str
) -> None:
    """Earlier versions took what the machine could load; --tz still gives a report."""
    assert usage("account", "set", "late").exit_code == 0
    with RedisClient.from_url(redis_url) as client:
        client.hset(keys.settings("late"), "timezone", "localtime")
    done = usage("export", "late", *MONTH, "-o", "-")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "usage account set late --timezone ZONE" in done.stderr
    assert usage("export", "late", *MONTH, "--tz", "UTC", "-o", "-").exit_code == 0
    watched = usage("watch", "late", "--once")
    assert (watched.exit_code, watched.stderr) == (1, done.stderr)


def test_what_is_no_file_is_written_to_and_stays_what_it_is(usage: Usage, tmp_path: Path) -> None:
    """A pipe here; root would otherwise turn /dev/null into a file for everybody."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    usage("export", "acme", *MONTH, "--format", "json", "-o", str(pipe))
    reader.join(10)
    assert orjson.loads(got[0])["account"] == "acme"
    assert pipe.is_fifo()


def test_a_link_goes_on_naming_the_file(usage: Usage, tmp_path: Path) -> None:
    """The file that it names is the new report."""
    named, link = tmp_path / "named.json", tmp_path / "link.json"
    named.write_text("old")
    link.symlink_to(named)
    usage("export", "acme", *MONTH, "-o", str(link))
    assert link.is_symlink()
    assert orjson.loads(named.read_bytes())["account"] == "acme"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "named.json"]


def test_redis_that_does_not_answer_is_named_without_the_password(usage: Usage) -> None:
    """The sentence can be pasted into a ticket."""
    done = usage("export", "acme", *MONTH, redis="redis://:secret@127.0.0.1:1/0")
    assert done.exit_code == 1
    assert "Redis at 127.0.0.1:1/0 does not answer" in done.stderr
    assert "secret" not in done.output


def test_a_setting_that_cannot_be_used_is_named(usage: Usage) -> None:
    """And what it must be; never its value, in which a password may stand."""
    done = usage("export", "acme", *MONTH, redis="localhost:6379")
    assert done.exit_code == 1
    assert "USAGE_REDIS must be a URL like redis://" in done.stderr
    assert "localhost" not in done.stderr


def test_an_account_that_was_only_set_has_a_report_of_zeros(usage: Usage) -> None:
    """It exists, so it is no error; DNIS and SMS are as it was set."""
    assert usage("account", "set", "quiet", "--name", "=2+2", "--no-dnis").exit_code == 0
    done = usage("export", "quiet", *MONTH, "--format", "json", "-o", "-")
    report: dict[str, Any] = orjson.loads(done.stdout_bytes)
    assert report["flow_runs"]["total"] == 0
    assert report["name"] == "=2+2"
    assert report["dnis"] is None
    assert report["sms"] == {"messages_with_link": 0}


def test_the_accounts_own_time_zone_is_the_default(usage: Usage) -> None:
    """A click at 22:30 UTC belongs to the next day in Paris."""
    usage("account", "set", "other", "--timezone", "Asia/Tokyo")
    arguments = ("--from", "2026-10-01", "--to", "2026-10-01", "--format", "json", "-o", "-")
    report = orjson.loads(usage("export", "other", *arguments).stdout_bytes)
    assert report["timezone"] == "Asia/Tokyo"
    busiest = report["concurrency"]["web-self-service"]["busiest_hour"]
    assert busiest == "2026-10-01T19:00:00+09:00"


@pytest.mark.parametrize("file_format", ["xls", "json"])
def test_a_report_imports_nothing_it_does_not_need(redis_url: str, file_format: str) -> None:
    """A whole run of the command, for its start is most of what an operator waits for."""
    needless = {
        "_strptime", "confluent_kafka", "deltalake", "duckdb", "fastapi", "faust", "fractions",
        "multiprocessing", "openpyxl", "prometheus_client", "pyarrow", "pydantic", "rich",
        "xlsxwriter", "orjson" if file_format == "xls" else "xlwt",
    }  # fmt: skip
    arguments = ("export", "acme", *MONTH, "--format", file_format, "-o", os.devnull)
    code = (
        "import sys; from interaction_usage.commands.main import main;"
        f"main({list(arguments)!r}, standalone_mode=False);"
        f"print(sorted({needless!r} & set(sys.modules)))"
    )
    environment = {**os.environ, "USAGE_REDIS": redis_url}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, timeout=60
    )
    assert done.stdout == b"[]\n"


def test_rollups_that_a_rebuild_replaces_meanwhile_are_read_again(redis_url: str) -> None:
    """What is found while the old ones may be dropped is not all of it."""
    asked: list[str] = []
    with RedisClient.from_url(redis_url) as client:

        def look(rollups: Rollups) -> str:
            asked.append(rollups.keys.name)
            client.set(keys.LIVE, "u2")
            return rollups.keys.name

        try:
            assert read_active(client, look) == "u2"
        finally:
            client.delete(keys.LIVE)
    assert asked == ["u", "u2"]
