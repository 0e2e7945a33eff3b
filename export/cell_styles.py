"""How a Usage Report looks on a sheet: its palette, and one look per role of a cell.

Few colours: navy for what structures the page, grey for what accompanies it, near-black for the
numbers. Only section rows and headings are bold, so that they stand out, and programs that read
the sheet can tell them by it.
"""

from functools import cache
from typing import Final, NamedTuple

from export.sections import Kind

FONT: Final = "Arial"

NAVY: Final = "1B365D"
INK: Final = "1F2937"
GREY: Final = "5B6675"
BAND: Final = "E8EEF5"
RULE: Final = "D8DEE6"
STRONG_RULE: Final = "8A9BB0"
ALERT: Final = "9B2C1F"
WEEKEND: Final = "F0F3F7"
PALETTE: Final = (NAVY, INK, GREY, BAND, RULE, STRONG_RULE, ALERT, WEEKEND)

_FORMATS: Final = {
    Kind.TEXT: "@",  # stays text when it is edited, also where it begins like a formula
    Kind.MOMENT: "@",
    Kind.INTEGER: "#,##0",
    Kind.AVERAGE: "#,##0.00",
    Kind.MINUTES: "#,##0.000",
    Kind.SHARE: "0.0%",
    Kind.DAY: "yyyy-mm-dd",
    Kind.WEEKDAY: "@",
    Kind.HOUR: "yyyy-mm-dd hh:mm",
    Kind.CHANGE: "+#,##0;-#,##0;0",
    Kind.AVERAGE_CHANGE: "+#,##0.00;-#,##0.00;0.00",
    Kind.MINUTES_CHANGE: "+#,##0.000;-#,##0.000;0.000",
}

_ALIGNMENTS: Final = {
    Kind.TEXT: "left",
    Kind.DAY: "left",
    Kind.WEEKDAY: "left",
    Kind.HOUR: "left",
    Kind.MOMENT: "center",  # all of one length
}


class Look(NamedTuple):
    """Everything that a cell's appearance depends on; sizes in points, colours as RRGGBB."""

    size: int = 10
    bold: bool = False
    italic: bool = False
    ink: str = INK
    fill: str = ""
    above: str = ""  #: colour of the rule above; empty for none
    below: str = RULE  #: colour of the rule below; empty for none
    heavy: bool = False  #: whether the rule below is a heavy one
    align: str = "left"
    middle: bool = True  #: centred in the height of its row; otherwise at its foot
    wrap: bool = False
    indent: int = 0
    number_format: str = "General"


TITLE: Final = Look(size=20, bold=True, ink=NAVY, below=NAVY, heavy=True)
SHEET_TITLE: Final = Look(size=14, bold=True, ink=NAVY, below="")
SUBTITLE: Final = Look(ink=GREY, below="")
NOTICE: Final = Look(ink=ALERT, below="")
SECTION: Final = Look(size=11, bold=True, ink=NAVY, fill=BAND, below=STRONG_RULE, indent=1)
LABEL: Final = Look(indent=1)
WRAPPED_LABEL: Final = LABEL._replace(wrap=True)
HEADED: Final = Look(ink=GREY, indent=1)  #: label of a row under the title
ANSWER: Final = Look(wrap=True, number_format="@")  #: value of a row under the title
WARNING: Final = ANSWER._replace(ink=ALERT)  #: the same, of a report that may miss something
BLANK: Final = Look()
NOTE_TITLE: Final = Look(ink=NAVY, bold=True, indent=1)

GROUP: Final = Look(size=9, bold=True, ink=NAVY, fill=BAND, below=STRONG_RULE, align="center")
HEADING: Final = Look(
    size=9, bold=True, ink=NAVY, fill=BAND, below=NAVY, align="right", middle=False, wrap=True
)


@cache
def value(kind: Kind) -> Look:
    """Return the look of a value of *kind*.

    Right-aligned cells have no indent: LibreOffice forgets it in the second of two such cells.
    """
    align = _ALIGNMENTS.get(kind, "right")
    indent = 1 if align == "left" else 0
    return Look(align=align, indent=indent, wrap=kind is Kind.TEXT, number_format=_FORMATS[kind])


@cache
def section_heading(kind: Kind) -> Look:
    """Return the look of a column heading in a section's row, aligned as the values below it."""
    below = value(kind)
    return SECTION._replace(size=9, align=below.align, indent=below.indent)


@cache
def summary(kind: Kind, *, is_first: bool) -> Look:
    """Return the look of a value of *kind* in a row of sums or maxima below a table."""
    above = NAVY if is_first else RULE
    return value(kind)._replace(ink=NAVY, fill=BAND, above=above, below=NAVY)


@cache
def in_calendar(kind: Kind, *, is_weekend: bool, opens: bool) -> Look:
    """Return the look of a value of *kind* in the row of a day or an hour.

    One that *opens* a month of days, or a day of hours, has a rule above it.
    """
    look = value(kind)._replace(fill=WEEKEND if is_weekend else "")
    return look._replace(above=STRONG_RULE) if opens else look


@cache
def heading(kind: Kind) -> Look:
    """Return the look of the heading above values of *kind*, aligned as they are."""
    below = value(kind)
    return HEADING._replace(align=below.align, indent=below.indent)
