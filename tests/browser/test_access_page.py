"""The Access page: a token is created, used, and revoked after a question."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visits
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of one account with an event, and a token with a hostile label."""
    fill(redis_url, [flow(1, subject="acme")])
    served.token("acme", label="<b>\N{RIGHT-TO-LEFT OVERRIDE}x</b>")
    return served


def test_a_customer_is_given_access_and_loses_it(
    visit: Callable[..., Page], served: Dashboard, visits: Visits
) -> None:
    """A typo is said beside its field; the token works; revoking takes a second click."""
    page = visit("/access?account=acmee", viewport={"width": 360, "height": 740})
    page.get_by_role("button", name="Create token").click()
    expect(page.locator("#account-error")).to_contain_text("did you mean acme?")
    visits.complaints.clear()  # the browser's own line about the status 422
    page.locator("#account").fill("acme")
    page.get_by_label("Label", exact=True).fill("Jane")
    page.get_by_role("button", name="Create token").click()
    token = page.get_by_label("Token", exact=True)
    expect(token).to_have_value(re.compile("^usage_"))
    secret = token.input_value()
    assert served.get("/accounts/acme", secret).status_code == 200
    row = page.get_by_role("row").filter(has_text="Jane")
    row.get_by_role("button").click()
    page.get_by_role("button", name="Keep it").click()
    assert served.get("/accounts/acme", secret).status_code == 200
    row.get_by_role("button").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(row).to_have_count(0)
    assert served.get("/accounts/acme", secret).status_code == 401
    page.get_by_label("Search tokens").fill("no such")
    expect(page.locator("#tokens")).to_contain_text('No tokens match "no such"')
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
