"""The page of refused events: what is wrong and how to fix it, by id, replayed after a question."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from interaction_usage.dashboard.refused import (
    Content,
    Overview,
    RefusedGroup,
    RefusedRecord,
    Replayed,
    Scope,
)
from tests.browser.conftest import PHONE
from tests.browser.test_looks import violations
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard

HOSTILE = "<b>\N{RIGHT-TO-LEFT OVERRIDE}run</b>" + "x" * 200
RECORD = RefusedRecord(
    "usage.flows/3/1204", "invalid-data", "data.application is not valid: invalid enum value 'fax'",
    "See Types.", "2026-11-01T09:00:00+00:00", "acme", HOSTILE, "/web", "usage.flow.run",
    "2026-11-01T08:59:59Z", True, 1, 0, None,
)  # fmt: skip
GROUP = RefusedGroup(
    "invalid-data", "data.application is not valid: invalid enum value …", "A member is wrong.",
    "See Types.", 12_345, ["acme", "<i>"], "2026-10-01T00:00:00+00:00", RECORD.refused_at, RECORD,
)  # fmt: skip


class Kept:
    """Refused events as Kafka would have them; keeps what was replayed."""

    def __init__(self) -> None:
        self.replayed: list[tuple[str, str, str | None]] = []

    def overview(self, scope: Scope, event_id: str | None) -> Overview:
        """Return one cause for acme, and nothing for others."""
        groups = [GROUP] if scope.account in (None, "acme") else []
        found = [RECORD] if event_id == "run-1" else []
        return Overview(len(groups) * GROUP.records, groups, 3, True, found)

    def content(self, scope: Scope, origin: str) -> Content:
        """Return the record."""
        return Content(RECORD, "acme", [("a", None)], '{"id":"<script>"}', False)

    def replay(self, reason: str, cause: str, account: str | None) -> Replayed:
        """Keep what was asked for."""
        self.replayed.append((reason, cause, account))
        return Replayed(12_344, ["usage.flows/3/1: not sent: it was too large to keep"])


@pytest.fixture(scope="module")
def kept() -> Kept:
    """Return what keeps what pages ask for."""
    return Kept()


@pytest.fixture(scope="module")
def served(redis_url: str, kept: Kept) -> Iterator[Dashboard]:
    """Yield a dashboard of two accounts."""
    fill(redis_url, [flow(1, subject="acme"), flow(2, subject="rival")])
    with dashboard(redis_url, refused=kept) as running:
        yield running


def test_an_operator_sees_why_and_replays(visit: Callable[..., Page], kept: Kept) -> None:
    """The cause, the advice, the bytes as text; nothing is sent before the second button."""
    page = visit("/refused")
    page.get_by_text("invalid enum value …").click()
    expect(page.get_by_text("How to fix it:")).to_be_visible()
    page.get_by_role("button", name="Show the record").click()
    expect(page.get_by_role("region", name="Value")).to_contain_text("<script>")
    assert violations(page) == []
    page.get_by_role("button", name="Replay 12,345 records").click()
    assert kept.replayed == []
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.locator("#problem")).to_contain_text("12,344 records replayed")
    expect(page.locator("#problem")).to_contain_text("too large to keep")
    assert kept.replayed == [("invalid-data", GROUP.cause, None)]


def test_a_customer_learns_why_on_a_phone(visit: Callable[..., Page], served: Dashboard) -> None:
    """By the event's id, which stands in the address; there is nothing to replay."""
    page = visit(
        "/accounts/acme/refused", token=served.token("acme"), viewport=PHONE, scheme="dark"
    )
    page.get_by_label("Event id").fill("run-1")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#found")).to_contain_text("invalid enum value 'fax'")
    assert page.url.endswith("?id=run-1")
    page.get_by_label("Event id").fill("run-2")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#found")).to_contain_text('No refused event has the id "run-2"')
    page.go_back()
    expect(page.locator("#found")).to_contain_text("invalid enum value 'fax'")
    assert page.get_by_role("button", name="Replay").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_an_account_without_refused_events(visit: Callable[..., Page]) -> None:
    """It says that there are none, and that some were replayed."""
    page = visit("/accounts/rival/refused")
    expect(page.locator("#causes")).to_contain_text("Nothing is refused")
    expect(page.locator("#count")).to_have_text("3 records replayed and not refused since.")
