"""A real Prometheus that scrapes a real worker and a real dashboard, and evaluates the alerts."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from confluent_kafka import Producer

from interaction_usage import monitoring
from interaction_usage.servers.child import Child
from interaction_usage.servers.mock_broker import mock_broker
from interaction_usage.servers.ports import free_port
from interaction_usage.servers.redis_server import RedisServer, redis_server
from tests.monitoring.test_alerts import ROOT, RULES, alerts
from tests.support.event_lines import flow
from tests.support.serving import Dashboard, dashboard
from tests.support.system import USAGE

BOARD = ROOT / "deploy" / "grafana" / "usage.json"
_NAME = re.compile(r"\b(?:usage|process)_[a-z_]+\b")


@dataclass
class Deployment:
    """A deployment of one worker and an archive, and the Prometheus that watches it."""

    broker: str
    redis: RedisServer
    worker: Child
    served: Dashboard
    client: httpx.Client

    def ask(self, path: str, **query: str) -> Any:
        """Return what Prometheus' API answers."""
        answer = self.client.get(f"/api/v1/{path}", params=query).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def names(self) -> set[str]:
        """Return the names of all series."""
        return set(self.ask("label/__name__/values"))

    def firing(self) -> set[str]:
        """Return the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"]}

    def publish(self, *values: bytes) -> None:
        """Publish records to the topic of flow runs."""
        producer = Producer({"bootstrap.servers": self.broker, "log_level": 0})
        for value in values:
            producer.produce("usage.flows", value)
        assert producer.flush(30) == 0


def until(holds: Callable[[], bool], seen: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, seen()
        time.sleep(0.1)


def configured(folder: Path, port: int, alerting: int, archive: int, served: Dashboard) -> Path:
    """Return the example's configuration with these targets, quicker, and alerts at once."""
    config = yaml.safe_load((RULES.parent / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "200ms", "evaluation_interval": "200ms"}
    worker, evaluator, copying, page = config["scrape_configs"]
    copying["static_configs"] = [{"targets": [f"127.0.0.1:{archive}"]}]
    worker["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    evaluator["static_configs"] = [{"targets": [f"127.0.0.1:{alerting}"]}]
    page["static_configs"] = [{"targets": [served.url.removeprefix("http://")]}]
    page["authorization"]["credentials_file"] = str(folder / "token")
    (folder / "token").write_text(served.token())
    rules = re.sub(r"^ +for: .*\n", "", RULES.read_text("utf-8"), flags=re.MULTILINE)
    (folder / "alerts.yml").write_text(rules, "utf-8")
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    return file


@pytest.fixture(scope="module")
def deployment(
    need: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Yield a deployment in which all is well."""
    need("prometheus", "the metrics as Prometheus sees them")
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        broker = stack.enter_context(mock_broker()).bootstrap
        redis = stack.enter_context(redis_server())
        served = stack.enter_context(dashboard(redis.url))
        port, alerting, archive, own = (free_port() for _ in range(4))
        worker = Child("The worker", folder / "worker.log")
        stack.callback(worker.kill)
        environment = {
            **os.environ, "USAGE_KAFKA": broker, "USAGE_REDIS": redis.url,
            "USAGE_HEALTH_PORT": f"127.0.0.1:{port}",
        }  # fmt: skip
        worker.start([*USAGE, "worker"], lambda: True, environment=environment)
        evaluator = Child("The alerts", folder / "alerts.log")
        stack.callback(evaluator.kill)
        environment["USAGE_HEALTH_PORT"] = f"127.0.0.1:{alerting}"
        evaluator.start([*USAGE, "alerts", "run"], lambda: True, environment=environment)
        copying = Child("The archive", folder / "archive.log")
        stack.callback(copying.kill)
        environment |= {
            "USAGE_HEALTH_PORT": f"127.0.0.1:{archive}", "USAGE_ARCHIVE": str(folder / "archive"),
            "USAGE_ARCHIVE_INTERVAL": "1",
        }  # fmt: skip
        copying.start([*USAGE, "archive", "run"], lambda: True, environment=environment)
        prometheus = Child("Prometheus", folder / "prometheus.log")
        stack.callback(prometheus.kill)
        config = configured(folder, port, alerting, archive, served)
        command = ["prometheus", f"--config.file={config}"]
        command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{own}"]
        prometheus.start(command, lambda: _answers(own))
        asking = httpx.Client(base_url=f"http://127.0.0.1:{own}", timeout=30)
        stack.callback(asking.close)
        running = Deployment(broker, redis, worker, served, asking)
        # Once there is everything, also what is looked at every five seconds.
        running.publish(flow("first"))
        last = {"usage_sealing_timestamp_seconds", "usage_archive_commit_timestamp_seconds"}
        until(lambda: last <= running.names(), running.names)
        until(lambda: not running.firing(), running.firing)
        yield running


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def expressions() -> list[str]:
    """Return what alerts and board ask Prometheus for."""
    panels = json.loads(BOARD.read_text("utf-8"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [*asked, *(alert["expr"] for alert in alerts())]


def test_everything_that_is_defined_is_scraped(deployment: Deployment) -> None:
    """Each metric of every process, as the kind that it is said to be."""
    assert {row["metric"]["job"] for row in deployment.ask("query", query="up == 1")["result"]} == {
        "usage-worker", "usage-alerts", "usage-archive", "usage-dashboard"
    }  # fmt: skip
    kinds = {name: row[0]["type"] for name, row in deployment.ask("metadata").items()}
    for row in (*monitoring.WORKER, *monitoring.ALERTS, *monitoring.ARCHIVE, *monitoring.DASHBOARD):
        assert kinds.get(row.name) == row.kind, row.name


def test_every_metric_that_alerts_and_board_name_is_there(deployment: Deployment) -> None:
    """A panel of a name that is not scraped would be empty, and an alert silent, for ever."""
    named = {name for expression in expressions() for name in _NAME.findall(expression)}
    assert len(named) > 25
    assert named <= deployment.names()


def test_everything_that_is_asked_can_be_answered(deployment: Deployment) -> None:
    """Each expression is one, and each label that it sums by is there."""
    for expression in expressions():
        deployment.ask("query", query=expression.replace("$__rate_interval", "1m"))


def test_faults_fire(deployment: Deployment) -> None:
    """Without the time for which they must last: what is refused, Redis away, the worker gone."""
    deployment.publish(flow(1), b"nonsense")
    until(lambda: deployment.firing() == {"UsageEventsRefused"}, deployment.firing)
    counted = deployment.ask("query", query="usage_events_counted_total")["result"]
    assert [row["value"][1] for row in counted] == ["2"]

    deployment.redis.kill()
    deployment.publish(flow(2))
    away = {"UsageWorkerNotReady", "UsageNothingCounts", "UsageDashboardDown"}
    until(lambda: away <= deployment.firing(), deployment.firing)
    waits = 'usage_wait_seconds_total{service="redis"} > 0'
    until(lambda: bool(deployment.ask("query", query=waits)["result"]), deployment.names)

    deployment.worker.kill()
    gone = {"UsageWorkerDown", "UsageNothingCounts", "UsageProgressUnknown"}
    until(lambda: gone <= deployment.firing(), deployment.firing)
    assert "UsageWorkerNotReady" not in deployment.firing()  # that is known of none


def test_the_board_can_be_read() -> None:
    """Each panel has a title, says what it shows, asks the chosen source, and covers no other."""
    board = json.loads(BOARD.read_text("utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["title"]
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
