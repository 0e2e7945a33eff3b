"""The Alerts page: a rule is previewed, set, seen and removed."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visits
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard


@pytest.fixture(scope="module")
def served(redis_url: str) -> Iterator[Dashboard]:
    """Yield a dashboard of an account with some usage."""
    fill(redis_url, [flow(n) for n in range(3)])
    with dashboard(redis_url) as running:
        yield running


def test_a_rule_is_set_after_a_look_at_it(visits: Visits, served: Dashboard) -> None:
    """What is wrong is said at its field; nothing runs here, so its state is unknown."""
    page = visits.open(served.url, "/accounts/acme/alerts", token=served.token())
    expect(page.get_by_text("There is no rule yet")).to_be_visible()
    page.get_by_label("Watch").select_option("counter")
    page.get_by_label("Counter").select_option("runs")
    page.get_by_label("Threshold").fill("three")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#problem")).to_have_text("Use digits, such as 25.")
    page.get_by_label("Threshold").fill("1,000")
    page.get_by_label("Notify").fill("example.com/hook")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#to")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Notify").fill("ops@example.com")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("It would not have fired in the last 90 days")
    page.get_by_role("button", name="Set the rule").click()
    row = page.get_by_role("row", name="Flow runs: 1,000 or more this month")
    expect(row).to_contain_text("unknown")
    expect(row).to_contain_text("No `usage alerts run` is running.")
    expect(row).to_contain_text("ops@example.com")
    row.get_by_role("button", name="Test").click()
    expect(page.locator("#said")).to_contain_text("so nothing is sent")
    row.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("There is no rule yet")).to_be_visible()
    visits.complaints.clear()  # the browser's own lines about the status 422 and 409


def test_an_account_reads_the_rules(visits: Visits, served: Dashboard) -> None:
    """Without the form."""
    page = visits.open(served.url, "/accounts/acme/alerts", token=served.token("acme"))
    expect(page.get_by_text("An operator sets them.")).to_be_visible()
    expect(page.get_by_text("Nothing was sent yet")).to_be_visible()
    expect(page.locator("#rule")).to_have_count(0)
