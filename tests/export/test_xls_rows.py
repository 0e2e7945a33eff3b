"""Rows of an .xls as records: made together they hold what they hold when made one by one."""

import xlrd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from export import cell_styles, xls
from export.grid import Body, Content, Line, Sheet
from export.sections import Kind
from export.xls_rows import many
from tests.export import samples
from tests.support.examples import examples

_numbers = st.one_of(
    st.integers(0, 5_000),
    st.sampled_from([2**29 - 1, 2**29, 2**31, 2**32, 2**53, -1, 0.1, 1 / 3, 46_296.25]),
)
_texts = st.sampled_from(["+02:00", "+01:00", "Rückruf 🛟", "x" * 300])
_column_of = st.sampled_from([st.integers(0, 2**29 - 1), _numbers, _texts, st.floats(-1e9, 1e9)])


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """Draw the rows of a table, each column of its own sort, of two kinds of looks."""
    count = draw(st.integers(1, 12))
    sorts = draw(st.lists(_column_of, min_size=1, max_size=6))
    columns = tuple(draw(st.lists(sort, min_size=count, max_size=count)) for sort in sorts)
    usual = [cell_styles.value(kind) for kind in draw(st.permutations(list(Kind)))][: len(sorts)]
    opening = [look._replace(above=look.ink) for look in usual]
    heights = draw(st.lists(st.sampled_from([16, 17.5, 40]), min_size=count, max_size=count))
    kinds = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    return Body(columns, heights, (usual, opening), kinds)


def cells_of(book: xlrd.Book) -> list[object]:
    """Return everything that a reader sees of the first sheet: cells, their styles, heights."""
    sheet = book.sheet_by_index(0)
    cells = [
        (cell.ctype, cell.value, look_of(book, cell.xf_index))
        for row in range(sheet.nrows)
        for cell in sheet.row(row)
    ]
    heights = [sheet.rowinfo_map[row].height for row in range(sheet.nrows)]
    return [sheet.nrows, sheet.ncols, cells, heights]


def look_of(book: xlrd.Book, index: int) -> tuple[object, ...]:
    """Return a style without its place in the workbook's table."""
    style = book.xf_list[index]
    font = book.font_list[style.font_index]
    return (
        book.format_map[style.format_key].format_str,
        (font.height, font.bold, font.italic, font.colour_index),
        *(vars(part) for part in (style.alignment, style.border, style.background)),
    )


def drawn(sheet: Sheet) -> xlrd.Book:
    """Return a workbook of one sheet, read back."""
    return xlrd.open_workbook(file_contents=xls.workbook([sheet]), formatting_info=True)


@settings(deadline=None, max_examples=examples(150))
@given(bodies())
@example(Body((["a"], [1], [2.5], [3], [4]), [16], ([cell_styles.BLANK] * 5,), [0]))
def test_rows_made_together_are_those_made_one_by_one(body: Body) -> None:
    """Values, types, styles and heights, whatever mixture of columns stands side by side."""
    widths = (10.0,) * len(body.columns)
    head = [Line(20, ["head"], [cell_styles.TITLE])]

    together = drawn(Sheet("S", widths, head, body))
    singly = drawn(Sheet("S", widths, [*head, *body.lines()]))

    assert cells_of(together) == cells_of(singly)


def strings(texts: list[str]) -> list[int]:
    """Return the places of texts in a table of strings that holds each in its turn."""
    return list(range(len(texts)))


def test_what_has_no_one_record_is_left_to_be_made_one_by_one() -> None:
    """A blank among texts, and a text among numbers or a number among texts."""
    columns: tuple[list[Content], ...] = (["a", ""], [1, "1899-12-30"], ["1899-12-30", 1])
    for column in columns:
        assert many(0, [column], [16, 16], [0, 0], {0: [16]}, strings) is None


def test_a_table_over_the_beginning_of_excels_calendar_is_drawn() -> None:
    """February 1900 as text, March as numbers: days of both stand in one column."""
    body = Body(
        (["1900-02-28", 61, ""],), [16, 16, 16], ([cell_styles.value(Kind.DAY)],), [0, 0, 0]
    )
    sheet = drawn(Sheet("S", (10.0,), [], body)).sheet_by_index(0)
    assert sheet.col_values(0) == ["1900-02-28", 61, ""]


def test_every_use_of_a_text_is_counted() -> None:
    """The table of strings says how often its texts are used and how many there are."""
    data = xls.render(samples.report(hours=samples.hours(745)))
    table = data.index(b"\xfc\x00", data.index(b"\x92\x00"))  # SST, behind the palette
    used, different = (int.from_bytes(data[table + at : table + at + 4], "little") for at in (4, 8))
    sheets = xlrd.open_workbook(file_contents=data).sheets()
    texts = [
        cell.value
        for sheet in sheets
        for row in sheet.get_rows()
        for cell in row
        if cell.ctype == xlrd.XL_CELL_TEXT
    ]
    assert (used, different) == (len(texts), len(set(texts)))
