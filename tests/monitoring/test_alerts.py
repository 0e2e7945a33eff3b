"""The alert rules: each fires in a fault of its own and in no other, and none while all is well.

promtool evaluates them over series that are written here, a value a minute; no server runs.
"""

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
MINUTES = 120

ALWAYS_0, ALWAYS_1 = f"0+0x{MINUTES}", f"1+0x{MINUTES}"
#: The second on the clock at each minute: what is as new as it can be.
NOW = f"0+60x{MINUTES}"
#: 60 a minute, from the beginning.
STEADY = f"0+60x{MINUTES}"
MISSING = f"_x{MINUTES}"


def rises_at(minute: int, by: int = 1, before: int = 0) -> str:
    """Return a counter that grows once, at *minute*."""
    return f"{before}+0x{minute - 1} {before + by}+0x{MINUTES - minute}"


def on(worker: str) -> dict[str, str]:
    """Return what a worker without any trouble reports."""
    at = f'job="usage-worker",instance="{worker}"'
    bucket = f"usage_micro_batch_write_seconds_bucket{{{at},le="
    return {
        f"up{{{at}}}": ALWAYS_1,
        f"usage_worker_ready{{{at}}}": ALWAYS_1,
        f"usage_worker_obstacles{{{at}}}": ALWAYS_0,
        f"process_start_time_seconds{{{at}}}": ALWAYS_1,
        f"usage_events_counted_total{{{at}}}": STEADY,
        f'usage_events_refused_total{{{at},reason="sealed"}}': ALWAYS_0,
        f'usage_events_refused_total{{{at},reason="invalid-data"}}': ALWAYS_0,
        f'usage_recoveries_total{{{at},cause="lost-writes"}}': ALWAYS_0,
        f'usage_recoveries_total{{{at},cause="rollups-switched"}}': ALWAYS_0,
        f'usage_wait_seconds_total{{{at},service="redis"}}': ALWAYS_0,
        f'usage_wait_seconds_total{{{at},service="kafka"}}': ALWAYS_0,
        f"usage_rebalances_total{{{at}}}": ALWAYS_1,
        f"usage_sealing_timestamp_seconds{{{at}}}": NOW,
        f'{bucket}"0.5"}}': STEADY,
        f'{bucket}"2.0"}}': STEADY,
        f'{bucket}"10.0"}}': STEADY,
        f'{bucket}"+Inf"}}': STEADY,
    }


W1 = 'job="usage-worker",instance="w1"'
W2 = 'job="usage-worker",instance="w2"'
PLACE = f'{{{W1},topic="usage.flows",partition="0"}}'
ARCHIVE = 'job="usage-archive",instance="a1"'
DASHBOARD = 'job="usage-dashboard",instance="d1"'
ALERTS = 'job="usage-alerts",instance="a1"'
STANDBY = 'job="usage-alerts",instance="a2"'
HEALTHY = {
    **on("w1"),
    **on("w2"),
    f"usage_complete_to_timestamp_seconds{{{W1}}}": NOW,
    f"usage_gaps_unaccepted{{{W1}}}": ALWAYS_0,
    f"usage_lag_seconds{PLACE}": ALWAYS_1,
    f"usage_blocked_records{PLACE}": ALWAYS_0,
    f"up{{{ALERTS}}}": ALWAYS_1,
    f"up{{{STANDBY}}}": ALWAYS_1,
    f"usage_alerts_ready{{{ALERTS}}}": ALWAYS_1,
    f"usage_alerts_ready{{{STANDBY}}}": ALWAYS_1,
    f"usage_alerts_active{{{ALERTS}}}": ALWAYS_1,
    f"usage_alerts_active{{{STANDBY}}}": ALWAYS_0,
    f'usage_alerts_rules{{{ALERTS},status="unknown"}}': ALWAYS_0,
    f"usage_alerts_given_up{{{ALERTS}}}": ALWAYS_0,
    f"up{{{ARCHIVE}}}": ALWAYS_1,
    f"usage_archive_ready{{{ARCHIVE}}}": ALWAYS_1,
    f'usage_archive_lag_records{{{ARCHIVE},topic="usage.flows",partition="0"}}': ALWAYS_0,
    f'usage_archive_lag_records{{{ARCHIVE},topic="usage.sms",partition="0"}}': (
        f"0+0x49 500+0x49 0+0x{MINUTES}"
    ),
    f"usage_archive_deleted_total{{{ARCHIVE}}}": ALWAYS_0,
    f"up{{{DASHBOARD}}}": ALWAYS_1,
    f'usage_http_requests_total{{{DASHBOARD},route="/",code="200"}}': STEADY,
    f'usage_http_requests_total{{{DASHBOARD},route="/",code="503"}}': ALWAYS_0,
}


class Scenario(NamedTuple):
    """What is otherwise than while all is well, and which alerts fire then, after 90 minutes."""

    name: str
    changes: Mapping[str, str]
    alerts: set[str]
    at: int = 90


SCENARIOS = [
    Scenario("all is well", {}, set()),
    Scenario(
        "no worker counts",
        {f"usage_worker_ready{{{W1}}}": ALWAYS_0, f"usage_worker_ready{{{W2}}}": ALWAYS_0},
        {"UsageNothingCounts", "UsageWorkerNotReady"},
    ),
    Scenario(
        "every worker is gone",
        {
            name: ALWAYS_0 if name.startswith("up{") else MISSING
            for name in HEALTHY if "usage-worker" in name
        },
        {"UsageNothingCounts", "UsageWorkerDown", "UsageProgressUnknown"},
    ),
    Scenario("a worker is gone", {f"up{{{W2}}}": ALWAYS_0}, {"UsageWorkerDown"}),
    Scenario(
        "a worker is gone for two minutes",
        {f"up{{{W2}}}": f"1+0x87 0+0x1 1+0x{MINUTES}",
         f"usage_worker_ready{{{W2}}}": f"1+0x87 _x2 1+0x{MINUTES}"},
        set(),
    ),
    Scenario(
        "a worker counts nothing", {f"usage_worker_ready{{{W2}}}": ALWAYS_0},
        {"UsageWorkerNotReady"},
    ),
    Scenario(
        "a worker starts again and again",
        {f"process_start_time_seconds{{{W2}}}": f"0+600x{MINUTES}"}, {"UsageWorkerRestarts"},
    ),
    Scenario(
        "a worker was started again twice",
        {f"process_start_time_seconds{{{W2}}}": f"1+0x59 2+0x19 3+0x{MINUTES}"}, set(),
    ),
    Scenario(
        "counting stopped 50 minutes ago",
        {f"usage_complete_to_timestamp_seconds{{{W1}}}": f"0+60x39 2400+0x{MINUTES}"},
        {"UsageCountingLate"},
    ),
    Scenario(
        "a backlog of four minutes",
        {f"usage_complete_to_timestamp_seconds{{{W1}}}": f"0+60x85 5160+0x4 5400+60x{MINUTES}"},
        set(),
    ),
    Scenario(
        "nobody looks",
        {f"usage_complete_to_timestamp_seconds{{{W1}}}": MISSING}, {"UsageProgressUnknown"},
    ),
    Scenario(
        "another worker looks",
        {f"usage_complete_to_timestamp_seconds{{{W1}}}": f"0+60x88 _x{MINUTES}",
         f"usage_complete_to_timestamp_seconds{{{W2}}}": f"_x90 5400+60x{MINUTES}"},
        set(),
    ),
    Scenario(
        "a partition is late", {f"usage_lag_seconds{PLACE}": f"900+0x{MINUTES}"},
        {"UsagePartitionLate"},
    ),
    Scenario(
        "a transaction is open",
        {f"usage_lag_seconds{PLACE}": f"900+0x{MINUTES}",
         f"usage_blocked_records{PLACE}": f"4+0x{MINUTES}"},
        {"UsageOpenTransaction"},
    ),
    Scenario(
        "a producer has transactions all the time",
        {f"usage_blocked_records{PLACE}": f"4+0x{MINUTES}"}, set(),
    ),
    Scenario(
        "Kafka deleted events", {f"usage_gaps_unaccepted{{{W1}}}": rises_at(60)},
        {"UsageEventsDeleted"},
    ),
    Scenario(
        "one event is refused",
        {f'usage_events_refused_total{{{W1},reason="invalid-data"}}': rises_at(60)},
        {"UsageEventsRefused"},
    ),
    Scenario(
        "one event was refused long ago",
        {f'usage_events_refused_total{{{W1},reason="invalid-data"}}': rises_at(20)}, set(),
    ),
    Scenario(
        "a tenth of all events is refused",
        {f'usage_events_refused_total{{{W1},reason="sealed"}}': f"0+14x{MINUTES}"},
        {"UsageEventsRefused", "UsageManyEventsRefused"},
    ),
    Scenario(
        "Redis lost writes",
        {f'usage_recoveries_total{{{W1},cause="lost-writes"}}': rises_at(60)},
        {"UsageRedisLostWrites"},
    ),
    Scenario(
        "a rebuild was activated",
        {f'usage_recoveries_total{{{W1},cause="rollups-switched"}}': rises_at(60)}, set(),
    ),
    Scenario(
        "writes wait for Redis",
        {f'usage_wait_seconds_total{{{W1},service="redis"}}': f"0+30x{MINUTES}"},
        {"UsageWritesWait"},
    ),
    Scenario(
        "Redis was restarted",
        {f'usage_wait_seconds_total{{{W1},service="redis"}}': rises_at(88, by=40)}, set(),
    ),
    Scenario(
        "writes take more than two seconds",
        {name: ALWAYS_0 for name in HEALTHY if 'le="0.5"' in name or 'le="2.0"' in name},
        {"UsageWritesSlow"},
    ),
    Scenario(
        "a right is missing", {f"usage_worker_obstacles{{{W1}}}": ALWAYS_1}, {"UsageKafkaDenied"}
    ),
    Scenario(
        "the group rebalances all the time",
        {f"usage_rebalances_total{{{W1}}}": f"0+1x{MINUTES}"}, {"UsageRebalancesOften"},
    ),
    Scenario(
        "workers were deployed",
        {f"usage_rebalances_total{{{W1}}}": rises_at(80, by=5)}, set(),
    ),
    Scenario(
        "nothing is sealed",
        {f"usage_sealing_timestamp_seconds{{{w}}}": f"60+0x{MINUTES}" for w in (W1, W2)},
        {"UsageSealingStopped"},
    ),
    Scenario(
        "the storage of the archive is away", {f"usage_archive_ready{{{ARCHIVE}}}": ALWAYS_0},
        {"UsageArchiveNotWriting"},
    ),
    Scenario(
        "the archive's process is gone",
        {
            name: ALWAYS_0 if name.startswith("up{") else MISSING
            for name in HEALTHY if "usage-archive" in name
        },
        {"UsageArchiveNotWriting"},
    ),
    Scenario(
        "there is no archive",
        {name: MISSING for name in HEALTHY if "usage-archive" in name}, set(),
    ),
    Scenario(
        "the archive is slower than what is published",
        {f'usage_archive_lag_records{{{ARCHIVE},topic="usage.flows",partition="0"}}':
         f"0+0x9 9+5x{MINUTES}"},
        {"UsageArchiveLate"},
    ),
    Scenario(
        "Kafka deleted what was not archived",
        {f"usage_archive_deleted_total{{{ARCHIVE}}}": rises_at(60)}, {"UsageArchiveGap"},
    ),
    Scenario("the dashboard is gone", {f"up{{{DASHBOARD}}}": ALWAYS_0}, {"UsageDashboardDown"}),
    Scenario(
        "the dashboard has errors",
        {f'usage_http_requests_total{{{DASHBOARD},route="/",code="503"}}': f"0+6x{MINUTES}"},
        {"UsageDashboardErrors"},
    ),
    Scenario(
        "no process evaluates", {f"usage_alerts_active{{{ALERTS}}}": ALWAYS_0},
        {"UsageAlertsNotEvaluated"},
    ),
    Scenario(
        "another process evaluates",
        {f"usage_alerts_active{{{ALERTS}}}": f"1+0x87 0+0x{MINUTES}",
         f"usage_alerts_active{{{STANDBY}}}": f"0+0x87 1+0x{MINUTES}"},
        set(),
    ),
    Scenario(
        "every process that evaluates is gone",
        {name: ALWAYS_0 if name.startswith("up{") else MISSING
         for name in HEALTHY if "usage-alerts" in name},
        {"UsageAlertsNotEvaluated"},
    ),
    Scenario(
        "rules are unknown", {f'usage_alerts_rules{{{ALERTS},status="unknown"}}': f"3+0x{MINUTES}"},
        {"UsageAlertsUnknown"},
    ),
    Scenario(
        "a receiver was away for a day", {f"usage_alerts_given_up{{{ALERTS}}}": rises_at(60)},
        {"UsageAlertsGivenUp"},
    ),
]  # fmt: skip


def alerts() -> list[dict[str, Any]]:
    """Return the rules."""
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return list(group["rules"])


def as_test(scenario: Scenario) -> dict[str, Any]:
    """Return *scenario* as promtool reads it: exactly these alerts fire."""
    series = {**HEALTHY, **scenario.changes}
    firing = 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0'
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in scenario.alerts]
    return {
        "name": scenario.name,
        "interval": "1m",
        "input_series": [{"series": name, "values": row} for name, row in series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{scenario.at}m", "exp_samples": samples}
        ],
    }


def test_each_fault_fires_what_is_meant_for_it(
    need: Callable[[str, str], str], tmp_path: Path
) -> None:
    """And nothing else: whoever is called should not have to guess which alert counts."""
    promtool = need("promtool", "the alert rules")
    tests = {"rule_files": [str(RULES)], "evaluation_interval": "1m"}
    tests["tests"] = [as_test(scenario) for scenario in SCENARIOS]
    file = tmp_path / "alerts_test.yml"
    file.write_text(yaml.safe_dump(tests), "utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_a_scenario() -> None:
    """No rule is untested."""
    fired = set().union(*(scenario.alerts for scenario in SCENARIOS))
    assert fired == {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_every_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    """A severity, a sentence, and a section of the operators' page, which begins with the same."""
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"].endswith(".")
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^### (\w+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert alert["alert"] in headings
    assert anchor == alert["alert"].lower()
