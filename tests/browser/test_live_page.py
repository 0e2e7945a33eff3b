"""The live page over a real Apache Kafka: from a producer to the number on the screen."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from interaction_usage.servers.apache_kafka import ApacheKafka
from interaction_usage.servers.kafka_files import missing
from interaction_usage.servers.redis_server import redis_server
from tests.browser.conftest import Visits
from tests.support.event_lines import event
from tests.support.system import USAGE, System

NOW = "[data-series={series}] [data-now]"


class Served:
    """A whole system, and the process of its dashboard."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.port = "0"
        self.process: subprocess.Popen[bytes] | None = None
        answer = system.usage("token", "create", "--operator").stdout.decode()
        self.token = answer.split()[-1]

    def start(self) -> str:
        """Start the dashboard, where it was before if it was, and return its address."""
        self.process = subprocess.Popen(
            [*USAGE, "serve", "--port", self.port], env=self.system.environment,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout is not None
        found = re.search(r"http://\S+:(\d+)/", self.process.stdout.readline().decode())
        assert found
        self.port = found[1]
        return found[0].rstrip("/")

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def publish(self, kind: str, session: str, application: str, account: str = "acme") -> float:
        """Publish a session's event of now, and return when Kafka had it."""
        answer = {"session": session, "application": application}
        now = datetime.now(UTC).isoformat()
        value = event(f"{session}-{kind}", f"session.{kind}", answer, time=now, subject=account)
        self.system.publish([("usage.sessions", account.encode(), value, None)])
        return time.monotonic()


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, leave_out: Callable[[str], None]
) -> Iterator[System]:
    """Yield a broker, a Redis and a worker."""
    if reason := missing():
        leave_out(f"Apache Kafka: {reason}")
    folder = tmp_path_factory.mktemp("live")
    with ExitStack() as running:
        broker = running.enter_context(ApacheKafka(folder / "kafka"))
        store = running.enter_context(redis_server(folder / "redis"))
        made = System(broker, store, folder)
        made.start_worker()
        running.callback(lambda: [worker.stop() for worker in made.workers])
        first = event("0", "session.started", {"session": "old", "application": "agent"})
        made.usage("send", "-", stdin=first)
        made.catch_up()
        yield made


@pytest.fixture(scope="module")
def live(system: System) -> Iterator[Served]:
    """Yield the system's dashboard."""
    served = Served(system)
    served.start()
    yield served
    served.kill()


@pytest.fixture
def page(visits: Visits, live: Served) -> Page:
    """Return the live page, up to date."""
    opened = visits.open(f"http://127.0.0.1:{live.port}", "/accounts/acme/live", token=live.token)
    expect(opened.locator("#pill")).to_have_text("Live")
    return opened


def number(page: Page, series: str) -> int:
    """Return what a series shows now."""
    return int(page.locator(NOW.format(series=series)).text_content() or "-1")


def test_a_session_that_begins_is_seen_within_two_seconds(page: Page, live: Served) -> None:
    """From Kafka's acknowledgement to the number on the screen, five times; and its end, too."""
    took = []
    for round_ in range(5):
        before = number(page, "mobile-web")
        acknowledged = live.publish("started", f"s{round_}", "mobile-web")
        place = page.locator(NOW.format(series="mobile-web"))
        expect(place).to_have_text(str(before + 1), timeout=5000)
        took.append(time.monotonic() - acknowledged)
    print("seen after", [f"{seconds:.2f} s" for seconds in took])
    assert max(took) < 2
    live.publish("stopped", "s0", "mobile-web")
    expect(page.locator(NOW.format(series="mobile-web"))).to_have_text("4", timeout=5000)
    expect(page.locator("[data-series=mobile-web] [data-peak]")).to_contain_text("5 at")


def test_agents_and_guidance_are_one_curve(page: Page, live: Served) -> None:
    """A session of each: both rise, and the curve of both together by two."""
    both = number(page, "agent-sessions")
    live.publish("started", "a", "agent")
    live.publish("started", "t", "ticket-guidance")
    for series, more in (("agent-sessions", both + 2), ("agent", 1), ("ticket-guidance", 1)):
        expect(page.locator(NOW.format(series=series))).to_have_text(str(more), timeout=5000)


def test_the_terminal_shows_the_same(page: Page, live: Served) -> None:
    """`usage watch --once --json` has the numbers on the screen."""
    answer: dict[str, Any] = json.loads(
        live.system.usage("watch", "acme", "--once", "--json").stdout
    )
    assert answer["stale"] is None
    assert answer["stream"]["lag"] == 0
    assert answer["stream"]["workers"] == 1
    for series, numbers in answer["series"].items():
        assert number(page, series) == numbers["now"]


def test_todays_completeness_stands_beside_the_time(page: Page) -> None:
    """In the same words as on the reports page: the day has not ended."""
    expect(page.locator("#completeness")).to_contain_text("Today: Open · complete to")


def test_a_server_that_is_killed_and_started_again_is_watched_on(
    page: Page, live: Served, visits: Visits
) -> None:
    """The page says that it is not up to date, connects by itself, and shows what came since."""
    before = number(page, "web-self-service")
    live.kill()
    expect(page.locator("#pill")).to_have_text("Not up to date", timeout=6000)
    live.publish("started", "meanwhile", "web-self-service")
    live.start()
    expect(page.locator("#pill")).to_have_text("Live", timeout=15_000)
    expect(page.locator(NOW.format(series="web-self-service"))).to_have_text(str(before + 1))
    visits.complaints.clear()  # the browser notes the connections that failed


def test_a_worker_that_is_gone_is_reported(page: Page, live: Served) -> None:
    """Within seconds the page says that no worker runs; with a new one it is live again."""
    live.system.workers[0].kill()
    expect(page.get_by_text("No worker runs")).to_be_visible(timeout=10_000)
    expect(page.locator("#pill")).to_have_text("Not up to date")
    acknowledged = live.publish("started", "waits", "mobile-web")
    live.system.start_worker()
    expect(page.locator("#pill")).to_have_text("Live", timeout=30_000)
    expect(page.locator(NOW.format(series="mobile-web"))).to_have_text("5", timeout=15_000)
    assert time.monotonic() > acknowledged


def test_redis_that_is_away_is_reported(page: Page, live: Served, visits: Visits) -> None:
    """The last numbers stay on the screen, with the reason; then it is live again."""
    before = number(page, "mobile-web")
    time.sleep(1.2)  # what was written is on the disk within a second
    live.system.redis.kill()
    expect(page.get_by_text("Redis does not answer")).to_be_visible(timeout=10_000)
    assert number(page, "mobile-web") == before
    live.system.redis.start()
    expect(page.locator("#pill")).to_have_text("Live", timeout=30_000)
    assert number(page, "mobile-web") == before
    visits.complaints.clear()
