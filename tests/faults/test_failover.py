"""A replica of Redis takes over that did not have everything yet."""

import time
from pathlib import Path

from redis.client import Redis

from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store.reads import Rollups
from tests.faults.flaky_link import FlakyLink
from tests.support.event_lines import traffic
from tests.support.reference import report_of, rollups_of
from tests.support.system import System

DAYS, AS_OF = ("2026-10-01", "2026-10-02"), "2026-11-01T00:00:00Z"


def test_what_a_replica_promoted_too_early_does_not_have_is_read_again(
    fault_run: System, tmp_path: Path
) -> None:
    """[first half: on both][second half: on the old one only]; then the old one dies."""
    lines = list(traffic(6_000, seed=9, accounts=4))
    first, second = lines[:3_000], lines[3_000:]
    with (
        FlakyLink(fault_run.redis.port, 1, print) as link,
        redis_server(tmp_path / "replica") as replica,
    ):
        fault_run.worker_variables["USAGE_REDIS"] = f"redis://127.0.0.1:{link.port}/0"
        with fault_run.client() as old, Redis.from_url(replica.url) as new:
            new.replicaof("127.0.0.1", fault_run.redis.port)
            fault_run.start_worker()
            fault_run.usage("send", "-", stdin=b"\n".join(first))
            fault_run.catch_up()
            deadline = time.monotonic() + 20
            while (known := Rollups.live(new).positions()) != Rollups.live(old).positions():
                assert time.monotonic() < deadline, f"the replica has {known} only"
                time.sleep(0.05)
            new.replicaof("NO", "ONE")
            fault_run.usage("send", "-", stdin=b"\n".join(second))
            fault_run.catch_up()
            assert Rollups.live(old).positions() != Rollups.live(new).positions() == known
        link.lead_to(replica.port)
        fault_run.redis.kill()
        fault_run.redis = replica
        fault_run.catch_up()
        for account, rollups in rollups_of(lines).items():
            report = fault_run.report_here(account, *DAYS, as_of=AS_OF)
            assert report == report_of(rollups, account, *DAYS, "UTC", AS_OF)
        assert "Redis lost writes it had acknowledged" in fault_run.log()
        for worker in fault_run.workers:
            worker.kill()
