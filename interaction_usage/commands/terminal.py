"""What commands show: text that other people wrote is shown, and never acts on the terminal.

Names, flows and the sentences of dead letters hold whatever somebody sent: what looks like rich's
markup or emoji codes, control characters, characters that turn the direction of writing around.
Every console and every table of the commands is made here, so that none of it can do anything.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from export.text import readable

if TYPE_CHECKING:
    from rich.console import Console


#: Ends of lines and paragraphs, and what sets the direction of writing (Unicode, annex 9). On paper
#: the latter end with their cell; a terminal cuts cells into lines, and so they would go on.
_UNRULY: Final = re.compile(r"[\u2028-\u202e\u2066-\u2069]")


_HEIGHTS: Final = " ▁▂▃▄▅▆▇█"
BETWEEN: Final = 3  # columns of a terminal between those of a table


def plain(text: str) -> str:
    """Return *text* as one line that shows every character and obeys none."""
    return _UNRULY.sub("\N{REPLACEMENT CHARACTER}", readable(text))


def console(*, stderr: bool = False) -> "Console":
    """Return a console that takes no text for markup.

    The titles of panels and the columns of progress bars are markup nevertheless: give them `Text`.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_json(value: Any) -> None:
    """Print *value* as JSON for people and programs."""
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print *rows*: as a table on a terminal, otherwise their cells with tabs in between."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(map(readable, row)))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, header_style="bold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    console().print(table)


class Fitting(NamedTuple):
    """A column that a narrow terminal may leave out."""

    title: str
    width: int
    rank: int  #: the higher, the sooner it is left out; 0 always stays


def columns_that_fit(columns: Sequence[Fitting], width: int) -> set[int]:
    """Return the places of the columns that are shown side by side within *width*."""
    kept = set(range(len(columns)))
    for place in sorted(kept, key=lambda place: (-columns[place].rank, -place)):
        if columns[place].rank == 0 or _width_of(columns, kept) <= width:
            break
        kept.discard(place)
    return kept


def _width_of(columns: Sequence[Fitting], kept: Iterable[int]) -> int:
    return sum(columns[place].width + BETWEEN for place in kept) - BETWEEN


def curve(levels: Sequence[int], columns: int) -> str:
    """Return *levels* as that many characters, each as high as the most of its stretch.

    The highest level fills a character; any level above 0 is seen. (`encoding` has what a terminal
    of ASCII shows instead.)
    """
    most = len(_HEIGHTS) - 1
    top = max(levels, default=0)
    columns = min(columns, len(levels))
    edges = [len(levels) * column // columns for column in range(columns + 1)] if columns else []
    peaks = [max(levels[begin:end]) for begin, end in pairwise(edges)]
    return "".join(_HEIGHTS[-(-peak * most // top) if top else 0] for peak in peaks)


def is_one_line(text: str, most: int) -> bool:
    """Tell whether *text* has 1 to *most* characters, and no control characters or line ends."""
    return 1 <= len(text) <= most and not any(
        unicodedata.category(each) in ("Cc", "Cs", "Cn", "Zl", "Zp") for each in text
    )
