"""HEAD is GET without a body, on pages and in the API."""

import time

import pytest

from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard

PATHS = (
    "/login", "/docs", "/openapi.json", "/favicon.ico", "/accounts/acme", "/accounts/acme/live",
    "/accounts/acme/information", "/accounts/none", "/nothing", "/api/accounts",
    "/api/accounts/acme", "/api/accounts/none", "/api/timezones",
    "/api/accounts/acme/report?from=2026-10-01&to=2026-10-02",
    "/api/accounts/acme/dashboard/usage?from=x",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of one account with an event."""
    fill(redis_url, [flow(1, subject="acme")])
    return served


@pytest.mark.parametrize("path", PATHS)
def test_the_head_is_the_one_of_get(served: Dashboard, path: str) -> None:
    """Status, type and length; and the connection goes on with the next request."""
    with served.client(served.token()) as client:
        client.post("/login", data={"token": served.token()})
        got, head, again = client.get(path), client.head(path), client.get(path)
    assert head.content == b""
    assert head.status_code == got.status_code == again.status_code
    for name in ("content-type", "cache-control", "content-security-policy", "location"):
        assert head.headers.get(name) == got.headers.get(name)
    if "as_of" not in got.text:  # else its length may differ from second to second
        # The list of accounts learns meanwhile what is new of each.
        lengths = {each.headers["content-length"] for each in (got, again)}
        assert head.headers["content-length"] in lengths


def test_the_head_of_a_stream_ends(served: Dashboard) -> None:
    """And nobody watches after it."""
    with served.client(served.token()) as client:
        head = client.head("/api/accounts/acme/live/stream")
        assert head.status_code == 200
        assert head.headers["content-type"].startswith("text/event-stream")
        assert client.get("/api/accounts").status_code == 200
    deadline = time.monotonic() + 5
    while served.app.state.broadcast.viewers:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_head_opens_nothing(served: Dashboard) -> None:
    """It asks for a token as GET does, and is no way around PUT or POST."""
    with served.client() as client:
        assert client.head("/api/accounts").status_code == 401
        assert client.head("/accounts/acme").headers["location"].startswith("/login?next=")
        assert client.head("/logout").status_code == 405
