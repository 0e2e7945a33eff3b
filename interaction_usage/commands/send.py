"""`usage send`: events from NDJSON files to their topics."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO

import click

from interaction_usage import settings
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.progress import progress_bar
from interaction_usage.commands.publishing import Publisher, check_broker, patience_option
from interaction_usage.commands.signals import Stop, noting_signals
from interaction_usage.commands.terminal import plain
from rollups.quantity import quantity

#: How many refused lines are printed one by one.
_MAX_PRINTED = 20


class Outcome:
    """How many lines were read, acknowledged, refused and not sent."""

    def __init__(self) -> None:
        self.read = 0
        self.acknowledged = 0
        self.refused: list[tuple[str, int, str]] = []  # file, line, sentence
        self.unsent: list[tuple[str, int, str]] = []


@click.command("send")
@click.argument("files", nargs=-1, required=True, type=click.File("rb"), metavar="FILE...")
@click.option(
    "--unchecked",
    is_flag=True,
    help="Also publish invalid events, if their type has a topic; the worker writes them to "
    "the dead letters.",
)
@patience_option
def send(files: tuple[IO[bytes], ...], unchecked: bool, patience: float) -> None:
    """Publish the CloudEvents in FILE..., one JSON object a line (-: standard input).

    Waits until Kafka has acknowledged each. Invalid lines are not published; they are printed with
    their numbers. Ctrl-C ends the reading: what was read is still sent, and counted.

    \b
    Examples:
      usage send events.ndjson
      zcat archive.ndjson.gz | usage send -
    """
    config = settings.read()
    check_broker(config)
    outcome = Outcome()
    with noting_signals() as stop, _progress(files, outcome, stop) as tick:
        _publish(Publisher(config.kafka, patience), files, unchecked, outcome, stop, tick)
    _print_summary(outcome, is_stopped=stop.is_requested)


def _publish(
    publisher: Publisher,
    files: tuple[IO[bytes], ...],
    unchecked: bool,
    outcome: Outcome,
    stop: Stop,
    tick: Callable[[], None],
) -> None:
    """Hand every line to the publisher, and wait until each is acknowledged or given up.

    Once it is to *stop*, no more lines are read.
    """
    from interaction_usage.commands.event_lines import UnsentLines, blocks, places

    def show() -> None:
        outcome.acknowledged = publisher.acknowledged
        tick()

    for file in files:
        name = getattr(file, "name", "<stdin>")
        found = blocks(file)
        while (lines := stop.next_of(found)) is not None:
            outcome.read += len(lines)
            unsent = UnsentLines(lines, partial(_note_unsent, outcome, name))
            failed = publisher.failures_to(unsent.note)
            for line, place in zip(lines, places(lines, unchecked=unchecked), strict=True):
                if isinstance(place, str):
                    outcome.refused.append((name, line.number, place))
                elif why := publisher.publish(*place, line.value, failed):
                    unsent.note(line.value, why)
            publisher.poll()
            show()
    publisher.wait(show)


def _note_unsent(outcome: Outcome, name: str, number: int, problem: str) -> None:
    outcome.unsent.append((name, number, problem))


@contextmanager
def _progress(
    files: tuple[IO[bytes], ...], outcome: Outcome, stop: Stop
) -> Iterator[Callable[[], None]]:
    """Yield what is called after some lines and shows how far the work is."""
    size = _total_size(files)
    done = 0

    def text() -> str:
        return f"{outcome.acknowledged:,} acknowledged of {outcome.read:,} read"

    with progress_bar("Sending") as update:

        def tick() -> None:
            nonlocal done
            done = sum(f.tell() for f in files if f.seekable()) if size else 0
            update(done, size, text())

        yield tick
        if not stop.is_requested:
            update(size or 1, size or 1, text())


def _total_size(files: tuple[IO[bytes], ...]) -> int | None:
    import os

    try:
        return sum(os.fstat(file.fileno()).st_size for file in files if file.seekable()) or None
    except OSError:
        return None


def _print_summary(outcome: Outcome, *, is_stopped: bool) -> None:
    """Print what was sent, refused and not sent; fail unless every line was read and sent."""
    for heading, lines in (("refused", outcome.refused), ("not sent", outcome.unsent)):
        lines.sort()
        for name, number, sentence in lines[:_MAX_PRINTED]:
            click.echo(plain(f"{name}, line {number}: {heading}: {sentence}"), err=True)
        more: dict[str, list[int]] = {}
        for name, number, _ in lines[_MAX_PRINTED:]:
            more.setdefault(name, []).append(number)
        for name, numbers in more.items():
            where = f"{name}, lines {_ranges(numbers)}"
            click.echo(plain(f"{where}: {len(numbers):,} more {heading}"), err=True)
    click.echo(f"{quantity(outcome.acknowledged, 'event')} sent", err=True)
    problems = [
        f"{len(lines):,} {'was' if len(lines) == 1 else 'were'} {heading}"
        for heading, lines in (("refused", outcome.refused), ("not sent", outcome.unsent))
        if lines
    ]
    read = quantity(outcome.read, "line")
    sentences = [f"Of {read}, {' and '.join(problems)}."] if problems else []
    if is_stopped:
        again = "To send the rest, send all of it again: no event counts twice."
        sentences.insert(0, f"Stopped after {read}. {again}")
    if sentences:
        sys.stderr.flush()
        raise CommandError(" ".join(sentences))


def _ranges(numbers: list[int]) -> str:
    """Return *numbers*, ascending, as ranges, `3-7, 9`, cut where it gets long."""
    parts: list[str] = []
    start = previous = None
    for number in [*numbers, None]:
        if start is not None and number is not None and number == previous + 1:  # type: ignore[operator]
            previous = number
            continue
        if start is not None:
            parts.append(str(start) if start == previous else f"{start}-{previous}")
        start = previous = number
    shown = ", ".join(parts[:50])
    return shown + (", …" if len(parts) > 50 else "")
