"""The Corrections page: shown before it is published, and published only when confirmed."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from interaction_usage.dashboard.corrections import (
    ChangedValues,
    Correction,
    EventToVoid,
    SessionToCorrect,
    Why,
)
from interaction_usage.dashboard.errors import RequestError
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard
from tests.support.vector_files import lines

MONTH = ("2026-10-01", "2026-10-31", "UTC")


class Recorded:
    """Corrections as Kafka would take them; keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[EventToVoid | SessionToCorrect, Why, bool]] = []

    def void(self, wanted: EventToVoid, why: Why, *, publish: bool) -> Correction:
        """Take back any event but one."""
        if wanted.id == "run1":
            raise RequestError(409, "Kafka has no such event. Did you mean 'run-1'?")
        return self._made(wanted, why, publish, [("flow_runs.total", 2, 1)])

    def correct(self, wanted: SessionToCorrect, why: Why, *, publish: bool) -> Correction:
        """Correct any session; nothing changes."""
        return self._made(wanted, why, publish, [])

    def _made(
        self, wanted: EventToVoid | SessionToCorrect, why: Why, publish: bool,
        cells: list[tuple[str, object, object]],
    ) -> Correction:  # fmt: skip
        self.asked.append((wanted, why, publish))
        place = ("usage.corrections", 0, 7) if publish else None
        reports = [ChangedValues(*MONTH, cells)]
        return Correction("void of usage.flow.run", reports, ["fixed-000001"], [], place, publish)


@pytest.fixture(scope="module")
def made() -> Recorded:
    """Return what keeps the corrections that pages ask for."""
    return Recorded()


@pytest.fixture(scope="module")
def served(redis_url: str, made: Recorded) -> Iterator[Dashboard]:
    """Yield a dashboard of the vector's account, with one void that is pending."""
    fill(redis_url, [line for _, line in lines("corrections") if b'"id":"6"' not in line[:40]])
    with dashboard(redis_url, corrections=made) as running:
        yield running


def test_an_event_is_voided_in_two_steps(visit: Callable[..., Page], made: Recorded) -> None:
    """A typo is said; what changes is shown; nothing is published before the second button."""
    made.asked.clear()
    page = visit("/accounts/fixed/corrections")
    form = page.locator("#event")
    form.get_by_label("Source").fill("web")
    form.get_by_label("Id").fill("run-1")
    form.get_by_role("button").click()
    expect(form.get_by_role("status")).to_have_text("Fill in every field.")
    form.get_by_label("Reason").fill("a load test")
    form.get_by_role("button").click()
    expect(page.locator("#cells")).to_contain_text("Interaction Flows Run: Total")
    expect(page.locator("#what")).to_contain_text("fixed-000001")
    assert [publish for _, _, publish in made.asked] == [False]
    page.get_by_role("button", name="Publish this correction").click()
    expect(page.locator("#outcome")).to_have_text("Published and counted.")
    wanted, why, publish = made.asked[-1]
    assert (wanted, why.reason, publish) == (
        EventToVoid("fixed", "web", "run-1", None), "a load test", True,
    )  # fmt: skip


def test_a_session_is_corrected_and_a_correction_cancelled(
    visit: Callable[..., Page], made: Recorded
) -> None:
    """What never was has no start, whatever is in the field."""
    made.asked.clear()
    page = visit("/accounts/fixed/corrections")
    form = page.locator("#session-form")
    form.get_by_label("Application").select_option("mobile-web")
    form.get_by_label("Session", exact=True).fill("s-1")
    form.get_by_label("Start").fill("2026-10-05T09:00:00Z")
    form.get_by_label("The session never was").check()
    form.get_by_label("Reason").fill("a load test")
    form.get_by_role("button").click()
    expect(page.locator("#cells")).to_contain_text("No value changes")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#change")).to_be_hidden()
    [(wanted, _, publish)] = made.asked
    assert (wanted, publish) == (
        SessionToCorrect("fixed", "mobile-web", "s-1", None, None, False), False,
    )  # fmt: skip


def test_pending_voids_are_listed(visit: Callable[..., Page]) -> None:
    """With what they take back, and why."""
    page = visit("/accounts/fixed/corrections")
    expect(page.locator("#pending")).to_contain_text("call.minutes 12345")
    expect(page.locator("#pending")).to_contain_text("wrong length")


def test_an_account_s_token_has_no_such_page(visit: Callable[..., Page], served: Dashboard) -> None:
    """Neither in the tabs nor by its address."""
    page = visit("/accounts/fixed", token=served.token("fixed"))
    expect(page.get_by_role("link", name="Reports")).to_be_visible()
    assert page.get_by_role("link", name="Corrections").count() == 0
    answer = served.client(served.token("fixed")).get("/accounts/fixed/corrections")
    assert answer.status_code in (303, 403)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off(visit: Callable[..., Page], scheme: str) -> None:
    """On a phone as on a desk."""
    for viewport in ({"width": 360, "height": 740}, {"width": 1360, "height": 900}):
        page = visit("/accounts/fixed/corrections", scheme=scheme, viewport=viewport)
        expect(page.locator("#pending")).to_contain_text("call.minutes")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert re.search("Corrections", page.title())
