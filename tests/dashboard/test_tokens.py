"""How long a token lasts, and the logins that are made with it."""

import time

import httpx
import pytest

from interaction_usage.dashboard import logins, tokens
from interaction_usage.dashboard.auth import COOKIE
from interaction_usage.store import keys
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of one account with an event."""
    fill(redis_url, [flow(1, subject="acme")])
    return served


def logged_in(served: Dashboard, token: str, client: httpx.Client | None = None) -> httpx.Client:
    """Return a browser that is logged in."""
    client = client or served.client()
    assert client.post("/login", data={"token": token}).status_code == 303
    return client


def test_an_expired_token_says_that_it_is(served: Dashboard) -> None:
    """401 with the instant, for programs and in the login form; it counts as no failed try."""
    token = served.token("acme", expires=1_700_000_060)
    sentence = "This token expired on 2023-11-14 22:14 UTC. Ask an operator for a new one."
    for _ in range(logins.MOST_FAILURES + 2):
        answer = served.get("/accounts/acme", token)
        assert (answer.status_code, answer.json()["detail"]) == (401, sentence)
    page = served.client().post("/login", data={"token": token})
    assert page.status_code == 401
    assert sentence in page.text
    assert "set-cookie" not in page.headers


def test_a_token_expires_to_the_second(served: Dashboard) -> None:
    """Right until the second before."""
    token = tokens.create(served.ledger, "acme", NOW, expires=NOW + 10)
    assert tokens.authenticate(served.redis, token, NOW + 9).account == "acme"
    with pytest.raises(tokens.ExpiredTokenError):
        tokens.authenticate(served.redis, token, NOW + 10)


def test_a_login_ends_with_token(served: Dashboard) -> None:
    """Though its cookie would last longer."""
    token = served.token("acme", expires=int(time.time()) + 2)
    client = logged_in(served, token)
    assert client.get("/api/accounts/acme").status_code == 200
    deadline = time.monotonic() + 10
    while client.get("/api/accounts/acme").status_code != 401:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.get("/accounts/acme").headers["location"].startswith("/login?next=")


def test_use_is_noted_once_a_minute(served: Dashboard) -> None:
    """By programs and by browsers; what is not used was never used."""
    token = tokens.create(served.ledger, "acme", NOW)
    digest = tokens.digest_of(token)
    uses = []
    for second in (NOW, NOW + 59, NOW + 60, NOW + 100, NOW + 200):
        tokens.authenticate(served.redis, token, second)
        found = tokens.by_digest(served.redis, digest)
        assert found is not None
        uses.append(found.used)
    assert uses == [NOW, NOW, NOW + 60, NOW + 60, NOW + 200]
    other = served.token()
    client = logged_in(served, other)
    served.redis.hdel(keys.TOKENS_USED, tokens.digest_of(other))
    client.get("/api/accounts")
    assert served.redis.hget(keys.TOKENS_USED, tokens.digest_of(other)) is not None
    tokens.revoke(served.ledger, digest[:10], NOW)
    assert not served.redis.hexists(keys.TOKENS_USED, digest)


def test_a_login_is_not_prolonged_by_use(served: Dashboard) -> None:
    """Twelve hours from its beginning, for the browser and for the server."""
    client = served.client()
    answer = client.post("/login", data={"token": served.token()})
    assert f"Max-Age={12 * 3600}" in answer.headers["set-cookie"]
    key = keys.login(tokens.digest_of(client.cookies[COOKIE]))
    served.redis.expire(key, 100)
    for path in ("/", "/api/accounts", "/accounts/acme"):
        client.get(path)
    assert served.redis.ttl(key) <= 100
    served.redis.delete(key)
    assert client.get("/api/accounts").status_code == 401


def test_a_new_login_ends_the_old_one(served: Dashboard) -> None:
    """On the server: whoever kept the old cookie has nothing, whoever's token the new one is."""
    client = logged_in(served, served.token())
    old = client.cookies[COOKIE]
    logged_in(served, served.token("acme"), client)
    assert client.cookies[COOKIE] != old
    assert not served.redis.exists(keys.login(tokens.digest_of(old)))
    with served.client(cookies={COOKIE: old}) as thief:
        assert thief.get("/api/accounts").status_code == 401
    refused = client.post("/login", data={"token": "usage_wrong"})
    assert refused.status_code == 401
    assert client.get("/api/accounts/acme").status_code == 200  # a failed try ends nothing


def test_a_cookie_that_was_planted_is_never_a_login(served: Dashboard) -> None:
    """The server makes its own, so that nobody else knows it."""
    with served.client(cookies={COOKIE: "planted"}) as victim:
        answer = victim.post("/login", data={"token": served.token()})
        assert "planted" not in answer.headers["set-cookie"]
    with served.client(cookies={COOKIE: "planted"}) as thief:
        assert thief.get("/api/accounts").status_code == 401
