"""The reports page in a real browser: numbers, export, time zones, keyboard, sizes."""

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
    for number in range(1000):
        account_settings.put(
            served.ledger, f"customer-{number:04}", name=f"Customer {number:04} Ltd"
        )
    return served


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
    assert rows(page, "usage")[1][:2] == ["Thu, Oct 1, 2026", "6"]
    assert rows(page, "applications")[0] == ["Whole period", "3", "0", "2", "1", "6"]
    assert rows(page, "connectivity")[0] == ["Whole period", "2", "1", "3", "1", "7"]
    assert rows(page, "resolution")[0][:6] == ["Whole period", "6", "2", "1", "3", "6"]
    assert rows(page, "concurrency")[1][1:4] == [str(peak), "10:00", "2.00"]
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
    """And nothing can be exported until it is put right."""
    page = visit("/accounts/acme?from=2026-10-01&to=2026-10-02")
    settled(page)
    page.get_by_label("From", exact=True).fill("2026-10-03")
    page.get_by_role("button", name="Refresh").click()
    expect(page.locator("#period-error")).to_have_text("The first day comes after the last.")
    export = page.locator("#export")
    expect(export).to_have_attribute("aria-disabled", "true")
    choose(page, "2026-10-01", "2026-10-02")
    expect(page.locator("#period-error")).to_be_empty()
    expect(export).not_to_have_attribute("aria-disabled", "true")


def test_one_flow(visit: Visit) -> None:
    """Chosen from the list: its own days; the page says what is not counted by flow."""
    page = visit("/accounts/flows?from=2026-10-01&to=2026-10-01")
    settled(page)
    expect(page.locator("#figure-runs")).to_have_text("100")
    assert rows(page, "heat")[0][:2] == ["Total (40 flows)", "100"]
    chooser = page.get_by_role("combobox", name="Interaction Flow")
    chooser.click()
    chooser.press_sequentially("flow 7")
    page.get_by_role("option", name="flow 7").click()
    expect(page.locator("#figure-runs")).to_have_text("3")
    assert [row[0] for row in rows(page, "heat")] == ["flow 7"]
    expect(page.locator("#note")).to_contain_text("counted for the whole account")
    expect(page.locator("#resolution .legend")).to_contain_text("not counted by flow")
    page.reload()  # the address has it
    settled(page)
    expect(page.locator("#figure-runs")).to_have_text("3")
    chooser.fill("no such flow")
    expect(page.get_by_text("Not in the list; Enter shows it anyway.")).to_be_visible()
    chooser.press("Enter")
    expect(page.locator("#figure-runs")).to_have_text("0")
    expect(page.locator("#heat")).to_contain_text("No flow ran in this period")
    chooser.fill("")
    chooser.press("Enter")
    expect(page.locator("#figure-runs")).to_have_text("100")


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
        "Thu, Oct 1, 2026: Begun 6, Completed 6, Abandoned 0"
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


def test_a_thousand_accounts(visit: Visit) -> None:
    """A page at a time; searched as one types; a long list of choices is narrowed down."""
    page = visit("/")
    expect(page.locator("#count")).to_have_text("1,004 accounts")
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
    expect(page.get_by_text("944 more; type to narrow down")).to_be_attached()


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
    assert len(rows(page, "usage")) == 732
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
