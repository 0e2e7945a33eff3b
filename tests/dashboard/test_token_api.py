"""Tokens in the API and on the Access page: for operators, shown once, each change logged."""

import logging
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from interaction_usage.dashboard import tokens
from interaction_usage.dashboard.tokens import Role
from interaction_usage.logs import AUDIT, RateFilter
from interaction_usage.store import keys
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard

NOBODY = "0" * 10


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of one account with an event."""
    fill(redis_url, [flow(1, subject="acme")])
    return served


@pytest.fixture
def operator(served: Dashboard) -> Iterator[httpx.Client]:
    """Yield an operator's program, whose token is the only one."""
    served.redis.delete(keys.TOKENS, keys.TOKENS_USED)
    with served.client(served.token(label="ops on call")) as client:
        yield client


def test_a_token_is_created_and_shown_once(served: Dashboard, operator: httpx.Client) -> None:
    """It works at once; no other answer has it, and no cache keeps this one."""
    wanted = {"account": "acme", "role": "manager", "label": " Jane, Acme ", "expires": "30d"}
    answer = operator.post("/api/tokens", json=wanted)
    made = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert re.fullmatch(r"usage_[\w-]{43}", made["token"])
    assert (made["account"], made["role"], made["label"]) == ("acme", "manager", "Jane, Acme")
    assert served.get("/accounts/acme", made["token"]).status_code == 200
    listed = operator.get("/api/tokens")
    assert made["token"] not in listed.text
    first, last = listed.json()["tokens"]
    assert (first["id"], first["yours"], first["last_used"] is None) == (made["id"], False, False)
    assert (last["label"], last["yours"], last["expires"]) == ("ops on call", True, None)


def test_a_token_that_is_revoked_is_refused_at_once(
    served: Dashboard, operator: httpx.Client
) -> None:
    """And is gone from the list; a second time there is none."""
    made = operator.post("/api/tokens", json={"account": "acme"}).json()
    gone = operator.delete(f"/api/tokens/{made['id']}")
    assert (gone.status_code, gone.json()["id"]) == (200, made["id"])
    assert served.get("/accounts/acme", made["token"]).status_code == 401
    assert operator.delete(f"/api/tokens/{made['id']}").status_code == 404
    assert [each["yours"] for each in operator.get("/api/tokens").json()["tokens"]] == [True]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MANAGER])
def test_an_account_s_token_sees_and_changes_no_token(
    served: Dashboard, operator: httpx.Client, role: Role
) -> None:
    """403 for all, its own token included; and no page."""
    secret = served.token("acme", role=role)
    own = tokens.digest_of(secret)[:10]
    with served.client(secret) as client:
        answers = [
            client.get("/api/tokens"),
            client.post("/api/tokens", json={"account": "acme"}),
            client.post("/api/tokens", json={"role": "operator"}),
            client.delete(f"/api/tokens/{own}"),
            client.delete(f"/api/tokens/{NOBODY}"),
        ]
        assert [answer.status_code for answer in answers] == [403] * 5
    browser = served.client()
    assert browser.post("/login", data={"token": secret}).status_code == 303
    assert browser.get("/access").status_code == 403
    assert "/access" not in browser.get("/accounts/acme").text
    assert len(operator.get("/api/tokens").json()["tokens"]) == 2


def test_another_site_creates_and_revokes_nothing(
    served: Dashboard, operator: httpx.Client
) -> None:
    """A browser needs the form key and an origin of ours; a program without a token has nothing."""
    browser = served.client()
    assert browser.post("/login", data={"token": served.token()}).status_code == 303
    key = re.search(r'name="form-key" content="(\w+)"', browser.get("/access").text)
    assert key
    before = len(operator.get("/api/tokens").json()["tokens"])
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "X-Form-Key": key[1]}
    for headers in ({}, {"X-Form-Key": "wrong"}, evil):
        for answer in (
            browser.post("/api/tokens", json={"role": "operator"}, headers=headers),
            browser.delete(f"/api/tokens/{NOBODY}", headers=headers),
        ):
            assert answer.status_code == 403
    with served.client() as nobody:
        assert nobody.get("/api/tokens").status_code == 401
        assert nobody.post("/api/tokens", json={"role": "operator"}).status_code == 401
    assert len(operator.get("/api/tokens").json()["tokens"]) == before
    ours = {"X-Form-Key": key[1]}
    assert browser.post("/api/tokens", json={"role": "operator"}, headers=ours).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "place", "sentence"),
    [
        ({"account": "acmee"}, "account", "there is no account 'acmee'; did you mean acme?"),
        ({"account": ""}, "account", "a viewer needs an account"),
        ({"role": "manager"}, "account", "a manager needs an account"),
        ({"role": "operator", "account": "acme"}, "account", "an operator sees all accounts"),
        ({"account": "acme", "label": "two\nlines"}, "label", "no control characters"),
        ({"account": "acme", "label": "x" * 101}, "label", "at most 100 characters"),
        ({"account": "acme", "expires": "soon"}, "expires", "is not an expiry like 30d"),
        ({"account": "acme", "expires": "2020-01-01"}, "expires", "is in the past"),
        ({"account": "acme", "expires": "99999d"}, "expires", "at most 3,660 days"),
        ({"account": "acme", "role": "root"}, "role", ""),
        ({"account": "acme", "secret": "mine"}, "secret", ""),
    ],
)
def test_what_cannot_be_created_is_said_beside_the_field(
    operator: httpx.Client, wanted: dict[str, str], place: str, sentence: str
) -> None:
    """422, and there is no token more."""
    answer = operator.post("/api/tokens", json=wanted)
    assert answer.status_code == 422
    [problem] = answer.json()["detail"]
    assert problem["loc"] == ["body", place]
    assert sentence in problem["msg"]
    assert len(operator.get("/api/tokens").json()["tokens"]) == 1


def test_without_kafka_nothing_is_created_or_revoked(
    served: Dashboard, operator: httpx.Client
) -> None:
    """503, and what was valid is."""
    made = operator.post("/api/tokens", json={"account": "acme"}).json()
    served.ledger.refusing = True
    try:
        assert operator.post("/api/tokens", json={"account": "acme"}).status_code == 503
        assert operator.delete(f"/api/tokens/{made['id']}").status_code == 503
    finally:
        served.ledger.refusing = False
    assert served.get("/accounts/acme", made["token"]).status_code == 200


def test_each_change_is_in_the_log(
    operator: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Who, what and for whom, and never the token; more of them than of other lines."""
    with caplog.at_level(logging.INFO, AUDIT):
        made = [operator.post("/api/tokens", json={"account": "acme"}).json() for _ in range(7)]
        operator.delete(f"/api/tokens/{made[0]['id']}")
    lines = [record for record in caplog.records if record.name == AUDIT]
    assert lines[0].getMessage() == (
        f"ops on call ({operator.get('/api/tokens').json()['tokens'][-1]['id']}) created the token "
        f"{made[0]['id']} for account acme (viewer)"
    )
    assert "revoked the token" in lines[-1].getMessage()
    assert not any(each["token"] in line.getMessage() for each in made for line in lines)
    every = RateFilter()
    assert all(every.filter(line) for line in lines)
    assert len(lines) == 8


def test_an_open_server_creates_no_token_for_operators(redis_url: str) -> None:
    """It would outlast the server; one for an account may be created."""
    with dashboard(redis_url, is_open=True) as opened, opened.client() as client:
        refused = client.post("/api/tokens", json={"role": "operator"})
        assert refused.status_code == 403
        assert "usage token create --operator" in refused.json()["detail"]
        assert client.post("/api/tokens", json={"account": "acme"}).status_code == 200
        assert client.get("/access").status_code == 200


def test_an_expired_token_is_listed_as_that(served: Dashboard, operator: httpx.Client) -> None:
    """Until it is revoked."""
    served.token("acme", expires=int(time.time()) - 5)
    found = operator.get("/api/tokens").json()["tokens"]
    assert {each["account"]: each["expired"] for each in found} == {"acme": True, None: False}
