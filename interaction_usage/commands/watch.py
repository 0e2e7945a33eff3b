"""`usage watch`: the current hour's concurrency of an account, live, in the terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import click
import orjson

from interaction_usage import settings
from interaction_usage.commands.account_id import active_rollups, check_id, unusable_zone
from interaction_usage.commands.connection import redis_connection
from interaction_usage.commands.durations import Seconds
from interaction_usage.commands.rendering import why_incomplete
from interaction_usage.commands.signals import StopRequested, stopping_on_signals
from interaction_usage.commands.terminal import (
    BETWEEN,
    Fitting,
    columns_that_fit,
    console,
    curve,
    plain,
)

_LOOK = 0.5
#: Seconds after the first look until events per second can be reported.
_FIRST_LOOKS = 1.2

_FRAME = 8  # columns of the panel and of the table around what is shown
_LEAST_CURVE = 15


@click.command("watch")
@click.argument("account", callback=check_id)
@click.option("--once", is_flag=True, help="Look once and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: the live object as JSON.")
@click.option("--seconds", type=Seconds(0.5), help="Stop after this time.")
def watch(account: str, once: bool, as_json: bool, seconds: float | None) -> None:
    """Watch the current hour of ACCOUNT: sessions now, the peak so far, the last 60 minutes.

    Where published events may be missing from it, it says so, as reports do.

    \b
    Examples:
      usage watch acme
      usage watch acme --once --json
    """
    if as_json and not once:
        raise click.UsageError("--json shows one look; add --once.")
    config = settings.read()
    with redis_connection(config, patience=5) as redis:
        from interaction_usage.store import account_settings
        from rollups.local_time import UnknownZone, zone

        active_rollups(redis, account)
        try:
            zone(account_settings.get(redis, account).timezone)
        except UnknownZone as error:
            raise unusable_zone(account, error) from None
        with _looking(config, redis, account) as look:
            if once:
                time.sleep(_FIRST_LOOKS)
                answer = look()
                if as_json:
                    click.echo(orjson.dumps(answer))
                else:
                    terminal = console()
                    terminal.print(screen(answer, terminal.width))
                return
            _follow(look, seconds)


@contextmanager
def _looking(
    config: settings.Settings, redis: Any, account: str
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Yield a function that returns the live object as it is now."""
    from interaction_usage.commands.serve import places_of
    from interaction_usage.dashboard.health import Watch
    from interaction_usage.dashboard.live import Live, look, members
    from interaction_usage.store.progress import read_known
    from interaction_usage.store.reads import Rollups, read_active
    from interaction_usage.store.worker_registry import HEARTBEAT_TTL_S
    from rollups.completeness import Completeness, judge

    def read(rollups: Rollups, second: int) -> tuple[Live, Completeness]:
        known, *_ = read_known(redis, rollups.keys, [])  # before the rollups, as reports do
        live = look(rollups, account, second)
        return live, judge(known, live.hour, second)

    def answer() -> dict[str, Any]:
        now = int(time.time())
        live, completeness = read_active(redis, lambda rollups: read(rollups, now))
        return {**members(live, health.health()), "completeness": completeness.members()}

    health = Watch(redis, places_of(config, redis), HEARTBEAT_TTL_S)
    health.start()
    try:
        yield answer
    finally:
        health.stop()


def _follow(look: Callable[[], dict[str, Any]], seconds: float | None) -> None:
    """Show what *look* returns until a signal comes, or the time is over."""
    from redis.exceptions import RedisError
    from rich.live import Live
    from rich.text import Text

    from interaction_usage.dashboard.live import redis_away

    deadline = time.monotonic() + seconds if seconds else float("inf")
    terminal = console()
    answer: dict[str, Any] = {}
    with (
        suppress(StopRequested),
        stopping_on_signals(),
        Live(console=terminal, auto_refresh=False) as live,
    ):
        while True:  # once at least, however late it is
            try:
                answer = look()
            except (RedisError, OSError):
                answer["stale"] = redis_away()._asdict()
            shown = screen(answer, terminal.width) if "series" in answer else Text("Redis is away")
            live.update(shown, refresh=True)
            if time.monotonic() >= deadline:
                return
            time.sleep(_LOOK)


def screen(answer: dict[str, Any], width: int) -> Any:
    """Return the live object as a terminal *width* columns wide shows it."""
    from rich import box
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    columns = _columns(answer)
    inner = width - _FRAME
    kept = columns_that_fit([Fitting(title, wide, rank) for title, wide, rank, _ in columns], inner)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for place, (title, wide, _, _) in enumerate(columns):
        if place in kept:
            is_number = 0 < place < len(columns) - 1
            table.add_column(
                title, justify="right" if is_number else "left", no_wrap=True, min_width=wide
            )
    taken = sum(columns[place][1] + BETWEEN for place in kept if place < len(columns) - 1)
    for row, levels in enumerate(answer["curve"]["levels"][each] for each in _series(answer)):
        cells = [cells[row] for _, _, _, cells in columns[:-1]]
        drawn = Text(curve(levels, max(_LEAST_CURVE, inner - taken)), "cyan")
        table.add_row(*(cell for place, cell in enumerate([*cells, drawn]) if place in kept))
    incomplete = why_incomplete(answer["completeness"]["reasons"])
    below = [Text(plain(incomplete), "yellow")] if incomplete else []
    return Panel(
        Group(table, *below),
        title=Text(plain(f"{answer['account']} · {_hour(answer)}")), title_align="left",
        subtitle=Text(plain(_state(answer))), subtitle_align="left", padding=(1, 2),
        border_style="yellow" if answer["stale"] or incomplete else "blue",
    )  # fmt: skip


def _series(answer: dict[str, Any]) -> list[str]:
    from rollups.catalog import SERIES

    return [series for series in SERIES if series in answer["series"]]


def _columns(answer: dict[str, Any]) -> list[tuple[str, int, int, list[Any]]]:
    """Return title, width, rank (`Fitting`) and cells of each column; the curve's are drawn."""
    from rich.text import Text

    from rollups.catalog import SERIES_ROWS

    labels = [row.short_label or row.label for row in SERIES_ROWS if row.id in answer["series"]]
    numbers = [answer["series"][series] for series in _series(answer)]
    found = [
        ("Sessions", 0, labels),
        ("Now", 0, [f"{each['now']:,}" for each in numbers]),
        ("Peak", 1, [f"{each['peak']:,}" for each in numbers]),
        ("at", 3, [each["peak_at"][11:19] if each["peak_at"] else "–" for each in numbers]),
        ("Long", 4, [f"{each['open_long']:,}" for each in numbers]),
    ]
    columns: list[tuple[str, int, int, list[Any]]] = [
        (title, max(map(len, (title, *cells))), rank, list(cells)) for title, rank, cells in found
    ]
    columns[1][3][:] = [Text(cell, "bold") for cell in columns[1][3]]
    return [*columns, ("Last 60 minutes", _LEAST_CURVE, 2, [])]


def _hour(answer: dict[str, Any]) -> str:
    begin, end = answer["hour"]["from"][11:16], answer["hour"]["to"][11:16]
    return f"the hour from {begin} to {end}, {answer['timezone']}"


def _state(answer: dict[str, Any]) -> str:
    if answer["stale"]:
        return f"Not up to date: {answer['stale']['message']}"
    from rollups.local_time import zone

    stream = answer["stream"]
    as_of = datetime.fromisoformat(answer["as_of"]).astimezone(zone(answer["timezone"]))
    lag = "unknown" if stream["lag"] is None else f"{stream['lag']:,} behind"
    return f"{as_of:%H:%M:%S} · {stream['events_per_second']:,.1f} events/s · {lag}"
