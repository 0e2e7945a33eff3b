"""The Account Information page for a viewer, a manager and an operator."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from interaction_usage.dashboard.tokens import Role
from interaction_usage.store import account_settings, keys
from tests.browser.conftest import PHONE, Visits
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard

AXE = (Path(__file__).parent / "axe.min.js").read_text("utf-8")
Visit = Callable[..., Page]


@pytest.fixture
def served(served: Dashboard, redis_url: str) -> Dashboard:
    """Return a dashboard of an account with a name and no history, and of its double."""
    fill(redis_url, [flow(1, subject="acme")])
    served.redis.delete(keys.settings("acme"), keys.settings_history("acme"))
    account_settings.put(served.ledger, "acme", name="Acme Ltd", timezone="Etc/GMT+12")
    served.redis.delete(keys.settings_history("acme"))
    account_settings.put(served.ledger, "rival", name="Acme Ltd")
    return served


@pytest.fixture
def information(visits: Visits, served: Dashboard) -> Visit:
    """Return a function that opens the page with a role's token and waits until it is whole."""

    def go(role: Role, **more: object) -> Page:
        account = None if role is Role.OPERATOR else "acme"
        token = served.token(account, role=role, label=f"the {role}")
        page = visits.open(served.url, "/accounts/acme/information", token=token, **more)  # type: ignore[arg-type]
        expect(page.locator("#information")).to_have_attribute("aria-busy", "false")
        expect(page.get_by_label("Name")).to_have_value("Acme Ltd")
        return page

    return go


def test_a_viewer_reads(information: Visit) -> None:
    """No field can be changed, and the page says who can."""
    page = information(Role.VIEWER)
    assert page.get_by_label("Name").get_attribute("readonly") is not None
    assert page.get_by_label("Time zone", exact=True).get_attribute("readonly") is not None
    expect(page.get_by_role("switch", name="DNIS Service")).to_be_disabled()
    expect(page.get_by_role("switch", name="Outgoing SMS")).to_be_disabled()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    expect(page.locator("#why-read-only")).to_contain_text("You can view these settings.")
    expect(page.locator("#history")).to_contain_text("Never changed")


def test_a_manager_changes_name_and_time_zone(information: Visit, served: Dashboard) -> None:
    """Not what applies; what the zone moves is said before it is saved, who did it after."""
    page = information(Role.MANAGER)
    expect(page.get_by_role("switch", name="DNIS Service")).to_be_disabled()
    page.get_by_label("Name").fill("Acme Group")
    zone = page.get_by_role("combobox", name="Time zone")
    zone.fill("Kiritimati")
    page.get_by_role("option", name="Pacific/Kiritimati").click()
    moves = page.locator("#zone-change")
    expect(moves).to_contain_text("26 hours earlier than in Etc/GMT+12")
    expect(moves).to_contain_text("are on both bills")
    assert account_settings.get(served.redis, "acme").timezone == "Etc/GMT+12"
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_have_text("Saved")
    expect(moves).to_be_empty()
    assert account_settings.get(served.redis, "acme")[:4] == (
        "Acme Group",
        "Pacific/Kiritimati",
        True,
        True,
    )
    rows = page.locator("#history tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("the manager")
    expect(rows.first).to_contain_text("Pacific/Kiritimati")


def test_an_operator_changes_everything(information: Visit, served: Dashboard) -> None:
    """One field at a time: only what was changed is sent, so that nothing else goes back."""
    page = information(Role.OPERATOR)
    account_settings.put(served.ledger, "acme", name="Changed Meanwhile")
    page.get_by_text("DNIS Service").click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_have_text("Saved")
    expect(page.get_by_label("Name")).to_have_value("Changed Meanwhile")
    assert account_settings.get(served.redis, "acme")[:3] == (
        "Changed Meanwhile",
        "Etc/GMT+12",
        False,
    )
    first = page.locator("#history tbody tr").first
    expect(first).to_contain_text("the operator")
    expect(first).to_contain_text("DNIS Service")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#saved")).to_have_text("Nothing was changed")


def test_an_open_server_lets_everybody_change_everything(
    visits: Visits, redis_url: str, served: Dashboard
) -> None:
    """Whoever reaches it sits at the machine; the history says how they came."""
    with dashboard(redis_url, is_open=True) as opened:
        page = visits.open(opened.url, "/accounts/acme/information")
        expect(page.get_by_label("Name")).to_have_value("Acme Ltd")
        page.get_by_label("Name").fill("Opened")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#history tbody tr").first).to_contain_text("open server")


def test_older_changes_are_fetched_when_asked_for(information: Visit, served: Dashboard) -> None:
    """Fifty at first."""
    for number in range(60):
        account_settings.put(served.ledger, "acme", name=f"Acme {number}")
    account_settings.put(served.ledger, "acme", name="Acme Ltd")
    page = information(Role.VIEWER)
    rows = page.locator("#history tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Show older changes").click()
    expect(rows).to_have_count(61)
    expect(page.get_by_role("button", name="Show older changes")).to_be_hidden()


def test_accounts_of_one_name_are_shown_with_their_ids(visits: Visits, served: Dashboard) -> None:
    """In the list and in the finder, and on the pages themselves."""
    page = visits.open(served.url, "/", token=served.token())
    rows = page.locator("#list li", has_text="Acme Ltd")
    expect(rows).to_have_count(2)
    assert sorted(row.locator("span").first.inner_text() for row in rows.all()) == ["acme", "rival"]
    page.goto("/accounts/rival")
    expect(page.locator(".page-head")).to_contain_text("rival")
    page.get_by_role("combobox", name="Account").click()
    options = page.get_by_role("option", name="Acme Ltd")
    expect(options).to_have_count(2)
    assert sorted(option.locator("span").inner_text() for option in options.all()) == [
        "acme", "rival",
    ]  # fmt: skip


def test_the_time_zone_is_changed_from_the_list(visits: Visits, served: Dashboard) -> None:
    """Found by its country, with what it moves before it is saved; accounts are found by it."""
    page = visits.open(served.url, "/", token=served.token())
    page.get_by_role("button", name="Time zone of Acme Ltd").first.click()
    dialog = page.get_by_role("dialog", name="Time zone")
    finder = dialog.get_by_role("combobox")
    finder.fill("india")
    first = dialog.get_by_role("option").first  # all zones are read once, which may take a while
    expect(first).to_contain_text("Asia/Kolkata", timeout=15_000)
    dialog.get_by_role("option", name="Asia/Kolkata").click()
    expect(dialog.locator("#zone-change")).to_contain_text("Etc/GMT+12")
    page.evaluate(AXE)
    found = page.evaluate("axe.run('dialog')")
    assert [each["id"] for each in found["violations"]] == []
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("[data-account=acme]")).to_contain_text("Asia/Kolkata")
    expect(page.get_by_role("button", name="Time zone of Acme Ltd").first).to_be_focused()
    assert account_settings.get(served.redis, "acme").timezone == "Asia/Kolkata"


@pytest.mark.parametrize("role", list(Role))
def test_on_a_phone_it_is_as_wide_as_the_screen(
    information: Visit, served: Dashboard, role: Role
) -> None:
    """With a name as long as it may be in the history."""
    account_settings.put(served.ledger, "acme", name="W" * 200)
    account_settings.put(served.ledger, "acme", name="Acme Ltd")
    page = information(role, viewport=PHONE)
    expect(page.locator("#history tbody tr")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("role", list(Role))
def test_no_barrier_for_any_role(information: Visit, served: Dashboard, role: Role) -> None:
    """With a history, and with what a time zone moves where it can be chosen."""
    account_settings.put(served.ledger, "acme", sms=False)
    page = information(role)
    if role is not Role.VIEWER:
        page.get_by_role("combobox", name="Time zone").fill("Kiritimati")
        page.get_by_role("option", name="Pacific/Kiritimati").click()
        expect(page.locator("#zone-change")).to_contain_text("on both bills")
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert [each["id"] for each in found] == []
