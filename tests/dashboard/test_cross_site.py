"""Requests that another site's page makes a visitor's browser send change nothing."""

import re
import socket
from collections.abc import Iterator

import httpx
import pytest

from interaction_usage.dashboard.auth import COOKIE
from interaction_usage.store import account_settings
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard

EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of one account with an event."""
    fill(redis_url, [flow(1, subject="acme")])
    return served


@pytest.fixture
def browser(served: Dashboard) -> httpx.Client:
    """Return an operator's browser."""
    client = served.client()
    assert client.post("/login", data={"token": served.token()}).status_code == 303
    return client


@pytest.fixture(scope="module")
def opened(redis_url: str) -> Iterator[Dashboard]:
    """Yield an open dashboard."""
    with dashboard(redis_url, is_open=True) as running:
        yield running


def form_key(client: httpx.Client) -> str:
    """Return the key that pages give their changes."""
    found = re.search(r'name="form-key" content="(\w+)"', client.get("/accounts/acme").text)
    assert found
    return found[1]


@pytest.mark.parametrize(
    "authorization", ["Basic eDp5", "Bearer", "Digest x", "usage", "", "Negotiate a"]
)
def test_an_authorization_that_is_not_ours_switches_nothing_off(
    served: Dashboard, browser: httpx.Client, opened: Dashboard, authorization: str
) -> None:
    """With a cookie, and on an open server; only a token of ours needs no page of ours."""
    for client in (browser, opened.client()):
        for more in (EVIL, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}):
            headers = {"Authorization": authorization, **more}
            answer = client.put("/api/accounts/acme", json={"name": "Evil"}, headers=headers)
            assert answer.status_code == 403, (authorization, more)
    plain = {"Authorization": authorization}
    answer = browser.put("/api/accounts/acme", json={"name": "Evil"}, headers=plain)
    assert answer.status_code == 403  # without the form key, too
    assert account_settings.get(served.redis, "acme").name == "acme"


def test_an_authorization_of_a_proxy_stands_in_nobodys_way(browser: httpx.Client) -> None:
    """A browser behind a proxy that asks for a password sends it along with every request."""
    headers = {"Authorization": "Basic eDp5", "X-Form-Key": form_key(browser)}
    assert browser.put("/api/accounts/acme", json={}, headers=headers).status_code == 200


def test_a_wrong_token_beside_a_right_cookie_is_refused(browser: httpx.Client) -> None:
    """It is the token that counts, and it is none."""
    headers = {"Authorization": "Bearer usage_wrong", "X-Form-Key": form_key(browser)}
    assert browser.put("/api/accounts/acme", json={}, headers=headers).status_code == 401


def test_an_origin_that_is_empty_is_not_ours(browser: httpx.Client, opened: Dashboard) -> None:
    """A header that is there and says nothing is no leave."""
    headers = {"Origin": "", "X-Form-Key": form_key(browser)}
    assert browser.put("/api/accounts/acme", json={}, headers=headers).status_code == 403
    client = opened.client()
    assert client.put("/api/accounts/acme", json={}, headers={"Origin": ""}).status_code == 403


def test_of_two_headers_both_must_be_right(browser: httpx.Client) -> None:
    """Whichever a proxy, or a server, looks at."""
    key = form_key(browser)
    own = str(browser.base_url).rstrip("/")
    for pair in (
        [("Origin", own), ("Origin", "https://evil.example")],
        [("Origin", "https://evil.example"), ("Origin", own)],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    ):
        headers = [*pair, ("X-Form-Key", key)]
        assert browser.put("/api/accounts/acme", json={}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("127.0.0.1:80", "http://127.0.0.1", 200),
        ("127.0.0.1", "http://127.0.0.1:80", 200),
        ("LOCALHOST.", "http://localhost", 200),
        ("[::1]:80", "http://[0:0::1]", 200),
        ("127.0.0.1:80", "http://127.0.0.1:8080", 403),
        ("127.0.0.1", "http://localhost", 403),
    ],
)
def test_hosts_are_compared_as_hosts(
    browser: httpx.Client, opened: Dashboard, host: str, origin: str, code: int
) -> None:
    """By name, case, brackets and the port that a scheme has."""
    headers = {"Host": host, "Origin": origin}
    assert opened.client().put("/api/accounts/acme", json={}, headers=headers).status_code == code
    headers["X-Form-Key"] = form_key(browser)
    assert browser.put("/api/accounts/acme", json={}, headers=headers).status_code == code


@pytest.mark.parametrize(
    "host", ["evil.example@127.0.0.1", "127.0.0.1, evil.example", "127.0.0.1/"]
)
def test_an_open_server_takes_no_host_that_is_none(opened: Dashboard, host: str) -> None:
    """Nor two of them."""
    assert opened.client().get("/api/accounts", headers={"Host": host}).status_code in (400, 421)
    address = opened.url.removeprefix("http://")
    name, _, port = address.partition(":")
    with socket.create_connection((name, int(port))) as raw:
        raw.sendall(
            f"GET /api/accounts HTTP/1.1\r\nHost: {address}\r\nHost: evil.example\r\n\r\n".encode()
        )
        assert re.match(rb"HTTP/1.1 4(00|21) ", raw.recv(4096))


def test_forwarded_headers_are_no_proof(served: Dashboard, opened: Dashboard) -> None:
    """Whoever claims to be forwarded from here gets no more than others."""
    for name in ("X-Forwarded-Host", "X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Original-URL"):
        headers = {name: "127.0.0.1", **EVIL}
        assert served.client().get("/api/accounts", headers=headers).status_code == 401
        put = opened.client().put("/api/accounts/acme", json={}, headers=headers)
        assert put.status_code == 403


def test_over_https_the_cookie_is_one_that_no_other_host_can_set(served: Dashboard) -> None:
    """`__Host-`: secure, for every path, of this host only; the plain one is not looked at."""
    https = {"X-Forwarded-Proto": "https"}
    with served.client() as client:
        answer = client.post("/login", data={"token": served.token()}, headers=https)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"__Host-{COOKIE}=")
        assert "Secure" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
        secret = cookie.partition("=")[2].partition(";")[0]
    for name, code in ((f"__Host-{COOKIE}", 200), (COOKIE, 401)):
        headers = {**https, "Cookie": f"{name}={secret}"}
        assert served.client().get("/api/accounts", headers=headers).status_code == code
