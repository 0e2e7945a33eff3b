"""What commands show: text that other people wrote is shown, and never acts on the terminal.

Names, flows and the sentences of dead letters hold whatever somebody sent: what looks like rich's
markup or emoji codes, control characters, characters that turn the direction of writing around.
Every console and every table of the commands is made here, so that none of it can do anything.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import click

from export.text import readable

if TYPE_CHECKING:
    from rich.console import Console


#: Ends of lines and paragraphs, and what sets the direction of writing (Unicode, annex 9). On paper
#: the latter end with their cell; a terminal cuts cells into lines, and so they would go on.
_UNRULY: Final = re.compile(r"[\u2028-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Return *text* as one line that shows every character and obeys none."""
    return _UNRULY.sub("\N{REPLACEMENT CHARACTER}", readable(text))


def console(*, stderr: bool = False) -> "Console":
    """Return a console that takes no text for markup.

    The titles of panels and the columns of progress bars are markup nevertheless: give them `Text`.
    """
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


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


def is_one_line(text: str, most: int) -> bool:
    """Tell whether *text* has 1 to *most* characters, and no control characters or line ends."""
    return 1 <= len(text) <= most and not any(
        unicodedata.category(each) in ("Cc", "Cs", "Cn", "Zl", "Zp") for each in text
    )
