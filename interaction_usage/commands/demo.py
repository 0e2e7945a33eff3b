"""`usage demo`: the whole system on this machine, from live events to `usage.xls`."""

import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from interaction_usage.commands import demo_reports, demo_screen
from interaction_usage.commands.demo_companies import COMPANIES
from interaction_usage.commands.demo_events import Published, Timeline, day_of
from interaction_usage.commands.demo_servers import Servers
from interaction_usage.commands.durations import Seconds
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.signals import StopRequested, stopping_on_signals
from interaction_usage.commands.terminal import console
from interaction_usage.reports.errors import ReportError
from rollups.quantity import quantity
from stream_app.telemetry import HEARTBEAT

#: How far ahead of the worker, and of the archive, the demo may publish: the embedded broker keeps
#: 5 MiB a partition.
_MOST_AHEAD: Final = 12_000
_LOOK_S: Final = 0.25
_CURVES_EVERY_S: Final = 15.0
#: Seconds over which the rate is taken: while much is published, and once it is live.
_RATE_OF_S: Final = 3.0
_LIVE_RATE_OF_S: Final = 60.0


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
@click.option(
    "--days", type=click.IntRange(1, 365), default=365, show_default=True,
    help="Days of history before today, published after the live events have begun.",
)  # fmt: skip
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the random events.")
@click.option("--no-browser", is_flag=True, help="On a desktop: do not open the dashboard.")
def demo(directory: Path, seconds: float | None, days: int, seed: int, no_browser: bool) -> None:
    """Run the whole system on this machine and watch it, until Ctrl-C.

    Starts a broker, Redis, a worker, alerts, an archive and the dashboard, which opens in the
    browser. Three fictional companies go on with their day, and a year of their history is loaded
    meanwhile: seasons, a campaign, an outage, refused events, issued reports and a correction.
    Writes usage.xls for each company.

    \b
    Examples:
      usage demo
      usage demo --days 30 --seconds 60 --no-browser
    """
    from interaction_usage.servers.child import ServerError

    try:
        with ExitStack() as running:
            try:
                running.enter_context(stopping_on_signals())
                shown = _Demo(running, directory, seed, days)
                if not no_browser and has_desktop(os.environ, is_terminal=sys.stdout.isatty()):
                    open_browser(shown.servers.dashboard)
                shown.run(seconds)
            except StopRequested:
                pass
    except ServerError as error:
        raise CommandError(str(error)) from None


def has_desktop(environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Tell whether somebody sits in front of this machine, with a browser that is no terminal's."""
    if not is_terminal or "SSH_CONNECTION" in environment:
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_browser(address: str) -> None:
    """Open *address* in the browser, which may write nothing to this terminal."""
    command = [sys.executable, "-m", "webbrowser", address]
    silent = subprocess.DEVNULL
    with suppress(OSError):
        subprocess.Popen(
            command, stdin=silent, stdout=silent, stderr=silent, start_new_session=True
        )


class _Demo:
    """The demo while it runs: what it publishes, writes and shows."""

    def __init__(self, running: ExitStack, directory: Path, seed: int, days: int) -> None:
        from interaction_usage.store import account_settings

        self.console = console()
        self.directory, self.seed, self.days = directory, seed, days
        self.begun = time.monotonic()
        self.published = 0
        self.written = ""
        self.unfinished = ""  #: why the reports may still change or miss something
        self.issued: list[str] = []
        self.rates: deque[tuple[float, int]] = deque()  #: when, and how many were counted then
        self.was_live = False  #: whether that was so when the rate was last noted
        self.curves: dict[str, list[int]] = {}
        self.curves_of = 0.0
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="usage-demo-")))
        self._say("Starting a broker and Redis …")
        self.servers = Servers(running, folder)
        for company in COMPANIES:
            account_settings.put(
                self.servers.ledger, company.id, name=company.name, timezone=company.timezone
            )
        self._say(f"Kafka {self.servers.kafka}   Redis {self.servers.redis_url}")
        self._say(f"Dashboard {self.servers.dashboard}")
        self.timeline = Timeline(seed, time.time())
        self.steps = self._steps()
        self.phase = next(self.steps)

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
        printed = 0.0
        while (now := time.monotonic()) < deadline:
            self.servers.worker.check()
            self.phase = next(self.steps)
            behind = self._behind()
            if now - printed >= (_LOOK_S if self.console.is_terminal else 2):
                printed = now
                self._note_rate(now, self.published - behind)
                if self.console.is_terminal:
                    live.update(self._screen(behind), refresh=True)
                else:
                    self._say(self._line(behind))
            time.sleep(0.02 if self.phase != "live" else _LOOK_S)

    # ------------------------------------------------------------------ what is done, in order

    def _steps(self) -> Iterator[str]:
        """Do a little each time, and yield what is being done.

        1. Publish what has happened since yesterday. From then on, what happens is live.
        2. Write the first reports, once it is counted.
        3. Start the archive, and publish the history, the newest days first.
        4. Issue the last months' reports, and correct what is on one of them.
        """
        yield "starting"
        while self._publish_live():
            yield "publishing since yesterday"
        recent = self.published
        while self.published - self._behind() < recent or not self._is_known_complete():
            self._publish_live()
            yield "counting since yesterday"
        self._write_reports()
        self.servers.archive.start()
        history = self.timeline.history(self.days)
        while self._publish(history):
            self._publish_live()
            yield f"loading {self.days} days of history"
        while not self._issue():
            self._publish_live()
            yield "counting the history"
        self._write_reports()
        while True:
            self._publish_live()
            yield "live"

    def _publish_live(self) -> bool:
        """Publish what has happened by now, and tell whether there is more than fits."""
        return self._publish(self.timeline.due(time.time()))

    def _publish(self, events: Iterable[Published]) -> bool:
        """Publish some of *events*, never far ahead of their readers; tell whether more come."""
        not_archived = self.published - self.servers.archive.copied(self.published)
        unread = max(self._behind(), not_archived)
        room = _MOST_AHEAD - unread
        done = 0
        for each in islice(events, max(room, 0)):
            self.servers.producer.produce(each.topic, each.value, each.key)
            done += 1
        self.published += done
        self.servers.producer.flush(2)
        return done > 0 or room <= 0

    def _issue(self) -> bool:
        """Issue the last months once everything is counted; tell whether that is done."""
        if self._behind() > 100 or not self._is_known_complete():
            return False
        accounts = [company.id for company in COMPANIES]
        now = datetime.now(UTC)
        self.issued = demo_reports.issue_months(self.servers.ledger, accounts, self.days, now)
        if self.issued:
            company = COMPANIES[0]
            today = day_of(company, time.time())
            self._publish(demo_reports.late_corrections(self.seed, company, today))
        return True

    # ------------------------------------------------------------------ how far it is

    def _behind(self) -> int:
        from interaction_usage.store.reads import Rollups

        counted = sum(at.offset for at in Rollups.live(self.servers.redis).positions().values())
        return self.published - counted

    def _is_known_complete(self) -> bool:
        """Return whether the worker has said already that everything is counted, as reports ask."""
        from interaction_usage.store.progress import read_known
        from interaction_usage.store.reads import Rollups

        redis = self.servers.redis
        known, *_ = read_known(redis, Rollups.live(redis).keys, [])
        progress = known.progress
        return progress is not None and progress.complete_to is not None and known.has_refused

    def _heartbeat(self) -> dict[str, Any]:
        """Return the worker's last heartbeat."""
        import orjson

        from interaction_usage.store.worker_registry import heartbeats

        for heartbeat in heartbeats(self.servers.redis):
            return dict(orjson.loads(heartbeat.report))
        return {}

    # ------------------------------------------------------------------ reports

    def _write_reports(self) -> None:
        began = time.perf_counter()
        self.unfinished = demo_reports.write_reports(self.servers.redis, self.directory)
        took = (time.perf_counter() - began) * 1000
        after = time.monotonic() - self.begun
        self.written = (
            f"{self.directory}/*/usage.xls, {took:.0f} ms for all three, {after:.1f} s after the "
            f"start. {self.unfinished}"
        )

    def _finish(self) -> None:
        """Let the worker catch up, write the last reports, and say where they are."""
        patience = time.monotonic() + 15
        while self.servers.worker.alive and time.monotonic() < patience:
            if self._behind() <= 0 and self._is_known_complete():
                break
            time.sleep(0.1)
        with suppress(click.ClickException, ReportError):
            self._write_reports()
        time.sleep(1.5 * HEARTBEAT)  # the worker's own count comes with its next heartbeat
        self._say(self._sums())
        for company in COMPANIES:
            self._say(f"  {self.directory / company.id / 'usage.xls'}")
        if self.unfinished:
            self._say(f"  {self.unfinished}")

    # ------------------------------------------------------------------ what is shown

    def _sums(self) -> str:
        heartbeat = self._heartbeat()
        refused = sum(heartbeat.get("refused", {}).values())
        return (
            f"{quantity(self.published, 'event')} published: "
            f"{heartbeat.get('counted', 0):,} counted, {refused:,} refused"
        )

    def _note_rate(self, now: float, counted: int) -> None:
        is_live = self.phase == "live"
        if is_live and not self.was_live:
            self.rates.clear()  # what was loaded before is not the companies' day
        self.was_live = is_live
        self.rates.append((now, counted))
        seconds = _LIVE_RATE_OF_S if is_live else _RATE_OF_S
        while now - self.rates[0][0] > seconds:
            self.rates.popleft()

    def _rate(self) -> float:
        (then, before), (now, after) = self.rates[0], self.rates[-1]
        return (after - before) / (now - then) if now > then else 0.0

    def _line(self, behind: int) -> str:
        state = self._state(behind)
        parts = [f"{state.phase}: {state.published:,} published, {state.counted:,} counted"]
        parts.append(f"{state.refused} refused, {max(behind, 0):,} behind")
        unit, rate = demo_screen.rate_of(state.rate)
        parts.append(f"{rate} {unit}")
        return ", ".join(parts) + (f"; {self.written}" if self.written else "")

    def _state(self, behind: int) -> demo_screen.State:
        heartbeat = self._heartbeat()
        return demo_screen.State(
            self.phase, self._rate(), self.published, heartbeat.get("counted", 0), behind,
            sum(heartbeat.get("refused", {}).values()), self.servers.dashboard, self.written,
            self.issued, day_of(COMPANIES[0], time.time()),
        )  # fmt: skip

    def _screen(self, behind: int) -> Any:
        from interaction_usage.store.reads import Rollups

        redis, now = self.servers.redis, datetime.now(UTC)
        if time.monotonic() - self.curves_of > _CURVES_EVERY_S:
            self.curves_of = time.monotonic()
            for company in COMPANIES:
                with suppress(ReportError):
                    self.curves[company.id] = demo_screen.peaks_of_last_day(redis, company, now)
        rollups, second = Rollups.live(redis), int(time.time())
        rows = [
            demo_screen.Row(
                company, rollups.levels(company.id, second), self.curves.get(company.id, [])
            )
            for company in COMPANIES
        ]
        size = self.console.width, self.console.height
        return demo_screen.screen(self._state(behind), rows, size, now)

    def _say(self, sentence: str) -> None:
        click.echo(sentence)
