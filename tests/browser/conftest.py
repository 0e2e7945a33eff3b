"""A real browser, and pages that must neither complain nor reach for anything outside."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.dashboard.conftest import redis_url as redis_url
from tests.dashboard.conftest import served as served
from tests.support.serving import Dashboard

_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip

DESK = {"width": 1360, "height": 900}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def chromium(leave_out: Callable[[str], None]) -> Iterator[Browser]:
    """Yield Debian's Chromium.

    Not for the whole session: while it is there, this thread has a running event loop, and other
    suites start their own.
    """
    path = shutil.which("chromium")
    if path is None:
        leave_out("a browser (chromium is not on the PATH)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Visits:
    """Opens pages and keeps what went wrong on them."""

    browser: Browser
    contexts: list[Any] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(
        self, url: str, path: str = "/", *, token: str | None = None, scheme: str = "light",
        viewport: dict[str, int] | None = None,
    ) -> Page:  # fmt: skip
        """Return a page of a new browser profile, logged in with *token* if one is given."""
        context = self.browser.new_context(
            base_url=url, viewport=viewport or DESK, color_scheme=scheme, accept_downloads=True,
            timezone_id="America/Los_Angeles", locale="en-GB", reduced_motion="reduce",
        )  # fmt: skip
        context.set_default_timeout(10_000)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._asked(url, request.url))
        if token:  # as the form does, without the two pages
            done = context.request.post(
                "/login", form={"token": token}, headers={"Origin": url}, max_redirects=0
            )
            assert done.status == 303, done.text()
        page.goto(path)
        return page

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _asked(self, url: str, address: str) -> None:
        if not address.startswith((url, "data:", "blob:")):
            self.complaints.append(f"reached outside: {address}")


@pytest.fixture
def visits(chromium: Browser) -> Iterator[Visits]:
    """Yield the way to pages; a complaint on any of them fails the test, unless it is taken out."""
    made = Visits(chromium)
    yield made
    for context in made.contexts:
        context.close()
    assert made.complaints == []


@pytest.fixture
def visit(visits: Visits, served: Dashboard) -> Callable[..., Page]:
    """Return a function that opens a page of the dashboard as an operator."""

    def go(path: str = "/", **more: Any) -> Page:
        token = more.pop("token", None) or served.token()
        return visits.open(served.url, path, token=token, **more)

    return go
