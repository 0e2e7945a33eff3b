"""The sheets of a workbook as plain grids, so that xls and xlsx only have to draw them.

The first sheet is `export.sections`'s. What explains it follows: each breakdown, what the averages
are made of, the notes; and last the hours, of which a year has thousands.
"""

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Final

from export import adjustments, cell_styles, changes
from export.breakdowns import tables
from export.cell_styles import Look
from export.grid import Content, Line, Sheet, lines_needed, margin_text
from export.notes import Note, definitions, notes
from export.sections import STATUS, Cell, Kind, Row, Section, account_title, basis, period, sections
from export.table_sheets import table_sheet
from export.text import isolated, readable
from interaction_usage.reports.model import Report
from rollups.completeness import Status

_FIRST_WIDTHS: Final = (44, 13, 13, 27)
_BASIS_WIDTHS: Final = (44, 17, 17, 13)
_NOTE_WIDTHS: Final = (32, 86)
_CHANGES_WIDTHS: Final = (50, 31, 26, 38, 70)
_ADJUSTMENT_WIDTHS: Final = (58, 15, 24, 24, 11)
_ROW_HEIGHT: Final = 21  # of the first sheet, in points
_LINE_HEIGHT: Final = 13.5  # of text in 10 points, itself in points
_LONGEST_SUBTITLE_NAME: Final = 60


def sheets(report: Report, sheet_rows: int) -> list[Sheet]:
    """Return the sheets of *report*; none has more than *sheet_rows* rows."""
    title = isolated(_shortened(account_title(report)))
    about = f"{title}  ·  {period(report)}  ·  {report.timezone}"
    breakdowns = [table_sheet(table, about) for table in tables(report, sheet_rows)]
    hours = [breakdowns.pop()] if report.hours else []
    more = [changes_sheet(report, about)] if report.revision else []
    more += [adjustments_sheet(report, about)] if report.adjustments else []
    explained = [basis_sheet(report, about), notes_sheet(report, about)]
    found = [first_sheet(report), *more, *breakdowns, *explained, *hours]
    header = margin_text(title, period(report))
    footer = margin_text(_state(report), "Page &P of &N")
    return [sheet._replace(header=header, footer=footer) for sheet in found]


def _state(report: Report) -> str:
    """Return what every page says of the report: its number, if it has one, and its status."""
    status = report.completeness.status.capitalize()
    return "  ·  ".join(filter(None, ("Usage Report", report.number, status)))


def first_sheet(report: Report) -> Sheet:
    """Return the sheet `Usage Report`, which the breakdowns leave as it is."""
    title, *others = sections(report)
    lines = [Line(40, _across(title.title), [cell_styles.TITLE] * 4)]
    is_incomplete = report.completeness.status is Status.INCOMPLETE
    lines += [_heading_line(row, warns=is_incomplete and row.label == STATUS) for row in title.rows]
    for section in others:
        lines.append(_section_line(section))
        lines += [_value_line(row) for row in section.rows]
    return Sheet("Usage Report", _FIRST_WIDTHS, lines, one_page=True)


def basis_sheet(report: Report, about: str) -> Sheet:
    """Return the sheet `Concurrency`: what the averages are made of, and the sessions."""
    lines = [
        Line(26, ["Concurrency"], [cell_styles.SHEET_TITLE]),
        Line(18, [about], [cell_styles.SUBTITLE]),
    ]
    for section in basis(report):
        lines.append(_section_line(section))
        lines += [_value_line(row) for row in section.rows]
    return Sheet("Concurrency", _BASIS_WIDTHS, lines)


def notes_sheet(report: Report, about: str) -> Sheet:
    """Return the sheet `Notes`: whether the numbers are all there, and what they mean."""
    lines = [
        Line(26, ["Notes"], [cell_styles.SHEET_TITLE]),
        Line(18, [about], [cell_styles.SUBTITLE]),
        *chain.from_iterable(map(_note_lines, notes(report))),
        Line(28, ["Definitions", ""], [cell_styles.SECTION] * 2),
        *chain.from_iterable(map(_note_lines, definitions(report))),
    ]
    return Sheet("Notes", _NOTE_WIDTHS, lines)


def _note_lines(note: Note) -> Iterator[Line]:
    looks = [cell_styles.NOTE_TITLE, cell_styles.value(Kind.TEXT)]
    for title, text in zip(chain((note.title,), repeat("")), note.texts, strict=False):
        height = 6 + lines_needed(text, _NOTE_WIDTHS[1]) * _LINE_HEIGHT
        yield Line(height, [title, readable(text)], looks)


def changes_sheet(report: Report, about: str) -> Sheet:
    """Return the sheet of a revision: what it changes, and the events that changed it."""
    rows = []
    for row in changes.rows(report):
        cells = [readable(cell) for cell in row]
        needed = max(map(lines_needed, cells, _CHANGES_WIDTHS))
        is_heading = row[0] in changes.HEADINGS
        look = cell_styles.NOTE_TITLE if is_heading else cell_styles.value(Kind.TEXT)
        rows.append(Line(4 + needed * _LINE_HEIGHT, cells, [look] * len(cells)))
    lines = [
        Line(26, [changes.title(report)], [cell_styles.SHEET_TITLE]),
        Line(18, [about], [cell_styles.SUBTITLE]),
        Line(18, [changes.summary(report)], [cell_styles.SUBTITLE]),
        *rows,
    ]
    return Sheet(changes.title(report), _CHANGES_WIDTHS, lines, landscape=True)


def adjustments_sheet(report: Report, about: str) -> Sheet:
    """Return the sheet `Adjustments`: what the report bills of earlier ones."""
    lines = [
        Line(26, [adjustments.TITLE], [cell_styles.SHEET_TITLE]),
        Line(18, [about], [cell_styles.SUBTITLE]),
        Line(18, [adjustments.summary(report)], [cell_styles.SUBTITLE]),
    ]
    pairs = zip(adjustments.sections(report), report.adjustments, strict=True)
    for section, adjustment in pairs:
        headings = [cell_styles.section_heading(Kind.INTEGER)] * len(section.headings)
        lines.append(Line(28, [section.title, *section.headings], [cell_styles.SECTION, *headings]))
        for row in section.rows:
            cells = [row.label, *(cell.value for cell in row.cells)]
            height = 6 + lines_needed(row.label, _ADJUSTMENT_WIDTHS[0]) * _LINE_HEIGHT
            looks = [cell_styles.WRAPPED_LABEL, *map(_adjusted_look, row.cells)]
            lines.append(Line(height, cells, looks))
        for note in adjustment.notes:
            lines.append(Line(18, [readable(note)], [cell_styles.NOTICE]))
    return Sheet(adjustments.TITLE, _ADJUSTMENT_WIDTHS, lines, landscape=True)


def _adjusted_look(cell: Cell) -> Look:
    look = cell_styles.value(cell.kind)
    return look._replace(align="right", indent=0)


def _shortened(name: str) -> str:
    longest = _LONGEST_SUBTITLE_NAME
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _heading_line(row: Row, *, warns: bool) -> Line:
    text = row.cells[0].value
    lines = lines_needed(str(text), sum(_FIRST_WIDTHS[1:]))
    looks = [cell_styles.HEADED, *[cell_styles.WARNING if warns else cell_styles.ANSWER] * 3]
    return Line(
        _ROW_HEIGHT + (lines - 1) * _LINE_HEIGHT, _across(row.label, text), looks, ((1, 3),)
    )


def _section_line(section: Section) -> Line:
    kinds = [cell.kind for cell in section.rows[0].cells] if section.headings else []
    kinds += [Kind.INTEGER] * (3 - len(kinds))
    looks = [cell_styles.SECTION, *map(cell_styles.section_heading, kinds)]
    return Line(28, _across(section.title, *section.headings), looks)


def _value_line(row: Row) -> Line:
    looks = [
        cell_styles.LABEL,
        *(cell_styles.value(cell.kind) for cell in row.cells),
        cell_styles.BLANK,
        cell_styles.BLANK,
    ]
    return Line(_ROW_HEIGHT, _across(row.label, *(cell.value for cell in row.cells)), looks[:4])


def _across(*cells: Content) -> list[Content]:
    """Return *cells*, and empty ones up to the first sheet's last column."""
    return [*cells, "", "", ""][:4]
