"""The reports page in a real browser: numbers, export, time zones, keyboard, sizes."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xlrd
from playwright.sync_api import Page, expect

from interaction_usage.store import account_settings
from tests.browser.conftest import PHONE, Visits
from tests.support import vector_files
from tests.support.event_lines import event, flow
from tests.support.filling import fill
from tests.support.serving import Dashboard

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard over a vector, an account at midnight, and a thousand others."""
    fill(redis_url, [line for _, line in vector_files.lines("basics")], log="basics")
    late = [flow(n, time="2026-10-01T23:30:00Z", subject="moved") for n in range(3)]
    fill(redis_url, late, log="moved")
    runs = [
        event(n, "flow.run", {"flow": f"flow {n % 40}", "application": "agent"}, subject="flows")
        for n in range(100)
    ]
    fill(redis_url, runs, log="flows")
    runs = [
        event(n, "flow.run", {"flow": f"flow {n}", "application": "agent"}, subject="thirteen")
        for n in range(13)
    ]
    fill(redis_url, runs, log="thirteen")
    for number in range(1000):
        account_settings.put(
            served.ledger, f"customer-{number:04}", name=f"Customer {number:04} Ltd"
        )
    return served


def runs_at_ten(case: Any) -> int:
    """Return how many runs of the vector fall into the hour from ten on."""
    lines = [json.loads(line) for _, line in vector_files.lines("basics")]
    ids = {
        (line["source"], line["id"])
        for line in lines
        if (line["type"], line["subject"]) == ("usage.flow.run", case.account)
        and line["time"].startswith("2026-10-01T10")
    }
    return len(ids)


def choose(page: Page, first: str, last: str) -> None:
    """Choose a period as a person does, and wait for its numbers."""
    page.get_by_label("From", exact=True).fill(first)
    page.get_by_label("To", exact=True).fill(last)
    page.get_by_role("button", name="Refresh").click()
    settled(page)


def settled(page: Page) -> None:
    """Wait until the numbers are there."""
    expect(page.locator("#reports")).to_have_attribute("aria-busy", "false")


def rows(page: Page, card: str) -> list[list[str]]:
    """Return the cells of a card's table, which its switch shows."""
    switch = page.locator(f"#{card} [data-table]")
    if switch.get_attribute("aria-pressed") == "false":
        switch.click()
    cells = "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    found: list[list[str]] = page.locator(f"#{card} [data-as-table] tbody tr").evaluate_all(cells)
    return found


def test_the_numbers_of_a_vector_and_the_export(visit: Visit, tmp_path: Path) -> None:
    """Choose dates, see what the events give, export it, and find the same in the file."""
    (case,) = [
        each for each in vector_files.expected("basics")
        if (each.account, str(each.period.first), str(each.period.last), each.period.timezone)
        == ("acme", "2026-10-01", "2026-10-01", "UTC")
    ]  # fmt: skip
    page = visit("/accounts/acme")
    choose(page, "2026-10-01", "2026-10-01")
    answer = case.report
    expect(page.locator("#figure-runs")).to_have_text(str(answer["flow_runs"]["total"]))
    peak = answer["concurrency"]["agent-sessions"]["max"]
    expect(page.locator("#figure-agents")).to_have_text(str(peak))
    hours = rows(page, "usage")
    assert len(hours) == 1 + 24
    assert hours[11][:2] == ["Thu, 1 Oct 2026, 10:00 – 10:59", str(runs_at_ten(case))]
    assert rows(page, "applications")[0] == ["Whole period", "3", "0", "2", "1", "6"]
    assert rows(page, "connectivity")[0] == ["Whole period", "2", "1", "3", "1", "7"]
    assert rows(page, "resolution")[0][:6] == ["Whole period", "6", "2", "1", "3", "6"]
    assert rows(page, "concurrency")[0][1:4] == [str(peak), "1 Oct, 10:00", "2.00"]
    assert rows(page, "concurrency")[11][1:3] == [str(peak), "10:00"]
    with page.expect_download() as started:
        page.get_by_role("link", name="Export").click()
    assert started.value.suggested_filename == "usage.xls"
    started.value.save_as(tmp_path / "usage.xls")
    with xlrd.open_workbook(tmp_path / "usage.xls") as book:
        sheet = book.sheet_by_name("Usage Report")
        cells = {sheet.cell_value(row, 0): sheet.row_values(row)[1:3] for row in range(sheet.nrows)}
    assert cells["Total"][0] == answer["flow_runs"]["total"]
    assert cells["Agent Application and Ticket Guidance"] == [peak, 2.0]
    assert cells["Call Now clicks"][0] == 2


def test_the_time_zone_moves_days(visit: Visit) -> None:
    """Set on the Account page, seen in the reports: 23:30 UTC is the next day in Kathmandu."""
    page = visit("/accounts/moved?from=2026-10-01&to=2026-10-02")
    settled(page)
    assert [row[1] for row in rows(page, "usage")[1:]] == ["3", "0"]
    page.get_by_role("link", name="Account", exact=True).click()
    zone = page.get_by_role("combobox", name="Time zone")
    expect(zone).to_have_value("UTC")
    zone.click()
    zone.press_sequentially("kathm")
    expect(page.get_by_role("option")).to_have_text(["Asia/KathmanduUTC+05:45"])
    zone.press("Enter")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_have_text("Saved")
    page.goto("/accounts/moved?from=2026-10-01&to=2026-10-02")
    settled(page)
    assert [row[1] for row in rows(page, "usage")[1:]] == ["0", "3"]
    expect(page.get_by_text("Days and hours in Asia/Kathmandu (UTC+05:45 now)")).to_be_visible()


def test_what_cannot_be_saved_is_said_beside_the_field(visit: Visit, visits: Visits) -> None:
    """A zone that is none, a name of nothing; the field has the focus, nothing is changed."""
    page = visit("/accounts/customer-0001/information")
    expect(page.get_by_label("Name")).to_have_value("Customer 0001 Ltd")
    expect(page.locator("#limits")).to_contain_text("Agent Application24 hours")
    page.get_by_role("combobox", name="Time zone").fill("Mars/Olympus")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#timezone-error")).to_contain_text("There is no time zone 'Mars/Olympus'")
    expect(page.get_by_role("combobox", name="Time zone")).to_be_focused()
    page.get_by_role("combobox", name="Time zone").fill("UTC")
    page.get_by_label("Name").fill(" ")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#name-error")).to_contain_text("1 to 200 printable characters")
    page.reload()
    expect(page.get_by_label("Name")).to_have_value("Customer 0001 Ltd")
    assert len(visits.complaints) == 2  # the browser notes both answers with 422
    visits.complaints.clear()


def test_a_period_that_cannot_be_is_said_beside_the_dates(visit: Visit) -> None:
    """Beside the one that it is about; nothing can be exported, and the old numbers are dimmed."""
    page = visit("/accounts/acme?from=2026-10-01&to=2026-10-02")
    settled(page)
    page.get_by_label("From", exact=True).fill("2026-10-03")
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("#to-error")).to_have_text("The last day comes before the first.")
    expect(page.get_by_label("To", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#reports")).to_have_class("stale")
    export = page.locator("#export")
    expect(export).to_have_attribute("aria-disabled", "true")
    page.get_by_label("From", exact=True).fill("2999-01-01")
    expect(page.locator("#from-error")).to_have_text("This day lies in the future.")
    expect(page.locator("#to-error")).to_be_empty()
    choose(page, "2026-10-01", "2026-10-02")
    expect(page.locator("#from-error")).to_be_empty()
    expect(export).not_to_have_attribute("aria-disabled", "true")


def test_one_flow(visit: Visit) -> None:
    """Chosen from the list: its own days; what is not counted by flow is not shown."""
    page = visit("/accounts/flows?from=2026-10-01&to=2026-10-02")
    settled(page)
    expect(page.locator("#figure-runs")).to_have_text("100")
    expect(page.locator("#connectivity")).to_be_visible()
    assert rows(page, "heat")[0][:2] == ["Total (40 flows)", "100"]
    chooser = page.get_by_role("combobox", name="Interaction Flow")
    chooser.click()
    chooser.press_sequentially("flow 7")
    page.get_by_role("option", name="flow 7").click()
    expect(page.locator("#figure-runs")).to_have_text("3")
    assert [row[0] for row in rows(page, "heat")] == ["flow 7"]
    for whole in ("#concurrency", "#resolution", "#applications", "#connectivity", "#report"):
        expect(page.locator(whole)).to_be_hidden()
    expect(page.locator("#figure-turned")).to_be_hidden()
    expect(page.locator("#note")).to_contain_text("The Export is of the whole account")
    page.reload()  # the address has it
    settled(page)
    expect(page.locator("#figure-runs")).to_have_text("3")
    chooser.fill("flow no such")
    expect(page.get_by_text("Not in the list; Enter shows it anyway.")).to_be_visible()
    chooser.press("Enter")
    expect(page.locator("#figure-runs")).to_have_text("0")
    expect(page.locator("#problem")).to_contain_text("No flow “flow no such” ran in this period")
    page.locator("#problem").get_by_role("button", name="flow 0").click()
    expect(page.locator("#figure-runs")).to_have_text("3")
    page.get_by_role("button", name="Show all flows").click()
    expect(page.locator("#figure-runs")).to_have_text("100")
    expect(chooser).to_be_focused()
    expect(page.locator("#heat .ranks")).to_contain_text("28 other flows")
    page.locator("#heat").get_by_role("button", name="flow 11", exact=True).click()
    expect(page.locator("#figure-runs")).to_have_text("3")
    page.go_back()
    expect(page.locator("#figure-runs")).to_have_text("100")


def test_an_empty_period_leads_to_days_with_usage(visit: Visit) -> None:
    """It says from when to when there is some, and goes there; a misspelt flow has a near one."""
    page = visit("/accounts/thirteen?from=2020-01-01&to=2020-01-07")
    there = page.get_by_role("button", name="Thu, 1 Oct 2026")
    expect(page.locator("#problem")).to_contain_text("This account has usage on 1 Oct 2026")
    there.click()
    expect(page.locator("#figure-runs")).to_have_text("13")
    expect(page.locator("#problem")).to_be_empty()
    assert page.url.endswith("?from=2026-10-01&to=2026-10-01")
    page.get_by_role("combobox", name="Interaction Flow").fill("flwo 12")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="flow 12", exact=True).click()
    expect(page.locator("#figure-runs")).to_have_text("1")


def test_one_flow_is_never_hidden_as_another(visit: Visit) -> None:
    """Of thirteen, all thirteen are shown; of fourteen, twelve and two others."""
    page = visit("/accounts/thirteen?from=2026-10-01&to=2026-10-02")
    settled(page)
    expect(page.locator("#heat .ranks li")).to_have_count(13)
    expect(page.locator("#heat .ranks")).not_to_contain_text("other")


def test_days_weeks_and_months(visit: Visit) -> None:
    """By itself months beyond 92 days; no label twice; the year where a period has two."""
    page = visit("/accounts/acme?from=2025-11-01&to=2026-11-30")
    settled(page)
    by = page.get_by_role("group", name="Bars per")
    expect(by.locator("[aria-pressed=true]")).to_have_text("Months")
    assert [row[0] for row in rows(page, "usage")[1:3]] == ["November 2025", "December 2025"]
    labels = page.evaluate(LABELS, [13, "month", 700])
    assert labels == sorted(set(labels), key=labels.index)
    assert labels[:2] == ["Jan 2025", "Mar 2025"]
    by.get_by_role("button", name="Weeks").click()
    expect(page).to_have_url(re.compile("by=week"))
    settled(page)
    assert rows(page, "usage")[1][0] == "1 – 2 Nov 2025"
    by.get_by_role("button", name="Months").click()
    expect(page).not_to_have_url(re.compile("by="))
    for days, width in ((400, 300), (400, 1200), (90, 500), (31, 800), (8, 1200), (1, 300)):
        labels = page.evaluate(LABELS, [days, "day", width])
        assert labels
        assert len(labels) == len(set(labels)) <= width // 40, (days, width, labels)
    choose(page, "2026-10-01", "2026-10-31")
    expect(by.locator("[aria-pressed=true]")).to_have_text("Days")
    assert "2026" not in page.locator("#figure-agents-more").text_content()


LABELS = """async ([count, by, width]) => {
  const src = [...document.scripts].find(({ src }) => src.endsWith("/reports.js")).src;
  const { ticks } = await import(new URL("axes.js", src));
  const day = (n) => new Date(Date.UTC(2025, by === "month" ? n : 0, by === "month" ? 1 : n + 1));
  const buckets = Array.from({ length: count }, (_, n) => day(n).toISOString().slice(0, 10));
  return ticks(buckets.map((day) => ({ day })), by, width).map(([, text]) => text);
}"""


def test_from_a_month_to_days_and_hours_and_back(visit: Visit) -> None:
    """Click by click; the address has it all, Back undoes it, other pages keep the days."""
    page = visit("/accounts/acme?from=2026-08-01&to=2026-11-30")
    settled(page)
    chart = page.locator("#usage .chart")
    for keys, first, last in ((3, "2026-10-01", "2026-10-31"), (1, "2026-10-01", "2026-10-01")):
        chart.focus()
        for _ in range(keys):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.get_by_label("From", exact=True)).to_have_value(first)
        expect(page.get_by_label("To", exact=True)).to_have_value(last)
        settled(page)
    assert len(rows(page, "connectivity")) == 25
    live = page.get_by_role("link", name="Live")
    expect(live).to_have_attribute("href", re.compile("from=2026-10-01&to=2026-10-01"))
    page.go_back()
    expect(page.get_by_label("To", exact=True)).to_have_value("2026-10-31")
    settled(page)
    page.locator("#connectivity [data-table]").click()
    service = page.locator("#connectivity .legend").get_by_role("button", name="Chat")
    service.click()
    expect(service).to_have_attribute("aria-pressed", "true")
    expect(service).to_be_focused()
    expect(page).to_have_url(re.compile("service=chat"))
    page.locator("#series").get_by_role("button", name="Mobile Web").click()
    expect(page).to_have_url(re.compile("series=mobile-web"))
    page.go_back()
    page.go_back()
    expect(service).to_have_attribute("aria-pressed", "false")
    page.go_back()
    expect(page.get_by_label("From", exact=True)).to_have_value("2026-08-01")


def test_another_period_beside_it(visit: Visit) -> None:
    """Differences on the figures, columns in the tables; the dates of what is compared with."""
    page = visit("/accounts/acme?from=2026-10-02&to=2026-10-02&compare=previous")
    settled(page)
    expect(page.locator("#figure-runs-change")).to_contain_text("against 6")
    expect(page.locator("#note")).to_contain_text("Dashed: Thu, 1 Oct 2026")
    assert rows(page, "usage")[0][4] == "6"
    choose(page, "2026-10-01", "2026-10-01")
    page.get_by_label("Compare with").select_option("year")
    expect(page.locator("#figure-runs-change")).to_have_text("new against 0")
    expect(page).to_have_url(re.compile("compare=year"))


COMPARED = """async (asked) => {
  const src = [...document.scripts].find(({ src }) => src.endsWith("/reports.js")).src;
  const { comparedWith, cutOf, PRESETS } = await import(new URL("days.js", src));
  return asked.map(([kind, first, last, now]) =>
    now ? cutOf(kind, [first, last], now) :
    last ? comparedWith(kind, first, last) : PRESETS[kind](first));
}"""


def test_periods_and_what_they_are_compared_with(visit: Visit) -> None:
    """Months with months, weekdays with weekdays, a leap day with the last of February."""
    asked = {
        ("previous", "2026-03-01", "2026-03-31"): ("2026-02-01", "2026-02-28"),
        ("previous", "2026-11-01", "2026-11-27"): ("2026-10-01", "2026-10-27"),
        ("previous", "2026-01-01", "2026-03-31"): ("2025-10-01", "2025-12-31"),
        ("previous", "2026-11-21", "2026-11-27"): ("2026-11-14", "2026-11-20"),
        ("weekdays", "2026-11-24", "2026-11-24"): ("2026-11-17", "2026-11-17"),
        ("weekdays", "2026-11-01", "2026-11-27"): ("2026-10-04", "2026-10-30"),
        ("year", "2024-02-29", "2024-02-29"): ("2023-02-28", "2023-02-28"),
        ("last-week", "2026-11-27"): ("2026-11-16", "2026-11-22"),
        ("last-week", "2026-11-29"): ("2026-11-16", "2026-11-22"),
        ("last-week", "2026-11-30"): ("2026-11-23", "2026-11-29"),
        ("last-month", "2026-03-31"): ("2026-02-01", "2026-02-28"),
        ("quarter", "2026-11-27"): ("2026-10-01", "2026-11-27"),
        ("last-quarter", "2026-02-01"): ("2025-10-01", "2025-12-31"),
        ("12-months", "2026-11-27"): ("2025-12-01", "2026-11-27"),
    }
    ended = ("2026-11-01", "2026-10-01", "2026-10-27", "2026-11-28T09:00:00")
    so_far = {
        ("2026-11-27", "2026-11-26", "2026-11-26", "2026-11-27T14:20:00"): "2026-11-26T14:00:00",
        ("2026-11-01", "2026-10-01", "2026-10-27", "2026-11-27T14:30:00"): "2026-10-27T15:00:00",
        ("2026-11-27", "2026-11-26", "2026-11-26", "2026-11-27T23:40:00"): None,
        ended: None,
    }
    page = visit("/accounts/customer-0001")  # a page without numbers has the modules, too
    page.goto("/accounts/acme")
    found = page.evaluate(COMPARED, [list(each) for each in asked])
    assert [tuple(each) for each in found] == list(asked.values())
    assert page.evaluate(COMPARED, [list(each) for each in so_far]) == list(so_far.values())


def test_on_paper(visit: Visit, tmp_path: Path) -> None:
    """A page's width for every chart, the header and the page's number; afterwards as before."""
    page = visit("/accounts/acme?from=2026-10-01&to=2026-10-31", scheme="dark")
    settled(page)
    wide = page.evaluate(WIDTH)
    page.evaluate(
        "addEventListener('beforeprint', () => { window.onPaper = [...document.querySelectorAll("
        "'.chart')].filter((host) => host.plot).map(({ plot }) => plot.width); })"
    )
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert set(page.evaluate("window.onPaper")) == {1400}
    assert page.evaluate(WIDTH) == wide
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1024, "height": 700})  # landscape: charts fill it, too
    assert page.evaluate(FILLED) == [True]
    words = ["pdftotext", "-layout", str(tmp_path / "page.pdf"), "-"]
    if shutil.which("pdftotext"):
        text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        pages = text.count("\f")
        assert f"Page {pages} of {pages}" in text
        assert text.count("1 – 31 Oct 2026") >= pages
        for gone in ("Export", "Refresh", "Compare with", "Table"):
            assert gone not in text


FILLED = """() => [...new Set([...document.querySelectorAll('.chart canvas, .heatmap canvas')].map(
  (each) => Math.abs(each.getBoundingClientRect().width - 1024) < 2))]"""
WIDTH = "document.querySelector('#concurrency .chart').plot.width"


def test_the_hours_by_keyboard_and_by_touch(visit: Visit, visits: Visits) -> None:
    """The map of hours is read out by the arrow keys; a first tap shows, the second opens."""
    page = visit("/accounts/acme?from=2026-10-01&to=2026-10-02")
    settled(page)
    cells = page.locator("#heatmap")
    cells.focus()
    page.keyboard.press("ArrowDown")
    expect(cells.locator("[aria-live]")).to_contain_text("Thu, 1 Oct 2026: ")
    page.keyboard.press("ArrowRight")
    expect(cells.locator("[aria-live]")).to_contain_text("Fri, 2 Oct 2026: ")
    touch = visits.browser.new_context(
        base_url=page.url, has_touch=True, is_mobile=True, viewport=PHONE, locale="en-GB",
        storage_state=page.context.storage_state(),
    )  # fmt: skip
    visits.contexts.append(touch)
    phone = touch.new_page()
    phone.goto(page.url)
    settled(phone)
    bars = phone.locator("#usage .u-over")
    box = bars.bounding_box()
    assert box is not None
    place = {"x": box["width"] * 0.25, "y": box["height"] / 2}
    bars.tap(position=place)
    expect(phone.locator("#usage .tip")).to_contain_text("Tap again to open")
    expect(phone.get_by_label("To", exact=True)).to_have_value("2026-10-02")
    bars.tap(position=place)
    expect(phone.get_by_label("To", exact=True)).to_have_value("2026-10-01")
    small = phone.evaluate(SMALL)
    assert small == []


SMALL = """() => [...document.querySelectorAll("main :is(button, select, input, .button), .tabs a")]
  .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 44)
  .map((each) => each.outerHTML.slice(0, 80))"""


def test_a_page_heals_by_itself(visit: Visit, visits: Visits) -> None:
    """The server is away for a moment: it says so, tries again, and shows the numbers."""
    page = visit("/accounts/acme?from=2026-10-01&to=2026-10-02")
    settled(page)
    page.route("**/dashboard?*", lambda route: route.abort())
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("#problem")).to_contain_text("It is tried again by itself")
    expect(page.locator("#reports")).to_have_class("stale")
    page.unroute("**/dashboard?*")
    expect(page.locator("#problem")).to_be_empty(timeout=8000)
    settled(page)
    expect(page.locator("#reports")).not_to_have_class("stale")
    visits.complaints.clear()  # the browser notes what failed


def test_by_keyboard_alone(visit: Visit) -> None:
    """The switch to the table, the numbers of a chart, another account: without a pointer."""
    page = visit("/accounts/acme?from=2026-10-01&to=2026-10-03")
    settled(page)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    chart = page.locator("#usage .chart")
    chart.focus()
    page.keyboard.press("ArrowRight")
    expect(chart.locator("[aria-live]")).to_have_text(
        "Thu, 1 Oct 2026: Runs 6, Completed 6, Abandoned 0"
    )
    expect(chart.locator(".tip")).to_be_visible()
    page.keyboard.press("Escape")
    expect(chart.locator(".tip")).to_be_hidden()
    page.locator("#usage [data-table]").focus()
    page.keyboard.press("Space")
    expect(page.locator("#usage table")).to_be_visible()
    expect(page.locator("#usage .chart")).to_be_hidden()
    switcher = page.get_by_role("combobox", name="Account")
    switcher.focus()
    page.keyboard.type("customer 0777")
    expect(page.locator("#switcher [aria-selected=true]")).to_have_text(
        "Customer 0777 Ltdcustomer-0777"
    )
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/customer-0777?*")


@pytest.mark.parametrize("tab", ["Alerts", "Account"])
def test_another_account_is_shown_on_the_same_page(visit: Visit, tab: str) -> None:
    page = visit("/accounts/acme?from=2026-10-01&to=2026-10-03")
    page.get_by_role("link", name=tab, exact=True).click()
    page.get_by_role("combobox", name="Account", exact=True).fill("customer 0777")
    page.locator("#switcher [role=option]").get_by_text("Customer 0777 Ltd").click()
    page.wait_for_url("**/accounts/customer-0777/*")
    expect(page.locator(".tabs [aria-current=page]")).to_have_text(tab)


def test_a_thousand_accounts(visit: Visit) -> None:
    """A page at a time; searched as one types; a long list of choices is narrowed down."""
    page = visit("/")
    expect(page.locator("#count")).to_contain_text("1,005 accounts.")
    expect(page.locator("#list a")).to_have_count(100)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#list a")).to_have_count(200)
    expect(page.locator("#list a").nth(100)).to_be_focused()
    page.get_by_label("Search accounts").fill("zzz")
    expect(page.get_by_text('No accounts match "zzz"')).to_be_visible()
    page.get_by_label("Search accounts").fill("0042")
    expect(page.locator("#list li")).to_have_count(1)
    page.get_by_role("link", name="Customer 0042 Ltd").click()
    page.wait_for_url("**/accounts/customer-0042")
    page.get_by_role("combobox", name="Account").click()
    expect(page.get_by_role("option")).to_have_count(60)
    expect(page.get_by_text("945 more; type to narrow down")).to_be_attached()


def test_an_account_without_data_says_how_to_begin(visit: Visit, redis_url: str) -> None:
    """With an event to copy; and it notices the first one by itself."""
    page = visit("/accounts/customer-0500/live")
    expect(page.get_by_text("usage send first.ndjson")).to_be_visible()
    text = page.locator("pre").first.text_content()
    assert text is not None
    fill(redis_url, [text.encode()], log="first")
    expect(page.locator("[data-series=agent] [data-now]")).to_have_text("0")


def test_two_years(visit: Visit) -> None:
    """731 days in the table, and a page that stays usable."""
    page = visit("/accounts/acme?from=2024-10-02&to=2026-10-02")
    settled(page)
    expect(page.locator("#figure-runs")).to_have_text("6")
    assert len(rows(page, "usage")) == 26
    page.get_by_role("button", name="Days").click()
    expect(page.locator("#usage [data-as-table] tbody tr")).to_have_count(732)
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive")
    assert ready < 1000


@pytest.mark.parametrize(
    "path", ["/", "/accounts/acme?from=2026-10-01&to=2026-10-31", "/accounts/acme/live",
             "/accounts/acme/information", "/accounts/customer-0001", "/docs"],
)  # fmt: skip
def test_on_a_phone_nothing_is_wider_than_the_screen(visit: Visit, path: str) -> None:
    """360 pixels: the page scrolls down and never sideways."""
    page = visit(path, viewport=PHONE)
    page.wait_for_load_state("load")
    if "?" in path:
        settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_another_accounts_token_is_refused(
    visits: Visits, served: Dashboard, tmp_path: Any
) -> None:
    """Led to its own account; another's page and file are those of no account."""
    page = visits.open(served.url, "/", token=served.token("acme"))
    page.wait_for_url("**/accounts/acme")
    expect(page.get_by_role("combobox", name="Account")).to_have_count(0)
    settled(page)
    page.goto("/accounts/moved")
    expect(page.get_by_text("There is no such account.")).to_be_visible()
    file = page.request.get("/api/accounts/moved/usage.xls")
    assert file.status == 404
    page.goto("/login")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    page.get_by_label("Token").fill("usage_made-up")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("This token is not valid")
    visits.complaints.clear()  # the browser notes the answers with 404 and 401


def test_light_and_dark_are_chosen_and_kept(visit: Visit) -> None:
    """The system's at first; then whatever was chosen, on the next page, too."""
    page = visit("/accounts/acme", scheme="dark")
    settled(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(13, 16, 23)"
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate(ground) == "rgb(245, 246, 248)"
    page.goto("/accounts/acme/information")
    assert page.evaluate(ground) == "rgb(245, 246, 248)"
