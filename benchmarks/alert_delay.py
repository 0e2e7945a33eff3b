"""The delay of alerts: from an event that crosses a threshold to the webhook's arrival."""

import json
import socket
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from confluent_kafka import Producer

from benchmarks.progress import say
from benchmarks.stage import stage
from benchmarks.table import Row
from interaction_usage.servers.child import Child

_USAGE = [sys.executable, "-m", "interaction_usage.commands.main"]
_GOAL = 1.0
_PATIENCE_S = 60.0
#: Seconds between two events, each of another account: at most 25 a second.
_PAUSE_S = 0.04
#: Accounts whose receiver never answers.
_HANGING = 20


def measure(count: int) -> list[Row]:
    """Return the percentiles over so many events."""
    arrived: dict[str, float] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            arrived.setdefault(body["data"]["account"], time.time())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Write nothing."""

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    silent = socket.create_server(("127.0.0.1", 0))  # it accepts, and never answers
    with ExitStack() as stack:
        stack.callback(silent.close)
        stack.callback(receiver.shutdown)
        servers = stack.enter_context(stage())
        environment = {
            "USAGE_KAFKA": servers.kafka, "USAGE_REDIS": servers.url, "USAGE_PARTITIONS": "4",
            "USAGE_ALERTS_SECRET": "a secret of the benchmark, long enough",
            "USAGE_ALERTS_ALLOWED_NETWORKS": "127.0.0.0/8",
        }  # fmt: skip
        for name in ("worker", "alerts run"):
            child = Child(f"usage {name}", servers.folder / f"{name.split()[0]}.log")
            stack.callback(child.kill)
            child.start([*_USAGE, *name.split()], lambda: True, environment=environment)
        hooks = dict.fromkeys(_names(count), f"http://127.0.0.1:{receiver.server_port}/")
        dead = f"http://localhost:{silent.getsockname()[1]}/"
        say(f"alert delay: setting {count} rules, and {_HANGING} whose receiver never answers")
        _set_rules(hooks | dict.fromkeys(_names(_HANGING, "hanging"), dead), environment)
        say(f"alert delay: publishing {count} events, about {count * _PAUSE_S:.0f} s")
        _publish(_names(_HANGING, "hanging"), servers.kafka)
        published = _publish(list(hooks), servers.kafka)
        deadline = time.monotonic() + _PATIENCE_S
        while len(arrived) < count and time.monotonic() < deadline:
            time.sleep(0.05)
    delays = sorted(arrived[name] - at for name, at in published.items() if name in arrived)
    missing = count - len(delays)
    note = f"{count} events, {missing} never arrived" if missing else f"{count} events"
    marks = statistics.quantiles(delays, n=100)
    return [
        Row("alerts", f"event to webhook, p{mark}", f"{marks[mark - 1] / _GOAL:.2f} of the goal",
            f"{1000 * marks[mark - 1]:.0f} ms", f"goal {_GOAL:g} s; {note}" if mark == 99 else note)
        for mark in (50, 95, 99)
    ]  # fmt: skip


def _set_rules(hooks: dict[str, str], environment: dict[str, str]) -> None:
    """Set a rule for each account with its webhook, and wait until they are evaluated."""
    from interaction_usage import settings
    from interaction_usage.alerts import book
    from interaction_usage.alerts.rules import Rule
    from interaction_usage.alerts.states import Status
    from interaction_usage.store.client import connect
    from interaction_usage.store.errors import LedgerUnavailableError
    from stream_app.ledger import KafkaLedger

    config = settings.read(environment)
    with connect(config.redis) as redis:
        wanted = [
            Rule(name, "level", 1, hook, "agent", created=int(time.time()))
            for name, hook in hooks.items()
        ]
        deadline = time.monotonic() + _PATIENCE_S
        while True:  # a topic that was created just now has no leader
            try:
                book.set_rules(KafkaLedger(config, redis, 10.0), wanted)
                break
            except LedgerUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        while time.monotonic() < deadline:
            known = book.read(redis)
            if all(known.status(each)[0] is Status.OK for each in known.watched.values()):
                return
            time.sleep(0.1)
    raise RuntimeError("the rules are not evaluated")


def _publish(names: list[str], kafka: str) -> dict[str, float]:
    """Publish a session's start for each account; return when Kafka had each."""
    published: dict[str, float] = {}
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0, "linger.ms": 0})
    for name in names:
        event = {
            "specversion": "1.0", "id": name, "source": "benchmark", "subject": name,
            "type": "usage.session.started", "time": datetime.now(UTC).isoformat(),
            "data": {"session": "s", "application": "agent"},
        }  # fmt: skip

        def note(_error: object, _message: object, name: str = name) -> None:
            published[name] = time.time()

        producer.produce("usage.sessions", json.dumps(event), name, on_delivery=note)
        producer.poll(_PAUSE_S / 2)
        time.sleep(_PAUSE_S / 2)
    producer.flush(10)
    return published


def _names(count: int, prefix: str = "account") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]
