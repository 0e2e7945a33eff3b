"""Events of a type that was added to a copy of the tree: from Kafka to whatever shows their number.

    python -m tests.support.added_type EVENTS FOLDER

Run in the copy. Publishes the lines of the file EVENTS, lets a worker count them, writes the report
of `acme` in every format to FOLDER, and beside them what the dashboard and its API answer.
"""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from export.formats import FORMATS
from interaction_usage.commands.demo_companies import COMPANIES
from interaction_usage.commands.demo_events import day_events
from interaction_usage.servers.child import Child
from interaction_usage.servers.mock_broker import mock_broker
from interaction_usage.servers.redis_server import redis_server
from tests.support.serving import Dashboard, dashboard

USAGE = [sys.executable, "-m", "interaction_usage.commands.main"]
PERIOD = {"from": "2026-10-01", "to": "2026-10-31"}


def main(lines: Path, folder: Path) -> None:
    """Write everything to *folder*."""
    with mock_broker() as broker, redis_server() as redis:
        environment = {
            **os.environ, "USAGE_KAFKA": broker.bootstrap, "USAGE_REDIS": redis.url,
            "USAGE_PARTITIONS": "1",
        }  # fmt: skip

        def usage(*arguments: str) -> None:
            subprocess.run([*USAGE, *arguments], env=environment, check=True, timeout=120)

        worker = Child("The worker", folder / "worker.log")
        worker.start([*USAGE, "worker"], lambda: True, environment=environment)
        try:
            usage("send", str(lines))
            usage("lag", "--until-zero", "90")
        finally:
            worker.stop()
        for name in FORMATS:
            period = ["--from", PERIOD["from"], "--to", PERIOD["to"], "--format", name]
            usage("export", "acme", *period, "-o", str(folder / f"usage.{name}"))
        with dashboard(redis.url) as served:
            (folder / "dashboard.json").write_text(json.dumps(shown_by(served)))
    day = date(2026, 10, 1)
    demo = {event.topic for event in day_events(1, COMPANIES[0], day, day)}
    (folder / "demo.json").write_text(json.dumps(sorted(demo)))


def shown_by(served: Dashboard) -> dict[str, Any]:
    """Return the API's report, its OpenAPI document and the page."""
    client = served.client()
    client.post("/login", data={"token": served.token()}, headers={"Origin": served.url})
    return {
        "api": served.get_json("/accounts/acme/report", **PERIOD),
        "openapi": client.get("/openapi.json").json(),
        "page": client.get("/accounts/acme").text,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
