"""Alerts with a real Kafka, worker, Redis and receiver, while processes are killed."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from interaction_usage.servers.child import Child
from tests.support.event_lines import event
from tests.support.receiver import Receiver, receiver
from tests.support.system import USAGE, System

Eventually = Callable[..., None]
SECRET = "a secret of the tests, long enough"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """Yield a receiver of webhooks."""
    with receiver() as made:
        yield made


def stamp(ago: float = 0) -> str:
    """Return an instant some seconds *ago*."""
    return datetime.fromtimestamp(time.time() - ago, UTC).isoformat().replace("+00:00", "Z")


def edge(system: System, session: str, kind: str, ago: float = 0) -> float:
    """Publish a start or stop of an agent's session; return when Kafka has it."""
    data = {"session": session, "application": "agent"}
    line = event(f"{session}-{kind}", f"session.{kind}", data, time=stamp(ago))
    system.usage("send", "-", stdin=line)
    return time.time()


def evaluator(system: System, number: int = 1, suspended: str = "") -> Child:
    """Start a process that evaluates, one that is *suspended* where it publishes if wanted."""
    made = Child("The alerts", system.folder / f"alerts-{number}.log")
    command = [*USAGE, "alerts", "run"]
    if suspended:
        command = [sys.executable, "-m", "tests.support.suspended_alerts", suspended]
    made.start(command, lambda: True, environment=system.environment)
    system.workers.append(made)
    return made


def is_suspended(process: Child) -> bool:
    """Tell whether a process has had SIGSTOP."""
    stat = Path(f"/proc/{process.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def rules(system: System) -> list[dict[str, object]]:
    """Return what `usage alerts list` says."""
    found: list[dict[str, object]] = json.loads(system.usage("alerts", "list", "--json").stdout)
    return found


@pytest.fixture
def alerts(system: System, hook: Receiver, eventually: Eventually) -> System:
    """Return a system with a worker, and a rule for two sessions at once."""
    system.variables |= {
        "USAGE_ALERTS_SECRET": SECRET,
        "USAGE_ALERTS_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    hook.secret = system.usage("alerts", "secret", "acme").stdout.decode().strip()
    system.start_worker()
    edge(system, "a", "started")
    system.catch_up()
    system.usage(
        "alerts", "set", "acme", "--series", "agent", "--above", "2", "--to", hook.url
    )  # fmt: skip
    return system


def test_each_change_is_sent_once_whatever_is_killed(
    alerts: System, hook: Receiver, eventually: Eventually
) -> None:
    """The evaluator is killed, another takes over, Redis is emptied; nothing is repeated."""
    first, second = evaluator(alerts, 1), evaluator(alerts, 2)
    eventually(lambda: rules(alerts)[0]["status"] == "ok", "the rule is evaluated")

    published = edge(alerts, "b", "started")
    eventually(lambda: hook.changes == ["triggered"], "the webhook is there")
    assert hook.received[0].at - published < 3
    assert hook.received[0].body["data"]["value"] == 2
    assert rules(alerts)[0]["status"] == "triggered"

    first.kill()
    second_took_over = time.time()
    edge(alerts, "b", "stopped")
    eventually(lambda: hook.changes == ["triggered", "resolved"], "the other one has taken over")
    assert time.time() - second_took_over < 20

    hook.status = 500  # the receiver is away
    edge(alerts, "c", "started")
    attempts = hook.attempts
    eventually(lambda: hook.attempts > attempts, "it was tried")
    second.kill()
    with alerts.client() as client:
        client.flushall()
    hook.status = 204
    third = evaluator(alerts, 3)
    eventually(lambda: len(hook.changes) == 3, "what was not delivered is", 60)
    alerts.catch_up()
    eventually(lambda: rules(alerts)[0]["status"] == "triggered", "its state is back", 60)
    time.sleep(1.5)
    assert hook.changes == ["triggered", "resolved", "triggered"]
    assert hook.refused == []

    third.stop()  # SIGTERM
    assert not third.alive


def test_a_process_that_was_suspended_changes_nothing(
    alerts: System, hook: Receiver, eventually: Eventually
) -> None:
    """One before it publishes, one in its transaction, one after it; another has taken over.

    What only Kafka can refuse is refused there: the lease was renewed right before.
    """
    suspended = []
    for number, point in enumerate(("before", "inside", "after")):
        one = evaluator(alerts, number, point)
        if number == 0:
            eventually(lambda: rules(alerts)[0]["status"] == "ok", "the rule is evaluated")
            edge(alerts, "b", "started")
        eventually(lambda one=one: is_suspended(one), f"it is suspended {point}")  # type: ignore[misc]
        suspended.append(one)
    assert hook.received == []
    evaluator(alerts, 4)
    eventually(lambda: hook.changes == ["triggered"], "the webhook is there")
    edge(alerts, "b", "stopped")
    eventually(lambda: hook.changes == ["triggered", "resolved"], "the next one as well")
    for one in suspended:
        one.process.send_signal(signal.SIGCONT)
    for number, why in enumerate(("Kafka at", "Kafka at", "Another process evaluates")):
        log = alerts.folder / f"alerts-{number}.log"
        eventually(lambda log=log, why=why: why in log.read_text(), "it has noticed")  # type: ignore[misc]
    assert len(hook.received) == 2
    with alerts.client() as client:
        client.flushall()  # so that states come from the topic
    eventually(lambda: [each["status"] for each in rules(alerts)] == ["ok"], "it is read", 60)
    time.sleep(1)
    assert len(hook.received) == 2
