"""`usage export --all`: every account's report, and what stops one of them or all."""

import asyncio
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import xlrd
from click.testing import Result
from redis.asyncio import Redis as AsyncRedis
from redis.client import Redis

from interaction_usage.store import account_settings, keys
from interaction_usage.store.reads import Rollups
from interaction_usage.store.writer import Writer
from tests.support import vector_files
from tests.support.caught_up import caught_up
from tests.support.memory_ledger import MemoryLedger
from tests.support.reference import LIMITS

MONTH = ("--from", "2026-10-01", "--to", "2026-10-31")
AS_OF = ("--as-of", "2026-10-20T09:30:00.25Z")
Usage = Callable[..., Result]
Process = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    """Yield a client of a Redis that holds the vector `basics`, and three accounts only set."""

    async def fill() -> None:
        async with AsyncRedis.from_url(redis_url) as client:
            await client.flushall()
            writer = Writer(client, LIMITS, clock=time.time)
            await writer.prepare()
            for topic, placed in vector_files.placed("basics").items():
                await writer.apply(f"{topic}/0", placed)

    asyncio.run(fill())
    with Redis.from_url(redis_url) as client:
        caught_up(client)
        ledger = MemoryLedger(client)
        account_settings.put(ledger, "Acme", name="Another", timezone="Asia/Kathmandu", dnis=False)
        account_settings.put(ledger, "eu:acme", timezone="America/New_York")
        account_settings.put(ledger, "con")
        yield client


def files_in(folder: Path) -> dict[str, bytes]:
    """Return every file in a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("options", [(), ("--format", "json"), ("--tz", "Asia/Tokyo")])
def test_each_file_is_what_the_single_export_writes(
    usage: Usage, redis: Any, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """To the byte: in the account's own zone unless one is given, as of the same instant."""
    folder = tmp_path / "made" / "for it"
    done = usage("export", "--all", *MONTH, *AS_OF, *options, "-d", str(folder))
    assert done.exit_code == 0, done.output

    ending = "json" if "json" in options else "xls"
    names = {"Acme": "Acme@1", "eu:acme": "eu+acme", "con": "@con"}
    singles = {}
    for account in Rollups.live(redis).accounts():
        target = tmp_path / f"one.{ending}"
        assert usage("export", account, *MONTH, *AS_OF, *options, "-o", str(target)).exit_code == 0
        singles[f"{names.get(account, account)}.{ending}"] = target.read_bytes()
    assert len(singles) >= 5
    assert files_in(folder) == singles
    assert done.stderr == (
        f"{folder}: {len(singles)} reports, 2026-10-01 to 2026-10-31, "
        "as of 2026-10-20T09:30:00.250000Z\n"
        f"Status: {len(singles)} open\n"
    )


def test_without_as_of_one_instant_holds_for_all(usage: Usage, redis: Any, tmp_path: Path) -> None:
    """The last line names it; given to the single export, it makes the same file."""
    done = usage("export", "--all", *MONTH, "--format", "json", "-d", str(tmp_path))
    instant = done.stderr.splitlines()[0].rpartition("as of ")[2]
    single = usage("export", "acme", *MONTH, "--as-of", instant, "--format", "json", "-o", "-")
    assert (tmp_path / "acme.json").read_bytes() == single.stdout_bytes


def test_what_concerns_one_account_stops_no_other(usage: Usage, redis: Any, tmp_path: Path) -> None:
    """A zone that is none, keys of another type, a file that cannot be: reported in a line each."""
    redis.hset(keys.settings("con"), "timezone", "Mars/Base")
    redis.delete(keys.FIRST.nets("eu:acme"))
    redis.set(keys.FIRST.nets("eu:acme"), "no hash")
    (tmp_path / "Acme@1.xls").mkdir()
    expected = len(Rollups.live(redis).accounts())

    done = usage("export", "--all", *MONTH, "-d", str(tmp_path))

    assert done.exit_code == 1
    *answer, summary, statuses, failure = done.stderr.splitlines()
    assert [line.partition(": ")[0] for line in answer] == ["Acme", "con", "eu:acme"]
    assert "could not be written: Is a directory." in answer[0]
    assert "there is no time zone 'Mars/Base'" in answer[1]
    assert "WRONGTYPE" in answer[2]
    assert f"{expected - 3} reports" in summary
    assert statuses == f"Status: {expected - 3} provisional"
    assert failure == f"Error: Of {expected} reports, 3 could not be written."
    written = [path for path in tmp_path.iterdir() if path.is_file()]
    assert len(written) == expected - 3
    assert all(path.read_bytes().startswith(b"\xd0\xcf") for path in written)


def test_many_failures_are_reported_up_to_some_and_counted(
    usage: Usage, redis: Any, tmp_path: Path
) -> None:
    """Twenty lines, and how many more there are."""
    for number in range(30):
        account_settings.put(MemoryLedger(redis), f"lost-{number:02}")
        redis.hset(keys.settings(f"lost-{number:02}"), "timezone", "nowhere")
    done = usage("export", "--all", *MONTH, "--format", "csv", "-d", str(tmp_path))
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert lines[19].startswith("lost-19: there is no time zone 'nowhere'")
    assert lines[20] == "… and 10 more accounts without a report"
    assert len(lines) == 24
    assert (tmp_path / "acme.csv").exists()


def test_a_period_that_has_begun_in_some_zones_only(
    usage: Usage, redis: Any, tmp_path: Path
) -> None:
    """Kathmandu has a report of a day that New York cannot have yet."""
    options = ("--from", "2026-10-02", "--to", "2026-10-02", "--as-of", "2026-10-01T20:00:00Z")
    done = usage("export", "--all", *options, "-d", str(tmp_path))
    assert done.exit_code == 1
    assert "eu:acme: the period lies in the future" in done.stderr
    assert (tmp_path / "Acme@1.xls").exists()
    assert not (tmp_path / "eu+acme.xls").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("acme", "--all", *MONTH, "-d", "x"), 2, "Give the account 'acme' or --all, not both."),
        (MONTH, 2, "Name an ACCOUNT, or use --all with -d DIR."),
        (("acme", *MONTH, "-d", "x"), 2, "-d goes with --all"),
        (("--all", *MONTH, "-o", "x", "-d", "x"), 2, "-o names one file"),
        (("--all", *MONTH), 2, "With --all, name a directory for the reports with -d."),
        (("--all", *MONTH, "-d", ""), 2, "name a directory"),
        (("--all", *MONTH, "-d", "x", "--tz", "Europe/Pariss"), 2, "no time zone 'Europe/Pariss'"),
        (("--all", "--from", "2026-10-02", "--to", "2026-10-01", "-d", "x"), 2, "reversed"),
        (("--all", "--from", "2999-10-02", "--to", "2999-10-02", "-d", "x"), 2, "in the future"),
        (("--all", *MONTH, "-d", "a file"), 1, "'a file' cannot be a folder: File exists."),
        (("--all", *MONTH, "-d", "a file/x"), 1, "'a file/x' cannot be a folder"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    usage: Usage,
    redis: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    """Wrong usage is exit code 2, a failure exit code 1, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    Path("a file").touch()
    done = usage("export", *arguments)
    assert done.exit_code == code, done.output
    assert says in " ".join(done.stderr.split())
    assert isinstance(done.exception, SystemExit)
    assert files_in(tmp_path) == {"a file": b""}


def test_a_redis_without_accounts_is_a_failure(
    usage: Usage, redis_url: str, tmp_path: Path
) -> None:
    """It is the wrong one, more likely than not."""
    empty = redis_url.rpartition("/")[0] + "/7"
    done = usage("export", "--all", *MONTH, "-d", str(tmp_path), redis=empty)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "There is no account" in done.stderr


def test_a_redis_that_does_not_answer_is_a_failure(usage: Usage, tmp_path: Path) -> None:
    """In one line, as for one account."""
    done = usage("export", "--all", *MONTH, "-d", str(tmp_path), redis="redis://127.0.0.1:1/0")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "Redis at 127.0.0.1:1/0 does not answer" in done.stderr


# ------------------------------------------------------- what happens while it is running


@pytest.fixture
def crowd(redis: Any) -> int:
    """Put so many accounts into Redis that their reports take some seconds; return how many."""
    count = 1_000
    pipe = redis.pipeline(transaction=False)
    for number in range(count):
        pipe.hset(keys.settings(f"crowd-{number:04}"), "set", 1)
        pipe.sadd(keys.SETTINGS_ACCOUNTS, f"crowd-{number:04}")
    pipe.execute()
    return count


def running(process: Process, folder: Path, **more: Any) -> "subprocess.Popen[bytes]":
    """Return the command, at a moment at which it is writing files."""
    command = process("export", "--all", *MONTH, *AS_OF, "-d", str(folder), **more)
    while not folder.exists() or len(list(folder.iterdir())) < 20:
        assert command.poll() is None, command.communicate()
        time.sleep(0.01)
    return command


def workers_of(command: "subprocess.Popen[bytes]") -> list[int]:
    """Return the process ids of the command's workers."""
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def is_running(process: int) -> bool:
    """Tell whether a process is there and has not ended (as a zombie has)."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_half_file(
    process: Process, crowd: int, tmp_path: Path, sent: signal.Signals
) -> None:
    """Ctrl-C reaches the workers, too; what is there is whole, and nothing runs on."""
    folder = tmp_path / "reports"
    command = running(process, folder, start_new_session=True)
    workers = workers_of(command)
    assert workers
    os.killpg(command.pid, sent)
    _, stderr = command.communicate(timeout=30)

    assert command.returncode == 1
    assert stderr.startswith(b"Error: Stopped: at least ")
    assert stderr.count(b"\n") == 1
    assert not any(map(is_running, workers))
    files = sorted(folder.iterdir())
    assert 20 <= len(files) < crowd
    for path in files:
        assert path.suffix == ".xls"
        xlrd.open_workbook(path)


def test_a_worker_that_is_killed_costs_no_other_report(
    process: Process, crowd: int, tmp_path: Path
) -> None:
    """Its accounts are named, the others are written by those that are left; none left is said."""
    folder = tmp_path / "reports"
    command = running(process, folder)
    workers = workers_of(command)
    os.kill(workers[0], signal.SIGKILL)
    _, stderr = command.communicate(timeout=240)
    assert command.returncode == 1
    lines = stderr.decode().splitlines()
    written = len(list(folder.glob("*.xls")))
    if len(workers) > 1:
        assert lines[0].endswith(": Its worker process ended.")
        assert written >= crowd - 16
    else:
        assert "No worker process was left." in stderr.decode()


def test_workers_end_with_a_command_that_is_killed(
    process: Process, crowd: int, tmp_path: Path
) -> None:
    """They see it at the end of their pipe."""
    command = running(process, tmp_path / "reports")
    workers = workers_of(command)
    assert workers
    command.kill()
    command.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list((tmp_path / "reports").glob("*.tmp"))


def test_a_terminal_sees_how_far_it_is(process: Process, redis: Any, tmp_path: Path) -> None:
    """A bar, and the number of reports of all."""
    arguments = ("export", "--all", *MONTH, "-d", str(tmp_path))
    assert b"Exporting" not in process(*arguments).communicate(timeout=30)[1]
    total = len(Rollups.live(redis).accounts())

    ours, theirs = pty.openpty()
    command = process(*arguments, stderr=theirs)
    os.close(theirs)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal, suppress(OSError):  # how Linux tells its end
        while piece := terminal.read(65_536):
            shown += piece
    command.communicate(timeout=30)

    assert command.returncode == 0
    assert b"Exporting" in shown
    assert f"{total}/{total}".encode() in shown
