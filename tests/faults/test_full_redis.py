"""A Redis whose memory is full and that evicts nothing: it refuses writes, and the worker waits."""

import time

from tests.support.event_lines import traffic
from tests.support.reference import report_of, rollups_of
from tests.support.system import System

DAYS, AS_OF = ("2026-10-01", "2026-10-02"), "2026-11-01T00:00:00Z"


def test_a_worker_waits_while_redis_is_full_and_says_so(fault_run: System) -> None:
    """Then it gets more memory; each script was refused whole, so every event counts once."""
    lines = list(traffic(4_000, seed=10, accounts=4))
    worker = fault_run.start_worker()
    fault_run.usage("send", "-", stdin=b"\n".join(lines[:2_000]))
    fault_run.catch_up()
    with fault_run.client() as client:
        client.config_set("maxmemory", "1mb")
        fault_run.usage("send", "-", stdin=b"\n".join(lines[2_000:]))
        deadline = time.monotonic() + 30
        while "used memory > 'maxmemory'" not in fault_run.log():
            assert time.monotonic() < deadline, fault_run.last_words()
            time.sleep(0.05)
        assert worker.alive
        client.config_set("maxmemory", 0)
    fault_run.catch_up()
    for account, rollups in rollups_of(lines).items():
        report = fault_run.report_here(account, *DAYS, as_of=AS_OF)
        assert report == report_of(rollups, account, *DAYS, "UTC", AS_OF)
