"""Every route of the API with no token, and with another account's; and bodies that are no JSON."""

from typing import Any

import httpx
import pytest

from interaction_usage.dashboard.tokens import Role
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard

QUERY = {"from": "2026-10-01", "to": "2026-10-01"}


@pytest.fixture(scope="module")
def routes(redis_url: str, served: Dashboard) -> list[tuple[str, str]]:
    """Return the method and the path of each route of a dashboard with two accounts."""
    fill(redis_url, [flow("one"), flow("two", subject="rival")])
    document = served.client().get("/openapi.json").json()
    return [
        (method, path)
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/api/")
    ]


def ask(client: httpx.Client, method: str, path: str, account: str) -> tuple[int, str]:
    """Return what a route answers, without the name of the account."""
    at = path.replace("{account}", account).replace("{number}", f"{account}-000001")
    at = at.replace("{rule}", "0123456789ab").replace("{token_id}", "0123456789")
    body: dict[str, Any] = {} if method in ("get", "delete") else {"json": {}}
    answer = client.request(method, at, params=QUERY, **body)
    return answer.status_code, answer.text.replace(account, "…")


def test_no_route_answers_without_a_token(served: Dashboard, routes: list[tuple[str, str]]) -> None:
    """Whatever it is about."""
    client = served.client()
    assert {ask(client, *route, "rival")[0] for route in routes} == {401}


def test_no_route_tells_another_account_from_none(
    served: Dashboard, routes: list[tuple[str, str]]
) -> None:
    """To the byte, and whatever the role; a route that is added is tried without being named."""
    of_account = [route for route in routes if "{account}" in route[1]]
    assert len(of_account) > 30
    assert served.get_json("/accounts/rival")["account"] == "rival"
    for role in (Role.VIEWER, Role.MANAGER):
        client = served.client(served.token("acme", role=role))
        for route in of_account:
            there, none = (ask(client, *route, account) for account in ("rival", "ghost"))
            assert there == none, route
            assert there[0] in (403, 404, 422), route


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": NaN}', b'{"name": -Infinity}', b'{"name": 1e999}', b'{"name": ["\\ud800"]}',
        b'{"\\ud800": 1}', b"[" * 15_000, b'{"name": ' + b"9" * 9_000 + b"}", b"\xff\xfe", b"",
    ],
)  # fmt: skip
def test_a_body_that_json_has_no_word_for_is_the_asker_s_mistake(
    served: Dashboard, routes: list[tuple[str, str]], body: bytes
) -> None:
    """What is wrong is said, without repeating it; it is never an error of the server."""
    client = served.client(served.token("acme", role=Role.MANAGER))
    headers = {"content-type": "application/json"}
    answer = client.put("/api/accounts/acme", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    detail = answer.json()["detail"]
    assert isinstance(detail, str) or {"loc", "msg", "type"} == set(detail[0])
