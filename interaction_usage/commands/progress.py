"""The progress bar that commands show on a terminal's standard error, and nowhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Called with how much is done, how much there is (None: unknown), and the text to show beside.
Update = Callable[[float, float | None, str], None]


@contextmanager
def progress_bar(title: str) -> Iterator[Update]:
    """Yield the function that updates the bar; without a terminal it does nothing."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield _ignore
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from interaction_usage.commands.terminal import console

    columns = (
        TextColumn(title),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as progress:
        task = progress.add_task("", total=None, text="")

        def update(done: float, total: float | None, text: str) -> None:
            progress.update(task, completed=done, total=total, text=text)

        yield update


def _ignore(_done: float, _total: float | None, _text: str) -> None:
    """Show nothing."""
