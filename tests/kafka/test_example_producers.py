"""The producers of docs/producers.md in five languages: what they publish is counted once."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream_app.topics import FLOWS, SESSIONS
from tests.support.event_lines import flow
from tests.support.system import System

pytestmark = pytest.mark.producers

SOURCES = Path(__file__).parents[2] / "examples" / "producers"
#: Where `make producers` builds them.
_VARIABLE = "PRODUCERS"
BUILT = Path(os.environ.get(_VARIABLE, "."))


def command(language: str) -> list[str]:
    """Return what runs the program in *language*."""
    at = BUILT / language
    match language:
        case "python":
            return [sys.executable, str(at / "publish.py")]
        case "java":
            path = f"{at / 'target' / 'classes'}:{(at / 'target' / 'classpath').read_text()}"
            return ["java", "-cp", path, "Publish"]
        case "go":
            return [str(at / "producer")]
        case "javascript":
            return ["node", str(at / "publish.js")]
    return [str(at / "target" / "release" / "usage-producer")]


LANGUAGES = sorted(path.name for path in SOURCES.iterdir() if path.is_dir())


@pytest.fixture(autouse=True)
def built(leave_out: Callable[[str], None]) -> None:
    """Leave the tests out where nothing was built."""
    if _VARIABLE not in os.environ:
        leave_out("the producers of docs/producers.md, which `make producers` builds and tests")


def test_every_language_is_there() -> None:
    """Five of them."""
    assert LANGUAGES == ["go", "java", "javascript", "python", "rust"]


def test_the_events_of_every_language_are_counted_once(system: System) -> None:
    """A session, and a flow run that is sent twice, are on the report of each account.

    The key of every record is the account, so that its events stay in one partition of each topic.
    """
    system.start_worker()
    system.usage("send", "-", stdin=flow("x"))  # the topics are there before a stranger comes
    for language in LANGUAGES:
        done = subprocess.run(
            [*command(language), f"acme-{language}"], env=system.environment, timeout=60,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{language}: {done.stderr.decode()}"
    system.catch_up()
    keys = keys_of_records(system, 4 * len(LANGUAGES))
    assert sorted(keys) == sorted(4 * [f"acme-{language}" for language in LANGUAGES])
    assert system.dead_letters()["counts"] == {}
    today = datetime.now(UTC).date()
    days = str(today - timedelta(days=1)), str(today + timedelta(days=1))
    for language in LANGUAGES:
        report = system.report(f"acme-{language}", *days)
        assert report["flow_runs"]["by_application"]["mobile-web"] == 1, language
        assert report["concurrency"]["agent"]["max"] == 1, language
        assert report["sessions"]["agent"] == {"started": 1, "without_stop": 0}, language


def keys_of_records(system: System, count: int) -> list[str]:
    """Return the keys of *count* records of the sessions and flows, but those of `usage send`."""
    servers = {"bootstrap.servers": system.kafka.bootstrap, "group.id": "keys"}
    consumer = Consumer({**servers, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(name, n, 0) for name in (FLOWS, SESSIONS) for n in range(4)])
    found: list[str] = []
    while len(found) < count:
        message = consumer.poll(30)
        assert message is not None, found
        assert not message.error(), found
        if message.key() != b"acme":
            found.append((message.key() or b"").decode())
    consumer.close()
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_not_acknowledged_is_said(language: str) -> None:
    """Within a minute, with an exit code that a script sees."""
    done = subprocess.run(
        [*command(language), "acme"], env={**os.environ, "USAGE_KAFKA": "127.0.0.1:9"},
        timeout=100, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr
