"""`usage demo` and `usage worker` as processes."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import xlrd

Start = Callable[..., "subprocess.Popen[bytes]"]


def children_of(pid: int) -> list[int]:
    """Return the processes below *pid*, at any depth."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in listed.splitlines()}
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [below for child in found for below in children_of(child)]


def is_running(pid: int) -> bool:
    """Tell whether the process is there."""
    return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0


def test_the_demo_writes_reports_and_leaves_nothing_running(process: Start, tmp_path: Path) -> None:
    """A first report within 30 s of the start; then Ctrl-C ends it within 20 s, with code 0."""
    folder = tmp_path / "reports"
    began = time.monotonic()
    demo = process("demo", "--days", "2", "-d", str(folder), cwd=tmp_path)
    while len(list(folder.glob("*/usage.xls"))) < 3:
        assert time.monotonic() - began < 30, "no report after 30 s"
        time.sleep(0.1)
    assert demo.stdout is not None
    answer = (line.decode() for line in demo.stdout)
    address = next(line for line in answer if line.startswith("Dashboard ")).split()[1]
    page = httpx.get(f"{address}accounts/acme/live")
    assert "Acme Insurance" in page.text
    # The first reports may be there before the worker's first heartbeat.
    while "no-worker" in (live := httpx.get(f"{address}api/accounts/acme/live")).text:
        assert time.monotonic() - began < 35, live.text
        time.sleep(0.1)
    below = children_of(demo.pid)
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=20)
    assert demo.returncode == 0, err.decode()
    assert b"events published" in out
    assert b"Open: the period has not ended." in out  # today is part of it
    assert len(below) >= 3
    assert not [pid for pid in below if is_running(pid)]
    with xlrd.open_workbook(folder / "acme" / "usage.xls") as book:
        sheet = book.sheet_by_name("Usage Report")
        values = {sheet.cell_value(row, 0): sheet.cell_value(row, 1) for row in range(sheet.nrows)}
        assert "Per hour" in book.sheet_names()
    assert values["Account"] == "Acme Insurance (acme)"
    assert values["Status"].startswith("Open · complete to ")
    assert values["Total"] > 50  # of a day at least, be it a Sunday
    assert values["Agent Application and Ticket Guidance"] > 5


def test_a_worker_waits_for_a_broker_that_is_away_and_says_so(process: Start) -> None:
    """It names what it waits for, and SIGTERM still ends it at once."""
    worker = process("worker")
    assert worker.stderr is not None
    while b"Waiting for Kafka" not in (answer := worker.stderr.readline()):
        assert answer, "it ended"
    worker.terminate()
    worker.communicate(timeout=5)
    assert worker.returncode == 0
