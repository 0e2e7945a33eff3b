"""Every page, in light and dark: for whoever cannot see it, and as a picture for who can.

    make pictures

keeps the pictures that the documentation shows.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from playwright.sync_api import Page, expect

from interaction_usage.commands.demo_companies import COMPANIES
from interaction_usage.commands.demo_events import day_events, day_of
from interaction_usage.store import account_settings, keys
from interaction_usage.store.worker_registry import HEARTBEAT_TTL_S
from rollups.watermark import Reach
from tests.browser.conftest import PHONE, Visits
from tests.support.alert_samples import some_alerts
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard

AXE = (Path(__file__).parent / "axe.min.js").read_text("utf-8")
DAYS = 8
SCHEMES = ("light", "dark")

#: Path and what must be seen before it is looked at, by the name of its picture.
PAGES = {
    "login": ("/login", "Log in"),
    "accounts": ("/", "Bluebird Airlines"),
    "reports": ("/accounts/acme", "Usage Report"),
    "live": ("/accounts/acme/live", "Live"),
    "evidence": ("/accounts/acme/evidence", "The sessions present at"),
    "counting": ("/accounts/acme/evidence/counting", "Sustained 5 min"),
    "capacity": ("/accounts/acme/evidence/capacity", "Sessions started"),
    "sessions": ("/accounts/acme/evidence/sessions?longer=0", "Made from"),
    "issued": ("/accounts/acme/issued", "No report was issued yet"),
    "alerts": ("/accounts/acme/alerts", "25 or more at once"),
    "information": ("/accounts/acme/information", "Session limits"),
    "first": ("/accounts/newcomer", "usage send first.ndjson"),
    "access": ("/access", "Only a hash of each is stored"),
    "api": ("/docs", "/api/accounts/{account}/report"),
    "problem": ("/accounts/nobody", "There is no such account."),
}


def history(until: float) -> Iterator[bytes]:
    """Yield some days of the demo's events of one company that are valid, up to *until*."""
    acme = COMPANIES[0]
    today = day_of(acme, until)
    for ago in range(DAYS):
        for each in day_events(7, acme, today - timedelta(days=ago), today):
            if each.time <= until and not each.is_broken:
                yield each.value


@pytest.fixture(scope="module")
def served(redis_url: str) -> Iterator[Dashboard]:
    """Yield a dashboard over some days of a company, with a worker that sends heartbeats."""
    lines = list(history(time.time()))
    fill(redis_url, lines)
    places = {("usage.flows", 0): Reach(len(lines), len(lines), len(lines))}
    over = threading.Event()
    with dashboard(redis_url, places=lambda: places, lines=lines) as running:
        for company in COMPANIES:
            account_settings.put(
                running.ledger, company.id, name=company.name, timezone=company.timezone
            )
        account_settings.put(running.ledger, "newcomer", name="Newcomer Ltd")
        some_alerts(running.ledger)

        def beat() -> None:
            counted = 0
            while not over.wait(0.3):
                counted += 12
                word = orjson.dumps({"counted": counted, "waiting_for": ""})
                running.redis.zadd(keys.WORKERS, {"worker": 1})
                running.redis.set(keys.worker("worker"), word, ex=HEARTBEAT_TTL_S)

        heart = threading.Thread(target=beat)
        heart.start()
        yield running
        over.set()
        heart.join()


@pytest.fixture
def look(visits: Visits, served: Dashboard) -> Callable[..., Page]:
    """Return a function that opens one of the pages and waits until it is whole."""

    def go(name: str, scheme: str, **more: Any) -> Page:
        path, awaited = PAGES[name]
        token = None if name == "login" else served.token()
        page = visits.open(served.url, path, token=token, scheme=scheme, **more)
        shown = page.get_by_text(awaited, exact=name in ("login", "live")).first
        expect(shown).to_be_visible(timeout=30_000)  # evidence reads some ten thousand events
        if name == "reports":
            expect(page.locator("#reports")).to_have_attribute("aria-busy", "false")
        if name == "information":
            expect(page.get_by_label("Name")).to_have_value("Acme Insurance")
        if name == "live":
            expect(page.locator("#pill")).to_have_text("Live")
            expect(page.locator("#rate")).not_to_have_text("0.0")
        return page

    return go


def violations(page: Page) -> list[str]:
    """Return what axe finds against the page, each with the elements it is about."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{each['id']}: {[node['html'][:160] for node in each['nodes']]}" for each in found]


def in_each_scheme(page: Page) -> Iterator[str]:
    """Yield the names of the schemes, with the page in that scheme."""
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert is_dark == (scheme == "dark")
        yield scheme


def keep(page: Page, name: str, scheme: str) -> None:
    """Keep a picture of the page, where pictures are wanted."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.mouse.move(0, 0)
        page.screenshot(path=Path(folder) / f"{name}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_barrier(look: Callable[..., Page], visits: Visits, name: str) -> None:
    """No violation that axe knows of, contrast included, in light and after a change to dark."""
    page = look(name, "light")
    for scheme in in_each_scheme(page):
        assert violations(page) == [], scheme
        keep(page, name, scheme)
    if name == "problem":
        assert len(visits.complaints) == 1  # the browser notes the 404
        visits.complaints.clear()


def test_tables_lists_and_open_documentation_have_no_barrier(look: Callable[..., Page]) -> None:
    """What is only there after a click is looked at, too."""
    page = look("reports", "light")
    for switch in page.locator("[data-table]").all():
        switch.click()
    page.get_by_role("combobox", name="Interaction Flow").click()
    expect(page.get_by_role("option", name="Reset password")).to_be_visible()
    for scheme in in_each_scheme(page):
        assert violations(page) == [], scheme
    page = look("api", "light")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    for scheme in in_each_scheme(page):
        assert violations(page) == [], scheme


@pytest.mark.parametrize("name", ["reports", "live", "evidence", "counting", "capacity", "alerts"])
def test_on_a_phone(look: Callable[..., Page], name: str) -> None:
    """No barrier there either."""
    page = look(name, "light", viewport=PHONE)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    keep(page, f"{name}-phone", "light")


def test_the_numbers_at_the_pointer(look: Callable[..., Page]) -> None:
    """Hovering over a bar shows its day and all numbers of it; so does the map of hours."""
    page = look("reports", "light")
    chart = page.locator("#usage .chart .u-over")
    box = chart.bounding_box()
    assert box is not None
    chart.hover(position={"x": box["width"] * 0.93, "y": box["height"] / 2})
    tip = page.locator("#usage .tip")
    expect(tip).to_contain_text("Runs")
    today = page.locator("#to").input_value()
    words = f"{int(today[-2:])} {datetime.fromisoformat(today):%b %Y}"
    expect(tip).to_contain_text(words)
    cells = page.locator("#heatmap canvas")
    cells.hover(position={"x": 120, "y": 11 * 10 + 5})
    expect(page.locator("#heatmap .tip")).to_contain_text("10:00 – 10:59")


def test_a_busiest_hour_leads_to_who_was_there(look: Callable[..., Page]) -> None:
    """By its link, and by a click on an hour of the map, or on a day and an hour of it."""
    page = look("reports", "light")
    expected = page.locator("#figure-agents").text_content()
    page.locator("#concurrency .legend a").click()
    heading = page.get_by_role("heading", name="The maximum, minute by minute")
    expect(heading).to_be_visible(timeout=30_000)
    expect(page.locator("#answer .card").first).to_contain_text(f"In this hour {expected} session")
    expect(page.locator("#answer .minutes rect")).to_have_count(60)
    assert page.locator("#answer tbody tr").count() == int(expected or "")

    page = look("reports", "light")
    chart = page.locator("#concurrency .chart .u-over")
    box = chart.bounding_box()
    assert box is not None
    for place in (0.79, 0.45):  # yesterday, then its eleventh hour
        chart.click(position={"x": box["width"] * place, "y": box["height"] / 2})
        if place > 0.5:
            expect(page.locator("#concurrency [data-per]")).to_have_text("hour")
    expect(page.locator("#answer .card").first).to_contain_text("In this hour", timeout=30_000)

    page = look("reports", "light")
    page.locator("#heatmap canvas").click(position={"x": 120, "y": 11 * 10 + 5})
    expect(page.locator("#answer .minutes figcaption")).to_contain_text("10:00", timeout=30_000)


def test_the_page_says_when_it_is_not_up_to_date(
    look: Callable[..., Page], served: Dashboard, visits: Visits
) -> None:
    """Another worker list for a moment: none lives. It says so, and takes it back."""
    page = look("live", "light")
    health = served.app.state.watch.health
    from interaction_usage.dashboard.health import Stale

    stale = Stale("lag", "12 events are not counted yet; what is shown is 8 s old")
    served.app.state.broadcast._health = lambda: health()._replace(stale=stale)
    expect(page.locator("#pill")).to_have_text("Not up to date")
    expect(page.get_by_text("what is shown is 8 s old")).to_be_visible()
    served.app.state.broadcast._health = health
    expect(page.locator("#pill")).to_have_text("Live")
    expect(page.get_by_text("what is shown is 8 s old")).to_have_count(0)


def test_the_clock_of_the_page_is_the_accounts(look: Callable[..., Page]) -> None:
    """The browser is in Los Angeles, the account in Paris: as-of and hour are those of Paris."""
    from zoneinfo import ZoneInfo

    page = look("live", "dark")
    answer = page.locator("#as-of").text_content()
    assert answer is not None
    paris = datetime.now(UTC).astimezone(ZoneInfo("Europe/Paris"))
    reported_at = datetime.combine(paris.date(), datetime.strptime(answer, "%H:%M:%S").time())  # noqa: DTZ007
    apart = abs((paris.replace(tzinfo=None) - reported_at).total_seconds())
    assert min(apart, 86_400 - apart) < timedelta(seconds=10).total_seconds()
