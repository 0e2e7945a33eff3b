"""The Issued page: what would be issued is shown first, and what it adjusts."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.event_lines import event, flow
from tests.support.filling import fill
from tests.support.serving import Dashboard

REPORTS = "/api/accounts/acme/issued-reports"
OCTOBER = {"from": "2025-10-01", "to": "2025-10-31"}


@pytest.fixture(scope="module")
def changed(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of an account whose October was issued, and has changed since."""
    fill(redis_url, [flow(n, time="2025-10-05T12:00:00Z") for n in range(40)])
    with served.client(served.token()) as client:
        client.post(REPORTS, json=OCTOBER)
        client.put("/api/accounts/acme", json={"late_usage": "adjust", "name": "Acme <b>Ltd</b>"})
    late = {"session": "late", "application": "agent"}
    fill(
        redis_url,
        [
            flow("late", time="2025-10-06T12:00:00Z"),
            event("a", "session.started", late, time="2025-10-06T09:30:00Z"),
            event("b", "session.stopped", late, time="2025-10-06T09:40:00Z"),
            event("c", "call.minutes", {"minutes": 2.5}, time="2025-10-31T23:59:59Z"),
        ],
    )
    return served


def picture(page: Page, name: str) -> None:
    """Keep pictures of the page, dark and on a phone too, if a folder for them is named."""
    if folder := os.environ.get("ISSUED_PICTURES"):
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 390, "height": 800})
        page.screenshot(path=Path(folder) / f"{name}-phone-dark.png", full_page=True)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1360, "height": 900})


def test_the_next_report_is_issued_with_an_adjustment(
    visit: Callable[..., Page], changed: Dashboard
) -> None:
    """The difference is shown, then the preview, then the list says who adjusts whom."""
    page = visit("/accounts/acme/issued")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="acme-000001"))
    expect(row).to_contain_text("numbers would differ now")
    row.get_by_role("button", name="Difference").click()
    expect(page.locator("#difference")).to_contain_text("DNIS Service: Call Now minutes")
    picture(page, "difference")
    page.get_by_label("Month").fill("2025-11")
    page.get_by_role("button", name="Preview").click()
    shown = page.locator("#preview-adjustments")
    expect(shown).to_contain_text(re.compile(r"Adjustment of acme-000001, 1\s–\s31 Oct 2025"))
    expect(shown.get_by_role("row", name="DNIS Service: Call Now minutes")).to_contain_text("+2.5")
    picture(page, "preview")
    page.get_by_role("button", name="Issue acme-000002 for ever").click()
    expect(page.locator("#said")).to_contain_text("Issued: acme-000002.")
    expect(row).to_contain_text("Adjusted in acme-000002")
    expect(row.get_by_role("button", name="Revise")).to_have_count(0)
    expect(page.locator("#reports")).to_contain_text("Adjusts acme-000001")
    picture(page, "list")


def test_the_account_sees_own_reports_and_issues_none(
    visit: Callable[..., Page], changed: Dashboard
) -> None:
    """No form, no button that changes anything."""
    page = visit("/accounts/acme/issued", token=changed.token("acme"))
    expect(page.locator("#reports")).to_contain_text("acme-000001")
    expect(page.locator("#issue")).to_have_count(0)
    expect(page.get_by_role("button", name="Revise")).to_have_count(0)


def test_late_usage_is_set_on_the_information_page(
    visit: Callable[..., Page], changed: Dashboard
) -> None:
    """By an operator; the account's own token sees it and cannot change it."""
    page = visit("/accounts/acme/information")
    expect(page.get_by_role("radio", name="Adjust")).to_be_checked()
    page.get_by_role("radio", name="Revise").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_have_text("Saved")
    expect(page.locator("#history")).to_contain_text("Late usage")
    picture(page, "information")
    own = visit("/accounts/acme/information", token=changed.token("acme"))
    expect(own.get_by_role("radio", name="Adjust")).to_be_disabled()
