"""Kafka deletes records under a worker that is behind, and was given no reason to look."""

import re
import signal

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.event_lines import flow
from tests.support.system import System


def test_what_kafka_deletes_under_a_running_worker_is_reported(fault_run: System) -> None:
    """[counted][deleted while it is suspended][counted]: no rebalance, and yet no silence."""
    fault_run.variables["USAGE_PARTITIONS"] = "1"
    worker = fault_run.start_worker()
    fault_run.usage("send", "-", stdin=b"\n".join(flow(f"first {number}") for number in range(20)))
    fault_run.catch_up()
    worker.process.send_signal(signal.SIGSTOP)
    for count in (1, 50):  # a fetch that is under way brings the first
        fault_run.publish([("usage.flows", None, flow(f"{count} {n}"), None) for n in range(count)])
    admin = AdminClient({"bootstrap.servers": fault_run.kafka.bootstrap})
    [deleted] = admin.delete_records([TopicPartition("usage.flows", 0, 45)]).values()
    deleted.result(20)
    worker.process.send_signal(signal.SIGCONT)
    fault_run.catch_up()
    report = fault_run.report_here("acme", "2026-10-01", "2026-10-01", as_of="2026-11-01T00:00:00Z")
    assert worker.alive
    answer = re.search(
        r"usage.flows/0: Kafka deleted the offsets (\d+) to 44, and the rollups end before them",
        fault_run.log(),
    )
    assert answer, fault_run.log()
    assert report["flow_runs"]["total"] == int(answer[1]) + 71 - 45


def test_lag_is_not_0_while_what_kafka_deleted_is_in_no_gap(fault_run: System) -> None:
    """No worker runs: `usage lag` fails. One that starts records the gap, and nothing waits."""
    fault_run.variables["USAGE_PARTITIONS"] = "1"
    fault_run.start_worker()
    fault_run.usage("send", "-", stdin=flow("counted"))
    fault_run.catch_up()
    fault_run.kill_workers()
    fault_run.publish([("usage.flows", None, flow(f"lost {n}"), None) for n in range(5)])
    admin = AdminClient({"bootstrap.servers": fault_run.kafka.bootstrap})
    [deleted] = admin.delete_records([TopicPartition("usage.flows", 0, -1)]).values()
    deleted.result(20)
    for wait in ([], ["--until-zero", "0.5"]):
        failed = fault_run.usage("lag", *wait, code=1)
        assert b"Kafka deleted usage.flows/0, offsets 1 to 5 before they were counted" in (
            failed.stderr
        )
    fault_run.start_worker()
    fault_run.catch_up()
    assert b"usage.flows/0, offsets 1 to 5" in fault_run.usage("gaps", "list").stdout
