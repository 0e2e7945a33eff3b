"""What reports say of themselves while a real Kafka, a worker and a Redis come and go."""

import json
from collections.abc import Callable
from typing import Any

from interaction_usage.store import keys
from tests.support.event_lines import flow
from tests.support.system import System

OCTOBER = ("acme", "--from", "2026-10-01", "--to", "2026-10-31", "--tz", "UTC")


def runs(first: int, count: int) -> bytes:
    """Return *count* flow runs of October as lines."""
    numbers = range(first, first + count)
    return b"\n".join(flow(f"{n}", subject="acme", time="2026-10-01T12:00:00Z") for n in numbers)


def exported(system: System) -> dict[str, Any]:
    """Return the report as JSON."""
    done = system.usage("export", *OCTOBER, "--format", "json", "-o", "-")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_report_says_what_it_lacks(system: System) -> None:
    """Counted: provisional. With the worker dead and events waiting: incomplete, and exit codes."""
    worker = system.start_worker()
    system.usage("send", "-", stdin=runs(0, 300))
    system.catch_up()  # which also waits until reports know it
    said = exported(system)["completeness"]
    assert said["status"] == "provisional"
    assert (said["pending"], said["refused"], said["reasons"]) == (0, 0, [])
    assert said["complete_to"].startswith("20")
    system.usage("export", *OCTOBER, "--require-complete", "-o", str(system.folder / "a.xls"))

    worker.kill()
    system.usage("send", "-", stdin=runs(300, 200))
    with system.client() as client:
        client.delete(keys.PROGRESS)  # as it is 10 s later
    report = exported(system)
    assert report["flow_runs"]["total"] == 300
    assert report["completeness"]["status"] == "incomplete"
    assert report["completeness"]["pending"] is None
    [reason] = report["completeness"]["reasons"]
    assert reason.startswith("No worker has reported since ")
    target = system.folder / "b.xls"
    done = system.usage("export", *OCTOBER, "--require-complete", "-o", str(target), code=1)
    assert b"No worker has reported since" in done.stderr
    assert not target.exists()
    every = ("--all", *OCTOBER[1:], "-d", str(system.folder / "all"))
    done = system.usage("export", *every, code=1)
    assert b"Status: 1 incomplete" in done.stderr
    assert (system.folder / "all" / "acme.xls").exists()

    system.start_worker()
    system.catch_up()
    system.usage("export", *OCTOBER, "--require-complete", "-o", str(target))
    assert exported(system)["flow_runs"]["total"] == 500


def test_a_report_is_incomplete_while_redis_is_counted_again(
    system: System, eventually: Callable[..., None]
) -> None:
    """Whatever was reported before Redis lost everything says nothing of what it has now."""
    worker = system.start_worker()
    system.usage("send", "-", stdin=runs(0, 300))
    system.catch_up()
    eventually(
        lambda: exported(system)["completeness"]["status"] == "provisional", "it is provisional"
    )
    worker.kill()
    with system.client() as client:
        kept = client.get(keys.PROGRESS)
        positions = keys.FIRST.positions
        client.hset(positions, mapping=dict.fromkeys(client.hkeys(positions), b"0 0"))
        client.set(keys.PROGRESS, kept)
    [reason] = exported(system)["completeness"]["reasons"]
    assert reason.startswith("Redis lost what was counted last: 300 published events are ")
