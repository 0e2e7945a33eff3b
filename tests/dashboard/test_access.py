"""Who may see what, and what a browser is reported to keep out."""

import html
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.client import Redis

from interaction_usage.dashboard import assets, logins, tokens
from interaction_usage.dashboard.auth import COOKIE
from interaction_usage.store import account_settings, keys
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.memory_ledger import MemoryLedger
from tests.support.serving import Dashboard, dashboard

SITE = Path(assets.__file__).parent
BELOW = (
    "", "/report", "/usage.xls", "/dashboard", "/dashboard/usage", "/dashboard/heat",
    "/dashboard/applications", "/dashboard/concurrency", "/dashboard/resolution",
    "/dashboard/connectivity", "/live", "/live/stream",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of two accounts with events and one that was only set."""
    fill(redis_url, [flow(1, subject="acme"), flow(2, subject="rival")])
    account_settings.put(served.ledger, "quiet", name="Quiet Ltd")
    return served


@pytest.fixture(autouse=True)
def _no_failures(request: pytest.FixtureRequest) -> None:
    served: Dashboard = request.getfixturevalue("served")
    served.redis.delete(keys.login_failures(tokens.digest_of("127.0.0.1")))


def log_in(served: Dashboard, token: str, **headers: str) -> httpx.Client:
    """Return a browser that is logged in."""
    client = served.client()
    answer = client.post("/login", data={"token": token}, headers=headers)
    assert answer.status_code == 303, answer.text
    return client


def form_key(client: httpx.Client, page: str = "/accounts/acme") -> str:
    """Return the key that a page gives its changes."""
    found = re.search(r'name="form-key" content="(\w+)"', client.get(page).text)
    assert found
    return found[1]


# ------------------------------------------------------------------------------- programs


@pytest.mark.parametrize("path", ["/accounts", *(f"/accounts/acme{below}" for below in BELOW)])
def test_nothing_is_reported_without_a_token(served: Dashboard, path: str) -> None:
    """401 with how to ask; so it is with a token that was never made."""
    for token in (None, "usage_wrong"):
        answer = served.get(path, token)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("below", BELOW)
def test_another_account_looks_like_none_at_all(served: Dashboard, below: str) -> None:
    """For acme's token, rival's answers are to the byte those of an account that is none."""
    token = served.token("acme")
    with served.client(token) as client:
        there = client.get(f"/api/accounts/rival{below}?from=2026-10-01&to=2026-10-01")
        none = client.get(f"/api/accounts/nobody{below}?from=2026-10-01&to=2026-10-01")
        assert there.status_code == none.status_code == 404
        assert there.content == none.content
        wrong = client.get(f"/api/accounts/rival{below}?from=2026-10-02&to=2026-10-01&tz=x")
        assert (wrong.status_code, wrong.content) == (404, none.content)


def test_an_account_token_opens_the_own_account(served: Dashboard) -> None:
    """And the list has that one only."""
    token = served.token("acme")
    assert [each["account"] for each in served.get("/accounts", token).json()] == ["acme"]
    assert served.get("/accounts/acme/report", token).json()["account"] == "acme"
    every = served.get("/accounts", served.token()).json()
    assert [each["account"] for each in every] == ["acme", "quiet", "rival"]


def test_another_account_cannot_be_changed(served: Dashboard) -> None:
    """Neither one that exists nor one that would exist then."""
    with served.client(served.token("acme")) as client:
        for name in ("rival", "nobody"):
            assert client.put(f"/api/accounts/{name}", json={"name": "Mine"}).status_code == 404
    assert account_settings.get(served.redis, "rival").name == "rival"
    assert served.get("/accounts/nobody", served.token()).status_code == 404


def test_a_token_is_kept_as_a_hash_only(served: Dashboard) -> None:
    """Nothing in Redis holds it, and revoking it ends it at once."""
    token = served.token("acme")
    assert served.get("/accounts/acme", token).status_code == 200
    kept = b"".join(name + output for name, output in served.redis.hgetall(keys.TOKENS).items())
    assert token.encode() not in kept
    assert token.removeprefix("usage_").encode() not in kept
    tokens.revoke(served.ledger, tokens.digest_of(token)[:10], 1_700_000_001)
    assert served.get("/accounts/acme", token).status_code == 401


def test_wrong_tokens_are_slowed_down_and_right_ones_are_not(served: Dashboard) -> None:
    """After ten wrong ones of an address: 429 with when to try again."""
    right = served.token("acme")
    codes = [served.get("/accounts", f"usage_{n}").status_code for n in range(12)]
    assert codes == [401] * 10 + [429] * 2
    assert int(served.get("/accounts", "usage_x").headers["retry-after"]) <= logins.FAILURES_KEPT
    assert served.get("/accounts", right).status_code == 200


# ------------------------------------------------------------------------------- settings


def test_settings_are_saved_and_reported(served: Dashboard) -> None:
    """What is given changes, the rest stays; the limits are the deployment's."""
    with served.client(served.token()) as client:
        output = client.put(
            "/api/accounts/quiet", json={"timezone": "Asia/Kathmandu", "dnis": False}
        ).json()
        assert output == client.get("/api/accounts/quiet").json()
    assert (output["name"], output["timezone"]) == ("Quiet Ltd", "Asia/Kathmandu")
    assert (output["dnis"], output["sms"], output["counted"]) == (False, True, False)
    assert output["session_limits"]["agent"] == 86_400


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"timezone": "Mars/Olympus"}, ["body", "timezone"]),
        ({"timezone": ""}, ["body", "timezone"]),
        ({"name": ""}, ["body", "name"]),
        ({"name": "x" * 201}, ["body", "name"]),
        ({"name": "two\nlines"}, ["body", "name"]),
        ({"dnis": "perhaps"}, ["body", "dnis"]),
        ({"nmae": "x"}, ["body", "nmae"]),
    ],
)
def test_what_cannot_be_set_is_said_at_the_place(
    served: Dashboard, body: dict[str, Any], place: list[str]
) -> None:
    """422, and nothing is changed."""
    before = served.get_json("/accounts/quiet")
    with served.client(served.token()) as client:
        answer = client.put("/api/accounts/quiet", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == place
    assert served.get_json("/accounts/quiet") == before


def test_an_id_that_cannot_be_is_not_made_an_account(served: Dashboard) -> None:
    """Neither by a slash nor by other characters."""
    with served.client(served.token()) as client:
        for name in ("a%20b", "%7Bacme%7D", "x" * 129, "ä"):
            assert client.put(f"/api/accounts/{name}", json={"name": "x"}).status_code == 404


# ------------------------------------------------------------------------------- browsers


def test_a_browser_logs_in_and_out(served: Dashboard) -> None:
    """The cookie is for the server's eyes and this site only; logging out makes it worthless."""
    token = served.token()
    client = served.client()
    login = "/login?next=%2Faccounts%2Facme"
    assert client.get("/accounts/acme").headers["location"] == login
    answer = client.post(login, data={"token": f"  {token}\n"})
    assert answer.headers["location"] == "/accounts/acme"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert token not in cookie
    kept = client.cookies[COOKIE]
    assert client.get("/accounts/acme").status_code == 200
    assert client.get("/api/accounts/acme").status_code == 200
    assert client.post("/logout", data={"form_key": "wrong"}).status_code == 403
    gone = client.post("/logout", data={"form_key": form_key(client)})
    assert gone.headers["location"] == "/login"
    with served.client(cookies={COOKIE: kept}) as again:
        assert again.get("/api/accounts/acme").status_code == 401


def test_a_login_leads_back_to_what_was_wanted(served: Dashboard) -> None:
    """With its period; also after a wrong token."""
    client = served.client()
    wanted = "/accounts/acme?from=2026-10-01&to=2026-10-31&flow=a%20b"
    login = client.get(wanted).headers["location"]
    form = re.search(r'action="([^"]+)"', client.post(login, data={"token": "wrong"}).text)
    assert form
    answer = client.post(html.unescape(form[1]), data={"token": served.token()})
    assert answer.headers["location"] == wanted
    assert client.get(login).headers["location"] == wanted


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/\t/evil",
               "/\n/evil.example", "/login", "/logout", "/" + "x" * 2001, ""],
)  # fmt: skip
def test_a_login_leads_to_no_other_site(served: Dashboard, wanted: str) -> None:
    """Whatever a link to the login page says."""
    client = served.client()
    answer = client.post("/login", params={"next": wanted}, data={"token": served.token()})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"


def test_a_login_is_kept_as_a_hash_and_ends_with_token(served: Dashboard) -> None:
    """Whoever reads Redis cannot take it over; a revoked token's browsers are out."""
    token = served.token("acme")
    client = log_in(served, token)
    secret = client.cookies[COOKIE]
    assert served.redis.exists(keys.login(tokens.digest_of(secret)))
    assert not [key for key in served.redis.scan_iter("*") if secret.encode() in key]
    assert 0 < served.redis.ttl(keys.login(tokens.digest_of(secret))) <= logins.LIFETIME
    tokens.revoke(served.ledger, tokens.digest_of(token)[:10], 1_700_000_001)
    assert client.get("/api/accounts/acme").status_code == 401


def test_a_browser_of_one_account_sees_that_one(served: Dashboard) -> None:
    """It is led there; another's pages are those of none."""
    client = log_in(served, served.token("acme"))
    assert client.get("/").headers["location"] == "/accounts/acme"
    for page in ("", "/live", "/information"):
        assert client.get(f"/accounts/acme{page}").status_code == 200
        other, none = client.get(f"/accounts/rival{page}"), client.get(f"/accounts/none{page}")
        assert other.status_code == none.status_code == 404
        assert other.content == none.content


def test_changes_come_from_our_own_pages_only(served: Dashboard) -> None:
    """With the cookie alone nothing is changed: not from another site, not without the form key."""
    client = log_in(served, served.token())
    key = form_key(client)
    ours = {"Origin": served.url, "Sec-Fetch-Site": "same-origin", "X-Form-Key": key}

    def put(**headers: str) -> int:
        sent = {name.replace("_", "-"): output for name, output in headers.items()}
        return client.put("/api/accounts/acme", json={"sms": True}, headers=sent).status_code

    assert put() == 403
    assert put(X_Form_Key="0" * 32) == 403
    assert put(**{**ours, "Origin": "https://evil.example"}) == 403
    assert put(**{**ours, "Origin": "null"}) == 403
    assert put(**{**ours, "Sec-Fetch-Site": "cross-site"}) == 403
    assert put(**{**ours, "Sec-Fetch-Site": "same-site"}) == 403
    assert put(**ours) == 200


@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_logging_in_and_out_is_taken_from_our_own_pages_only(served: Dashboard, path: str) -> None:
    """Another site cannot log a visitor in as somebody, nor out."""
    with served.client() as client:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            sent = client.post(path, data={"token": served.token()}, headers=headers)
            assert sent.status_code == 403
            assert "set-cookie" not in sent.headers


def test_failed_logins_are_slowed_down_and_right_ones_are_not(served: Dashboard) -> None:
    """Ten tries, then "wait"; whoever shares the address and has a token logs in anyway."""
    right = served.token()
    with served.client() as client:
        for number in range(logins.MOST_FAILURES):
            answer = client.post("/login", data={"token": f"guess {number}"})
            assert answer.status_code == 401
            assert "not valid" in answer.text
        answer = client.post("/login", data={"token": "one guess more"})
        assert answer.status_code == 429
        assert "try again in 15 minutes" in answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert client.post("/login", data={"token": right}).status_code == 303
    assert served.redis.ttl(keys.login_failures(tokens.digest_of("127.0.0.1"))) > 0


def test_the_failures_of_an_ipv6_network_are_counted_together(served: Dashboard) -> None:
    """Whoever has one address of it has all 2^64 of them."""
    for number in range(logins.MOST_FAILURES):
        logins.failed(served.redis, f"2001:db8:1:2::{number + 1:x}")
    assert logins.seconds_to_wait(served.redis, "2001:db8:1:2:ffff::") > 0
    assert logins.seconds_to_wait(served.redis, "2001:db8:1:3::1") == 0


def test_a_login_form_is_small(served: Dashboard) -> None:
    """A megabyte of token is not read to its end."""
    with served.client() as client:
        answer = client.post("/login", data={"token": "x" * 1_000_000})
    assert answer.status_code == 413


# -------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    "path",
    ["/login", "/", "/api/accounts", "/docs", "/nothing", "/openapi.json", "/assets/x/usage.css"],
)
def test_every_answer_carries_the_headers(served: Dashboard, path: str) -> None:
    """No script but ours, no frame around us, no guessing of types."""
    with served.client() as client:
        headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "cache-control" in headers


def pages(served: Dashboard) -> Iterator[tuple[str, str]]:
    """Yield every page's path and text, as an operator's browser gets it."""
    client = log_in(served, served.token())
    for path in ("/", "/docs", "/accounts/acme", "/accounts/acme/live", "/accounts/quiet",
                 "/accounts/acme/information", "/accounts/none"):  # fmt: skip
        yield path, client.get(path).text
    yield "/login", served.client().get("/login").text


def test_pages_hold_nothing_inline_and_nothing_from_outside(served: Dashboard) -> None:
    """Scripts and styles are files of the package; every address is of this server."""
    for path, text in pages(served):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text), path
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', text):
            assert address.startswith(("/", "#")), (path, address)
            assert not address.startswith("//")


def test_scripts_and_styles_reach_for_nothing_outside() -> None:
    """No address of another server, and no evaluation of text."""
    for path in (SITE / "static").rglob("*.[jc]s*"):
        text = path.read_text("utf-8")
        addresses = set(re.findall(r"(?<!:)//[a-z][\w.-]+\.[a-z]{2,}|https?://[^\s\"'`)]+", text))
        # A namespace is a name: no browser asks for it.
        names = {"https://github.com/leeoniya/uPlot", "http://www.w3.org/2000/svg"}
        assert addresses <= names, path
        assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML", text), path


def test_the_assets_are_small_and_kept(served: Dashboard) -> None:
    """Under 300 KB altogether; under the current version's address a browser keeps them."""
    assert assets.size() < 300_000
    with served.client() as client:
        found = client.get(f"/assets/{assets.version()}/usage.css")
        assert "immutable" in found.headers["cache-control"]
        assert client.get("/assets/old/usage.css").headers["cache-control"] == "no-cache"
        assert client.get(f"/assets/{assets.version()}/../app.py").status_code == 404
        assert client.get(f"/assets/{assets.version()}/%2e%2e/app.py").status_code == 404


def test_names_are_text_wherever_they_stand(served: Dashboard) -> None:
    """An account's name cannot become markup."""
    account_settings.put(served.ledger, "acme", name="<script>alert(1)</script>")
    try:
        client = log_in(served, served.token())
        for page in ("", "/live", "/information"):
            text = client.get(f"/accounts/acme{page}").text
            assert "<script>alert" not in text
            assert "&lt;script&gt;" in text
    finally:
        account_settings.put(served.ledger, "acme", name="acme")


# ------------------------------------------------------------------------------ open, state


def test_an_open_server_answers_under_names_of_this_machine_only(redis_url: str) -> None:
    """A name that somebody points at 127.0.0.1 does not open it to their page."""
    with dashboard(redis_url, is_open=True) as served, served.client() as client:
        port = served.url.rpartition(":")[2]
        for host, code in [
            (f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), (f"[::1]:{port}", 200),
            (f"evil.example:{port}", 421), ("127.0.0.1.evil.example", 421), ("", 421),
        ]:  # fmt: skip
            assert client.get("/api/accounts", headers={"Host": host}).status_code == code, host
        evil = {"Origin": "https://evil.example"}
        assert client.put("/api/accounts/acme", json={}, headers=evil).status_code == 403
        assert client.put("/api/accounts/acme", json={}).status_code == 200


def test_a_server_holds_nothing(redis_url: str) -> None:
    """Another one on the same Redis knows logins, tokens and failures: nobody logs in again."""
    with dashboard(redis_url) as first:
        client = log_in(first, first.token("acme"))
        cookie = client.cookies[COOKIE]
    with dashboard(redis_url) as second, second.client(cookies={COOKIE: cookie}) as browser:
        assert browser.get("/api/accounts/acme").status_code == 200
        assert browser.get("/accounts/acme").status_code == 200


def test_a_login_ends_twelve_hours_after_it_began(redis_url: str) -> None:
    """However much it is used."""
    with Redis.from_url(redis_url) as redis:
        now = int(time.time())
        token = tokens.authenticate(redis, tokens.create(MemoryLedger(redis), None, now), now)
        login = logins.begin(redis, token)
        key = keys.login(tokens.digest_of(login.secret))
        redis.expire(key, 3600)
        assert logins.find(redis, login.secret, now) is not None
        assert redis.ttl(key) <= 3600
        redis.delete(key)
        assert logins.find(redis, login.secret, now) is None
