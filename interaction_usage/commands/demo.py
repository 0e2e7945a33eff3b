"""`usage demo`: the whole system on this machine, from live events to `usage.xls`."""

import os
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from interaction_usage import env_file, prefixes, settings
from interaction_usage.commands.demo_events import COMPANIES, Company, Published, events
from interaction_usage.commands.durations import Seconds
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.signals import StopRequested, stopping_on_signals
from interaction_usage.commands.terminal import console
from interaction_usage.reports.errors import ReportError
from rollups.local_time import zone
from stream_app.telemetry import HEARTBEAT

_DAY = 24 * 3600
#: How far ahead of the worker the demo may publish: the embedded broker keeps 5 MiB a partition.
_MOST_AHEAD = 6_000
_LOOK = 0.25
_DASHBOARD_PORT = 8080
_HEADINGS = (
    "Agents together", "Agent Application", "Ticket Guidance", "Mobile Web", "Web Self Service",
)  # fmt: skip


@click.command("demo")
@click.option(
    "-d",
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("usage-demo"),
    show_default=True,
    help="Output directory for the reports, one subdirectory per account.",
)
@click.option(
    "--seconds",
    type=Seconds(1),
    help="Stop after this time.  [default: at Ctrl-C]",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the random events.")
def demo(directory: Path, seconds: float | None, seed: int) -> None:
    """Run the whole system on this machine and watch it, until Ctrl-C.

    Starts a broker and Redis, publishes a day of events of three fictional companies, then live
    events, runs a worker and the dashboard, and writes usage.xls for each company.

    \b
    Example:
      usage demo --seconds 30
    """
    from interaction_usage.servers.child import ServerError

    try:
        with ExitStack() as running:
            try:
                running.enter_context(stopping_on_signals())
                _Demo(running, directory, seed).run(seconds)
            except StopRequested:
                pass
    except ServerError as error:
        raise CommandError(str(error)) from None


class _Demo:
    """The demo while it runs: its servers, its producer, and what it shows."""

    def __init__(self, running: ExitStack, directory: Path, seed: int) -> None:
        self.console = console()
        self.directory = directory
        self.begun = time.monotonic()
        self.published = 0
        self.written = ""
        self.unfinished = ""  #: why the reports may still change or miss something
        self.rates: deque[tuple[float, int]] = deque(maxlen=12)
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="usage-demo-")))
        self._start_servers(running, folder)
        now = time.time()
        self.backlog_until = now
        self.events = events(seed, now - _DAY, now)

    def _start_servers(self, running: ExitStack, folder: Path) -> None:
        from confluent_kafka import Producer
        from redis.client import Redis

        from interaction_usage.servers.child import Child
        from interaction_usage.servers.mock_broker import mock_broker
        from interaction_usage.servers.redis_server import redis_server
        from interaction_usage.store import account_settings
        from stream_app.broker import ensure_topics
        from stream_app.ledger import KafkaLedger
        from stream_app.topics import TOPICS

        self._say("Starting a broker and Redis …")
        broker = running.enter_context(mock_broker())
        store = running.enter_context(redis_server())
        environment = {name: text for name, text in os.environ.items() if name[:6] != "USAGE_"}
        environment |= {
            "USAGE_KAFKA": broker.bootstrap, "USAGE_REDIS": store.url, env_file.VARIABLE: "",
            **prefixes.environment(),
        }  # fmt: skip
        self.config = settings.read(environment)
        ensure_topics(broker.bootstrap, TOPICS, 4, 1)
        self.worker = Child("The worker", folder / "worker.log")
        command = [sys.executable, "-m", "interaction_usage.commands.main", "worker"]
        self.worker.start(command, lambda: True, environment=environment)
        running.callback(self.worker.stop)
        self.redis = Redis.from_url(store.url)
        running.callback(self.redis.close)
        ledger = KafkaLedger(self.config, self.redis)
        for company in COMPANIES:
            account_settings.put(ledger, company.id, name=company.name, timezone=company.timezone)
        self.producer = Producer(
            {"bootstrap.servers": broker.bootstrap, "linger.ms": 5, "log_level": 0}
        )
        self.dashboard = self._start_dashboard(running, folder, environment)
        self._say(f"Kafka {broker.bootstrap}   Redis {store.url}")
        self._say(f"Dashboard {self.dashboard}")

    def _start_dashboard(
        self, running: ExitStack, folder: Path, environment: dict[str, str]
    ) -> str:
        """Start the dashboard, open to this machine, and return its address."""
        from interaction_usage.servers.child import Child
        from interaction_usage.servers.ports import free_port, is_free

        port = _DASHBOARD_PORT if is_free(_DASHBOARD_PORT) else free_port()
        child = Child("The dashboard", folder / "dashboard.log")
        command = [
            sys.executable,
            "-m",
            "interaction_usage.commands.main",
            "serve",
            "--open",
            "--port",
            str(port),
        ]
        child.start(command, lambda: not is_free(port), environment=environment)
        running.callback(child.stop)
        return f"http://127.0.0.1:{port}/"

    def run(self, seconds: float | None) -> None:
        """Publish, show and write until a signal or the time ends it; then a last report."""
        from rich.live import Live

        deadline = self.begun + seconds if seconds else float("inf")
        try:
            with Live(console=self.console, auto_refresh=False) as live:
                self._until(deadline, live)
        except StopRequested:
            self._say("")
        self._finish()

    def _until(self, deadline: float, live: Any) -> None:
        upcoming = next(self.events)
        printed = 0.0
        day: int | None = None  # how many events the past day had, once all are published
        reported = False
        while (now := time.monotonic()) < deadline:
            self.worker.check()
            upcoming = self._publish_due(upcoming)
            caught_up = upcoming.time > self.backlog_until
            behind = self._behind()
            self.rates.append((now, self._heartbeat().get("counted", 0)))
            if caught_up and day is None:
                day = self.published
            is_counted = day is not None and self.published - behind >= day
            if is_counted and not reported and self._is_known_complete():
                self._write_reports()
                reported = True
            if self.console.is_terminal:
                live.update(self._screen(behind, caught_up), refresh=True)
            elif now - printed >= 2:
                printed = now
                self._say(self._line(behind))
            time.sleep(_LOOK if caught_up else 0.02)

    # ------------------------------------------------------------------ publishing

    def _publish_due(self, upcoming: Published) -> Published:
        """Publish what has happened by now, but never far ahead of the worker."""
        room = _MOST_AHEAD - self._behind()
        while room > 0 and upcoming.time <= time.time():
            self.producer.produce(upcoming.topic, upcoming.value, upcoming.key)
            self.published += 1
            room -= 1
            upcoming = next(self.events)
        self.producer.flush(2)
        return upcoming

    def _behind(self) -> int:
        from interaction_usage.store.reads import Rollups

        counted = sum(at.offset for at in Rollups.live(self.redis).positions().values())
        return self.published - counted

    def _is_known_complete(self) -> bool:
        """Return whether the worker has said already that everything is counted, as reports ask."""
        from interaction_usage.store.progress import read_known
        from interaction_usage.store.reads import Rollups

        known, *_ = read_known(self.redis, Rollups.live(self.redis).keys, [])
        progress = known.progress
        return progress is not None and progress.complete_to is not None and known.has_refused

    def _heartbeat(self) -> dict[str, Any]:
        """Return the worker's last heartbeat."""
        import orjson

        from interaction_usage.store.worker_registry import heartbeats

        for heartbeat in heartbeats(self.redis):
            return dict(orjson.loads(heartbeat.report))
        return {}

    # ------------------------------------------------------------------ reports

    def _write_reports(self) -> None:
        from interaction_usage.commands.files import make_folder, replace_file
        from interaction_usage.commands.rendering import render, why_unfinished
        from interaction_usage.reports.service import ReportRequest, make_report

        began = time.perf_counter()
        for company in COMPANIES:
            now = datetime.now(UTC)
            today = now.astimezone(zone(company.timezone)).date()
            yesterday = today - timedelta(days=1)
            report = make_report(self.redis, ReportRequest(company.id, yesterday, today, None, now))
            folder = self.directory / company.id
            make_folder(folder)
            replace_file(folder / "usage.xls", render(report, "xls"))
            self.unfinished = why_unfinished(report)
        took = (time.perf_counter() - began) * 1000
        after = time.monotonic() - self.begun
        self.written = (
            f"{self.directory}/*/usage.xls, {took:.0f} ms for all three, {after:.1f} s after the "
            f"start. {self.unfinished}"
        )

    def _finish(self) -> None:
        """Let the worker catch up, write the last reports, and say where they are."""
        patience = time.monotonic() + 15
        while self.worker.alive and time.monotonic() < patience:
            if self._behind() <= 0 and self._is_known_complete():
                break
            time.sleep(0.1)
        with suppress(click.ClickException, ReportError):
            self._write_reports()
        time.sleep(1.5 * HEARTBEAT)  # the worker's own count comes with its next heartbeat
        heartbeat = self._heartbeat()
        refused = sum(heartbeat.get("refused", {}).values())
        self._say(
            f"{self.published:,} events published: {heartbeat.get('counted', 0):,} counted, "
            f"{refused:,} refused"
        )
        for company in COMPANIES:
            self._say(f"  {self.directory / company.id / 'usage.xls'}")
        if self.unfinished:
            self._say(f"  {self.unfinished}")

    # ------------------------------------------------------------------ what is shown

    def _rate(self) -> float:
        (then, before), (now, after) = self.rates[0], self.rates[-1]
        return (after - before) / (now - then) if now > then else 0.0

    def _line(self, behind: int) -> str:
        heartbeat = self._heartbeat()
        refused = sum(heartbeat.get("refused", {}).values())
        parts = [f"{self.published:,} published, {heartbeat.get('counted', 0):,} counted"]
        parts.append(f"{refused} refused, {max(behind, 0):,} behind, {self._rate():,.0f} events/s")
        return ", ".join(parts) + (f"; {self.written}" if self.written else "")

    def _screen(self, behind: int, caught_up: bool) -> Any:
        from rich import box
        from rich.console import Group
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        heartbeat = self._heartbeat()
        head = Table.grid(padding=(0, 3))
        head.add_row(
            _figure("events/s", f"{max(self._rate(), 0):,.0f}"),
            _figure("published", f"{self.published:,}"),
            _figure("in the rollups", f"{heartbeat.get('counted', 0):,}"),
            _figure("behind", f"{max(behind, 0):,}"),
            _figure("refused", f"{sum(heartbeat.get('refused', {}).values()):,}"),
        )
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, expand=True)
        table.add_column("Sessions present now", ratio=3)
        for title in _HEADINGS:
            table.add_column(title, justify="right", ratio=2)
        for company in COMPANIES:
            table.add_row(*self._row(company))
        reasons = ", ".join(f"{n} {reason}" for reason, n in heartbeat.get("refused", {}).items())
        phase = "live" if caught_up else "publishing the last 24 hours"
        foot = Text.assemble(
            ("Dashboard  ", "dim"), (self.dashboard, "bold"),
            ("\nRefused    ", "dim"), reasons or "none yet",
            ("\nReports    ", "dim"), self.written or "as soon as the day is counted",
        )  # fmt: skip
        return Panel(
            Group(head, table, foot), title=Text(f"usage demo · {phase}"), title_align="left",
            subtitle="Ctrl-C to stop", subtitle_align="right", border_style="blue", padding=(1, 2),
        )  # fmt: skip

    def _row(self, company: Company) -> list[Any]:
        from rich.text import Text

        from interaction_usage.store.reads import Rollups
        from rollups.catalog import SERIES

        present = Rollups.live(self.redis).levels(company.id, int(time.time()))
        local = datetime.now(UTC).astimezone(zone(company.timezone))
        more = f"{company.id} · {local:%H:%M} {company.timezone}"
        title = Text.assemble(company.name, " ", (more, "dim"))
        return [title, *(f"{present[series]:,}" for series in SERIES)]

    def _say(self, sentence: str) -> None:
        click.echo(sentence)


def _figure(label: str, value: str) -> Any:
    from rich.text import Text

    return Text.assemble((value, "bold cyan"), " ", (label, "dim"))
