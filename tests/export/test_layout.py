"""The first sheet's rows, and where breakdowns are cut: pure data, before any file format."""

from datetime import UTC, datetime

import pytest

from export import cell_styles
from export.breakdowns import RESERVED_ROWS, SHEET_ROWS, Column, notices, tables
from export.formats import FORMATS
from export.grid import lines_needed, margin_text, serials
from export.notes import definitions, notes
from export.sections import Kind, account_title, moment, sections
from export.sheets import sheets
from rollups import catalog
from rollups.completeness import Status
from tests.export import samples


def test_labels_are_the_contract() -> None:
    """Sections and labels are exactly those of the design, in its order."""
    parts = sections(samples.report())

    laid_out = {part.title: [row.label for row in part.rows] for part in parts}

    expected = {
        "Usage Report": ["Account", "Period", "Time zone", "Generated", "Status"],
        "Interaction Flows Run": [
            "Total",
            "Agent Application",
            "Ticket Guidance",
            "Mobile Web",
            "Web Self Service",
        ],
        "Concurrent Agent Sessions": [
            "Agent Application and Ticket Guidance",
            "Agent Application",
            "Ticket Guidance",
        ],
        "Concurrent Interaction Flows": ["Mobile Web", "Web Self Service"],
        "Assistance Services": [
            "Call Now clicks",
            "Callback clicks",
            "Chat clicks",
            "Email clicks",
        ],
        "DNIS Service": ["Phone numbers purchased", "Call Now minutes"],
        "Outgoing SMS": ["SMS messages sent with a campaign link"],
    }
    assert list(laid_out.items()) == list(expected.items())
    assert [part.headings for part in parts][2:4] == [("Maximum", "Average", "Busiest hour")] * 2


@pytest.mark.parametrize(
    ("dnis", "sms", "last"),
    [
        (True, True, ["DNIS Service", "Outgoing SMS"]),
        (True, False, ["DNIS Service"]),
        (False, True, ["Outgoing SMS"]),
        (False, False, []),
    ],
)
def test_sections_that_do_not_apply_are_absent(dnis: bool, sms: bool, last: list[str]) -> None:
    """An account without DNIS or SMS has no such section, rather than one of zeros."""
    titles = [part.title for part in sections(samples.report(dnis=dnis, sms=sms))]

    assert titles[5:] == last


@pytest.mark.parametrize(("name", "shown"), [("acme", "acme"), ("Acme Ltd", "Acme Ltd (acme)")])
def test_account_is_shown_with_id_where_they_differ(name: str, shown: str) -> None:
    """The id appears once: alone, or in brackets behind another name."""
    account = sections(samples.report(name=name))[0].rows[0]

    assert account.cells[0].value == shown


def test_generated_is_the_as_of_instant_in_local_time() -> None:
    """`Generated` is 09:00 UTC as Paris reads it in winter."""
    assert sections(samples.report())[0].rows[3].cells[0].value == "2026-11-01 10:00 +01:00"


def test_the_two_hours_of_one_name_are_reported_apart() -> None:
    """On the fault run when clocks go back the offset distinguishes both hours called 02:00."""
    first = datetime(2026, 10, 25, 0, tzinfo=UTC).astimezone(samples.PARIS)
    second = datetime(2026, 10, 25, 1, tzinfo=UTC).astimezone(samples.PARIS)

    assert moment(first) == "2026-10-25 02:00 +02:00"
    assert moment(second) == "2026-10-25 02:00 +01:00"


@pytest.mark.parametrize(
    ("kind", "shown", "counted"),
    [
        (Kind.DAY, "2026-10-01", 46_296),
        (Kind.HOUR, "2026-10-01T12:00", 46_296.5),
        (Kind.HOUR, "2026-10-01T01:00", 46_296 + 1 / 24),
        (Kind.DAY, "1900-03-01", 61),
        (Kind.DAY, "1900-02-28", "1900-02-28"),  # Excel's 1900 has a 29 February; this is text
        (Kind.HOUR, "1899-05-04T07:00", "1899-05-04 07:00"),
        (Kind.DAY, "0999-01-01", "0999-01-01"),
    ],
)
def test_dates_become_serial_numbers(kind: Kind, shown: str, counted: float | str) -> None:
    """Local days and hours are counted as spreadsheets do, from where they do it right."""
    seconds = round(datetime.fromisoformat(shown).replace(tzinfo=UTC).timestamp())
    value = seconds // 86_400 if kind is Kind.DAY else seconds

    assert serials(Column("", kind, [value], "")) == [counted]


def test_wide_characters_need_twice_the_room() -> None:
    """A long name in Japanese gets more lines than one as long in English."""
    assert lines_needed("a" * 50, 53) == 1
    assert lines_needed("東" * 50, 53) == 3


def test_a_breakdown_that_fits_exactly_is_whole() -> None:
    """A table is cut from the first row that has no room, not before."""
    fitting = samples.report(hours=samples.hours(20))

    assert len(tables(fitting, 20 + RESERVED_ROWS)[0].rows) == 20
    assert tables(fitting, 20 + RESERVED_ROWS)[0].notice == ""
    assert tables(fitting, 19 + RESERVED_ROWS)[0].notice == (
        "The last 1 hour is left out here: a sheet holds 27 rows."
    )


@pytest.mark.parametrize("limit", [20, 30, 60])
def test_no_sheet_has_more_rows_than_the_format_allows(limit: int) -> None:
    """Headings, the notice and the total count too; the first sheet is not touched."""
    report = samples.with_breakdowns()

    first, *others = sheets(report, limit)

    assert [sheet.name for sheet in others[3:]] == ["Concurrency", "Notes", "Per hour"]
    assert all(len(sheet.lines) <= limit for sheet in others)
    assert first == sheets(samples.report(), 65_536)[0]


def test_the_row_other_makes_a_cut_table_of_flows_add_up() -> None:
    """The flows left out are summed exactly: the rows add up to all runs, shares to one."""
    report = samples.report(flows=samples.flows(100))

    [table] = tables(report, 10 + RESERVED_ROWS)

    assert [row[0] for row in table.rows[-2:]] == ["Claim a repair 00008", "other"]
    for column in (1, 2, 3):
        assert sum(row[column] for row in table.rows) == table.columns[column].total  # type: ignore[misc]
    assert sum(row[4] for row in table.rows) == pytest.approx(1)  # type: ignore[misc]
    assert table.notice.startswith("The 91 least used flows are in the row “other”")


def test_notices_are_the_sentences_of_the_sheets() -> None:
    """What the sheets say is left out is what the command can say, by file format."""
    rows = SHEET_ROWS["xls"]
    report = samples.report(hours=samples.hours(rows))

    assert notices(report) == [
        "Per hour: The last 8 hours are left out here: a sheet holds 65,536 rows."
    ]
    assert [notices(report, name) for name in ("xlsx", "csv", "json")] == [[], [], []]


@pytest.mark.parametrize("name", ["A & B", "&P", "42", "x" * 300, "&" * 300, "東" * 300])
def test_a_name_in_a_header_is_no_code(name: str) -> None:
    """Every `&` of it is doubled, also where it is cut; the format allows 255 characters."""
    header = margin_text(name, "Page &P")
    left = header.removeprefix('&L&8&"Arial,Regular"').partition("&R")[0]
    assert len(header) <= 255
    assert "&" not in left.replace("&&", "")
    assert left.replace("&&", "&").rstrip("…") in name
    assert header.endswith('&R&8&"Arial,Regular"Page &P')


def test_every_section_is_defined() -> None:
    """Whoever pays the bill reads what its numbers mean, of each section that applies."""
    titles = [note.title for note in definitions(samples.report())]
    assert titles[1:7] == [section.title for section in catalog.SECTIONS]
    assert {"Maximum", "Average", "Reported hours", "Busiest hour"} <= set(titles)
    assert "DNIS Service" not in {note.title for note in definitions(samples.report(dnis=False))}


def test_an_incomplete_report_says_so_on_every_page_and_in_red() -> None:
    """As does its number, once it is issued."""
    said = samples.report().completeness._replace(status=Status.INCOMPLETE)
    found = sheets(samples.with_breakdowns(completeness=said), 65_536)
    assert all("Incomplete" in sheet.footer for sheet in found)
    assert cell_styles.WARNING in found[0].head[5].looks
    issued = sheets(samples.report(number="acme-000007"), 65_536)
    assert all("acme-000007" in sheet.footer for sheet in issued)
    assert cell_styles.WARNING not in issued[0].head[5].looks


def test_a_wide_number_gets_a_wide_column() -> None:
    """A number that does not fit is shown as ### by every spreadsheet."""
    wide = samples.with_breakdowns(counts=samples.counts(100_000))
    usual, wider = (sheets(each, 65_536)[1].widths for each in (samples.with_breakdowns(), wide))
    assert wider[2] > usual[2]
    assert wider[2] > len(f"{samples.counts(100_000).flow_runs_total:,}")


def test_every_format_renders_bytes() -> None:
    """The four formats of the design, each a function from a report to a file's bytes."""
    rendered = {name: render(samples.report()) for name, render in FORMATS.items()}

    assert list(rendered) == ["xls", "xlsx", "csv", "json"]
    assert rendered["xls"][:8] == bytes.fromhex("d0cf11e0a1b11ae1")
    assert rendered["xlsx"][:4] == b"PK\x03\x04"


@pytest.mark.parametrize(
    "name",
    ["Acme \u202e evil", "a\u2067b", "\u202d\u2066x\u2069\u2069\u2069", "x" * 70 + "\u202e" * 9],
)
def test_a_name_turns_nothing_around_but_itself(name: str) -> None:
    """What stands behind it in the same line (the id, the period, the zone) is read as written."""
    report = samples.with_breakdowns(name=name)
    about = str(sheets(report, 100)[1].head[1].cells[0])
    for text, behind in ((account_title(report), " (acme)"), (about, "  ·  2026-10-01 to")):
        head, found, _ = text.partition(behind)
        depth = [0]
        for character in head:
            step = (character in "\u2066\u2067\u2068") - (character == "\u2069")
            depth.append(depth[-1] + step)
        assert found
        assert (head[0], depth[-1]) == ("\u2068", 0)
        assert 0 not in depth[1:-1]  # the isolate ends at its end only


@pytest.mark.parametrize(
    ("number", "begin"),
    [(1, "1 void of the account is pending"), (1_200, "1,200 voids of the account are pending")],
)
def test_pending_voids_are_in_the_notes(number: int, begin: str) -> None:
    """Since sums are lower by what they take back; without any, nothing is said."""
    [note] = [each for each in notes(samples.report(pending_voids=number)) if "void" in each.title]
    assert note.texts[0].startswith(begin)
    assert not [each for each in notes(samples.report()) if "void" in each.title]
