"""Redis with a replica and sentinels: a failover under a running worker, and what it loses."""

from pathlib import Path

import pytest

from interaction_usage.store.client import connect
from interaction_usage.store.reads import Rollups
from tests.support.event_lines import traffic
from tests.support.redis_certificates import make_certificates
from tests.support.redis_sentinel import until, watched_redis
from tests.support.reference import report_of, rollups_of
from tests.support.shared_broker import SharedBroker
from tests.support.system import System

DAYS, AS_OF = ("2026-10-01", "2026-10-02"), "2026-11-01T00:00:00Z"


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "tls"])
def test_a_failover_by_sentinels_loses_nothing(
    need_kafka: None, shared_broker: SharedBroker, tmp_path: Path, has_tls: bool
) -> None:
    """[both have it][the master alone has it][while the replica is promoted][afterwards]."""
    lines = list(traffic(2_000, seed=11, accounts=3))
    parts = [b"\n".join(lines[start : start + 500]) for start in range(0, 2_000, 500)]
    certificates = make_certificates(tmp_path / "certificates") if has_tls else None
    with watched_redis(tmp_path / "redis", certificates=certificates) as redis:
        system = System(shared_broker.without_topics(), redis, tmp_path)
        authority = f"?ssl_ca_certs={certificates}/ca.crt" if certificates else ""
        if certificates:
            system.variables["USAGE_REDIS_SSL_CA_LOCATION"] = str(certificates / "ca.crt")
        try:
            system.start_worker()
            system.usage("send", "-", stdin=parts[0])
            system.catch_up()
            until(redis.is_equal)
            redis.cut_off()
            system.usage("send", "-", stdin=parts[1])
            system.catch_up()
            with connect(f"{redis.url}{authority}") as client:
                counted = Rollups.live(client).positions()
            redis.master.kill()
            system.usage("send", "-", stdin=parts[2])
            redis.wait_for_failover()
            with connect(f"{redis.url}{authority}") as client:
                assert Rollups.live(client).positions() != counted
            system.usage("send", "-", stdin=parts[3])
            system.catch_up()
            assert "Redis lost writes it had acknowledged" in system.log()
            for account, rollups in rollups_of(lines).items():
                report = system.report_here(account, *DAYS, as_of=AS_OF)
                assert report == report_of(rollups, account, *DAYS, "UTC", AS_OF)
        finally:
            system.kill_workers()
